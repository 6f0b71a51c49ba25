// SPDX-License-Identifier: Apache-2.0
#pragma once
// The net program: answers ARP, ICMP echo and UDP echo (port 7), and announces itself when the
// device asks for it.
//   net.ip=10.0.2.15 net.csum=0|1 net.rxbuf=BYTES   reinit=N
// A UDP payload that starts with "GTSQ" and a 64-bit little-endian sequence number at offset 8 is also
// counted: gaps and repetitions in the sequence are reported, but are no errors (it is UDP).
#include "drivers/virtio_net.h"
#include "programs/packet.h"
#include "programs/program.h"
#include "programs/reinit.h"

namespace guest {

class Net final : public Program {
  public:
    constexpr Net() = default;
    std::string_view name() const override { return "net"; }
    bool start() override;
    u64 step(u64 now) override;
    void print_status() const override;

  private:
    bool restart();
    void fail(std::string_view what);
    void receive_all();
    void handle(virtio::Frame& frame);
    void count_sequence(const virtio::Frame& frame);
    void watch_status();
    void announce();

    virtio::VirtioNet device_;
    Reinit reinit_;
    packet::Host host_{};
    bool checksum_offload_ = false, stopped_ = false, link_up_ = true, announce_wanted_ = false;
    u64 expected_sequence_ = 0;
    u64 arp_ = 0, icmp_ = 0, udp_ = 0, other_ = 0, bad_checksums_ = 0, lost_ = 0, repeated_ = 0;
    u64 send_failures_ = 0, announces_ = 0, link_changes_ = 0, errors_ = 0;
};

} // namespace guest
