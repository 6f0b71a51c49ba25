// SPDX-License-Identifier: Apache-2.0
#include "migration/protocol/crc32c.h"
#include "migration/ram/receiver.h"
#include "migration/ram/sender.h"
#include "migration/ram/zero_page.h"
#include "migration/test_channel.h"

#include <catch2/catch.hpp>

#include <sys/mman.h>
#include <thread>

namespace ram_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;

namespace {

constexpr std::uint64_t kPages = 2048;

std::unique_ptr<GuestMemory> make_memory() {
    return std::move(GuestMemory::create(kPages * kPageSize, std::uint64_t{3} << 30)).value();
}

// Both sides past the hello.
struct Sides {
    Sides() : link(connected()), source(*link.source), destination(*link.destination) {
        const Bytes hello = encode(Hello{kProtocolVersion, 0, {}, Purpose::Move, {}});
        REQUIRE(source.send(Message::Hello, hello).ok());
        REQUIRE(destination.expect(Message::Hello).ok());
        REQUIRE(destination.send(Message::HelloReply, hello).ok());
        REQUIRE(source.expect(Message::HelloReply).ok());
    }

    // Sends the pages and receives until they are all there.
    RoundCount move(const PageBitmap& pages) {
        RoundCount count;
        RoundWork work{pages};
        ram.begin_round();
        std::jthread sending{[&] { count = std::move(sender.send(work)).value(); }};
        for (std::uint64_t left = pages.count(); left != 0;) {
            const std::uint64_t before = receiver.pages();
            const Frame frame = std::move(destination.receive()).value();
            REQUIRE(receiver.take(frame, IncomingRam::Guest::Runs).ok());
            left -= receiver.pages() - before;
        }
        sending.join();
        return count;
    }

    Link link;
    SourceSession source;
    DestinationSession destination;
    Progress progress;
    std::unique_ptr<GuestMemory> from = make_memory();
    std::unique_ptr<GuestMemory> to = make_memory();
    RamSender sender{*from, source, progress};
    IncomingRam ram{*to, progress};
    RamReceiver receiver{ram, destination};
};

void fill(GuestMemory& memory, std::uint64_t page, std::uint8_t value) {
    std::memset(memory.host(RamOffset{page * kPageSize}), value, kPageSize);
}

bool equal(const Sides& sides) {
    return std::memcmp(sides.from->host(RamOffset{0}), sides.to->host(RamOffset{0}), kPages * kPageSize) == 0;
}

// How many pages of the receiver have memory of their own.
std::uint64_t resident(const GuestMemory& memory) {
    std::vector<unsigned char> in_core(kPages);
    REQUIRE(::mincore(memory.host(RamOffset{0}), kPages * kPageSize, in_core.data()) == 0);
    return static_cast<std::uint64_t>(
        std::ranges::count_if(in_core, [](unsigned char c) { return (c & 1) != 0; }));
}

} // namespace

TEST_CASE("a page is zero only if every byte is", "[ram]") {
    const auto memory = make_memory();
    std::byte* const page = memory->host(RamOffset{0});
    REQUIRE(is_zero_page(page));
    for (std::size_t at = 0; at < kPageSize; ++at) {
        page[at] = std::byte{0x80};
        CAPTURE(at);
        REQUIRE_FALSE(is_zero_page(page));
        page[at] = std::byte{0};
    }
    page[kPageSize] = std::byte{1};
    REQUIRE(is_zero_page(page));
}

TEST_CASE("the bitmap finds every page, and none behind the last", "[ram]") {
    PageBitmap bitmap{130};
    REQUIRE(bitmap.next_set(0) == 130);
    for (const std::uint64_t page : {0, 63, 64, 129})
        bitmap.set(page);
    REQUIRE(bitmap.count() == 4);
    REQUIRE(bitmap.next_set(0) == 0);
    REQUIRE(bitmap.next_set(1) == 63);
    REQUIRE(bitmap.next_set(64) == 64);
    REQUIRE(bitmap.next_set(65) == 129);
    REQUIRE(bitmap.next_set(130) == 130);
    bitmap.clear(63);
    REQUIRE_FALSE(bitmap.test(63));
    bitmap.set_all();
    REQUIRE(bitmap.count() == 130);
    for (std::uint64_t& word : bitmap.words())
        word = ~std::uint64_t{0};
    bitmap.drop_excess();
    REQUIRE(bitmap.count() == 130);
}

TEST_CASE("pages arrive, whatever their pattern", "[ram]") {
    Sides sides;
    const std::uint64_t step = GENERATE(1, 2, 3, 300);
    for (std::uint64_t page = 0; page < kPages; page += step)
        fill(*sides.from, page, static_cast<std::uint8_t>(page % 255 + 1));
    PageBitmap all{kPages};
    all.set_all();
    const RoundCount count = sides.move(all);
    REQUIRE(count.data_pages == (kPages + step - 1) / step);
    REQUIRE(count.pages() == kPages);
    REQUIRE(equal(sides));
    REQUIRE(sides.ram.check_complete().ok());
    REQUIRE(sides.progress.snapshot().normal == 2 * count.data_pages); // both sides count into one here
}

TEST_CASE("zero pages cost the receiver no memory", "[ram]") {
    Sides sides;
    // Without huge pages, so that residency is told page by page.
    REQUIRE(::madvise(sides.to->host(RamOffset{0}), kPages * kPageSize, MADV_NOHUGEPAGE) == 0);
    fill(*sides.from, 7, 1);
    PageBitmap all{kPages};
    all.set_all();
    sides.move(all);
    REQUIRE(resident(*sides.to) == 1); // before the comparison, which touches every page
    REQUIRE(equal(sides));
}

TEST_CASE("a page that became zero is zero at the receiver too", "[ram]") {
    Sides sides;
    REQUIRE(::madvise(sides.to->host(RamOffset{0}), kPages * kPageSize, MADV_NOHUGEPAGE) == 0);
    const std::uint64_t count = GENERATE(1, 511, 512, 2000); // overwritten, or given back to the host
    for (std::uint64_t page = 0; page < kPages; ++page)
        fill(*sides.from, page, 0xaa);
    PageBitmap all{kPages};
    all.set_all();
    sides.move(all);
    PageBitmap again{kPages};
    for (std::uint64_t page = 5; page < 5 + count; ++page) {
        fill(*sides.from, page, 0);
        again.set(page);
    }
    REQUIRE(sides.move(again).zero_pages == count);
    if (count >= 512)
        REQUIRE(resident(*sides.to) == kPages - count);
    REQUIRE(equal(sides));
}

TEST_CASE("a suspect page is settled by a good copy or by zeros, and only by those", "[ram]") {
    Sides sides;
    const std::uint64_t other = GENERATE(0, 1);
    fill(*sides.from, 9, 1);
    const auto send = [&](std::uint64_t page, std::uint32_t crc) {
        const PageRun run{RamOffset{page * kPageSize}, 1};
        const iovec data{sides.from->host(run.offset), kPageSize};
        REQUIRE(sides.source.send(Message::Ram, encode_ram({&run, 1}, {&crc, 1}), {&data, 1}).ok());
        sides.ram.begin_round();
        return sides.receiver.take(std::move(sides.destination.receive()).value(), IncomingRam::Guest::Runs);
    };
    const auto crc = [&](std::uint64_t page) {
        return crc32c({sides.from->host(RamOffset{page * kPageSize}), kPageSize});
    };
    REQUIRE(send(9, crc(9) ^ 1).ok());
    REQUIRE(send(10 + other, crc(10 + other)).ok());
    REQUIRE(sides.ram.check_complete().error().text ==
            "1 pages were damaged on their way, the first at ram:0x9000");
    REQUIRE(send(9, crc(9) ^ 2).ok());
    REQUIRE_FALSE(sides.ram.check_complete().ok());
    if (other == 0) {
        REQUIRE(send(9, crc(9)).ok());
    } else {
        const PageRun run{RamOffset{8 * kPageSize}, 3};
        sides.ram.begin_round();
        REQUIRE(
            sides.receiver.take({Message::RamZero, encode_zero({&run, 1})}, IncomingRam::Guest::Runs).ok());
    }
    REQUIRE(sides.ram.check_complete().ok());
    REQUIRE(sides.ram.counters().repaired_pages == 1);
    REQUIRE(send(9, crc(9) ^ 3).ok()); // and can become suspect again
    REQUIRE_FALSE(sides.ram.check_complete().ok());
}

TEST_CASE("nothing that arrives counts as written by the machine", "[ram]") {
    Sides sides;
    sides.to->dirty().start();
    for (std::uint64_t page = 0; page < kPages; page += 2)
        fill(*sides.from, page, 1);
    PageBitmap all{kPages};
    all.set_all();
    sides.move(all);
    PageBitmap dirty{kPages};
    sides.to->dirty().harvest_into(dirty.words());
    REQUIRE(dirty.count() == 0);
}

} // namespace ram_test
