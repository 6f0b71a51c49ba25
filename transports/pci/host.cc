// SPDX-License-Identifier: Apache-2.0
#include "transports/pci/host.h"

#include <algorithm>

namespace godwit {

Status Schema<pci::BusState>::validate(const pci::BusState& state) {
    for (std::size_t line = 0; line < pci::kIntxPins; ++line)
        if (state.irq_count[line] < 0 || state.irq_count[line] > pci::kSlotCount)
            return corrupt("irq_count[{}] is {}, the bus has {} slots", line, state.irq_count[line],
                           pci::kSlotCount);
    return {};
}

} // namespace godwit

namespace godwit::pci {
namespace {

constexpr std::uint8_t kBuses = 255; // the highest number; ECAM has 256
constexpr std::uint64_t kEcamSize = (std::uint64_t{kBuses} + 1) << kEcamBusShift;

// As QEMU's GPEX root: a guest that moves between the two must find the same bridge.
constexpr ConfigSpace::Identity kBridgeIdentity{
    .vendor = 0x1b36,
    .device = 0x0008,
    .revision = 0,
    .class_code = 0x060000,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
};

} // namespace

// 00:00.0, which only is there.
class PciHost::Bridge final : public Function, public StateSection {
  public:
    explicit Bridge(PciHost& host) : Function(host, "host bridge", kBridgeIdentity) {}

    SectionId id() const override { return {address() + "/gpex_root", 0, 1, 1, "gpex_root"}; }
    Status save(StateWriter& writer) override {
        save_record(writer);
        return {};
    }
    Status load(StateReader& reader, std::uint32_t) override { return load_record(reader); }
    Status commit_load() override {
        commit_record();
        return {};
    }
    void discard_load() override { discard_record(); }
};

class PciHost::HostSection final : public StructSection<HostState> {
  public:
    explicit HostSection(PciHost& host) : host_(host) {}

  private:
    Result<HostState> capture() override { return host_.state_; }
    Status apply(const HostState& state) override {
        host_.state_ = state;
        return {};
    }
    PciHost& host_;
};

class PciHost::BusSection final : public StructSection<BusState> {
  public:
    explicit BusSection(PciHost& host) : host_(host) {}

  private:
    Result<BusState> capture() override {
        BusState state;
        state.irq_count = host_.intx_counts();
        return state;
    }
    // Each function brings what it asserts; a count that disagreed would hold a line up for ever.
    Status apply(const BusState&) override {
        host_.update_intx();
        return {};
    }
    PciHost& host_;
};

PciHost::PciHost(Loop& loop, Bus& mmio, const HostConfig& config)
    : loop_(loop), mmio_(mmio), config_(config), ecam_(loop, *this),
      host_section_(std::make_unique<HostSection>(*this)), bus_section_(std::make_unique<BusSection>(*this)),
      bridge_(std::make_unique<Bridge>(*this)) {}

Result<std::unique_ptr<PciHost>> PciHost::create(Loop& loop, Bus& mmio, InterruptController& interrupts,
                                                 const HostConfig& config) {
    std::unique_ptr<PciHost> host{new PciHost{loop, mmio, config}};
    for (std::uint32_t i = 0; i < kIntxPins; ++i)
        host->lines_[i] = TRY_IN(interrupts.line(config.intx_gsi + i), "PCI interrupt lines");
    TRY(host->bridge_->plug(std::uint8_t{0}));
    TRY(mmio.map(config.ecam, kEcamSize, host->ecam_));
    host->mapped_ = true;
    return host;
}

PciHost::~PciHost() {
    if (mapped_)
        mmio_.unmap(config_.ecam);
}

std::array<StateSection*, 3> PciHost::sections() {
    return {bridge_.get(), host_section_.get(), bus_section_.get()};
}

void PciHost::reset() {
    for (Function* const function : slots_)
        if (function != nullptr)
            function->reset();
}

Result<std::uint8_t> PciHost::insert(Function& function, std::optional<std::uint8_t> slot) {
    if (!slot.has_value()) {
        const auto free = std::find(slots_.begin() + 1, slots_.end(), nullptr);
        if (free == slots_.end())
            return invalid_input("{}: all {} PCI slots are taken", function.name(), kSlotCount);
        slot = static_cast<std::uint8_t>(free - slots_.begin());
    }
    if (*slot >= kSlotCount)
        return invalid_input("{}: PCI slot {} is beyond {}", function.name(), *slot, kSlotCount - 1);
    if (slots_[*slot] != nullptr)
        return invalid_input("{}: PCI slot {} is taken by {}", function.name(), *slot, slots_[*slot]->name());
    slots_[*slot] = &function;
    return *slot;
}

void PciHost::remove(const Function& function) {
    slots_[function.slot()] = nullptr;
    update_intx();
}

// Swizzle of a bus without bridges: function's pin A goes to the line (slot + 0) % 4. All functions have pin
// A only.
std::array<std::int32_t, kIntxPins> PciHost::intx_counts() const {
    std::array<std::int32_t, kIntxPins> counts{};
    for (std::size_t slot = 0; slot < slots_.size(); ++slot)
        if (slots_[slot] != nullptr && slots_[slot]->intx_pending())
            ++counts[slot % kIntxPins];
    return counts;
}

void PciHost::update_intx() {
    const auto counts = intx_counts();
    for (std::size_t i = 0; i < lines_.size(); ++i) {
        const bool high = counts[i] > 0;
        if (lines_[i] == nullptr || high == levels_[i])
            continue;
        levels_[i] = high;
        lines_[i]->set_level(high);
    }
}

void PciHost::retry_bars(const Function& except) {
    for (Function* const function : slots_)
        if (function != nullptr && function != &except)
            function->retry_bars();
}

// An access that crosses into the next function is nobody's.
Function* PciHost::function_at(std::uint64_t offset, std::size_t length) const {
    const std::uint64_t bus = offset >> kEcamBusShift;
    const std::uint64_t slot = (offset >> kEcamSlotShift) % kSlotCount;
    const std::uint64_t function = (offset >> kEcamFunctionShift) % 8;
    if (bus != 0 || function != 0 || offset % kEcamFunctionSize + length > kEcamFunctionSize)
        return nullptr;
    return slots_[slot];
}

void PciHost::read(std::uint64_t offset, std::span<std::byte> data) {
    if (Function* const function = function_at(offset, data.size()))
        function->config_read(static_cast<std::uint32_t>(offset % kEcamFunctionSize), data);
    else
        std::fill(data.begin(), data.end(), std::byte{0xff});
}

void PciHost::write(std::uint64_t offset, std::span<const std::byte> data) {
    if (Function* const function = function_at(offset, data.size()))
        function->config_write(static_cast<std::uint32_t>(offset % kEcamFunctionSize), data);
}

} // namespace godwit::pci
