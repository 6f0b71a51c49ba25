// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/disk_work.h"

#include "guest-tests/guest/base/random.h"
#include "guest-tests/guest/programs/block_content.h"
#include "guest-tests/plain/pace.h"
#include "guest-tests/plain/spans.h"

#include <cerrno>
#include <unistd.h>

namespace godwit::plain {

namespace {

constexpr std::uint64_t kBlocksPerStep = 4;
constexpr std::uint64_t kFlushPeriod = 256;
constexpr std::uint64_t kSeed = 0x6469736b;

enum Content : std::uint32_t { kUnknown, kWritten };

} // namespace

DiskPlan DiskPlan::of(const guest::Options& options, const Layout& layout, bool readonly) {
    DiskPlan plan;
    plan.blocks = layout.disk_blocks;
    plan.rate = options.bytes("disk.rate", 0);
    plan.generation = options.number("disk.generation", 1);
    plan.writes = !readonly && options.text("disk.mode", "write") != "read";
    return plan;
}

Status check_state(const DiskState& state, const DiskPlan& plan) {
    if (state.verify_next > plan.blocks)
        return corrupt("block {} of {} is next", state.verify_next, plan.blocks);
    return {};
}

DiskWork::DiskWork(GuestMemory& memory, const virtio::BlkImage& image, DiskState& state, const DiskPlan& plan,
                   Tell tell)
    : memory_(memory), image_(image), state_(state), plan_(plan), tell_(std::move(tell)) {
    restore(pacer_, state_.pace, plan_.rate);
}

std::uint64_t DiskWork::step(std::uint64_t now, bool finishing) {
    if (finishing) {
        for (std::uint64_t i = 0; i < kBlocksPerStep && !verified(); ++i)
            read(state_.verify_next++);
        return verified() ? now + kSecond : now;
    }
    begin(pacer_, state_.pace, plan_.rate, now);
    std::uint64_t next = now;
    for (std::uint64_t i = 0; i < kBlocksPerStep; ++i) {
        if (!pacer_.may(now)) {
            next = pacer_.next(now);
            break;
        }
        work();
        pacer_.did(guest::block_size);
    }
    keep(pacer_, state_.pace);
    return next;
}

void DiskWork::work() {
    ++state_.operations;
    if (plan_.writes && state_.operations % kFlushPeriod == 0)
        return flush();
    const bool writes = plan_.writes && random_below(5) < 3;
    const std::uint64_t block = random_below(plan_.blocks);
    if (writes)
        write(block);
    else
        read(block);
}

std::uint64_t DiskWork::random_below(std::uint64_t limit) {
    return static_cast<std::uint64_t>((guest::u128{guest::mix(kSeed, state_.chosen++)} * limit) >> 64);
}

Gpa DiskWork::entry_address(std::uint64_t block) const {
    return address_of(memory_, RamOffset{Layout::kDiskTable.value + block * sizeof(Entry)});
}

void DiskWork::write(std::uint64_t block) {
    const GuestWriteSlice page =
        *memory_.writable(address_of(memory_, Layout::kDiskBlock), guest::block_size);
    ++state_.sequence;
    guest::write_block(page.for_kernel(), block, state_.sequence, plan_.generation);
    page.wrote(guest::block_size);
    const auto at = static_cast<off_t>(block * guest::block_size);
    if (::pwrite(image_.fd().get(), page.for_kernel(), guest::block_size, at) != ssize_t{guest::block_size})
        return fail("io_error", block, static_cast<std::uint64_t>(errno));
    ++state_.writes;
    (void)memory_.write(entry_address(block),
                        Entry{kWritten, static_cast<std::uint32_t>(state_.sequence), 0, 0});
}

void DiskWork::read(std::uint64_t block) {
    const GuestWriteSlice page =
        *memory_.writable(address_of(memory_, Layout::kDiskBlock), guest::block_size);
    const auto at = static_cast<off_t>(block * guest::block_size);
    const bool whole =
        ::pread(image_.fd().get(), page.for_kernel(), guest::block_size, at) == ssize_t{guest::block_size};
    page.wrote(guest::block_size);
    if (!whole)
        return fail("io_error", block, static_cast<std::uint64_t>(errno));
    ++state_.reads;
    check(block, page.for_kernel());
}

void DiskWork::check(std::uint64_t block, const void* content) {
    const auto known = memory_.read<Entry>(entry_address(block));
    if (!known.ok())
        return fail("damaged_block", block, 0);
    Entry entry = *known;
    guest::BlockHead head;
    const guest::BlockVerdict verdict = guest::judge_block(content, block, head);
    if (verdict == guest::BlockVerdict::Damaged)
        return fail("damaged_block", block, head.sequence);
    if (entry.content == kWritten) {
        if (verdict != guest::BlockVerdict::Valid)
            return fail("damaged_block", block, static_cast<std::uint64_t>(verdict));
        if (head.sequence != entry.sequence || head.generation != plan_.generation)
            return fail("stale_block", block, head.sequence);
        return;
    }
    const auto digest = static_cast<std::uint32_t>(guest::fletcher64(content) >> 32) | 1;
    if (entry.digest != 0 && entry.digest != digest)
        fail("block_changed", block, entry.digest);
    entry.digest = digest;
    (void)memory_.write(entry_address(block), entry);
}

void DiskWork::flush() {
    if (!image_.storage()->write_back().ok())
        return fail("io_error", 0, 0);
    ++state_.flushes;
}

void DiskWork::fail(std::string_view what, std::uint64_t block, std::uint64_t detail) {
    ++state_.errors;
    tell_(what, block, detail);
}

void DiskWork::start_line(Output& output) const {
    Report(output, "disk")
        .add("slot", 1)
        .add("capacity", image_.sectors() * 512)
        .add("span", plan_.blocks * guest::block_size)
        .add("depth", 1)
        .add("mode", plan_.writes ? "write" : "read")
        .add_hex("features", 0);
}

void DiskWork::print_status(Output& output) const {
    Report(output, "disk")
        .add("writes", state_.writes)
        .add("reads", state_.reads)
        .add("flushes", state_.flushes)
        .add("verified", state_.verify_next)
        .add("errors", state_.errors);
}

} // namespace godwit::plain
