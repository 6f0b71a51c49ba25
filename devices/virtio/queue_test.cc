// SPDX-License-Identifier: Apache-2.0
//
// The split queue against drivers that keep the rules and drivers that do not.
#include "devices/virtio/queue.h"

#include "devices/virtio/driver_fake.h"

#include <array>
#include <catch2/catch.hpp>

namespace queue_test {

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

constexpr std::uint64_t kRam = 1 << 20;
constexpr Gpa kRing{0x10000};
constexpr Gpa kBuffer{0x20000};
constexpr Gpa kTable{0x30000};

struct Fixture {
    explicit Fixture(std::uint16_t size = 8, bool event_idx = false, std::uint16_t start = 0)
        : driver(*memory, size, kRing) {
        driver.start_at(start);
        queue.emplace(must(SplitQueue::create(
            *memory,
            {.size = size, .addresses = driver.addresses(), .event_idx = event_idx, .indirect = true},
            start)));
    }
    std::string pop_error() {
        auto popped = queue->pop(chain);
        REQUIRE_FALSE(popped.ok());
        CHECK(popped.error().code == ErrorCode::Guest);
        return popped.error().text;
    }
    bool pop() { return must(queue->pop(chain)); }

    std::unique_ptr<GuestMemory> memory = must(GuestMemory::create(kRam, kRam));
    FakeDriver driver;
    std::optional<SplitQueue> queue;
    Chain chain;
};

} // namespace

TEST_CASE("a chain is popped, and used") {
    Fixture f;
    CHECK_FALSE(f.pop());
    const auto head =
        f.driver.chain().readable(kBuffer, 16).readable(Gpa{0x21000}, 4).writable(Gpa{0x22000}, 512).offer();
    REQUIRE(f.pop());
    CHECK(f.chain.head == head);
    REQUIRE(f.chain.readable.size() == 2);
    CHECK(f.chain.readable[0].for_kernel() == f.memory->host(RamOffset{kBuffer.value}));
    CHECK(f.chain.readable_bytes == 20);
    REQUIRE(f.chain.writable.size() == 1);
    CHECK(f.chain.writable[0].size() == 512);
    CHECK(f.chain.writable_bytes == 512);
    CHECK(f.queue->in_flight() == 1);
    CHECK(f.driver.used_index() == 0);
    CHECK_FALSE(f.pop());

    must(f.queue->push({head, 512}));
    const auto used = f.driver.take_used();
    REQUIRE(used.has_value());
    CHECK(used->id == head);
    CHECK(used->len == 512);
    CHECK(f.queue->in_flight() == 0);
    CHECK(f.queue->last_avail_index() == 1);
}

TEST_CASE("indices wrap at 65536") {
    Fixture f{8, false, 65533};
    for (int i = 0; i < 20; ++i) {
        const auto head = f.driver.chain().writable(kBuffer, 8).offer();
        REQUIRE(f.pop());
        CHECK(f.chain.head == head);
        must(f.queue->push({head, 8}));
        REQUIRE(f.driver.take_used()->id == head);
    }
    CHECK(f.queue->last_avail_index() == static_cast<std::uint16_t>(65533 + 20));
}

TEST_CASE("several elements are published together") {
    Fixture f;
    std::vector<SplitQueue::Used> used;
    for (std::uint32_t i = 0; i < 8; ++i) {
        f.driver.chain().writable(kBuffer, 8).offer();
        REQUIRE(f.pop());
        used.push_back({f.chain.head, i});
    }
    CHECK_FALSE(f.pop());
    must(f.queue->push(used));
    for (std::uint32_t i = 0; i < 8; ++i)
        CHECK(f.driver.take_used()->len == i);
    CHECK_FALSE(f.driver.take_used().has_value());
}

TEST_CASE("what was popped last can be put back") {
    Fixture f;
    const auto first = f.driver.chain().writable(kBuffer, 8).offer();
    const auto second = f.driver.chain().writable(kBuffer, 9).offer();
    Chain one, two;
    REQUIRE(must(f.queue->pop(one)));
    REQUIRE(must(f.queue->pop(two)));
    f.queue->unpop(two);
    f.queue->unpop(one);
    CHECK(f.queue->in_flight() == 0);
    REQUIRE(f.pop());
    CHECK(f.chain.head == first);
    REQUIRE(f.pop());
    CHECK(f.chain.head == second);
}

TEST_CASE("writes to the used ring are in the dirty map (class of DMA that a migration does not see)") {
    Fixture f;
    f.memory->dirty().start();
    const auto head = f.driver.chain().writable(kBuffer, 8).offer();
    REQUIRE(f.pop());
    std::vector<std::uint64_t> words(f.memory->dirty().word_count());
    f.memory->dirty().harvest_into(words); // the driver's own writes
    std::fill(words.begin(), words.end(), 0);
    must(f.queue->push({head, 8}));
    f.memory->dirty().harvest_into(words);
    const std::uint64_t page = f.driver.addresses().device.value / kPageSize;
    CHECK((words[page / 64] >> (page % 64) & 1) == 1);
}

TEST_CASE("indirect tables") {
    Fixture f;
    SECTION("a whole chain") {
        f.driver.chain()
            .readable(kBuffer, 16)
            .writable(kBuffer, 32)
            .writable(kBuffer, 1)
            .offer_indirect(kTable);
        REQUIRE(f.pop());
        CHECK(f.chain.readable_bytes == 16);
        CHECK(f.chain.writable_bytes == 33);
    }
    SECTION("after direct descriptors (section 2.7.5.3.2)") {
        must(f.memory->write(kTable, virtq_desc{kBuffer.value, 7, VIRTQ_DESC_F_WRITE, 0}));
        f.driver.chain().readable(kBuffer, 16).add({kTable.value, 16, VIRTQ_DESC_F_INDIRECT, 0}).offer();
        REQUIRE(f.pop());
        CHECK(f.chain.readable_bytes == 16);
        CHECK(f.chain.writable_bytes == 7);
    }
    SECTION("longer than the queue") {
        auto chain = f.driver.chain();
        for (int i = 0; i < 100; ++i)
            chain.writable(kBuffer, 1);
        chain.offer_indirect(kTable);
        REQUIRE(f.pop());
        CHECK(f.chain.writable.size() == 100);
    }
    SECTION("of a size that is no multiple of 16") {
        f.driver.chain().add({kTable.value, 24, VIRTQ_DESC_F_INDIRECT, 0}).offer();
        CHECK_THAT(f.pop_error(), Contains("indirect table of 24 bytes"));
    }
    SECTION("of no bytes") {
        f.driver.chain().add({kTable.value, 0, VIRTQ_DESC_F_INDIRECT, 0}).offer();
        CHECK_THAT(f.pop_error(), Contains("indirect table of 0 bytes"));
    }
    SECTION("too large") {
        f.driver.chain().add({kTable.value, 16 * 1025, VIRTQ_DESC_F_INDIRECT, 0}).offer();
        CHECK_THAT(f.pop_error(), Contains("1025 descriptors"));
    }
    SECTION("nested") {
        f.driver.chain().add({kTable.value, 16, VIRTQ_DESC_F_INDIRECT, 0}).offer_indirect(Gpa{0x31000});
        CHECK_THAT(f.pop_error(), Contains("inside an indirect table"));
    }
    SECTION("with NEXT") {
        f.driver.chain().add({kTable.value, 16, VIRTQ_DESC_F_INDIRECT, 0}).readable(kBuffer, 4).offer();
        CHECK_THAT(f.pop_error(), Contains("with a next one"));
    }
    SECTION("outside RAM") {
        f.driver.chain().add({kRam - 16, 32, VIRTQ_DESC_F_INDIRECT, 0}).offer();
        CHECK_THAT(f.pop_error(), Contains("not guest RAM"));
    }
    SECTION("with a loop") {
        must(f.memory->write(kTable, virtq_desc{kBuffer.value, 1, VIRTQ_DESC_F_NEXT, 1}));
        must(f.memory->write(Gpa{kTable.value + 16}, virtq_desc{kBuffer.value, 1, VIRTQ_DESC_F_NEXT, 0}));
        f.driver.chain().add({kTable.value, 32, VIRTQ_DESC_F_INDIRECT, 0}).offer();
        CHECK_THAT(f.pop_error(), Contains("a loop"));
    }
    SECTION("whose next leaves it") {
        must(f.memory->write(kTable, virtq_desc{kBuffer.value, 1, VIRTQ_DESC_F_NEXT, 2}));
        f.driver.chain().add({kTable.value, 32, VIRTQ_DESC_F_INDIRECT, 0}).offer();
        CHECK_THAT(f.pop_error(), Contains("descriptor 2 in a table of 2"));
    }
    SECTION("without the feature") {
        auto plain = must(SplitQueue::create(
            *f.memory, {.size = 8, .addresses = f.driver.addresses(), .event_idx = false, .indirect = false},
            0));
        f.driver.chain().readable(kBuffer, 1).offer_indirect(kTable);
        CHECK_FALSE(plain.pop(f.chain).ok());
    }
}

TEST_CASE("chains that a driver must not make are refused") {
    Fixture f;
    SECTION("a loop") {
        f.driver.set_desc(0, {kBuffer.value, 1, VIRTQ_DESC_F_NEXT, 1});
        f.driver.set_desc(1, {kBuffer.value, 1, VIRTQ_DESC_F_NEXT, 0});
        f.driver.offer(0);
        CHECK_THAT(f.pop_error(), Contains("a loop"));
    }
    SECTION("a next outside the table") {
        f.driver.set_desc(0, {kBuffer.value, 1, VIRTQ_DESC_F_NEXT, 8});
        f.driver.offer(0);
        CHECK_THAT(f.pop_error(), Contains("descriptor 8 in a table of 8"));
    }
    SECTION("a head outside the table") {
        f.driver.offer(8);
        CHECK_THAT(f.pop_error(), Contains("head 8"));
    }
    SECTION("a descriptor of no bytes (CVE-2016-6490)") {
        f.driver.chain().readable(kBuffer, 0).offer();
        CHECK_THAT(f.pop_error(), Contains("no bytes"));
    }
    SECTION("readable after writable") {
        f.driver.chain().writable(kBuffer, 4).readable(kBuffer, 4).offer();
        CHECK_THAT(f.pop_error(), Contains("readable descriptor after a writable one"));
    }
    SECTION("a range that ends outside RAM") {
        f.driver.chain().readable(Gpa{kRam - 4}, 8).offer();
        CHECK_THAT(f.pop_error(), Contains("not guest RAM"));
    }
    SECTION("a range that wraps (CVE-2016-7422)") {
        f.driver.chain().writable(Gpa{~std::uint64_t{0} - 4}, 0xffffffff).offer();
        CHECK_THAT(f.pop_error(), Contains("not guest RAM"));
    }
    SECTION("an index that is too far ahead") {
        f.driver.set_avail_index(9);
        CHECK_THAT(f.pop_error(), Contains("9 ahead"));
    }
    SECTION("an index that went back") {
        f.driver.chain().writable(kBuffer, 4).offer();
        REQUIRE(f.pop());
        f.driver.set_avail_index(0);
        CHECK_THAT(f.pop_error(), Contains("ahead"));
    }
    SECTION("a head that is still in flight (CVE-2026-45782)") {
        const auto head = f.driver.chain().writable(kBuffer, 4).offer();
        REQUIRE(f.pop());
        f.driver.offer(head);
        CHECK_THAT(f.pop_error(), Contains("still in flight"));
        must(f.queue->push({head, 4}));
        CHECK(f.pop());
    }
    SECTION("never more in flight than the queue has entries (CVE-2016-5403)") {
        for (std::uint16_t i = 0; i < 8; ++i) {
            f.driver.chain().writable(kBuffer, 4).offer();
            REQUIRE(f.pop());
        }
        f.driver.offer(3);
        CHECK_THAT(f.pop_error(), Contains("still in flight"));
        CHECK(f.queue->in_flight() == 8);
    }
}

TEST_CASE("a chain of 4 GiB is refused") {
    Chain chain;
    auto big = must(GuestMemory::create(std::uint64_t{3} << 30, std::uint64_t{3} << 30));
    FakeDriver driver{*big, 8, kRing};
    auto queue = must(SplitQueue::create(
        *big, {.size = 8, .addresses = driver.addresses(), .event_idx = false, .indirect = false}, 0));
    driver.chain().writable(Gpa{0}, 0x80000000).writable(Gpa{0}, 0x7fffffff).offer();
    CHECK(must(queue.pop(chain)));
    CHECK(chain.writable_bytes == 0xffffffff);
    driver.chain().writable(Gpa{0}, 0x80000000).writable(Gpa{0}, 0x80000000).offer();
    CHECK_FALSE(queue.pop(chain).ok());
}

TEST_CASE("queue areas are checked") {
    auto memory = must(GuestMemory::create(kRam, kRam));
    const FakeDriver driver{*memory, 8, kRing};
    SplitQueue::Config config{
        .size = 8, .addresses = driver.addresses(), .event_idx = true, .indirect = true};
    SECTION("good") {
        CHECK(SplitQueue::create(*memory, config, 0).ok());
    }
    SECTION("size zero (CVE-2017-17381)") {
        config.size = 0;
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
    }
    SECTION("size not a power of two") {
        config.size = 12;
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
    }
    SECTION("descriptor table") {
        config.addresses.desc.value += 8;
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
        config.addresses.desc.value = kRam - 16;
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
    }
    SECTION("available ring") {
        config.addresses.driver.value += 1;
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
        config.addresses.driver.value = kRam - 20; // used_event would not fit
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
    }
    SECTION("used ring") {
        config.addresses.device.value += 2;
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
        config.addresses.device.value = kRam - 68;
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
        config.addresses.device.value = ~std::uint64_t{3};
        CHECK_FALSE(SplitQueue::create(*memory, config, 0).ok());
    }
    SECTION("more in flight than it has entries") {
        CHECK(SplitQueue::create(*memory, config, 8).ok());
        CHECK_FALSE(SplitQueue::create(*memory, config, 9).ok());
    }
}

TEST_CASE("interrupts without EVENT_IDX follow the flag") {
    Fixture f;
    CHECK(must(f.queue->interrupt_wanted()));
    f.driver.set_avail_flags(VIRTQ_AVAIL_F_NO_INTERRUPT);
    CHECK_FALSE(must(f.queue->interrupt_wanted()));
}

TEST_CASE("the length of a chain is bounded while the dirty map is on as well (CVE-2019-14835)") {
    // The log of writes must not be longer than what it is kept in: it is a map of RAM, and a chain has no
    // more parts than the table that it is in.
    Fixture f;
    f.memory->dirty().start();
    SECTION("more descriptors than the queue has") {
        f.driver.set_desc(0, {kBuffer.value, 1, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 1});
        f.driver.set_desc(1, {kBuffer.value, 1, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 0});
        f.driver.offer(0);
        CHECK_THAT(f.pop_error(), Contains("a loop"));
    }
    SECTION("an indirect table with more descriptors than a queue can have") {
        auto chain = f.driver.chain();
        for (int i = 0; i < 1025; ++i)
            chain.writable(kBuffer, 1);
        chain.offer_indirect(kTable);
        CHECK_FALSE(f.pop_error().empty());
    }
    SECTION("a length of 4 GiB, or one that wraps") {
        f.driver.chain().writable(kBuffer, 0xffffffff).offer();
        CHECK_THAT(f.pop_error(), Contains("not guest RAM"));
    }
}

TEST_CASE("interrupts with EVENT_IDX") {
    Fixture f{8, true, 65530};
    const auto use_one = [&f] {
        const auto head = f.driver.chain().writable(kBuffer, 4).offer();
        REQUIRE(f.pop());
        must(f.queue->push({head, 4}));
    };
    f.driver.set_used_event(100);
    use_one();
    CHECK(must(f.queue->interrupt_wanted())); // the first one always: the event may be old
    use_one();
    CHECK_FALSE(must(f.queue->interrupt_wanted()));
    f.driver.set_used_event(65534); // after the fifth
    use_one();
    use_one();
    CHECK_FALSE(must(f.queue->interrupt_wanted()));
    use_one();
    CHECK(must(f.queue->interrupt_wanted()));
    f.driver.set_used_event(1); // past the wrap: after the eighth
    use_one();
    use_one();
    CHECK_FALSE(must(f.queue->interrupt_wanted()));
    use_one();
    CHECK(must(f.queue->interrupt_wanted()));
    CHECK_FALSE(must(f.queue->interrupt_wanted())); // nothing new
}

TEST_CASE("an event that is half a turn old is not trusted") {
    Fixture f{8, true};
    const auto use_one = [&f] {
        const auto head = f.driver.chain().writable(kBuffer, 4).offer();
        REQUIRE(f.pop());
        must(f.queue->push({head, 4}));
    };
    use_one();
    CHECK(must(f.queue->interrupt_wanted()));
    f.driver.set_used_event(65000);
    for (int i = 0; i < 0x8000; ++i)
        use_one();
    CHECK(must(f.queue->interrupt_wanted()));
}

TEST_CASE("notifications") {
    SECTION("without EVENT_IDX") {
        Fixture f;
        must(f.queue->disable_notification());
        CHECK(f.driver.used_flags() == VIRTQ_USED_F_NO_NOTIFY);
        CHECK_FALSE(must(f.queue->enable_notification()));
        CHECK(f.driver.used_flags() == 0);
        f.driver.chain().writable(kBuffer, 4).offer();
        CHECK(must(f.queue->enable_notification())); // it came in between: look again
    }
    SECTION("with EVENT_IDX") {
        Fixture f{8, true, 7};
        CHECK_FALSE(must(f.queue->enable_notification()));
        CHECK(f.driver.avail_event() == 7);
        f.driver.chain().writable(kBuffer, 4).offer();
        must(f.queue->disable_notification());
        CHECK(f.driver.used_flags() == 0);
        CHECK(must(f.queue->enable_notification()));
        REQUIRE(f.pop());
        CHECK_FALSE(must(f.queue->enable_notification()));
        CHECK(f.driver.avail_event() == 8);
    }
    SECTION("an impossible index is noticed here too") {
        Fixture f;
        f.driver.set_avail_index(100);
        CHECK_FALSE(f.queue->enable_notification().ok());
    }
}

TEST_CASE("a device that returns what it does not hold is told so") {
    Fixture f;
    CHECK_FALSE(f.queue->push({0, 0}).ok());
    CHECK_FALSE(f.queue->push({8, 0}).ok());
    const auto head = f.driver.chain().writable(kBuffer, 4).offer();
    REQUIRE(f.pop());
    must(f.queue->push({head, 0}));
    CHECK_FALSE(f.queue->push({head, 0}).ok());
    CHECK(f.driver.used_index() == 1);
}

TEST_CASE("indices that a driver spoiled are noticed") {
    Fixture f;
    CHECK(f.queue->check_indices().ok());
    SECTION("used") {
        f.driver.set_used_index(3);
        CHECK_FALSE(f.queue->check_indices().ok());
    }
    SECTION("available") {
        f.driver.set_avail_index(9);
        CHECK_FALSE(f.queue->check_indices().ok());
    }
}

} // namespace queue_test
