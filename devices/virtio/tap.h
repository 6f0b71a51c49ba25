// SPDX-License-Identifier: Apache-2.0
//
// A Linux tap interface with virtio headers. Reference: Documentation/networking/tuntap.rst, linux/if_tun.h.
// Opening attaches to the interface and does nothing else: no frame is read or sent before the device asks.
// Threads: created on any thread, then loop only.
#pragma once

#include "devices/virtio/net_backend.h"
#include "vmm/base/fd.h"

#include <memory>

namespace godwit::virtio {

class Tap final : public FrameBackend {
  public:
    // Attaches to an existing interface. NoDevice with the cause: no such interface (the kernel would make
    // one, which is down and leads nowhere), no /dev/net/tun, no permission, in use by another process.
    static Result<std::unique_ptr<Tap>> open(const std::string& interface_name);
    // Takes a descriptor that somebody else opened; it must be a tap with virtio headers and without packet
    // information (IFF_TAP, IFF_VNET_HDR, IFF_NO_PI).
    static Result<std::unique_ptr<Tap>> adopt(Fd fd);

    const std::string& interface_name() const { return interface_name_; }
    // An error when the interface has gone away since it was opened. Any thread.
    Status check_present() const;
    // Why frames cannot get anywhere from it now, "is down" say; empty when nothing speaks against it. Any
    // thread.
    std::string lack() const;

    std::string name() const override;
    int fd() const override { return fd_.get(); }
    bool has_ufo() const override { return has_ufo_; }
    Status set_header_size(std::uint32_t bytes) override;
    Status set_guest_offloads(std::uint64_t offloads) override;
    std::int64_t read(std::span<const iovec> buffers) override;
    std::int64_t write(std::span<const iovec> buffers) override;

  private:
    Tap(Fd fd, std::string interface_name);

    Fd fd_;
    std::string interface_name_;
    bool has_ufo_ = false;
};

// Refuses names that the kernel would refuse or take as a pattern ("tap%d"). Longest: 15 bytes.
Status check_interface_name(std::string_view name);

// The TUN_F_ bits for a set of guest offloads.
unsigned tun_offloads(std::uint64_t guest_offloads);

} // namespace godwit::virtio
