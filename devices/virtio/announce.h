// SPDX-License-Identifier: Apache-2.0
//
// Tells the switches where a guest has moved to: a few reverse ARP requests (RFC 903) with the guest's
// address as their source, at growing distances, as the first may be lost while a port comes up. Loop thread
// only.
#pragma once

#include "devices/virtio/net_spec.h"
#include "vmm/loop/loop.h"

#include <chrono>
#include <functional>
#include <memory>

namespace godwit::virtio {

inline constexpr std::size_t kRarpFrameSize = 60; // shortest Ethernet frame, without its check sequence

std::array<std::byte, kRarpFrameSize> rarp_frame(const MacAddress& mac);

inline constexpr unsigned kAnnounceRounds = 5;

// From the end of round `round` (counted from 1) to the next: 50, 150, 250, 350 ms.
constexpr std::chrono::milliseconds announce_pause(unsigned round) {
    return std::chrono::milliseconds{50 + 100 * (round - 1)};
}

class Announcer {
  public:
    // `announce` is called once a round.
    Announcer(Loop& loop, std::function<void()> announce);

    // The first round is now. Anew when rounds of a former call are left.
    void begin();
    // No round until resume(): the guest is paused.
    void suspend();
    void resume();
    void cancel();

  private:
    void round();

    std::function<void()> announce_;
    std::unique_ptr<Timer> timer_;
    unsigned done_ = kAnnounceRounds;
};

} // namespace godwit::virtio
