// SPDX-License-Identifier: Apache-2.0
//
// Indirect descriptors: virtio 1.2 section 2.7.5.3.
#include "guest-tests/hostile/attack.h"
#include "guest-tests/hostile/tables.h"

namespace godwit::hostile {

using namespace virtio;

namespace {

constexpr Target kIndirect[] = {kBlk, kNetRx, kNetTx};
constexpr Target kFilled[] = {kBlk, kNetRx, kRng}; // the device writes more than an answer
constexpr std::uint64_t kTop = ~std::uint64_t{0};

// Offers an indirect table at scratch(0x8000) with a good chain after `spoil` has had it; by a descriptor
// that `spoil_reference` has had.
std::function<void(Attack&)> indirect(std::function<void(Attack&, Descriptors&)> spoil,
                                      std::function<void(Attack&, virtq_desc&)> spoil_reference = {}) {
    return [spoil = std::move(spoil), spoil_reference = std::move(spoil_reference)](Attack& a) {
        Descriptors table = a.good_chain();
        for (std::size_t i = 0; i + 1 < table.size(); ++i) {
            table[i].flags |= VIRTQ_DESC_F_NEXT;
            table[i].next = static_cast<std::uint16_t>(i + 1);
        }
        if (spoil)
            spoil(a, table);
        const Gpa at = a.scratch(0x8000);
        for (std::size_t i = 0; i < table.size(); ++i)
            must(a.memory().write(Gpa{at.value + 16 * i}, table[i]));
        virtq_desc reference{at.value, static_cast<std::uint32_t>(16 * table.size()), VIRTQ_DESC_F_INDIRECT,
                             0};
        if (spoil_reference)
            spoil_reference(a, reference);
        a.ring().set_desc(0, reference);
        a.ring().offer(0);
        a.kick();
    };
}

std::function<void(Attack&)> reference(std::function<void(Attack&, virtq_desc&)> spoil) {
    return indirect({}, std::move(spoil));
}

} // namespace

std::vector<Case> indirect_cases() {
    return {
        {.rule = "an indirect descriptor without the feature",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = indirect({}),
         .options = {.features_off = feature(VIRTIO_F_INDIRECT_DESC)}},
        {.rule = "an indirect descriptor with a next one",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = reference([](Attack&, virtq_desc& to) {
             to.flags |= VIRTQ_DESC_F_NEXT;
             to.next = 1;
         })},
        {.rule = "an indirect table of no bytes",
         .section = "2.7.5.3",
         .targets = kIndirect,
         .act = reference([](Attack&, virtq_desc& to) { to.len = 0; })},
        {.rule = "an indirect table of half a descriptor",
         .section = "2.7.5.3",
         .targets = kIndirect,
         .act = reference([](Attack&, virtq_desc& to) { to.len = 8; })},
        {.rule = "an indirect table of one descriptor and a byte",
         .section = "2.7.5.3",
         .targets = kIndirect,
         .act = reference([](Attack&, virtq_desc& to) { to.len = 17; })},
        {.rule = "an indirect table of 1025 descriptors",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = reference([](Attack&, virtq_desc& to) { to.len = 16 * 1025; })},
        {.rule = "an indirect table of nearly 4 GiB",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = reference([](Attack&, virtq_desc& to) { to.len = 0xfffffff0; })},
        {.rule = "an indirect table outside of RAM",
         .section = "2.7.5.3",
         .targets = kIndirect,
         .act = reference([](Attack& a, virtq_desc& to) { to.addr = a.ram_end() + 0x1000; })},
        {.rule = "an indirect table that ends outside of RAM",
         .section = "2.7.5.3",
         .targets = kIndirect,
         .act = reference([](Attack& a, virtq_desc& to) {
             to.addr = a.ram_end() - 16;
             to.len = 32;
         })},
        {.rule = "an indirect table that wraps at 2^64",
         .section = "2.7.5.3",
         .targets = kIndirect,
         .act = reference([](Attack&, virtq_desc& to) {
             to.addr = kTop - 15;
             to.len = 64;
         })},
        {.rule = "an indirect table in the registers of the transport",
         .section = "2.7.5.3",
         .targets = kIndirect,
         .act = reference([](Attack& a, virtq_desc& to) { to.addr = a.mmio(); })},
        {.rule = "an indirect table over the queue's descriptor table",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = reference([](Attack& a, virtq_desc& to) {
             to.addr = a.ring().addresses().desc.value;
             to.len = 16u * a.ring().size();
         })},
        {.rule = "an indirect table over the queue's available ring",
         .section = "2.7.5.3",
         .targets = kIndirect,
         .act = reference([](Attack& a, virtq_desc& to) {
             to.addr = a.ring().addresses().driver.value;
             to.len = 16;
         })},
        {.rule = "an indirect descriptor in an indirect table",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = indirect([](Attack& a, Descriptors& table) {
             table.front() = {a.scratch(0x9000).value, 16, VIRTQ_DESC_F_INDIRECT, 0};
         })},
        {.rule = "next beyond the indirect table",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = indirect([](Attack&, Descriptors& table) {
             table.back().flags |= VIRTQ_DESC_F_NEXT;
             table.back().next = static_cast<std::uint16_t>(table.size());
         })},
        {.rule = "a descriptor of an indirect table is its own next",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = indirect([](Attack&, Descriptors& table) {
             table.back().flags |= VIRTQ_DESC_F_NEXT;
             table.back().next = static_cast<std::uint16_t>(table.size() - 1);
         })},
        {.rule = "a loop through an indirect table",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .act = indirect([](Attack&, Descriptors& table) {
             table.back().flags |= VIRTQ_DESC_F_NEXT;
             table.back().next = 0;
         })},
        {.rule = "a descriptor of no bytes in an indirect table",
         .section = "2.7.5",
         .targets = kIndirect,
         .act = indirect([](Attack&, Descriptors& table) { table.back().len = 0; })},
        {.rule = "a buffer outside of RAM in an indirect table",
         .section = "2.7.5",
         .targets = kIndirect,
         .act = indirect([](Attack& a, Descriptors& table) { table.back().addr = a.ram_end(); })},
        {.rule = "a readable descriptor behind a writable one in an indirect table",
         .section = "2.7.4.2",
         .targets = kIndirect,
         .act = indirect([](Attack& a, Descriptors& table) {
             table = {a.writable(a.scratch(0x4000), 16), a.readable(a.scratch(0x5000), 16)};
             table[0].flags |= VIRTQ_DESC_F_NEXT;
             table[0].next = 1;
         })},
        {.rule = "the reference to an indirect table is marked writable",
         .section = "2.7.5.3.2",
         .targets = kIndirect,
         .outcome = Outcome::Harmless,
         .effect = "the mark is ignored",
         .act =
             [](Attack& a) {
                 reference([](Attack&, virtq_desc& to) { to.flags |= VIRTQ_DESC_F_WRITE; })(a);
                 a.expect_used();
             }},
        {.rule = "an indirect chain longer than the queue",
         .section = "2.7.5.3.1",
         .targets = kIndirect,
         .outcome = Outcome::Harmless,
         .effect = "up to 1024 descriptors are taken",
         .act =
             [](Attack& a) {
                 Descriptors all = a.good_chain();
                 const std::size_t longest = all.size() == 1 ? 0 : 1;
                 Descriptors pieces;
                 for (std::size_t i = 0; i < all.size(); ++i) {
                     const std::uint32_t count = i == longest ? 20 : 1;
                     for (std::uint32_t k = 0; k < count; ++k) {
                         virtq_desc piece = all[i];
                         const std::uint32_t each = piece.len / count;
                         piece.addr += k * each;
                         piece.len = k + 1 == count ? piece.len - k * each : each;
                         pieces.push_back(piece);
                     }
                 }
                 a.offer_indirect(pieces, a.scratch(0x8000));
                 a.kick();
                 a.expect_used();
             }},
        {.rule = "a buffer over its own indirect table",
         .section = "2.7.5.3",
         .targets = kFilled,
         .outcome = Outcome::Harmless,
         .effect = "descriptors were copied, the request is served",
         .act =
             [](Attack& a) {
                 a.offer_indirect(a.filled_at(a.scratch(0x8000)), a.scratch(0x8000));
                 a.kick();
                 a.expect_used();
             }},
    };
}

} // namespace godwit::hostile
