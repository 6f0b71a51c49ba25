// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/irq.h"

#include "vmm/base/log.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

namespace godwit::kvm {

namespace {

// PCI 3.0 section 6.8.1 with Intel SDM volume 3, section 11.11.1: interrupt messages go to 0xfeexxxxx.
constexpr std::uint64_t kMessageAddressBase = 0xfee00000;
constexpr std::uint64_t kMessageAddressMask = ~std::uint64_t{0xfffff};
constexpr std::uint64_t kMaskedEntry = 0x10000; // Intel 82093AA, section 3.2.4

} // namespace

class IrqChip::Line final : public IrqLine {
  public:
    Line(IrqChip& chip, std::uint32_t gsi) : chip_(chip), gsi_(gsi) {}
    ~Line() override { set_level(false); }
    void set_level(bool high) override {
        if (high_.exchange(high) != high)
            chip_.set_line(gsi_, high);
    }

  private:
    IrqChip& chip_;
    std::uint32_t gsi_;
    std::atomic<bool> high_{false};
};

class IrqChip::Vector final : public MsiVector {
  public:
    Vector(IrqChip& chip, std::uint32_t gsi, EventFd event)
        : chip_(chip), gsi_(gsi), event_(std::move(event)) {}
    ~Vector() override { chip_.release(gsi_); }

    Status route(std::uint64_t address, std::uint32_t data) override {
        if ((address & kMessageAddressMask) != kMessageAddressBase) {
            TRY(chip_.set_route(gsi_, std::nullopt));
            return error(ErrorCode::Guest, "{:#x} is not the address of an interrupt message", address);
        }
        return chip_.set_route(gsi_, Message{address, data});
    }

    void trigger() override {
        if (chip_.routes_changed_.load(std::memory_order_acquire))
            if (const auto status = chip_.commit_routes(); !status.ok())
                log::error("interrupt routes: {}", status.error().text);
        unsettled_.store(true, std::memory_order_release);
        event_.signal();
    }

    int event_fd() const { return event_.fd(); }
    bool take_unsettled() { return unsettled_.exchange(false); }

  private:
    IrqChip& chip_;
    std::uint32_t gsi_;
    EventFd event_;
    std::atomic<bool> unsettled_{false};
};

Result<std::unique_ptr<IrqChip>> IrqChip::create(int vm_fd, std::uint32_t maximum_routes) {
    if (maximum_routes <= kIoApicPins)
        return error(ErrorCode::NoDevice, "KVM routes {} interrupts, the IOAPIC alone has {}", maximum_routes,
                     kIoApicPins);
    std::unique_ptr<IrqChip> chip{new IrqChip{vm_fd, maximum_routes - kIoApicPins}};
    TRY(chip->mask_pic());
    TRY(chip->commit_routes());
    return chip;
}

Status IrqChip::mask_pic() const {
    for (const __u32 id : {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE}) {
        kvm_irqchip chip{};
        chip.chip_id = id;
        TRY(KVM_CONTROL(vm_fd_, KVM_GET_IRQCHIP, &chip));
        chip.chip.pic.imr = 0xff;
        TRY(KVM_CONTROL(vm_fd_, KVM_SET_IRQCHIP, &chip));
    }
    return {};
}

Status IrqChip::reset() {
    kvm_irqchip chip{};
    chip.chip_id = KVM_IRQCHIP_IOAPIC;
    TRY(KVM_CONTROL(vm_fd_, KVM_GET_IRQCHIP, &chip));
    kvm_ioapic_state& ioapic = chip.chip.ioapic;
    ioapic.id = ioapic.ioregsel = ioapic.irr = 0;
    for (auto& entry : ioapic.redirtbl)
        entry.bits = kMaskedEntry;
    TRY(KVM_CONTROL(vm_fd_, KVM_SET_IRQCHIP, &chip));
    return {};
}

Result<std::unique_ptr<IrqLine>> IrqChip::line(std::uint32_t gsi) {
    if (gsi >= kIoApicPins)
        return error(ErrorCode::Internal, "GSI {} is not a pin of the IOAPIC", gsi);
    return std::unique_ptr<IrqLine>{std::make_unique<Line>(*this, gsi)};
}

void IrqChip::set_line(std::uint32_t gsi, bool high) {
    const std::lock_guard lock{mutex_};
    std::uint32_t& count = high_lines_[gsi];
    const bool was_high = count != 0;
    count += high ? 1u : ~0u;
    if (was_high == (count != 0))
        return;
    kvm_irq_level request{};
    request.irq = gsi;
    request.level = high ? 1 : 0;
    if (const auto result = KVM_CONTROL(vm_fd_, KVM_IRQ_LINE, &request); !result.ok())
        log::error("interrupt line {}: {}", gsi, result.error().text);
}

Result<std::unique_ptr<MsiVector>> IrqChip::msi() {
    EventFd event = TRY(EventFd::create());
    const std::lock_guard lock{mutex_};
    std::size_t index = 0;
    while (index < gsis_.size() && gsis_[index].vector != nullptr)
        ++index;
    if (index >= maximum_vectors_)
        return error(ErrorCode::NoDevice, "all {} interrupt vectors of this host's KVM are in use",
                     maximum_vectors_);
    const auto gsi = kIoApicPins + static_cast<std::uint32_t>(index);
    TRY_IN(assign_irqfd(gsi, event.fd(), true), "interrupt vector");
    if (index == gsis_.size())
        gsis_.emplace_back();
    auto vector = std::make_unique<Vector>(*this, gsi, std::move(event));
    gsis_[index].vector = vector.get();
    return std::unique_ptr<MsiVector>{std::move(vector)};
}

void IrqChip::release(std::uint32_t gsi) {
    const std::lock_guard lock{mutex_};
    Gsi& entry = gsis_[gsi - kIoApicPins];
    if (const auto status = assign_irqfd(gsi, entry.vector->event_fd(), false); !status.ok())
        log::error("interrupt vector {}: {}", gsi, status.error().text);
    entry = {};
    routes_changed_.store(true, std::memory_order_release);
}

Status IrqChip::assign_irqfd(std::uint32_t gsi, int event_fd, bool assign) const {
    kvm_irqfd request{};
    request.fd = static_cast<__u32>(event_fd);
    request.gsi = gsi;
    request.flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN;
    TRY(KVM_CONTROL(vm_fd_, KVM_IRQFD, &request));
    return {};
}

Status IrqChip::set_route(std::uint32_t gsi, std::optional<Message> route) {
    const std::lock_guard lock{mutex_};
    Gsi& entry = gsis_[gsi - kIoApicPins];
    if (entry.route == route)
        return {};
    entry.route = route;
    routes_changed_.store(true, std::memory_order_release);
    return {};
}

Status IrqChip::commit_routes() {
    const std::lock_guard lock{mutex_};
    return routes_changed_.load(std::memory_order_relaxed) ? commit_routes_locked() : Status{};
}

Status IrqChip::commit_routes_locked() {
    Counted<kvm_irq_routing, kvm_irq_routing_entry> table{kIoApicPins + gsis_.size()};
    __u32& count = table.header()->nr;
    for (std::uint32_t pin = 0; pin < kIoApicPins; ++pin) {
        kvm_irq_routing_entry& entry = table.data()[count++];
        entry.gsi = pin;
        entry.type = KVM_IRQ_ROUTING_IRQCHIP;
        entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
        entry.u.irqchip.pin = pin;
    }
    for (std::size_t i = 0; i < gsis_.size(); ++i) {
        if (!gsis_[i].route.has_value())
            continue;
        kvm_irq_routing_entry& entry = table.data()[count++];
        entry.gsi = kIoApicPins + static_cast<__u32>(i);
        entry.type = KVM_IRQ_ROUTING_MSI;
        entry.u.msi.address_lo = static_cast<__u32>(gsis_[i].route->address);
        entry.u.msi.address_hi = static_cast<__u32>(gsis_[i].route->address >> 32);
        entry.u.msi.data = gsis_[i].route->data;
    }
    TRY(KVM_CONTROL(vm_fd_, KVM_SET_GSI_ROUTING, table.header()));
    routes_changed_.store(false, std::memory_order_release);
    return {};
}

// Taking an irqfd away waits for its worker; it is put back at once. KVM looks at the eventfd's counter when
// it is put back, so a trigger in between is delivered.
Status IrqChip::settle() {
    const std::lock_guard lock{mutex_};
    for (std::size_t i = 0; i < gsis_.size(); ++i) {
        Vector* const vector = gsis_[i].vector;
        if (vector == nullptr || !vector->take_unsettled())
            continue;
        const auto gsi = kIoApicPins + static_cast<std::uint32_t>(i);
        TRY(assign_irqfd(gsi, vector->event_fd(), false));
        TRY(assign_irqfd(gsi, vector->event_fd(), true));
    }
    return {};
}

} // namespace godwit::kvm
