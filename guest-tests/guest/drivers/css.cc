// SPDX-License-Identifier: Apache-2.0
#include "drivers/css.h"

#include "machine/acpi.h"
#include "machine/clock.h"
#include "machine/io.h"

#include <array>

namespace guest::css {
namespace {

constinit OperationBlock block alignas(64){};
constinit std::array<u64, 4> claimed{}; // a bit for each subchannel
constinit bool looked = false, there = false, open = false;

struct Watched {
    Subchannel* subchannel;
    StatusClient* client;
};
constinit std::array<Watched, 4> watched{};
constinit std::size_t watched_count = 0;

// Test pending interruption until there is none, and test subchannel for each.
class StatusInterrupts final : public interrupts::Client {
  public:
    void interrupted() override {
        InterruptionCode code;
        while (operate(TestPendingInterruption, 0, &code) == 1)
            for (std::size_t i = 0; i < watched_count; ++i)
                if (watched[i].subchannel->id() == code.subchannel)
                    watched[i].subchannel->take_status();
    }
};

class AdapterInterrupts final : public interrupts::Client {
  public:
    void interrupted() override {
        for (std::size_t i = 0; i < watched_count; ++i)
            watched[i].client->adapter_interrupted();
    }
};

constinit StatusInterrupts status_interrupts;
constinit AdapterInterrupts adapter_interrupts;

} // namespace

bool present() {
    if (looked)
        return there;
    looked = true;
    if (platform.channels.address == 0)
        platform.channels = {usual_window, usual_status_gsi, usual_adapter_gsi};
    there = read_register<u32>(register_address(Id)) == id_value &&
            read_register<u32>(register_address(Version)) == version_value;
    return there;
}

u64 register_address(u64 offset) {
    return platform.channels.address + offset;
}

u32 operate(Function function, u32 subchannel, u64 operand, u64 operand2) {
    block = {function, subchannel, operand, operand2, never_done, 0, 0};
    write_register<u64>(register_address(Operation), reinterpret_cast<u64>(&block));
    return block.outcome;
}

u32 operate(Function function, u32 subchannel, const void* operand, u64 operand2) {
    return operate(function, subchannel, reinterpret_cast<u64>(operand), operand2);
}

u64 last_result() {
    return block.result;
}

bool claim(u32 number) {
    u64& word = claimed[number / 64 % claimed.size()];
    u64 bit = u64{1} << number % 64;
    bool free = (word & bit) == 0;
    word |= bit;
    return free;
}

void release(u32 number) {
    claimed[number / 64 % claimed.size()] &= ~(u64{1} << number % 64);
}

bool Subchannel::find(u32 number) {
    number_ = number;
    Schib schib;
    if (operate(StoreSubchannel, id(), &schib) != 0)
        return false;
    device_number_ = schib.pmcw.device;
    return true;
}

bool Subchannel::enable(bool on, u8 isc) {
    Schib schib;
    if (operate(StoreSubchannel, id(), &schib) != 0)
        return false;
    u16 kept = schib.pmcw.flags & pmcw_device_valid;
    schib.pmcw.flags = static_cast<u16>(kept | isc << pmcw_isc_shift | (on ? pmcw_enabled : 0));
    schib.pmcw.parameter = number_;
    schib.pmcw.characteristics = pmcw_concurrent_sense;
    while (operate(ModifySubchannel, id(), &schib) == 1)
        take_status();
    if (operate(StoreSubchannel, id(), &schib) != 0)
        return false;
    return ((schib.pmcw.flags & pmcw_enabled) != 0) == on;
}

u16 Subchannel::control_unit_model() {
    static constinit SenseId identity{};
    if (run(SenseIdentity, &identity, sizeof identity) != Outcome::Done)
        return 0;
    u16 type = static_cast<u16>(identity.control_unit_type[0] << 8 | identity.control_unit_type[1]);
    return type == virtio_control_unit ? identity.control_unit_model : u16{0};
}

bool Subchannel::take_status() {
    if (operate(TestSubchannel, id(), &irb_) != 0)
        return false;
    if (client_ != nullptr)
        client_->status_taken();
    return true;
}

bool Subchannel::start(Orb& orb) {
    for (;;) {
        u32 outcome = operate(StartSubchannel, id(), &orb);
        if (outcome != 1)
            return outcome == 0;
        take_status(); // an indicator was set since we looked
    }
}

// Status that the device gave on its own may come first; the end of the program is primary status.
Outcome Subchannel::run(Command command, const void* data, u16 count) {
    constexpr u64 patience = 20 * second;
    static constinit Ccw ccw{};
    static constinit Orb orb{};
    ccw = {command, 0, count, static_cast<u32>(reinterpret_cast<u64>(data))};
    orb.parameter = number_;
    orb.flags = orb_format1;
    orb.path_mask = 0x80;
    orb.program = static_cast<u32>(reinterpret_cast<u64>(&ccw));
    if (!start(orb))
        return Outcome::Failed;
    for (u64 give_up = clock.now() + patience; clock.now() < give_up;) {
        if (!take_status())
            continue;
        const Scsw& scsw = irb_.scsw;
        if ((scsw.control & scsw_start) == 0 || (scsw.control & scsw_primary) == 0)
            continue;
        if ((scsw.device_status & unit_check) != 0)
            return Outcome::Rejected;
        bool normal = scsw.device_status == (channel_end | device_end) && scsw.subchannel_status == 0;
        return normal ? Outcome::Done : Outcome::Failed;
    }
    return Outcome::Failed;
}

bool watch(Subchannel& subchannel, StatusClient& client) {
    if (watched_count == watched.size())
        return false;
    watched[watched_count++] = {&subchannel, &client};
    subchannel.tell(client);
    return true;
}

// The pins first: an edge that meets a masked one is lost.
void open_subclasses() {
    if (open)
        return;
    open = true;
    interrupts::take_edges(platform.channels.status_gsi, VECTOR_SUBCHANNELS, status_interrupts);
    interrupts::take_edges(platform.channels.adapter_gsi, VECTOR_ADAPTERS, adapter_interrupts);
    write_register<u32>(register_address(IscMask), 0x80u >> status_isc | 0x80u >> adapter_isc);
}

} // namespace guest::css
