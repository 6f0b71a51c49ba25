// SPDX-License-Identifier: Apache-2.0
#include "transports/pci/function.h"

#include "transports/pci/host.h"

namespace godwit::pci {
namespace {

constexpr std::int32_t kRecordVersion = 2;

} // namespace

Function::Function(PciHost& host, std::string name, const ConfigSpace::Identity& identity)
    : host_(host), name_(std::move(name)), has_intx_(identity.interrupt_pin != 0), config_(identity),
      bars_(config_, host.bus(), host.windows(), host.loop()) {}

Function::~Function() {
    if (plugged_)
        host_.remove(*this);
}

Status Function::plug(std::optional<std::uint8_t> slot) {
    slot_ = TRY(host_.insert(*this, slot));
    plugged_ = true;
    after_creation_ = config_.image();
    return {};
}

std::string Function::address() const {
    return fmt::format("0000:00:{:02x}.0", slot_);
}

void Function::config_read(std::uint32_t offset, std::span<std::byte> out) {
    config_will_be_read(offset, out.size());
    config_.read(offset, out);
}

void Function::config_write(std::uint32_t offset, std::span<const std::byte> data) {
    const bool was_disabled = intx_disabled();
    config_.write(offset, data);
    if (overlap(offset, data.size(), PCI_COMMAND, 2) ||
        overlap(offset, data.size(), PCI_BASE_ADDRESS_0, 4 * kBarCount))
        bars_changed();
    if (intx_disabled() != was_disabled)
        host_.update_intx();
    config_was_written(offset, data.size());
}

void Function::bars_changed() {
    const bool made_room = bars_.update();
    bars_moved();
    if (made_room)
        host_.retry_bars(*this);
}

void Function::retry_bars() {
    bars_.update();
    bars_moved();
}

void Function::reset() {
    config_.replace(after_creation_);
    bars_changed();
    intx_asserted_ = false;
    host_.update_intx();
}

void Function::set_intx(bool asserted) {
    if (!has_intx_ || asserted == intx_asserted_)
        return;
    intx_asserted_ = asserted;
    show_intx_status();
    host_.update_intx();
}

void Function::show_intx_status() {
    const auto status = config_.get<std::uint16_t>(PCI_STATUS);
    config_.set(PCI_STATUS, static_cast<std::uint16_t>(intx_asserted_ ? status | PCI_STATUS_INTERRUPT
                                                                      : status & ~PCI_STATUS_INTERRUPT));
}

void Function::save_record(StateWriter& writer) const {
    ConfigSpace::Image image = config_.image();
    image[PCI_STATUS] &= ~static_cast<std::byte>(PCI_STATUS_INTERRUPT); // irq_state carries it
    const auto nesting = writer.begin_struct("pci_device", "PCIDevice", kRecordVersion);
    writer.value("version_id", kRecordVersion);
    writer.buffer("config", image);
    for (unsigned pin = 0; pin < kIntxPins; ++pin)
        writer.value(fmt::format("irq_state[{}]", pin), std::uint32_t{pin == 0 && intx_asserted_});
    writer.end(nesting);
}

// Not a schema: its reader would look for subsections behind the record, where a virtio function has the
// MSI-X table, bytes that the guest chooses.
Status Function::load_record(StateReader& reader) {
    const StateReader::Trail trail{reader, "pci_device"};
    std::int32_t version = 0;
    TRY(reader.value("version_id", version));
    if (version < 0 || version > kRecordVersion)
        return reader.within(
            error(ErrorCode::Incompatible, "version {}, 0 to {} are known", version, kRecordVersion));
    Loaded loaded{};
    TRY(reader.buffer("config", loaded.config));
    TRY(reader.within(config_.check(loaded.config)));
    for (unsigned pin = 0; pin < kIntxPins; ++pin) {
        std::uint32_t state = 0;
        const std::string field = fmt::format("irq_state[{}]", pin);
        TRY(reader.value(field, state));
        if (state > (pin == 0 && has_intx_ ? 1 : 0))
            return reader.within(corrupt("{} is {}, which this function's pins cannot be", field, state));
        if (pin == 0)
            loaded.intx_asserted = state != 0;
    }
    loaded_ = loaded;
    return {};
}

void Function::commit_record() {
    if (!loaded_.has_value())
        return;
    config_.replace(loaded_->config);
    intx_asserted_ = loaded_->intx_asserted;
    loaded_.reset();
    show_intx_status();
    bars_changed();
    host_.update_intx();
}

} // namespace godwit::pci
