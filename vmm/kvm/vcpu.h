// SPDX-License-Identifier: Apache-2.0
//
// One virtual CPU: entering the guest, and carrying out what it exits for. Reference: Linux
// Documentation/virt/kvm/api.rst, section 5 (the kvm_run structure).
//
// run() and finish_io() belong to the vCPU's own thread (VcpuSet). Everything else is for any thread while
// that thread is parked: KVM serialises the ioctls of one vCPU, so state is read and written by whoever
// paused it.
#pragma once

#include "devices/bus.h"
#include "vmm/base/fd.h"
#include "vmm/base/mapping.h"
#include "vmm/kvm/assist/assist.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/msrs.h"
#include "vmm/kvm/vm.h"

#include <cstdint>
#include <memory>
#include <optional>

struct kvm_run; // <linux/kvm.h>

namespace godwit::kvm {

enum class StopReason {
    TripleFault,    // the guest's CPU shut down: a PC resets then
    SystemShutdown, // KVM_EXIT_SYSTEM_EVENT
    SystemReset,
    SystemCrash,
};
std::string_view to_string(StopReason reason);

// What a vCPU tells its owner, on the vCPU's thread, which parks itself right after. Must not pause: post to
// the loop.
class VcpuEvents {
  public:
    virtual ~VcpuEvents() = default;
    virtual void on_stop(std::uint32_t vcpu, StopReason reason) = 0;
    // The guest cannot go on: one line that says where it stood.
    virtual void on_error(std::uint32_t vcpu, Error error) = 0;
};

// Where the vCPUs' accesses go. An access that nobody claims reads as all ones.
struct VcpuBuses {
    Bus& ports;
    Bus& mmio;
};

class Vcpu {
  public:
    // `place` gives index and count; its tsc_khz is filled in here. `vm` must outlive the vCPU.
    static Result<std::unique_ptr<Vcpu>> create(Vm& vm, CpuidPlace place, const cpu::CpuModel& model,
                                                VcpuBuses buses, VcpuEvents& events);

    std::uint32_t index() const { return place_.vcpu; }
    int fd() const { return fd_.get(); }
    Vm& vm() const { return vm_; }
    // Completes instructions that KVM cannot emulate, instead of ending the guest. Before the first run().
    void assist_emulation() { assist_.emplace(fd_.get(), vm_.memory()); }
    // Rate of the guest's TSC as the guest believes it: the host's, or what it had on the host where it
    // started.
    std::uint32_t tsc_khz() const { return place_.tsc_khz; }
    // Takes over a guest that believes in another rate. Scales the TSC when the difference is more than
    // measuring gives; Incompatible when this host cannot.
    Status adopt_tsc_khz(std::uint32_t khz);
    bool can_adopt_tsc_khz(std::uint32_t khz) const;
    // Another processor than it was made with. A model that comes from a guest tells the rate of its TSC,
    // which is adopted too. Before it runs.
    Status adopt_cpu(const cpu::CpuModel& model);
    // The processor that the guest sees, as a model that makes an equal vCPU anywhere.
    cpu::CpuModel cpu_model() const;
    // What CPUID tells this vCPU.
    const CpuidTable& cpuid() const { return cpuid_; }
    // The MSRs that this vCPU has, and the values they had at creation.
    const MsrSet& msrs() const { return msrs_; }

    enum class Step {
        Exited, // an exit was carried out; KVM completes the instruction in the next run() or finish_io()
        Interrupted, // kicked, or woken: nothing is pending
        Stopped,     // reported to VcpuEvents
    };
    Step run();
    // Lets KVM complete the exit that was carried out last, without running the guest: its registers are then
    // those after the instruction. May carry out further parts of the same instruction. Does nothing when
    // nothing is pending.
    Step finish_io();

    // KVM_RUN returns at once while set; written by this vCPU's thread and its signal handler.
    volatile std::uint8_t* immediate_exit() const;

  private:
    Vcpu(Vm& vm, CpuidPlace place, VcpuBuses buses, VcpuEvents& events, Fd fd)
        : vm_(vm), place_(place), buses_(buses), events_(events), fd_(std::move(fd)) {}
    Status set_up(const cpu::CpuModel& model);
    Status set_feature_msrs(const std::vector<MsrValue>& wanted);
    Status set_up_machine_check();
    Step dispatch();
    void port_access();
    void mmio_access();
    Step system_event();
    Step internal_error();
    Step fail(Error error);

    Vm& vm_;
    CpuidPlace place_;
    VcpuBuses buses_;
    VcpuEvents& events_;
    Fd fd_;
    std::uint32_t host_tsc_khz_ = 0;
    std::uint32_t kvm_tsc_khz_ = 0; // at which KVM runs it now
    Mapping shared_;
    kvm_run* run_ = nullptr;
    bool io_pending_ = false; // vCPU thread: the last exit is not complete
    std::optional<EmulationAssist> assist_;
    CpuidTable cpuid_;
    std::vector<MsrValue> fresh_msrs_; // as KVM made the vCPU
    MsrSet msrs_;
};

} // namespace godwit::kvm
