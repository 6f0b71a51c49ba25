// SPDX-License-Identifier: Apache-2.0
//
// The network device's turns at its control queue, section 5.1.6.5 of virtio 1.2.
#include "devices/virtio/net.h"
#include "devices/virtio/net_ctrl.h"

#include <algorithm>

namespace godwit::virtio {

Result<Turn> Net::control_turn() {
    for (unsigned i = 0; i < kFramesPerTurn; ++i) {
        if (TRY(control_queue_->pop(control_chain_)))
            TRY(control_command());
        else if (!TRY(control_queue_->enable_notification()))
            return Turn::Idle;
    }
    return Turn::Again;
}

Status Net::control_command() {
    const Chain& chain = control_chain_;
    if (chain.readable_bytes < 2 || chain.writable.empty())
        return error(ErrorCode::Guest, "control command of {} bytes with {} bytes for the answer",
                     chain.readable_bytes, chain.writable_bytes);
    std::uint8_t answer = VIRTIO_NET_ERR;
    if (chain.readable_bytes <= kControlCommandLimit) {
        std::vector<std::byte> command(chain.readable_bytes);
        std::span<std::byte> rest{command};
        for (const GuestReadSlice& slice : chain.readable) {
            slice.copy_out(0, rest.first(slice.size()));
            rest = rest.subspan(slice.size());
        }
        answer = execute(command);
    }
    chain.writable.front().copy_in(0, std::as_bytes(std::span{&answer, 1}));
    TRY(control_queue_->push({chain.head, 1}));
    host_->queue_used(kNetControlQueue);
    return {};
}

std::uint8_t Net::execute(std::span<const std::byte> command) {
    const auto before = state_.curr_guest_offloads;
    const auto answer = handle_control(state_, features_, command, endian_);
    if (state_.curr_guest_offloads == before)
        return answer;
    if (const auto set = backend_->set_guest_offloads(state_.curr_guest_offloads); !set.ok()) {
        errors_.warning("{}: {}", options_.id, set.error().text);
        state_.curr_guest_offloads = before;
        return VIRTIO_NET_ERR;
    }
    return answer;
}

} // namespace godwit::virtio
