// SPDX-License-Identifier: Apache-2.0
//
// All vCPUs of a machine, each on its own thread, and the way to stop and start them together.
//
//     auto vcpus = TRY(VcpuSet::create(vm, {.count = 2, .cpu = model, .buses = {ports, mmio}, .events =
//     owner}));
//     ... set boot state of vcpus->at(0) ...
//     vcpus->resume();                       // created paused
//     {
//         const VcpuPause pause{*vcpus};     // every vCPU is parked, its last instruction complete
//         ... read or write state ...
//     }                                      // runs on, unless somebody else has paused too
//
// Pauses are counted: the guest runs when every pause() has had its resume().
//
// pause() waits for vCPUs that are inside a device's handler, which may wait for the loop (LoopBusDevice). So
// it must never be called on the loop's thread, nor on a vCPU's; set_loop_thread() makes that an assertion.
// Any other thread may call anything here.
#pragma once

#include "vmm/kvm/kvmclock.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vcpu_throttle.h"
#include "vmm/kvm/virtual_clock.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace godwit::kvm {

struct PowerOnState; // state/power_on.h

struct VcpuSetConfig {
    std::uint32_t count = 1;  // 1 to kMaximumVcpus
    const cpu::CpuModel& cpu; // host_cpu_model(), or less
    VcpuBuses buses;
    VcpuEvents& events;
    bool emulation_assist = false;  // assist/README.md
    bool clock_follows_host = true; // kvmclock.h
};

inline constexpr std::uint32_t kMaximumVcpus = 64;

class VcpuSet {
  public:
    // With one pause held: resume() starts the guest. `vm` and everything in `config` but the model must
    // outlive it.
    static Result<std::unique_ptr<VcpuSet>> create(Vm& vm, const VcpuSetConfig& config);
    // Ends the threads; devices' handlers that run are waited for.
    ~VcpuSet();
    VcpuSet(const VcpuSet&) = delete;
    VcpuSet& operator=(const VcpuSet&) = delete;

    std::uint32_t size() const { return static_cast<std::uint32_t>(workers_.size()); }
    Vcpu& at(std::uint32_t index) { return *workers_[index]->vcpu; }

    // Kicks all vCPUs at once and waits until each is parked with nothing pending; then stops the guest's
    // clocks.
    void pause();
    // Undoes one pause(); with the last one, the clocks go on and then the vCPUs.
    void resume();
    bool paused() const;

    // Slows the guest: its vCPUs stand still for `percent` (at most VcpuThrottle::kMaximum) of the time, in
    // short slices; 0 ends that. A pause does not wait for a slice to be over.
    Status throttle(std::uint32_t percent);

    // A vCPU that has reported a stop or an error stays parked when the others resume, until this. Call while
    // paused, after its state has been set anew.
    void restart(std::uint32_t index);

    // Every vCPU as it was made, waiting to be booted again; those that had stopped may run. The TSC and the
    // guest's clocks go on. Call while paused.
    Status reset();

    // Gives all vCPUs another processor. Only while none has run since it was made: a guest that has looked
    // must not see it change. Incompatible when KVM refuses a value.
    Status adopt_cpu(const cpu::CpuModel& model);

    // Asserts that pause() is not called there.
    void set_loop_thread(std::thread::id loop) { loop_thread_ = loop; }

    VirtualClock& clock() { return clock_; }
    KvmClock& kvmclock() { return kvmclock_; }

  private:
    struct Worker {
        Worker();
        ~Worker();
        std::unique_ptr<Vcpu> vcpu;
        std::unique_ptr<PowerOnState> power_on;
        bool stopped = false; // under mutex_: it has reported
        std::thread thread;
    };

    VcpuSet(Vm& vm, bool clock_follows_host) : kvmclock_(vm.fd(), clock_follows_host) {}
    void thread_main(Worker& worker);
    void send_to_rest(VcpuThrottle::Clock::time_point until);
    // A vCPU's thread, when the guest is slowed: waits until the rest is over or a pause is wanted. False
    // when there is none.
    bool rest();
    // False when the thread has to end.
    bool park(Worker& worker, bool stopped);
    void freeze_locked();
    void thaw_locked();

    VirtualClock clock_;
    KvmClock kvmclock_;
    std::thread::id loop_thread_;

    mutable std::mutex mutex_;
    std::condition_variable parked_changed_;
    std::condition_variable may_run_;
    std::uint32_t pauses_ = 1;
    std::uint32_t parked_ = 0;
    bool frozen_ = false;
    bool ending_ = false;
    std::atomic<bool> park_wanted_{true}; // pauses_ != 0 || ending_, for the run loop

    std::condition_variable rest_over_;
    std::atomic<bool> throttled_{false};
    std::atomic<VcpuThrottle::Clock::time_point> rest_until_{}; // while throttled_
    std::mutex throttle_mutex_;                                 // serialises throttle()
    std::unique_ptr<VcpuThrottle> throttle_;                    // under throttle_mutex_

    std::vector<std::unique_ptr<Worker>> workers_; // last: threads use everything above
};

// A pause for a scope.
class [[nodiscard]] VcpuPause {
  public:
    explicit VcpuPause(VcpuSet& vcpus) : vcpus_(&vcpus) { vcpus.pause(); }
    VcpuPause(VcpuPause&& other) noexcept : vcpus_(std::exchange(other.vcpus_, nullptr)) {}
    VcpuPause& operator=(VcpuPause&&) = delete;
    ~VcpuPause() {
        if (vcpus_ != nullptr)
            vcpus_->resume();
    }
    // From here on nobody resumes by accident: the count stays until an explicit VcpuSet::resume().
    void keep() { vcpus_ = nullptr; }

  private:
    VcpuSet* vcpus_;
};

} // namespace godwit::kvm
