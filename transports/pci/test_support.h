// SPDX-License-Identifier: Apache-2.0
//
// For the tests of this folder: a board with a PCI host whose interrupts and doorbells count, a loop that
// really runs, a guest that reaches everything through the MMIO bus as a vCPU would, and a small virtio
// device that hands every buffer back.
#pragma once

#include "devices/virtio/driver_fake.h"
#include "transports/pci/virtio_pci.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

namespace godwit::pci::testing {

using virtio::must;

inline constexpr std::uint64_t kEcam = 0xe000'0000;
inline constexpr std::uint64_t kWindow32 = 0xc000'0000;
inline constexpr std::uint64_t kWindow64 = 0xc0'0000'0000;

class FakeInterrupts final : public InterruptController {
  public:
    struct Line {
        std::uint32_t gsi = 0;
        std::atomic<bool> level{false};
    };
    struct Vector {
        std::atomic<std::uint64_t> address{0};
        std::atomic<std::uint32_t> data{0};
        std::atomic<int> routes{0};
        std::atomic<int> triggers{0};
    };

    Result<std::unique_ptr<IrqLine>> line(std::uint32_t gsi) override {
        auto shared = std::make_shared<Line>();
        shared->gsi = gsi;
        lines.push_back(shared);
        return std::make_unique<LineEnd>(shared);
    }
    Result<std::unique_ptr<MsiVector>> msi() override {
        vectors.push_back(std::make_shared<Vector>());
        return std::make_unique<VectorEnd>(vectors.back(), refuse_routes);
    }
    bool level(std::uint32_t gsi) const {
        for (const auto& line : lines)
            if (line->gsi == gsi)
                return line->level;
        return false;
    }

    std::vector<std::shared_ptr<Line>> lines;
    std::vector<std::shared_ptr<Vector>> vectors;
    bool refuse_routes = false;

  private:
    struct LineEnd final : IrqLine {
        explicit LineEnd(std::shared_ptr<Line> line) : shared(std::move(line)) {}
        void set_level(bool high) override { shared->level = high; }
        std::shared_ptr<Line> shared;
    };
    struct VectorEnd final : MsiVector {
        VectorEnd(std::shared_ptr<Vector> vector, const bool& refused)
            : shared(std::move(vector)), refuse(refused) {}
        Status route(std::uint64_t address, std::uint32_t data) override {
            if (refuse)
                return error(ErrorCode::System, "no more routes");
            shared->address = address;
            shared->data = data;
            ++shared->routes;
            return {};
        }
        void trigger() override { ++shared->triggers; }
        std::shared_ptr<Vector> shared;
        const bool& refuse;
    };
};

class FakeDoorbells final : public DoorbellRegistry {
  public:
    Result<std::unique_ptr<Doorbell>> add_mmio(Gpa address, std::uint32_t width,
                                               std::optional<std::uint64_t> match,
                                               const EventFd& event) override {
        if (refuse)
            return error(ErrorCode::System, "no more doorbells");
        if (width != 0 || match.has_value())
            return error(ErrorCode::Internal, "a driver may write any width and value");
        return std::make_unique<Registration>(*this, address, event);
    }
    // As KVM does when the guest writes there; false when it would exit instead.
    bool ring(std::uint64_t address) const {
        const auto at = bells.find(address);
        if (at == bells.end())
            return false;
        at->second->signal();
        return true;
    }

    std::map<std::uint64_t, const EventFd*> bells; // while the loop is idle
    bool refuse = false;

  private:
    struct Registration final : Doorbell {
        Registration(FakeDoorbells& registry, Gpa at, const EventFd& event)
            : owner(registry), address(at.value) {
            owner.bells[address] = &event;
        }
        ~Registration() override { owner.bells.erase(address); }
        FakeDoorbells& owner;
        std::uint64_t address;
    };
};

// Hands every buffer back, unused. Config bytes count up from 0x40 and can be written.
class EchoDevice final : public virtio::Device {
  public:
    explicit EchoDevice(std::uint16_t device_id = virtio::kDeviceBlock,
                        std::vector<std::uint16_t> queue_sizes = {256, 64},
                        std::uint32_t pci_class = 0x010000) {
        traits_.device_id = device_id;
        traits_.record = "virtio-echo";
        traits_.queue_sizes = std::move(queue_sizes);
        traits_.config_length = 20;
        traits_.id = "echo0";
        traits_.pci_class = pci_class;
        for (std::size_t i = 0; i < config.size(); ++i)
            config[i] = static_cast<std::byte>(0x40 + i);
    }
    const virtio::DeviceTraits& traits() const override { return traits_; }
    void read_config(std::uint32_t offset, std::span<std::byte> out) override {
        std::copy_n(config.begin() + offset, out.size(), out.begin());
    }
    void write_config(std::uint32_t offset, std::span<const std::byte> data) override {
        std::copy(data.begin(), data.end(), config.begin() + offset);
    }
    Status start(const virtio::Activation& activation) override {
        host = activation.host;
        queues.assign(activation.queues.begin(), activation.queues.end());
        for (std::uint16_t i = 0; i < queues.size(); ++i)
            if (queues[i] != nullptr)
                queue_notified(i);
        return {};
    }
    void queue_notified(std::uint16_t queue) override {
        ++kicks;
        virtio::Chain chain;
        bool used = false;
        for (;;) {
            auto popped = queues[queue]->pop(chain);
            if (!popped.ok())
                return host->device_broken(popped.error());
            if (!popped.value())
                break;
            if (auto pushed = queues[queue]->push({chain.head, 0}); !pushed.ok())
                return host->device_broken(pushed.error());
            used = true;
        }
        if (used)
            host->queue_used(queue);
    }
    Status stop() override {
        queues.clear();
        return {};
    }
    void reset() override {}
    Status save_device(StateWriter&, std::uint32_t) override { return {}; }
    Status load_device(StateReader&, std::uint32_t) override { return {}; }
    Status check_loaded(std::uint64_t) override { return {}; }
    Status commit_load(std::uint64_t) override { return {}; }
    void discard_load() override {}

    std::array<std::byte, 20> config;
    virtio::DeviceHost* host = nullptr;
    std::vector<virtio::SplitQueue*> queues;
    std::atomic<int> kicks{0};

  private:
    virtio::DeviceTraits traits_;
};

class Board {
  public:
    explicit Board(std::uint64_t ram = 1 << 20) : memory(must(GuestMemory::create(ram, ram))) {
        host = must(PciHost::create(*loop, mmio, interrupts,
                                    {.ecam = kEcam,
                                     .windows = {{kWindow32, 0x2000'0000}, {kWindow64, 0x40'0000'0000}},
                                     .intx_gsi = 12}));
        thread = std::thread{[this] { loop->run(); }};
    }
    ~Board() {
        loop->quit();
        thread.join();
    }

    // ---- the guest

    template <std::unsigned_integral T>
    T read(std::uint64_t address) {
        std::array<std::byte, sizeof(T)> bytes{};
        mmio.read(address, bytes);
        return load_le<T>(bytes);
    }
    template <std::unsigned_integral T>
    void write(std::uint64_t address, T value) {
        std::array<std::byte, sizeof(T)> bytes{};
        store_le(std::span{bytes}, value);
        mmio.write(address, bytes);
    }
    static constexpr std::uint64_t ecam(std::uint32_t slot, std::uint32_t reg) {
        return kEcam + (slot << kEcamSlotShift) + reg;
    }
    template <std::unsigned_integral T>
    T config(std::uint32_t slot, std::uint32_t reg) {
        return read<T>(ecam(slot, reg));
    }
    template <std::unsigned_integral T>
    void set_config(std::uint32_t slot, std::uint32_t reg, T value) {
        write(ecam(slot, reg), value);
    }
    // On the loop's thread, after everything that was posted before; doorbells that rang have been heard.
    template <class F>
    auto on_loop(F&& work) {
        return loop->call(std::forward<F>(work));
    }

    std::unique_ptr<Loop> loop = must(Loop::create());
    std::unique_ptr<GuestMemory> memory;
    Bus mmio{"mmio"};
    FakeInterrupts interrupts;
    FakeDoorbells doorbells;
    std::unique_ptr<PciHost> host;
    std::thread thread;
};

// A virtio device on the board's PCI bus; goes before the board.
struct Plugged {
    Plugged(Board& board, std::optional<std::uint8_t> slot = std::nullopt,
            std::unique_ptr<EchoDevice> made = std::make_unique<EchoDevice>())
        : device(std::move(made)), core(*device, *board.memory) {
        board.on_loop([&] {
            pci = must(VirtioPci::create(*board.host, core, board.interrupts, board.doorbells, slot));
        });
        loop = board.loop.get();
    }
    ~Plugged() {
        loop->call([&] {
            (void)core.pause();
            pci.reset();
        });
    }

    Loop* loop;
    std::unique_ptr<EchoDevice> device;
    virtio::Core core;
    std::unique_ptr<VirtioPci> pci;
};

} // namespace godwit::pci::testing
