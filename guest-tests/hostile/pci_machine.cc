// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/pci_machine.h"

namespace godwit::hostile {

using namespace pci;
using pci::testing::PciDriver;
using virtio::must;

namespace {

class PciStationDriver final : public Driver {
  public:
    PciStationDriver(pci::testing::Board& board, std::uint8_t slot, std::size_t first_vector,
                     std::uint16_t queues)
        : board_(board), driver_(board, slot), first_vector_(first_vector), queues_(queues) {}

    bool begin() override {
        driver_.config_write(PCI_COMMAND, std::uint16_t{0});
        driver_.enable();
        driver_.config_write(kMsixCap + PCI_MSIX_FLAGS, std::uint16_t{0});
        driver_.set_status(0);
        return driver_.status() == 0;
    }
    std::uint8_t status() override { return driver_.status(); }
    bool set_status(std::uint8_t status) override {
        driver_.set_status(status);
        return driver_.status() == status;
    }
    std::uint32_t offered_word(std::uint32_t select) override {
        driver_.set(CommonField::device_feature_select, select);
        return driver_.get<std::uint32_t>(CommonField::device_feature);
    }
    void accept_word(std::uint32_t select, std::uint32_t features) override {
        driver_.set(CommonField::driver_feature_select, select);
        driver_.set(CommonField::driver_feature, features);
    }
    std::uint16_t largest_size(std::uint16_t queue) override {
        driver_.set(CommonField::queue_select, queue);
        return driver_.get<std::uint16_t>(CommonField::queue_size);
    }
    bool set_queue(std::uint16_t queue, std::uint16_t size, const virtio::QueueAddresses& at) override {
        driver_.set(CommonField::queue_select, queue);
        driver_.set(CommonField::queue_size, size);
        if (driver_.get<std::uint16_t>(CommonField::queue_size) != size)
            return false;
        driver_.set(CommonField::queue_desc, at.desc.value); // eight bytes at once
        driver_.set(CommonField::queue_driver, at.driver.value);
        driver_.set(CommonField::queue_device, at.device.value);
        driver_.set(CommonField::queue_enable, std::uint16_t{1});
        return driver_.get<std::uint16_t>(CommonField::queue_enable) == 1;
    }
    bool set_interrupts() override {
        driver_.enable_msix();
        for (std::uint16_t vector = 0; vector <= queues_; ++vector)
            driver_.open_vector(vector);
        driver_.set(CommonField::config_msix_vector, std::uint16_t{0});
        for (std::uint16_t queue = 0; queue < queues_; ++queue) {
            driver_.set(CommonField::queue_select, queue);
            driver_.set(CommonField::queue_msix_vector, static_cast<std::uint16_t>(queue + 1));
            if (driver_.get<std::uint16_t>(CommonField::queue_msix_vector) != queue + 1)
                return false;
        }
        (void)take_config_interrupt();
        return driver_.get<std::uint16_t>(CommonField::config_msix_vector) == 0;
    }
    void notify(std::uint16_t queue) override {
        const std::uint64_t at = driver_.doorbell(queue);
        if (!board_.on_loop([&] { return board_.doorbells.ring(at); }))
            board_.write(at, queue);
    }
    Bytes read_config(std::uint32_t offset, std::uint32_t length) override {
        Bytes bytes;
        for (std::uint32_t i = 0; i < length; ++i)
            bytes.push_back(
                std::byte{board_.read<std::uint8_t>(driver_.modern_at() + kDeviceRegion + offset + i)});
        return bytes;
    }
    void write_config(std::uint32_t offset, const Bytes& bytes) override {
        for (std::uint32_t i = 0; i < bytes.size(); ++i)
            board_.write(driver_.modern_at() + kDeviceRegion + offset + i,
                         static_cast<std::uint8_t>(bytes[i]));
    }
    bool take_config_interrupt() override {
        const int now = board_.interrupts.vectors.at(first_vector_)->triggers;
        return std::exchange(config_interrupts_, now) != now;
    }

  private:
    pci::testing::Board& board_;
    PciDriver driver_;
    const std::size_t first_vector_;
    const std::uint16_t queues_;
    int config_interrupts_ = 0;
};

} // namespace

PciMachine::PciMachine(Kind victim, const StationOptions& options) {
    const Kind other = victim == Kind::Blk ? Kind::Net : Kind::Blk;
    victim_ = std::make_unique<Station>(victim, options, loop(), memory(), Gpa{kVictimMemory});
    bystander_ = std::make_unique<Station>(other, StationOptions{}, loop(), memory(), Gpa{kBystanderMemory});
    victim_pci_ = plug(*victim_, kVictimSlot);
    bystander_pci_ = plug(*bystander_, kBystanderSlot);
}

std::unique_ptr<VirtioPci> PciMachine::plug(Station& station, std::uint8_t slot) {
    return loop().call([&] {
        const std::size_t first_vector = board_.interrupts.vectors.size();
        station.use(std::make_unique<PciStationDriver>(board_, slot, first_vector, station.queue_count()));
        return must(
            VirtioPci::create(*board_.host, station.core(), board_.interrupts, board_.doorbells, slot));
    });
}

PciMachine::~PciMachine() {
    loop().call([&] {
        (void)victim_->core().pause();
        (void)bystander_->core().pause();
        victim_pci_.reset();
        bystander_pci_.reset();
    });
    victim_.reset();
    bystander_.reset();
}

} // namespace godwit::hostile
