// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/vcpu_set.h"

#include "vmm/base/log.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kick.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/state/power_on.h"
#include "vmm/sandbox/sandbox.h"

#include <cassert>
#include <system_error>

namespace godwit::kvm {

namespace {
thread_local bool t_is_vcpu_thread = false;
} // namespace

VcpuSet::Worker::Worker() = default;
VcpuSet::Worker::~Worker() = default;

Result<std::unique_ptr<VcpuSet>> VcpuSet::create(Vm& vm, const VcpuSetConfig& config) {
    const std::uint32_t maximum = std::min(kMaximumVcpus, vm.kvm().maximum_vcpus());
    if (config.count == 0 || config.count > maximum)
        return invalid_input("{} vCPUs: 1 to {} are possible", config.count, maximum);
    TRY(install_kick_handler());

    std::unique_ptr<VcpuSet> set{new VcpuSet{vm, config.clock_follows_host}};
    for (std::uint32_t i = 0; i < config.count; ++i) {
        auto worker = std::make_unique<Worker>();
        worker->vcpu = TRY(Vcpu::create(vm, {i, config.count}, config.cpu, config.buses, config.events));
        if (config.emulation_assist)
            worker->vcpu->assist_emulation();
        worker->power_on = TRY(capture_power_on(*worker->vcpu));
        set->workers_.push_back(std::move(worker));
    }
    for (const auto& worker : set->workers_) {
        try {
            worker->thread = std::thread{[raw = set.get(), &target = *worker] {
                sandbox::enter(sandbox::Role::Vcpu, fmt::format("vcpu{}", target.vcpu->index()));
                raw->thread_main(target);
            }};
        } catch (const std::system_error& failure) {
            return system_error(failure.code().value(), "start a vCPU thread");
        }
    }
    // State may be touched as soon as this returns.
    std::unique_lock lock{set->mutex_};
    set->parked_changed_.wait(lock, [&] { return set->parked_ == set->size(); });
    return set;
}

VcpuSet::~VcpuSet() {
    throttle_.reset(); // it kicks the threads below
    {
        const std::lock_guard lock{mutex_};
        ending_ = true;
        park_wanted_.store(true);
        for (const auto& worker : workers_)
            if (worker->thread.joinable())
                kick(worker->thread.native_handle());
    }
    may_run_.notify_all();
    rest_over_.notify_all();
    for (const auto& worker : workers_)
        if (worker->thread.joinable())
            worker->thread.join();
}

void VcpuSet::pause() {
    assert(!t_is_vcpu_thread && "a vCPU cannot wait for itself");
    assert(std::this_thread::get_id() != loop_thread_ && "vCPUs may be waiting for the loop");
    std::unique_lock lock{mutex_};
    if (pauses_++ == 0) {
        park_wanted_.store(true);
        for (const auto& worker : workers_)
            kick(worker->thread.native_handle());
        rest_over_.notify_all();
    }
    parked_changed_.wait(lock, [&] { return parked_ == size(); });
    freeze_locked();
}

void VcpuSet::resume() {
    const std::lock_guard lock{mutex_};
    assert(pauses_ > 0);
    if (--pauses_ != 0)
        return;
    thaw_locked();
    park_wanted_.store(false);
    may_run_.notify_all();
}

bool VcpuSet::paused() const {
    const std::lock_guard lock{mutex_};
    return pauses_ != 0;
}

Status VcpuSet::throttle(std::uint32_t percent) {
    assert(percent <= VcpuThrottle::kMaximum);
    const std::lock_guard serial{throttle_mutex_};
    if (percent == 0) {
        throttle_.reset();
        const std::lock_guard lock{mutex_};
        throttled_.store(false);
        rest_over_.notify_all();
    } else if (throttle_ != nullptr) {
        throttle_->set(percent);
    } else {
        rest_until_.store({});
        throttled_.store(true);
        throttle_ = TRY(VcpuThrottle::start(percent, [this](auto until) { send_to_rest(until); }));
    }
    return {};
}

void VcpuSet::send_to_rest(VcpuThrottle::Clock::time_point until) {
    const std::lock_guard lock{mutex_};
    if (pauses_ != 0)
        return;
    rest_until_.store(until);
    for (const auto& worker : workers_)
        kick(worker->thread.native_handle());
}

bool VcpuSet::rest() {
    const auto until = rest_until_.load();
    if (VcpuThrottle::Clock::now() >= until)
        return false;
    std::unique_lock lock{mutex_};
    rest_over_.wait_until(lock, until, [&] { return park_wanted_.load() || !throttled_.load(); });
    return true;
}

void VcpuSet::restart(std::uint32_t index) {
    const std::lock_guard lock{mutex_};
    assert(pauses_ != 0);
    workers_[index]->stopped = false;
}

Status VcpuSet::reset() {
    const std::lock_guard lock{mutex_};
    assert(pauses_ != 0);
    for (const auto& worker : workers_) {
        TRY_IN(apply_power_on(*worker->vcpu, *worker->power_on),
               fmt::format("reset of vCPU {}", worker->vcpu->index()));
        worker->stopped = false;
    }
    return {};
}

Status VcpuSet::adopt_cpu(const cpu::CpuModel& model) {
    const std::lock_guard lock{mutex_};
    assert(pauses_ != 0);
    for (const auto& worker : workers_) {
        TRY_IN(worker->vcpu->adopt_cpu(model), fmt::format("vCPU {}", worker->vcpu->index()));
        worker->power_on = TRY(capture_power_on(*worker->vcpu));
    }
    return {};
}

void VcpuSet::freeze_locked() {
    if (frozen_)
        return;
    frozen_ = true;
    clock_.stop();
    if (const auto status = kvmclock_.freeze(); !status.ok())
        log::warning("the guest's clock goes on while it is paused: {}", status.error().text);
}

void VcpuSet::thaw_locked() {
    frozen_ = false;
    if (const auto status = kvmclock_.thaw(); !status.ok())
        log::warning("the guest's clock jumps: {}", status.error().text);
    // Tells the guest that it was stopped, so that its watchdogs stay quiet. EINVAL: it does not use
    // kvmclock.
    for (const auto& worker : workers_)
        if (::ioctl(worker->vcpu->fd(), KVM_KVMCLOCK_CTRL, 0) != 0 && errno != EINVAL)
            log::debug("vCPU {}: {}", worker->vcpu->index(), system_error(errno, "KVM_KVMCLOCK_CTRL").text);
    clock_.start();
}

void VcpuSet::thread_main(Worker& worker) {
    t_is_vcpu_thread = true;
    Vcpu& vcpu = *worker.vcpu;
    arm_kick(vcpu.immediate_exit());
    bool stopped = false;
    for (;;) {
        // Cleared before the wish is looked at: a kick that comes in between sets it again, and KVM_RUN
        // returns.
        *vcpu.immediate_exit() = 0;
        if (!stopped && !park_wanted_.load()) {
            if (throttled_.load() && rest())
                continue;
            stopped = vcpu.run() == Vcpu::Step::Stopped;
            continue;
        }
        stopped = stopped || vcpu.finish_io() == Vcpu::Step::Stopped;
        if (!park(worker, stopped))
            break;
        stopped = false;
    }
    arm_kick(nullptr);
}

bool VcpuSet::park(Worker& worker, bool stopped) {
    std::unique_lock lock{mutex_};
    worker.stopped = stopped;
    ++parked_;
    parked_changed_.notify_all();
    may_run_.wait(lock, [&] { return ending_ || (pauses_ == 0 && !worker.stopped); });
    --parked_;
    return !ending_;
}

} // namespace godwit::kvm
