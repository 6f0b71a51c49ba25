// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/qemu_sections.h"

#include "vmm/base/log.h"

namespace godwit::migration::wire {

namespace {

// What firmware reads its tables and the kernel from.
struct FwCfgDma {
    std::uint64_t address = 0;
};
struct FwCfgAcpi {
    std::uint64_t tables = 0;
    std::uint64_t linker = 0;
    std::uint64_t rsdp = 0;
};
struct FwCfg {
    std::uint16_t entry = 0;
    std::uint32_t offset = 0;
    std::optional<FwCfgDma> dma;
    std::optional<FwCfgAcpi> acpi;
};

// How QEMU speeds up the task priority register of 32-bit guests, by patching them.
struct TprOptimisation {
    std::array<std::byte, 36> addresses{};
    std::array<std::byte, 88> handlers{};
    std::uint32_t state = 0;
    std::array<std::byte, 16> places{};
};
constexpr std::uint32_t kTprActive = 1;

// Real-time clock. Guests that find none here keep the time that they have.
struct RtcReinjected {
    std::uint16_t count = 0;
};
struct Rtc {
    std::array<std::byte, 245> state{};
    std::optional<RtcReinjected> reinjected;
};

} // namespace

} // namespace godwit::migration::wire

namespace godwit {

namespace wire = migration::wire;

template <>
struct Schema<wire::FwCfgDma> {
    using S = wire::FwCfgDma;
    static constexpr std::string_view name = "fw_cfg/dma";
    static constexpr std::uint32_t version = 0;
    static constexpr std::tuple fields{Field{"dma_addr", &S::address}};
};
template <>
struct Schema<wire::FwCfgAcpi> {
    using S = wire::FwCfgAcpi;
    static constexpr std::string_view name = "fw_cfg/acpi_mr";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"table_mr_size", &S::tables},
                                       Field{"linker_mr_size", &S::linker}, Field{"rsdp_mr_size", &S::rsdp}};
};
template <>
struct Schema<wire::FwCfg> {
    using S = wire::FwCfg;
    static constexpr std::string_view name = "fw_cfg";
    static constexpr std::uint32_t version = 2, minimum_version = 2;
    static constexpr std::tuple fields{Field{"cur_entry", &S::entry}, Field{"cur_offset", &S::offset}};
    static constexpr std::tuple subsections{Subsection{&S::dma}, Subsection{&S::acpi}};
};
template <>
struct Schema<wire::TprOptimisation> {
    using S = wire::TprOptimisation;
    static constexpr std::string_view name = "kvm-tpr-opt";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"rom_state", &S::addresses}, Field{"handlers", &S::handlers},
                                       Field{"state", &S::state}, Field{"places", &S::places}};
    static Status validate(const S& state) {
        if (state.state == wire::kTprActive)
            return error(ErrorCode::Incompatible,
                         "the guest was patched to call a ROM that is not on this board");
        return {};
    }
};
template <>
struct Schema<wire::RtcReinjected> {
    using S = wire::RtcReinjected;
    static constexpr std::string_view name = "mc146818rtc/irq_reinject_on_ack_count";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"irq_reinject_on_ack_count", &S::count}};
};
template <>
struct Schema<wire::Rtc> {
    using S = wire::Rtc;
    static constexpr std::string_view name = "mc146818rtc";
    static constexpr std::uint32_t version = 3, minimum_version = 3;
    static constexpr std::tuple fields{Field{"state", &S::state}};
    static constexpr std::tuple subsections{Subsection{&S::reinjected}};
};
static_assert(schema_is_complete<wire::FwCfgDma>() && schema_is_complete<wire::FwCfgAcpi>() &&
              schema_is_complete<wire::FwCfg>() && schema_is_complete<wire::TprOptimisation>() &&
              schema_is_complete<wire::RtcReinjected>() && schema_is_complete<wire::Rtc>());

namespace migration::wire {

namespace {

template <HasSchema S>
class DroppedSection final : public StructSection<S> {
  public:
    bool needed() const override { return false; }

  protected:
    Result<S> capture() override { return S{}; }
    Status apply(const S&) override {
        log::info("section '{}' is for a device that is not on this board; it is dropped", Schema<S>::name);
        return {};
    }
};

} // namespace

std::vector<std::unique_ptr<StateSection>> make_qemu_sections() {
    std::vector<std::unique_ptr<StateSection>> sections;
    sections.push_back(std::make_unique<DroppedSection<FwCfg>>());
    sections.push_back(std::make_unique<DroppedSection<TprOptimisation>>());
    sections.push_back(std::make_unique<DroppedSection<Rtc>>());
    return sections;
}

} // namespace migration::wire

} // namespace godwit
