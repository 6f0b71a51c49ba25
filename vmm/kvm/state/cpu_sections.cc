// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/msr_index.h"
#include "vmm/kvm/state/apic_section.h"
#include "vmm/kvm/state/clock_state.h"
#include "vmm/kvm/state/cpu_convert.h"
#include "vmm/kvm/state/sections.h"

#include <algorithm>

namespace godwit::kvm {

namespace {

// What the sections of one vCPU tell each other while they are applied.
struct Incoming {
    std::uint32_t interrupt_request = 0;
    std::uint64_t tsc_deadline = 0;
};

// A section of one vCPU: its instance is the vCPU's index.
template <class S>
class VcpuSection : public StructSection<S> {
  public:
    VcpuSection(Vcpu& vcpu, std::shared_ptr<Incoming> incoming)
        : vcpu_(vcpu), incoming_(std::move(incoming)) {}
    SectionId id() const override {
        SectionId id = StructSection<S>::id();
        id.instance = vcpu_.index();
        return id;
    }

  protected:
    Vcpu& vcpu_;
    std::shared_ptr<Incoming> incoming_;
};

class CpuCommonSection final : public VcpuSection<CpuCommonState> {
  public:
    using VcpuSection::VcpuSection;

  protected:
    Result<CpuCommonState> capture() override {
        // The first to look at a vCPU: interrupts that are on their way have to be there.
        TRY(vcpu_.vm().irqs().settle());
        return to_common_state(TRY(capture_image(vcpu_)));
    }
    Status apply(const CpuCommonState& state) override {
        incoming_->interrupt_request = state.interrupt_request;
        return {};
    }
};

class CpuSection final : public VcpuSection<CpuState> {
  public:
    using VcpuSection::VcpuSection;

  protected:
    Result<CpuState> capture() override {
        return to_cpu_state(TRY(capture_image(vcpu_)), convert_context(vcpu_));
    }
    Status check(const CpuState& state) override {
        if (state.tsc_khz.has_value()) {
            const auto khz = static_cast<std::uint32_t>(state.tsc_khz->khz);
            if (!vcpu_.can_adopt_tsc_khz(khz))
                return error(ErrorCode::Incompatible,
                             "the guest's TSC runs at {} kHz, which this host cannot give", khz);
        }
        VcpuImage scratch = TRY(capture_image(vcpu_));
        return to_image(state, 0, convert_context(vcpu_), scratch);
    }
    Status apply(const CpuState& state) override {
        VcpuImage image = TRY(capture_image(vcpu_));
        TRY(to_image(state, incoming_->interrupt_request, convert_context(vcpu_), image));
        // The record of those that do not hold their first value comes later.
        for (const MsrValue& entry : unnamed_msrs(image))
            image.set_msr(entry.index, vcpu_.msrs().initial(entry.index).value_or(0));
        if (state.tsc_khz.has_value())
            TRY(vcpu_.adopt_tsc_khz(static_cast<std::uint32_t>(state.tsc_khz->khz)));
        incoming_->tsc_deadline = tsc_deadline_of(state);
        return apply_image(vcpu_, image);
    }
};

class RemainderSection final : public VcpuSection<CpuRemainder> {
  public:
    using VcpuSection::VcpuSection;
    bool needed() const override {
        const auto state = read();
        return !state.ok() || state.value() != CpuRemainder{};
    }

  protected:
    Result<CpuRemainder> capture() override { return read(); }
    Status apply(const CpuRemainder& state) override {
        kvm_vcpu_events events{};
        TRY(KVM_CONTROL(vcpu_.fd(), KVM_GET_VCPU_EVENTS, &events));
        events.interrupt.shadow = state.interrupt_shadow;
        events.exception.error_code = state.error_code;
        TRY(KVM_CONTROL(vcpu_.fd(), KVM_SET_VCPU_EVENTS, &events));
        return {};
    }

  private:
    Result<CpuRemainder> read() const {
        kvm_vcpu_events events{};
        TRY(KVM_CONTROL(vcpu_.fd(), KVM_GET_VCPU_EVENTS, &events));
        const bool delivering = events.exception.injected != 0 && events.exception.has_error_code != 0;
        return CpuRemainder{events.interrupt.shadow, delivering ? events.exception.error_code : 0};
    }
};

class UnnamedMsrSection final : public VcpuSection<UnnamedMsrs> {
  public:
    using VcpuSection::VcpuSection;
    bool needed() const override {
        const auto changed = read();
        return !changed.ok() || !changed.value().empty();
    }

  protected:
    Result<UnnamedMsrs> capture() override {
        const auto changed = TRY(read());
        if (changed.size() > kMaximumUnnamedMsrs)
            return error(ErrorCode::Internal, "{} registers without a field", changed.size());
        ByteWriter entries;
        for (const MsrValue& entry : changed) {
            entries.be(entry.index);
            entries.be(entry.value);
        }
        return UnnamedMsrs{static_cast<std::uint32_t>(changed.size()), {entries.take()}};
    }
    Status check(const UnnamedMsrs& state) override {
        for (const MsrValue& entry : TRY(parse(state))) {
            if (!is_unnamed_msr(entry.index))
                return corrupt("register {:#x} does not belong here", entry.index);
            if (!vcpu_.msrs().has(entry.index))
                return error(ErrorCode::Incompatible, "this host's KVM lacks register {:#x}", entry.index);
        }
        return {};
    }
    Status apply(const UnnamedMsrs& state) override { return write_msrs(vcpu_.fd(), TRY(parse(state))); }

  private:
    Result<std::vector<MsrValue>> read() const {
        std::vector<MsrValue> values;
        std::ranges::copy_if(vcpu_.msrs().all(), std::back_inserter(values),
                             [](const MsrValue& entry) { return is_unnamed_msr(entry.index); });
        TRY(read_msrs(vcpu_.fd(), values));
        std::erase_if(values, [&](const MsrValue& e) { return vcpu_.msrs().initial(e.index) == e.value; });
        return values;
    }
    static Result<std::vector<MsrValue>> parse(const UnnamedMsrs& state) {
        std::vector<MsrValue> values;
        ByteReader in{state.entries.bytes};
        for (std::uint32_t i = 0; i < state.count; ++i) {
            const auto index = TRY(in.be<std::uint32_t>());
            values.push_back({index, TRY(in.be<std::uint64_t>())});
        }
        return values;
    }
};

class LocalApicSection final : public VcpuSection<ApicState> {
  public:
    LocalApicSection(VcpuSet& vcpus, Vcpu& vcpu, std::shared_ptr<Incoming> incoming)
        : VcpuSection{vcpu, std::move(incoming)}, clock_(vcpus.clock()) {}

  protected:
    Result<ApicState> capture() override {
        kvm_sregs sregs{};
        TRY(KVM_CONTROL(vcpu_.fd(), KVM_GET_SREGS, &sregs));
        return to_apic_state(TRY(capture_lapic(vcpu_)), sregs.apic_base, clock_.now_ns());
    }
    Status check(const ApicState& state) override { return check_apic(state, vcpu_.index(), vcpu_.cpuid()); }
    Status apply(const ApicState& state) override {
        const kvm_lapic_state lapic = to_lapic(state, TRY(capture_lapic(vcpu_)), clock_.now_ns());
        TRY(apply_lapic(vcpu_, state.apicbase, lapic));
        return write_msrs(vcpu_.fd(), std::array{MsrValue{msr::kTscDeadline, incoming_->tsc_deadline}});
    }

  private:
    VirtualClock& clock_;
};

// QEMU writes one for the machine, after the first vCPU. Read and dropped; never written.
class TprHelperSection final : public StructSection<TprHelperState> {
  public:
    bool needed() const override { return false; }

  protected:
    Result<TprHelperState> capture() override { return TprHelperState{}; }
    Status apply(const TprHelperState&) override { return {}; }
};

} // namespace

Sections make_cpu_sections(VcpuSet& vcpus, std::uint32_t index) {
    Vcpu& vcpu = vcpus.at(index);
    auto incoming = std::make_shared<Incoming>();
    Sections sections;
    sections.push_back(std::make_unique<CpuCommonSection>(vcpu, incoming));
    sections.push_back(std::make_unique<CpuSection>(vcpu, incoming));
    if (index == 0)
        sections.push_back(std::make_unique<TprHelperSection>());
    sections.push_back(std::make_unique<LocalApicSection>(vcpus, vcpu, incoming));
    sections.push_back(std::make_unique<RemainderSection>(vcpu, incoming));
    sections.push_back(std::make_unique<UnnamedMsrSection>(vcpu, incoming));
    return sections;
}

} // namespace godwit::kvm
