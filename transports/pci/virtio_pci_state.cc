// SPDX-License-Identifier: Apache-2.0
//
// The transport's part of a virtio device's section, in QEMU 7.2's layout: configuration (PCI record, MSI-X,
// configuration vector), one vector for each queue, and the registers as subsection
// "virtio_pci/modern_state".
#include "transports/pci/virtio_pci.h"

namespace godwit::pci {
namespace {

constexpr std::size_t kQueueRecordSize = 28;
constexpr std::string_view kModernState = "virtio_pci/modern_state";

std::array<std::uint32_t, 2> split(Gpa gpa) {
    return {static_cast<std::uint32_t>(gpa.value), static_cast<std::uint32_t>(gpa.value >> 32)};
}

Status check_vector(const StateReader& reader, std::string_view field, std::uint16_t vector,
                    std::uint16_t vectors) {
    if (vector >= vectors && vector != VIRTIO_MSI_NO_VECTOR)
        return reader.within(corrupt("{} is {}, the function has {} vectors", field, vector, vectors));
    return {};
}

} // namespace

// ---- save

Status VirtioPci::save_config(StateWriter& writer) {
    save_record(writer);
    msix_->save(writer);
    writer.value("config_vector", state_.config_vector);
    return {};
}

Status VirtioPci::save_queue(StateWriter& writer, std::uint16_t queue) {
    writer.value("vector", state_.vectors[queue]);
    return {};
}

Status VirtioPci::save_extra_state(StateWriter& writer) {
    // The format has as many entries as a device can have queues. Those that exist go out by name, the rest
    // as one piece: a description of 1024 structs would be larger than the state.
    static constexpr std::array<std::byte, virtio::VIRTIO_QUEUE_MAX * kQueueRecordSize> kZeros{};
    const auto outer = writer.begin_struct("extra_state", "virtio_pci", 1);
    const auto inner = writer.begin_subsection(kModernState, 1);
    writer.value("dfselect", state_.device_feature_select);
    writer.value("gfselect", state_.driver_feature_select);
    writer.value("guest_features[0]", state_.driver_features[0]);
    writer.value("guest_features[1]", state_.driver_features[1]);
    for (std::size_t i = 0; i < state_.queues.size(); ++i)
        writer.structure("vqs", state_.queues[i], i);
    writer.buffer("no_queues", std::span{kZeros}.subspan(state_.queues.size() * kQueueRecordSize));
    writer.end(inner);
    writer.end(outer);
    return {};
}

// ---- load

Status VirtioPci::load_config(StateReader& reader) {
    Loaded loaded{VirtioPciState{core_.queue_count()}, false};
    TRY(load_record(reader));
    TRY(msix_->load(reader));
    TRY(reader.value("config_vector", loaded.state.config_vector));
    TRY(check_vector(reader, "config_vector", loaded.state.config_vector, msix_->vectors()));
    loaded_ = std::move(loaded);
    return {};
}

Status VirtioPci::load_queue(StateReader& reader, std::uint16_t queue) {
    if (!loaded_.has_value() || queue >= loaded_->state.vectors.size())
        return reader.within(corrupt("queue {} of {}", queue, core_.queue_count()));
    std::uint16_t& vector = loaded_->state.vectors[queue];
    TRY(reader.value("vector", vector));
    return check_vector(reader, "vector", vector, msix_->vectors());
}

Status VirtioPci::load_extra_state(StateReader& reader) {
    if (!loaded_.has_value())
        return reader.within(corrupt("extra state before configuration"));
    while (const auto header = TRY(reader.next_subsection("virtio_pci"))) {
        const StateReader::Trail trail{reader, header->name};
        if (header->name != kModernState || header->version != 1)
            return reader.within(
                error(ErrorCode::Incompatible, "unknown subsection, version {}", header->version));
        if (loaded_->modern_state)
            return reader.within(corrupt("comes twice"));
        loaded_->modern_state = true;
        VirtioPciState& state = loaded_->state;
        TRY(reader.value("dfselect", state.device_feature_select));
        TRY(reader.value("gfselect", state.driver_feature_select));
        TRY(reader.value("guest_features[0]", state.driver_features[0]));
        TRY(reader.value("guest_features[1]", state.driver_features[1]));
        for (std::size_t i = 0; i < state.queues.size(); ++i)
            TRY(reader.structure(fmt::format("vqs[{}]", i), state.queues[i]));
        // QEMU also keeps what a driver wrote for queues that do not exist; here nobody ever reads it.
        TRY(reader.within(
            reader.bytes().take((virtio::VIRTIO_QUEUE_MAX - state.queues.size()) * kQueueRecordSize)));
    }
    return {};
}

// The core has its own state back already.
Status VirtioPci::commit_load() {
    if (!loaded_.has_value())
        return {};
    const Loaded loaded = std::move(*loaded_);
    loaded_.reset();
    state_ = loaded.state;
    for (std::uint16_t i = 0; i < core_.queue_count(); ++i) {
        const virtio::QueueSetup& setup = *core_.queue(i);
        QueueRegisters& registers = state_.queues[i];
        // Whether a queue works is the core's to say; the registers follow.
        registers.enabled = setup.enabled;
        if (!loaded.modern_state)
            registers = {setup.size, setup.enabled, split(setup.addresses.desc),
                         split(setup.addresses.driver), split(setup.addresses.device)};
    }
    if (!loaded.modern_state)
        state_.driver_features = split(Gpa{core_.driver_features()});
    commit_record();
    msix_->commit(config().get<std::uint16_t>(kMsixCap + PCI_MSIX_FLAGS));
    update_intx();
    return {};
}

void VirtioPci::discard_load() {
    discard_record();
    msix_->discard();
    loaded_.reset();
}

} // namespace godwit::pci
