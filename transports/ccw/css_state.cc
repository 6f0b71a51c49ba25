// SPDX-License-Identifier: Apache-2.0
//
// Saving and loading the channel subsystem. Its section comes after those of its devices, whose subchannels
// bring their numbers.
#include "transports/ccw/css.h"

#include <algorithm>

namespace godwit::ccw {

namespace {

bool bit_at(const std::array<std::uint8_t, kMaxSubchannels / 8>& bits, std::size_t number) {
    return (bits[number / 8] & (0x80 >> number % 8)) != 0;
}

} // namespace

CssState ChannelSubsystem::capture() const {
    CssState state;
    state.isc_mask = isc_mask_;
    state.adapter_pending = adapter_pending_;
    for (const Subchannel* const subchannel : subchannels_)
        if (subchannel->interruption_pending())
            state.io_pending[subchannel->number() / 8u] |=
                static_cast<std::uint8_t>(0x80 >> subchannel->number() % 8u);
    return state;
}

Status ChannelSubsystem::check(const CssState& state) const {
    std::vector<const SubchannelState*> by_number(subchannels_.size());
    for (const Subchannel* const subchannel : subchannels_) {
        const SubchannelState& loaded = subchannel->loaded();
        if (loaded.schid >= by_number.size())
            return error(ErrorCode::Incompatible, "subchannel {} of device 0.0.{:04x}, {} are here",
                         loaded.schid, loaded.devno, by_number.size());
        if (std::exchange(by_number[loaded.schid], &loaded) != nullptr)
            return corrupt("two devices on subchannel {}", loaded.schid);
    }
    for (std::size_t number = 0; number < kMaxSubchannels; ++number) {
        if (!bit_at(state.io_pending, number))
            continue;
        if (number >= by_number.size() || !Subchannel::status_pending(*by_number[number]))
            return corrupt("an interruption of subchannel {}, which has no status pending", number);
    }
    return {};
}

// The edges of what was pending and open at the source have reached its interrupt controllers; another one
// does no harm, and one too few would.
void ChannelSubsystem::apply(const CssState& state) {
    isc_mask_ = state.isc_mask;
    adapter_pending_ = state.adapter_pending;
    for (Subchannel* const subchannel : subchannels_)
        subchannel->set_interruption_pending(bit_at(state.io_pending, subchannel->number()));
    if ((pending_subclasses() & isc_mask_) != 0)
        io_line_->pulse();
    const bool unseen = std::any_of(subchannels_.begin(), subchannels_.end(), [this](Subchannel* subchannel) {
        const auto isc = subchannel->device().adapter_attention();
        return isc.has_value() && open(*isc);
    });
    if (unseen)
        adapter_line_->pulse();
}

} // namespace godwit::ccw
