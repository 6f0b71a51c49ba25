// SPDX-License-Identifier: Apache-2.0
//
// Saving and loading the transport: save_config, save_queue and their counterparts.
#include "transports/ccw/indicators.h"
#include "transports/ccw/virtio_ccw.h"

namespace godwit {

Status Schema<ccw::VirtioCcwState>::validate(const ccw::VirtioCcwState& state) {
    constexpr std::uint8_t kIscMax = 7;
    if (state.revision < ccw::kRevisionUnset || state.revision > ccw::kRevisionMax)
        return corrupt("revision {} is not between {} and {}", state.revision, ccw::kRevisionUnset,
                       ccw::kRevisionMax);
    if (state.thinint_isc > kIscMax)
        return corrupt("thinint_isc {} is above {}", state.thinint_isc, kIscMax);
    if (state.config_vector != ccw::kNoVector && state.config_vector != ccw::kConfigVector)
        return corrupt("config_vector {}", state.config_vector);
    return {};
}

} // namespace godwit

namespace godwit::ccw {

Status VirtioCcw::save_config(StateWriter& writer) {
    VirtioCcwState state = state_;
    state.parent_obj.sch = subchannel_.state();
    writer.fields(state);
    return {};
}

Status VirtioCcw::save_queue(StateWriter& writer, std::uint16_t queue) {
    writer.value("vector", vectors_[queue]);
    return {};
}

Status VirtioCcw::load_config(StateReader& reader) {
    Loaded loaded;
    loaded.vectors.assign(vectors_.size(), kNoVector);
    SubchannelState& subchannel = loaded.state.parent_obj.sch;
    subchannel.devno = subchannel_.devno();
    subchannel.orb.reset(); // it must come
    TRY(reader.fields(loaded.state));
    TRY(reader.within(check_loaded(loaded.state)));
    subchannel_.load(subchannel);
    loaded_ = std::move(loaded);
    return {};
}

Status VirtioCcw::check_loaded(const VirtioCcwState& state) const {
    const SubchannelState& subchannel = state.parent_obj.sch;
    const SenseId& ours = subchannel_.state().id;
    if (subchannel.id != ours)
        return error(ErrorCode::Incompatible, "control unit {:04x}/{:02x} in the stream, {:04x}/{:02x} here",
                     subchannel.id.cu_type, subchannel.id.cu_model, ours.cu_type, ours.cu_model);
    TRY_IN(check_classic(memory_, state.indicators2), "indicators2");
    TRY_IN(check_area(memory_, state.summary_indicator), "summary_indicator");
    if (!subchannel.thinint_active) {
        if (state.summary_indicator.len != 0)
            return corrupt("a summary indicator without adapter interruptions");
        TRY_IN(check_classic(memory_, state.indicators), "indicators");
        return {};
    }
    // Queues set their bits without looking at the length again.
    const std::uint64_t last = state.routes.adapter.ind_offset + core_.queue_count() - 1;
    TRY_IN(check_area(memory_, state.indicators), "indicators");
    if (state.summary_indicator.len != 1 || last < state.routes.adapter.ind_offset ||
        last / 8 >= static_cast<std::uint64_t>(state.indicators.len))
        return corrupt("bits {} and following in indicators of {} bytes, summary of {}",
                       state.routes.adapter.ind_offset, state.indicators.len, state.summary_indicator.len);
    return {};
}

Status VirtioCcw::load_queue(StateReader& reader, std::uint16_t queue) {
    if (!loaded_.has_value() || queue >= loaded_->vectors.size())
        return reader.within(corrupt("queue {} of {}", queue, core_.queue_count()));
    std::uint16_t& vector = loaded_->vectors[queue];
    TRY(reader.value("vector", vector));
    if (vector != kNoVector && vector != queue)
        return reader.within(corrupt("vector {} of queue {}", vector, queue));
    return {};
}

Status VirtioCcw::commit_load() {
    if (!loaded_.has_value())
        return {};
    subchannel_.commit_load();
    state_ = std::move(loaded_->state);
    state_.parent_obj = {};
    vectors_ = std::move(loaded_->vectors);
    loaded_.reset();
    return {};
}

void VirtioCcw::discard_load() {
    loaded_.reset();
    subchannel_.discard_load();
}

} // namespace godwit::ccw
