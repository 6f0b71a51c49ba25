// SPDX-License-Identifier: Apache-2.0
//
// A machine without vCPUs: one transport with the device that is attacked and another one, a loop that really
// runs, RAM full of a pattern, and the device state as it migrates.
#pragma once

#include "guest-tests/hostile/station.h"
#include "transports/ccw/test_support.h"
#include "transports/pci/driver_support.h"

#include <memory>
#include <string>
#include <vector>

namespace godwit::hostile {

enum class Transport { Pci, Ccw };

// A range of guest memory.
struct Range {
    Gpa at;
    std::uint64_t length;
};

// Small, since all of it is filled, copied and compared.
inline constexpr std::uint64_t kRamSize = 0x40000;
inline constexpr std::uint64_t kVictimMemory = 0x10000, kBystanderMemory = kVictimMemory + Station::kRegion;
static_assert(kBystanderMemory + Station::kRegion <= kRamSize);

class Machine {
  public:
    static std::unique_ptr<Machine> make(Transport transport, Kind victim, const StationOptions& options);
    virtual ~Machine() = default;

    virtual Loop& loop() = 0;
    virtual GuestMemory& memory() = 0;
    Station& victim() { return *victim_; }
    Station& bystander() { return *bystander_; }
    // Where the transport itself may write for the driver.
    virtual std::vector<Range> transport_memory() const = 0;
    // All that was posted before has run.
    void turn() {
        loop().call([] {});
    }

    // ---- moving

    // Nothing moves until resume().
    void pause();
    void resume();
    // The sections of both devices and what the transport has beside them, paused.
    Result<std::vector<Bytes>> save();
    // Takes over the memory and the drivers of a machine that was saved, and its state; paused afterwards.
    Status load(const std::vector<Bytes>& sections, Machine& from);

    // ---- one of the two is there
    virtual pci::testing::Board& pci_board();
    virtual ccw::testing::Guest& ccw_guest();

    // RAM, with a pattern that repeats nowhere near. Before anything is set up.
    void fill_memory();

  protected:
    // In the order of the stream.
    std::vector<StateSection*> sections();
    virtual StateSection* transport_section() { return nullptr; }
    virtual void pause_transport() {}
    virtual void resume_transport() {}

    std::unique_ptr<Station> victim_, bystander_;
};

} // namespace godwit::hostile
