// SPDX-License-Identifier: Apache-2.0
//
// A hostile driver of a virtio device on the PCI bus: configuration space, BARs, registers, the MSI-X table
// and doorbells by accesses of every width, in any order; and the device's state as it comes in a stream.
#include "transports/pci/driver_support.h"
#include "vmm/base/fuzz.h"

namespace {

using namespace godwit;
using namespace godwit::pci;
using namespace godwit::pci::testing;

constexpr unsigned kMostActions = 200;

class Driver {
  public:
    Driver(Board& board, Plugged& plugged, fuzz::Input& in) : board_(board), plugged_(plugged), in_(in) {}

    // On the loop's thread. False: the loop should have a turn.
    bool act() {
        const std::uint8_t what = in_.byte();
        switch (what % 12) {
        case 0:
        case 1: // registers of the function, of the bridge, of nobody
            access(kEcam + (what / 12 % 4 << kEcamSlotShift) + in_.word() % 0x140);
            break;
        case 2:
            access(driver_.modern_at() + in_.word() % 0x4010);
            break;
        case 3:
            access(driver_.msix_at() + in_.word() % 0x1010);
            break;
        case 4:
            access(what < 200 ? kWindow32 + in_.number<std::uint32_t>() % 0x2000'0000
                              : in_.number<std::uint64_t>());
            break;
        case 5:
            driver_.config_write(PCI_BASE_ADDRESS_0 + 4 * (in_.byte() % 6), in_.number<std::uint32_t>());
            break;
        case 6: {
            const bool msix = in_.byte() % 2 == 0;
            driver_.enable();
            if (msix) {
                driver_.enable_msix();
                driver_.open_vector(in_.byte() % 4);
            }
            driver_.negotiate();
            driver_.set_up_queue(0, ring_, msix ? in_.word() : VIRTIO_MSI_NO_VECTOR);
            driver_.go();
            break;
        }
        case 7:
            ring_.chain().writable(Gpa{0x8000u + in_.byte() * 0x100u}, in_.word()).offer();
            (void)board_.doorbells.ring(driver_.doorbell(in_.byte() % 3));
            return false;
        case 8:
            (void)plugged_.core.pause();
            check(load(save()), "what was saved can be loaded");
            plugged_.core.discard_load();
            (void)plugged_.core.resume();
            break;
        case 9:
            changed_state();
            break;
        case 10:
            driver_.config_write(PCI_COMMAND, in_.word());
            break;
        default:
            return false;
        }
        return true;
    }

  private:
    static void check(const Status& status, std::string_view what) {
        fuzz::require(status.ok(), status.ok() ? what : status.error().text);
    }
    void access(std::uint64_t address) {
        std::array<std::byte, 16> bytes{};
        const std::uint8_t how = in_.byte();
        const auto data = std::span{bytes}.first(how % 17);
        if ((how & 0x80) != 0) {
            (void)board_.mmio.read(address, data);
            return;
        }
        const auto given = in_.take(data.size());
        std::copy(given.begin(), given.end(), data.begin());
        board_.mmio.write(address, data);
    }
    std::vector<std::byte> save() {
        StateWriter writer{"virtio-echo", 1};
        must(plugged_.core.save(writer));
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    Status load(std::span<const std::byte> bytes) {
        ByteReader in{bytes};
        StateReader reader{in, "virtio-echo"};
        TRY(plugged_.core.load(reader, 1));
        return in.at_end() ? Status{} : corrupt("{} bytes left", in.remaining());
    }
    // The transport's fields come first: 340 bytes of configuration space, vectors and tables, and the rest.
    void changed_state() {
        (void)plugged_.core.pause();
        auto bytes = save();
        for (unsigned left = 1 + in_.byte() % 4; left != 0; --left) {
            const std::size_t at = in_.word() % 600;
            const auto value = in_.take(1 + in_.byte() % 4);
            if (at + value.size() <= bytes.size())
                std::copy(value.begin(), value.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
        }
        if (load(bytes).ok()) {
            must(plugged_.core.commit_load());
            check(load(save()), "what was taken can be given on");
        }
        plugged_.core.discard_load();
        (void)plugged_.core.resume();
    }

    Board& board_;
    Plugged& plugged_;
    fuzz::Input& in_;
    PciDriver driver_{board_};
    virtio::FakeDriver ring_{*board_.memory, 16, Gpa{0x4000}};
};

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    const auto seed = [](std::initializer_list<unsigned> bytes) {
        Bytes out;
        for (const unsigned byte : bytes)
            out.push_back(static_cast<std::byte>(byte));
        return out;
    };
    return {
        // Up with MSI-X, a buffer, a turn, a pause, the interrupt's state.
        {"msix", seed({6, 0, 1, 1, 0, 7, 1, 16, 0, 0, 11, 8, 2, 0, 8, 0x81})},
        {"intx", seed({6, 1, 7, 1, 16, 0, 0, 11, 8, 2, 0, 8, 0x81})},
        // Sizes of BARs, a BAR elsewhere, the command register, the table, accesses of odd widths.
        {"registers",
         seed({5, 1, 0xff, 0xff, 0xff, 0xff, 12, 0x14, 0, 0x84, 5, 1,  0, 0, 0, 0xc1, 10, 6, 4,  6, 0, 1,
               1, 0, 3,    8,    0,    4,    1,  2,    3, 4,    3, 12, 0, 3, 1, 0,    0,  2, 20, 0, 1, 0})},
        {"state", seed({6, 0, 1, 1, 0, 9, 0, 4, 0, 0, 1, 9, 1, 20, 1, 1, 7, 7, 3, 0, 0, 8})},
    };
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input in{data, size};
    Board board;
    Plugged plugged{board, 1};
    Driver driver{board, plugged, in};
    unsigned left = kMostActions;
    while (!in.empty() && left != 0)
        board.on_loop([&] {
            while (!in.empty() && left != 0) {
                --left;
                if (!driver.act())
                    return;
            }
        });
    return 0;
}
