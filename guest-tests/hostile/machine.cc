// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/machine.h"

#include "guest-tests/hostile/ccw_machine.h"
#include "guest-tests/hostile/pci_machine.h"

#include <cstring>

namespace godwit::hostile {

using virtio::must;

std::unique_ptr<Machine> Machine::make(Transport transport, Kind victim, const StationOptions& options) {
    if (transport == Transport::Pci)
        return std::make_unique<PciMachine>(victim, options);
    return std::make_unique<CcwMachine>(victim, options);
}

pci::testing::Board& Machine::pci_board() {
    throw std::logic_error{"a case for PCI on another transport"};
}

ccw::testing::Guest& Machine::ccw_guest() {
    throw std::logic_error{"a case for channel I/O on another transport"};
}

void Machine::fill_memory() {
    static const Bytes bytes = [&] {
        Bytes all(memory().size());
        for (std::uint64_t i = 0; i < all.size(); ++i)
            all[i] = static_cast<std::byte>(i * 7 + (i >> 8) * 13 + 5);
        return all;
    }();
    must(memory().write(Gpa{0}, bytes));
}

void Machine::pause() {
    loop().call([&] {
        pause_transport();
        must(victim_->core().pause());
        must(bystander_->core().pause());
    });
}

void Machine::resume() {
    loop().call([&] {
        must(victim_->core().resume());
        must(bystander_->core().resume());
        resume_transport();
    });
}

std::vector<StateSection*> Machine::sections() {
    std::vector<StateSection*> all{&victim_->core(), &bystander_->core()};
    if (StateSection* const more = transport_section())
        all.push_back(more);
    return all;
}

Result<std::vector<Bytes>> Machine::save() {
    return loop().call([&]() -> Result<std::vector<Bytes>> {
        std::vector<Bytes> saved;
        for (StateSection* const section : sections()) {
            StateWriter writer{section->id().record, section->id().version};
            TRY(section->save(writer));
            saved.emplace_back(writer.bytes().begin(), writer.bytes().end());
        }
        return saved;
    });
}

Status Machine::load(const std::vector<Bytes>& saved, Machine& from) {
    std::memcpy(memory().host(RamOffset{}), from.memory().host(RamOffset{}), memory().size());
    victim_->continue_as(from.victim());
    bystander_->continue_as(from.bystander());
    return loop().call([&]() -> Status {
        pause_transport();
        const auto all = sections();
        for (std::size_t i = 0; i < all.size(); ++i) {
            ByteReader in{saved.at(i)};
            StateReader reader{in, all[i]->id().record};
            TRY(all[i]->load(reader, all[i]->id().version));
            if (!in.at_end())
                return corrupt("{} bytes of {} are left", in.remaining(), all[i]->id().record);
        }
        for (StateSection* const section : all)
            TRY(section->commit_load());
        return {};
    });
}

} // namespace godwit::hostile
