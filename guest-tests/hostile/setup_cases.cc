// SPDX-License-Identifier: Apache-2.0
//
// Queues that are set up as they must not be.
#include "guest-tests/hostile/attack.h"
#include "guest-tests/hostile/tables.h"

namespace godwit::hostile {

using namespace virtio;

namespace {

constexpr std::uint64_t kTop = ~std::uint64_t{0};
constexpr Target kTwoQueues[] = {kBlk, kNetRx};

// What a driver says of a queue.
struct Setup {
    std::uint16_t queue;
    std::uint16_t size;
    QueueAddresses at;
};

Setup good(Attack& a) {
    return {a.queue(), a.ring().size(), a.ring().addresses()};
}

bool give(Attack& a, const Setup& setup) {
    return a.driver().set_queue(setup.queue, setup.size, setup.at);
}

const QueueSetup& known(Attack& a) {
    return *a.victim().core().queue(a.queue());
}

// Gives a queue that is wrong; it must not be taken.
std::function<void(Attack&)> wrong(std::function<void(Attack&, Setup&)> spoil) {
    return [spoil = std::move(spoil)](Attack& a) {
        Setup setup = good(a);
        spoil(a, setup);
        a.expect(!give(a, setup), "the queue was taken");
    };
}

// The same, and then a right one, which must be.
std::function<void(Attack&)> wrong_then_right(std::function<void(Attack&, Setup&)> spoil) {
    return [spoil = std::move(spoil)](Attack& a) {
        wrong(spoil)(a);
        a.expect(a.victim().go_on(Stage::Negotiated, Stage::Live), "right queues were not taken afterwards");
    };
}

// Lets all queues be as they should be but this one, goes live, and has one request served through it.
std::function<void(Attack&)> served(std::function<void(Attack&, Setup&)> spoil) {
    return [spoil = std::move(spoil)](Attack& a) {
        Setup setup = good(a);
        spoil(a, setup);
        a.may_write(setup.at.device, 6 + 8u * setup.size);
        for (std::uint16_t i = 0; i < a.victim().queue_count(); ++i) {
            const FakeDriver& ring = a.victim().ring(i);
            a.expect(give(a, i == setup.queue ? setup : Setup{i, ring.size(), ring.addresses()}),
                     "a queue was refused");
        }
        a.expect(a.driver().set_interrupts() &&
                     a.driver().set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK),
                 "the device does not start");
        // In the last quarter of the table, where no used ring reaches.
        const Descriptors all = a.good_chain();
        const auto head = static_cast<std::uint16_t>(setup.size - setup.size / 4);
        for (std::size_t i = 0; i < all.size(); ++i) {
            virtq_desc desc = all[i];
            if (i + 1 < all.size()) {
                desc.flags |= VIRTQ_DESC_F_NEXT;
                desc.next = static_cast<std::uint16_t>(head + i + 1);
            }
            a.ring().set_desc(static_cast<std::uint16_t>(head + i), desc);
        }
        must(a.memory().write(Gpa{setup.at.driver.value + 4}, head));
        must(a.memory().write(Gpa{setup.at.driver.value + 2}, std::uint16_t{1}));
        a.kick();
        if (a.target().kind == Kind::Net)
            a.victim().wire().send(frame_to(kTestMac, 60));
        const auto end = std::chrono::steady_clock::now() + kPatience;
        const Gpa used{setup.at.device.value + 4};
        std::uint32_t id = ~0u;
        while (id != head && std::chrono::steady_clock::now() < end) {
            a.settle();
            id = must(a.memory().read<std::uint32_t>(used));
        }
        a.expect(id == head, "the request was not used");
        a.verify();
        (void)a.ring().take_used(); // where the driver looks from now on, there is nothing more
    };
}

// One of the three areas of a queue.
struct Area {
    std::string_view name;
    Gpa QueueAddresses::*at;
    std::string_view section;
    std::uint64_t alignment;
    std::uint64_t entry;
    std::uint64_t fixed;
};
constexpr Area kAreas[] = {{"descriptor table", &QueueAddresses::desc, "2.7.5", 16, 16, 0},
                           {"available ring", &QueueAddresses::driver, "2.7.6", 2, 2, 6},
                           {"used ring", &QueueAddresses::device, "2.7.8", 4, 8, 6}};

void add_areas(std::vector<Case>& cases) {
    struct Place {
        std::string_view what;
        std::uint64_t (*place)(Attack&, const Area&, const Setup&);
    };
    static constexpr Place kPlaces[] = {
        {"misaligned", [](Attack&, const Area& area,
                          const Setup& setup) { return (setup.at.*area.at).value + area.alignment / 2; }},
        {"outside of RAM", [](Attack& a, const Area&, const Setup&) { return a.ram_end() + 0x1000; }},
        {"that ends beyond RAM",
         [](Attack& a, const Area& area, const Setup& setup) {
             const std::uint64_t length = area.fixed + area.entry * setup.size;
             return (a.ram_end() - length + area.alignment) & ~(area.alignment - 1);
         }},
        {"that wraps at 2^64",
         [](Attack&, const Area& area, const Setup&) { return kTop - area.alignment + 1; }},
        {"in the registers of the transport", [](Attack& a, const Area&, const Setup&) { return a.mmio(); }},
    };
    for (const Area& area : kAreas)
        for (const Place& place : kPlaces)
            cases.push_back({.rule = fmt::format("{} {}", area.name, place.what),
                             .section = std::string{area.section},
                             .targets = kDevices,
                             .outcome = Outcome::NeedsReset,
                             .effect = "the queue is not enabled; on channel I/O SET_VQ is rejected",
                             .act = wrong([&area, &place](Attack& a, Setup& setup) {
                                 setup.at.*area.at = Gpa{place.place(a, area, setup)};
                             }),
                             .stage = Stage::Negotiated,
                             .on_ccw = Outcome::Refused});
}

void add_sizes(std::vector<Case>& cases) {
    struct Size {
        std::string_view what;
        std::uint16_t (*size)(std::uint16_t largest);
    };
    static constexpr Size kSizes[] = {
        {"0", [](std::uint16_t) { return std::uint16_t{0}; }},
        {"3", [](std::uint16_t) { return std::uint16_t{3}; }},
        {"twice the largest", [](std::uint16_t largest) { return static_cast<std::uint16_t>(2 * largest); }},
        {"one less than the largest",
         [](std::uint16_t largest) { return static_cast<std::uint16_t>(largest - 1); }},
        {"0x8000", [](std::uint16_t) { return std::uint16_t{0x8000}; }},
        {"0xffff", [](std::uint16_t) { return std::uint16_t{0xffff}; }},
    };
    for (const Size& size : kSizes)
        cases.push_back({.rule = fmt::format("queue size {}", size.what),
                         .section = "2.7",
                         .targets = kDevices,
                         .outcome = Outcome::Refused,
                         .effect = "the size stays; on channel I/O SET_VQ is rejected",
                         .act = wrong_then_right([&size](Attack& a, Setup& setup) {
                             setup.size = size.size(a.victim().core().max_queue_size(setup.queue));
                         }),
                         .stage = Stage::Negotiated,
                         .alive = true});
    struct Index {
        std::string_view what;
        std::uint16_t index;
    };
    static constexpr Index kIndices[] = {
        {"the first that is not there", 0}, {"1023", 1023}, {"0xffff", 0xffff}};
    for (const Index& one : kIndices)
        cases.push_back({.rule = fmt::format("set-up of a queue that does not exist: {}", one.what),
                         .section = "4.1.4.3.2, 4.3.2.2",
                         .targets = kDevices,
                         .outcome = Outcome::Refused,
                         .effect = "its size reads as 0, nothing is enabled",
                         .act =
                             [&one](Attack& a) {
                                 const std::uint16_t index =
                                     one.index != 0 ? one.index : a.victim().queue_count();
                                 a.expect(a.driver().largest_size(index) == 0, "the queue has a size");
                                 wrong_then_right([index](Attack&, Setup& setup) { setup.queue = index; })(a);
                             },
                         .stage = Stage::Negotiated,
                         .alive = true});
}

} // namespace

std::vector<Case> setup_cases() {
    std::vector<Case> cases{
        {.rule = "descriptor table at address 0",
         .section = "4.1.4.3.2, 4.3.2.2",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "the queue is not enabled; on channel I/O that gives a queue up",
         .act =
             [](Attack& a) {
                 Setup setup = good(a);
                 setup.at.desc = Gpa{0};
                 (void)give(a, setup);
                 a.expect(!known(a).enabled, "the queue is enabled");
                 a.expect(a.victim().go_on(Stage::Negotiated, Stage::Live),
                          "right queues were not taken afterwards");
             },
         .stage = Stage::Negotiated,
         .alive = true},
        {.rule = "a live queue is given again, elsewhere",
         .section = "4.1.4.3.2, 4.3.2.2",
         .targets = kQueues,
         .outcome = Outcome::Refused,
         .effect = "the addresses stay",
         .act =
             [](Attack& a) {
                 Setup setup = good(a);
                 setup.at = {a.scratch(0x8000), a.scratch(0x9000), a.scratch(0xa000)};
                 (void)give(a, setup);
                 a.expect(known(a).addresses == a.ring().addresses(), "the addresses have changed");
                 a.expect(known(a).enabled, "the queue is not enabled any more");
             }},
        {.rule = "a live queue is given again, with another size",
         .section = "4.1.4.3.2, 4.3.2.2",
         .targets = kQueues,
         .outcome = Outcome::Refused,
         .effect = "the size stays",
         .act =
             [](Attack& a) {
                 Setup setup = good(a);
                 setup.size /= 2;
                 a.expect(!give(a, setup), "another size was taken");
                 a.expect(known(a).size == a.ring().size() && known(a).enabled, "the size has changed");
             }},
        {.rule = "a live queue is given again, as it is",
         .section = "4.1.4.3.2, 4.3.2.2",
         .targets = kQueues,
         .outcome = Outcome::Refused,
         .effect = "nothing changes; on channel I/O SET_VQ is rejected",
         .act =
             [](Attack& a) {
                 a.expect(give(a, good(a)) == a.on(Transport::Pci), "another answer than documented");
                 a.expect(known(a).enabled, "the queue is not enabled any more");
             }},
        {.rule = "queues are enabled before FEATURES_OK",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "they are taken",
         .act =
             [](Attack& a) {
                 a.expect(a.victim().go_on(Stage::Negotiated, Stage::QueuesSet) &&
                              a.victim().go_on(Stage::Driver, Stage::Negotiated) &&
                              a.victim().go_on(Stage::QueuesSet, Stage::Live),
                          "something was refused");
             },
         .stage = Stage::Driver,
         .alive = true},
        {.rule = "queues are enabled before ACKNOWLEDGE",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "they are taken",
         .act =
             [](Attack& a) {
                 a.expect(a.victim().go_on(Stage::Negotiated, Stage::QueuesSet) &&
                              a.victim().go_on(Stage::Reset, Stage::Negotiated) &&
                              a.victim().go_on(Stage::QueuesSet, Stage::Live),
                          "something was refused");
             },
         .stage = Stage::Reset,
         .alive = true},
        {.rule = "DRIVER_OK, and no queue is set up",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "doorbells are ignored",
         .act =
             [](Attack& a) {
                 a.expect(a.driver().set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK),
                          "it was refused");
                 (void)a.offer(a.good_chain());
                 a.kick();
                 a.expect(!a.ring().take_used().has_value(), "a request was used");
             },
         .stage = Stage::Negotiated},
        {.rule = "the used ring lies over the descriptor table",
         .section = "2.7",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "requests are used there",
         .act = served([](Attack&, Setup& setup) { setup.at.device = setup.at.desc; }),
         .stage = Stage::Negotiated},
        {.rule = "the used ring lies over the available ring",
         .section = "2.7",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "requests are used there",
         .act = served([](Attack& a, Setup& setup) {
             setup.at.driver = setup.at.device;
             a.may_write(setup.at.driver, 6);
         }),
         .stage = Stage::Negotiated},
        {.rule = "the available ring lies over the descriptor table",
         .section = "2.7",
         .targets = kOnlyBlk,
         .outcome = Outcome::Harmless,
         .effect = "requests are used",
         .act = served([](Attack&, Setup& setup) { setup.at.driver = setup.at.desc; }),
         .stage = Stage::Negotiated},
        {.rule = "two queues share all of their memory",
         .section = "2.7",
         .targets = kTwoQueues,
         .outcome = Outcome::Harmless,
         .effect =
             "one serves; the device needs a reset once it was paused, as the other's used index has changed",
         .act =
             [](Attack& a) {
                 Setup other = good(a);
                 other.queue = 1;
                 a.expect(give(a, good(a)) && give(a, other) && a.driver().set_interrupts() &&
                              a.driver().set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK),
                          "the device does not start");
                 (void)a.offer(a.good_chain());
                 a.kick();
                 if (a.target().kind == Kind::Net)
                     a.victim().wire().send(frame_to(kTestMac, 60));
                 (void)a.answer();
             },
         .stage = Stage::Negotiated,
         .broken_by_pause = true},
    };
    add_areas(cases);
    add_sizes(cases);
    return cases;
}

} // namespace godwit::hostile
