// SPDX-License-Identifier: Apache-2.0
//
// Rings and chains that a driver must not make: virtio 1.2 section 2.7.
#include "guest-tests/hostile/attack.h"
#include "guest-tests/hostile/tables.h"

namespace godwit::hostile {

using namespace virtio;

namespace {

constexpr Target kFilled[] = {kBlk, kNetRx, kRng};             // the device writes more than an answer
constexpr Target kNotCtrl[] = {kBlk, kNetRx, kNetTx, kRng};    // chains of one turn are used together
constexpr Target kAnswered[] = {kBlk, kNetTx, kNetCtrl, kRng}; // without anything coming from the host
constexpr std::uint64_t kTop = ~std::uint64_t{0};

// Offers a good chain after `spoil` has had its descriptors.
std::function<void(Attack&)> chain(std::function<void(Attack&, Descriptors&)> spoil) {
    return [spoil = std::move(spoil)](Attack& a) {
        Descriptors all = a.good_chain();
        spoil(a, all);
        (void)a.offer(all);
        a.kick();
    };
}

// Places a good chain, lets `spoil` change the ring, and offers it.
std::function<void(Attack&)> placed(std::function<void(Attack&, std::uint16_t)> spoil) {
    return [spoil = std::move(spoil)](Attack& a) {
        auto builder = a.ring().chain();
        for (const virtq_desc& desc : a.good_chain())
            builder.add(desc);
        const std::uint16_t head = builder.place();
        spoil(a, head);
        a.kick();
    };
}

std::function<void(Attack&)> with_last(std::function<void(Attack&, virtq_desc&)> spoil) {
    return chain([spoil = std::move(spoil)](Attack& a, Descriptors& all) { spoil(a, all.back()); });
}

} // namespace

std::vector<Case> ring_cases() {
    return {
        // ---- the available and the used ring
        {.rule = "available index one more than the queue size ahead",
         .section = "2.7.6",
         .targets = kQueues,
         .act =
             [](Attack& a) {
                 a.ring().set_avail_index(
                     static_cast<std::uint16_t>(a.ring().avail_index() + a.ring().size() + 1));
                 a.kick();
             }},
        {.rule = "available index half a turn ahead",
         .section = "2.7.6",
         .targets = kQueues,
         .act =
             [](Attack& a) {
                 a.ring().set_avail_index(static_cast<std::uint16_t>(a.ring().avail_index() + 0x8000));
                 a.kick();
             }},
        {.rule = "available index goes back by one",
         .section = "2.7.13.3",
         .targets = kQueues,
         .act =
             [](Attack& a) {
                 a.ring().set_avail_index(static_cast<std::uint16_t>(a.ring().avail_index() - 1));
                 a.kick();
             }},
        {.rule = "head is the queue size",
         .section = "2.7.6",
         .targets = kQueues,
         .act =
             [](Attack& a) {
                 a.ring().offer(a.ring().size());
                 a.kick();
             }},
        {.rule = "head is 0xffff",
         .section = "2.7.6",
         .targets = kQueues,
         .act =
             [](Attack& a) {
                 a.ring().offer(0xffff);
                 a.kick();
             }},
        {.rule = "the same head twice in flight",
         .section = "2.7.13.1",
         .targets = kNotCtrl,
         .act = placed([](Attack& a, std::uint16_t head) {
             a.ring().offer(head);
             a.ring().offer(head);
         })},
        {.rule = "the same head in all entries of the ring",
         .section = "2.7.13.1",
         .targets = kNotCtrl,
         .act = placed([](Attack& a, std::uint16_t head) {
             for (std::uint16_t i = 0; i < a.ring().size(); ++i)
                 a.ring().offer(head);
         })},
        {.rule = "reserved bits in the available ring's flags",
         .section = "2.7.6",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "they are ignored",
         .act =
             [](Attack& a) {
                 a.ring().set_avail_flags(0xfffe);
                 a.serve(a.good_chain());
             }},
        {.rule = "a used event that the ring does not reach",
         .section = "2.7.7.1",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "the request is used",
         .act =
             [](Attack& a) {
                 a.ring().set_used_event(0x7fff);
                 a.serve(a.good_chain());
             },
         .options = {.features_on = feature(VIRTIO_F_EVENT_IDX)}},
        {.rule = "the driver writes the used index",
         .section = "2.7.8.2",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect =
             "the device does not look; it needs a reset once it was paused, so that its state can be loaded",
         .act =
             [](Attack& a) {
                 a.ring().set_used_index(0x1234);
                 a.seal();
             },
         .broken_by_pause = true},
        {.rule = "the available index is too far ahead, and no doorbell",
         .section = "2.7.6",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect =
             "the device does not look; it needs a reset once it was paused, so that its state can be loaded",
         .act =
             [](Attack& a) {
                 a.ring().set_avail_index(0x4000);
                 a.seal();
             },
         .broken_by_pause = true},
        {.rule = "the driver writes the used ring's flags",
         .section = "2.7.10.1",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "they are overwritten",
         .act =
             [](Attack& a) {
                 must(a.memory().write(a.ring().addresses().device, std::uint16_t{0xffff}));
                 a.serve(a.good_chain());
             }},

        // ---- descriptors
        {.rule = "next is the queue size",
         .section = "2.7.5.2",
         .targets = kQueues,
         .act = with_last([](Attack& a, virtq_desc& last) {
             last.flags |= VIRTQ_DESC_F_NEXT;
             last.next = a.ring().size();
         })},
        {.rule = "next is 0xffff",
         .section = "2.7.5.2",
         .targets = kQueues,
         .act = with_last([](Attack&, virtq_desc& last) {
             last.flags |= VIRTQ_DESC_F_NEXT;
             last.next = 0xffff;
         })},
        {.rule = "a descriptor is its own next",
         .section = "2.7.5.2",
         .targets = kQueues,
         .act =
             [](Attack& a) {
                 virtq_desc last = a.good_chain().back();
                 last.flags |= VIRTQ_DESC_F_NEXT;
                 last.next = 3;
                 a.ring().set_desc(3, last);
                 a.ring().offer(3);
                 a.kick();
             }},
        {.rule = "two descriptors are each other's next",
         .section = "2.7.5.2",
         .targets = kQueues,
         .act =
             [](Attack& a) {
                 virtq_desc last = a.good_chain().back();
                 last.flags |= VIRTQ_DESC_F_NEXT;
                 for (std::uint16_t i = 4; i < 6; ++i) {
                     last.next = static_cast<std::uint16_t>(9 - i);
                     a.ring().set_desc(i, last);
                 }
                 a.ring().offer(4);
                 a.kick();
             }},
        {.rule = "the last descriptor goes back to the head",
         .section = "2.7.5.2",
         .targets = kQueues,
         .act = chain([](Attack&, Descriptors& all) {
             all.back().flags |= VIRTQ_DESC_F_NEXT;
             all.back().next = 0;
         })},
        {.rule = "a chain through the whole table that does not end",
         .section = "2.7.5.2",
         .targets = kQueues,
         .act =
             [](Attack& a) {
                 virtq_desc last = a.good_chain().back();
                 last.flags |= VIRTQ_DESC_F_NEXT;
                 for (std::uint16_t i = 0; i < a.ring().size(); ++i) {
                     last.next = static_cast<std::uint16_t>((i + 1) % a.ring().size());
                     a.ring().set_desc(i, last);
                 }
                 a.ring().offer(0);
                 a.kick();
             }},
        {.rule = "a first descriptor of no bytes",
         .section = "2.7.5",
         .targets = kQueues,
         .act = chain([](Attack&, Descriptors& all) { all.front().len = 0; })},
        {.rule = "a last descriptor of no bytes",
         .section = "2.7.5",
         .targets = kQueues,
         .act = with_last([](Attack&, virtq_desc& last) { last.len = 0; })},
        {.rule = "a descriptor of 0xffffffff bytes",
         .section = "2.7.5.2",
         .targets = kQueues,
         .act = with_last([](Attack&, virtq_desc& last) { last.len = 0xffffffff; })},
        {.rule = "a buffer outside of RAM",
         .section = "2.7.5",
         .targets = kQueues,
         .act = with_last([](Attack& a, virtq_desc& last) { last.addr = a.ram_end() + 0x10000; })},
        {.rule = "a buffer that begins where RAM ends",
         .section = "2.7.5",
         .targets = kQueues,
         .act = with_last([](Attack& a, virtq_desc& last) { last.addr = a.ram_end(); })},
        {.rule = "a buffer of which the last byte is outside of RAM",
         .section = "2.7.5",
         .targets = kQueues,
         .act = with_last([](Attack& a, virtq_desc& last) { last.addr = a.ram_end() - last.len + 1; })},
        {.rule = "a buffer in the registers of the transport",
         .section = "2.7.5",
         .targets = kQueues,
         .act = with_last([](Attack& a, virtq_desc& last) { last.addr = a.mmio(); })},
        {.rule = "a buffer from 4 GiB on, where there is no RAM",
         .section = "2.7.5",
         .targets = kQueues,
         .act = with_last([](Attack&, virtq_desc& last) { last.addr = std::uint64_t{1} << 32; })},
        {.rule = "a buffer that wraps at 2^64",
         .section = "2.7.5",
         .targets = kQueues,
         .act = with_last([](Attack&, virtq_desc& last) {
             last.addr = kTop - 3;
             last.len = 0x1000;
         })},
        {.rule = "a buffer at the last byte of the address space",
         .section = "2.7.5",
         .targets = kQueues,
         .act = with_last([](Attack&, virtq_desc& last) { last.addr = kTop; })},
        {.rule = "a first buffer outside of RAM, good ones behind it",
         .section = "2.7.5",
         .targets = kQueues,
         .act = chain([](Attack& a, Descriptors& all) { all.front().addr = a.ram_end() + 0x10000; })},
        {.rule = "a readable descriptor behind a writable one",
         .section = "2.7.4.2",
         .targets = kQueues,
         .act = chain([](Attack& a, Descriptors& all) {
             all.push_back(a.writable(a.scratch(0x4000), 16));
             all.push_back(a.readable(a.scratch(0x5000), 16));
         })},
        {.rule = "readable and writable descriptors in turn",
         .section = "2.7.4.2",
         .targets = kQueues,
         .act = chain([](Attack& a, Descriptors& all) {
             all = {a.readable(a.scratch(0x3000), 16), a.writable(a.scratch(0x4000), 16),
                    a.readable(a.scratch(0x5000), 16), a.writable(a.scratch(0x6000), 16)};
         })},
        {.rule = "reserved bits in a descriptor's flags",
         .section = "2.7.5",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "they are ignored",
         .act =
             [](Attack& a) {
                 Descriptors all = a.good_chain();
                 for (virtq_desc& desc : all)
                     desc.flags |= 0xfff8;
                 a.serve(all);
             }},
        {.rule = "a next beyond the table, without the flag for it",
         .section = "2.7.5",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "it is ignored",
         .act =
             [](Attack& a) {
                 Descriptors all = a.good_chain();
                 all.back().next = 0xffff;
                 a.serve(all);
             }},
        {.rule = "a buffer over the queue's own descriptor table",
         .section = "2.7.5.2",
         .targets = kFilled,
         .outcome = Outcome::Harmless,
         .effect = "descriptors were copied, the request is served",
         .act =
             [](Attack& a) {
                 const std::uint64_t end = a.ring().addresses().desc.value + 16u * a.ring().size();
                 const Descriptors all = a.good_chain();
                 a.serve(a.filled_at(Gpa{end - (all.size() == 1 ? all.front() : all.at(1)).len}));
             }},
        {.rule = "a buffer over the queue's own used ring",
         .section = "2.7.8.2",
         .targets = kFilled,
         .outcome = Outcome::Harmless,
         .effect = "the request is served, the used ring is written after it",
         .act = [](Attack& a) { a.serve(a.filled_at(a.ring().addresses().device)); }},
        {.rule = "a buffer over the queue's own available ring",
         .section = "2.7.6.1",
         .targets = kFilled,
         .act =
             [](Attack& a) {
                 a.serve(a.filled_at(a.ring().addresses().driver));
                 a.kick();
             }},
        {.rule = "two chains in flight with the same buffers",
         .section = "2.7.13.1",
         .targets = kAnswered,
         .outcome = Outcome::Harmless,
         .effect = "both are served",
         .act =
             [](Attack& a) {
                 const Descriptors all = a.good_chain();
                 (void)a.offer(all);
                 a.serve(all);
                 (void)a.answer();
             }},
    };
}

} // namespace godwit::hostile
