// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/vcpu.h"

#include "vmm/base/log.h"
#include "vmm/kvm/exit_report.h"
#include "vmm/kvm/host_model.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

#include <algorithm>
#include <sys/mman.h>
#include <utility>

namespace godwit::kvm {

namespace {

// Intel SDM volume 3, section 16.3.1.1. Ten banks, as other VMMs give, and what the stream has room for.
constexpr std::uint64_t kMcgCtlPresent = 1 << 8;
constexpr std::uint64_t kMcgRecoveryPresent = 1 << 24;
constexpr std::uint64_t kMceBankCount = 10;

// KVM itself scales only beyond this (tsc_tolerance_ppm): two hosts of one kind rarely measure the same rate.
constexpr std::uint64_t kTscTolerancePpm = 250;

bool same_rate(std::uint32_t a, std::uint32_t b) {
    const std::uint64_t difference = a > b ? a - b : b - a;
    return difference * 1'000'000 <= b * kTscTolerancePpm;
}

} // namespace

std::string_view to_string(StopReason reason) {
    switch (reason) {
    case StopReason::TripleFault:
        return "triple fault";
    case StopReason::SystemShutdown:
        return "shutdown";
    case StopReason::SystemReset:
        return "reset";
    case StopReason::SystemCrash:
        return "crash";
    }
    return "unknown";
}

Result<std::unique_ptr<Vcpu>> Vcpu::create(Vm& vm, CpuidPlace place, const cpu::CpuModel& model,
                                           VcpuBuses buses, VcpuEvents& events) {
    const int raw = TRY(KVM_CONTROL(vm.fd(), KVM_CREATE_VCPU, place.vcpu));
    std::unique_ptr<Vcpu> vcpu{new Vcpu{vm, place, buses, events, Fd::adopt(raw)}};
    TRY_IN(vcpu->set_up(model), fmt::format("vCPU {}", place.vcpu));
    return vcpu;
}

Status Vcpu::set_up(const cpu::CpuModel& model) {
    shared_ = TRY(Mapping::of_file(fd_, vm_.kvm().run_size(), PROT_READ | PROT_WRITE, true));
    run_ = reinterpret_cast<kvm_run*>(shared_.data());
    host_tsc_khz_ = static_cast<std::uint32_t>(TRY(KVM_CONTROL(fd_.get(), KVM_GET_TSC_KHZ)));
    place_.tsc_khz = host_tsc_khz_;
    kvm_tsc_khz_ = host_tsc_khz_;
    TRY(set_up_machine_check());
    return adopt_cpu(model);
}

Status Vcpu::adopt_cpu(const cpu::CpuModel& model) {
    const std::uint32_t told = told_tsc_khz(model.cpuid);
    TRY(adopt_tsc_khz(told != 0 ? told : host_tsc_khz_));
    cpuid_ = cpuid_for(model.cpuid, place_);
    TRY(set_cpuid(fd_.get(), cpuid_));
    return set_feature_msrs(model.msrs);
}

cpu::CpuModel Vcpu::cpu_model() const {
    return {cpuid_, feature_msrs_of(cpuid_, msrs_.all())};
}

// Which registers there are depends on CPUID. What they hold then counts as their first value, which does not
// travel: the model does. Those that the model leaves out are as KVM made them, whatever was there before.
Status Vcpu::set_feature_msrs(const std::vector<MsrValue>& wanted) {
    auto present = TRY(read_present_msrs(fd_.get(), all_msr_indices(vm_.kvm().msr_indices())));
    if (fresh_msrs_.empty())
        fresh_msrs_ = present;
    std::vector<MsrValue> values = feature_msrs_of(cpuid_, fresh_msrs_);
    for (const MsrValue& msr : feature_msrs_of(cpuid_, wanted)) {
        const auto found = std::ranges::find(values, msr.index, &MsrValue::index);
        if (found == values.end())
            return error(ErrorCode::Incompatible, "this host's KVM lacks register {:#x}", msr.index);
        found->value = msr.value;
    }
    std::erase_if(values, [&](const MsrValue& msr) {
        const auto found = std::ranges::find(present, msr.index, &MsrValue::index);
        return found != present.end() && std::exchange(found->value, msr.value) == msr.value;
    });
    TRY(write_msrs(fd_.get(), values));
    msrs_ = MsrSet{std::move(present)};
    return {};
}

Status Vcpu::set_up_machine_check() {
    std::uint64_t supported = 0;
    TRY(KVM_CONTROL(vm_.kvm().fd(), KVM_X86_GET_MCE_CAP_SUPPORTED, &supported));
    std::uint64_t capabilities = (supported & (kMcgCtlPresent | kMcgRecoveryPresent)) | kMceBankCount;
    TRY(KVM_CONTROL(fd_.get(), KVM_X86_SETUP_MCE, &capabilities));
    return {};
}

bool Vcpu::can_adopt_tsc_khz(std::uint32_t khz) const {
    return same_rate(khz, host_tsc_khz_) || vm_.kvm().extension(KVM_CAP_TSC_CONTROL) != 0;
}

Status Vcpu::adopt_tsc_khz(std::uint32_t khz) {
    if (!can_adopt_tsc_khz(khz))
        return error(ErrorCode::Incompatible,
                     "the guest's TSC runs at {} kHz, this host's at {} kHz, and it cannot be scaled", khz,
                     host_tsc_khz_);
    if (!same_rate(khz, kvm_tsc_khz_)) {
        TRY(KVM_CONTROL(fd_.get(), KVM_SET_TSC_KHZ, khz));
        if (const int rate = TRY(KVM_CONTROL(fd_.get(), KVM_GET_TSC_KHZ));
            static_cast<std::uint32_t>(rate) != khz)
            return error(ErrorCode::Incompatible, "KVM runs the guest's TSC at {} kHz instead of {}", rate,
                         khz);
        kvm_tsc_khz_ = khz;
    }
    place_.tsc_khz = khz;
    return {};
}

volatile std::uint8_t* Vcpu::immediate_exit() const {
    return &run_->immediate_exit;
}

Vcpu::Step Vcpu::run() {
    if (::ioctl(fd_.get(), KVM_RUN, 0) != 0) {
        // KVM completes the last exit before it looks for a reason to return, so nothing is pending now.
        // EAGAIN: an application processor got its start-up interrupt.
        io_pending_ = false;
        if (errno == EINTR || errno == EAGAIN)
            return Step::Interrupted;
        return fail(describe_run_failure(fd_.get(), *run_, errno));
    }
    const Step step = dispatch();
    io_pending_ = step == Step::Exited;
    return step;
}

Vcpu::Step Vcpu::finish_io() {
    Step step = Step::Interrupted;
    while (io_pending_) {
        *immediate_exit() = 1;
        step = run();
    }
    return step;
}

Vcpu::Step Vcpu::dispatch() {
    switch (run_->exit_reason) {
    case KVM_EXIT_IO:
        port_access();
        return Step::Exited;
    case KVM_EXIT_MMIO:
        mmio_access();
        return Step::Exited;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return Step::Interrupted;
    case KVM_EXIT_SHUTDOWN:
        events_.on_stop(index(), StopReason::TripleFault);
        return Step::Stopped;
    case KVM_EXIT_SYSTEM_EVENT:
        return system_event();
    case KVM_EXIT_INTERNAL_ERROR:
        return internal_error();
    default:
        return fail(describe_exit(fd_.get(), *run_));
    }
}

// String instructions repeat the access `count` times at the same port.
void Vcpu::port_access() {
    const auto& io = run_->io;
    const std::size_t size = io.size;
    const auto all = shared_.bytes().subspan(io.data_offset, size * io.count);
    for (std::size_t i = 0; i < io.count; ++i) {
        const auto data = all.subspan(i * size, size);
        if (io.direction == KVM_EXIT_IO_OUT)
            buses_.ports.write(io.port, data);
        else
            buses_.ports.read(io.port, data);
    }
}

void Vcpu::mmio_access() {
    auto& mmio = run_->mmio;
    const auto data = std::as_writable_bytes(std::span{mmio.data}).first(mmio.len);
    if (mmio.is_write != 0)
        buses_.mmio.write(mmio.phys_addr, data);
    else
        buses_.mmio.read(mmio.phys_addr, data);
}

Vcpu::Step Vcpu::system_event() {
    switch (run_->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        events_.on_stop(index(), StopReason::SystemShutdown);
        return Step::Stopped;
    case KVM_SYSTEM_EVENT_RESET:
        events_.on_stop(index(), StopReason::SystemReset);
        return Step::Stopped;
    case KVM_SYSTEM_EVENT_CRASH:
        events_.on_stop(index(), StopReason::SystemCrash);
        return Step::Stopped;
    default:
        return fail(error(ErrorCode::Guest, "KVM system event {} is not known",
                          std::uint32_t{run_->system_event.type}));
    }
}

Vcpu::Step Vcpu::internal_error() {
    if (assist_ && run_->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
        const auto completed = assist_->complete(*run_);
        if (!completed.ok())
            return fail(completed.error());
        if (*completed)
            return Step::Interrupted;
    }
    return fail(describe_exit(fd_.get(), *run_));
}

Vcpu::Step Vcpu::fail(Error failure) {
    events_.on_error(index(), std::move(failure).in(fmt::format("vCPU {}", index())));
    return Step::Stopped;
}

} // namespace godwit::kvm
