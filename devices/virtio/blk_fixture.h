// SPDX-License-Identifier: Apache-2.0
//
// A block device on a temporary file and a real loop, driven through the core, for tests.
#pragma once

#include "devices/virtio/blk.h"
#include "devices/virtio/core_fakes.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <sys/syscall.h>
#include <unistd.h>

namespace godwit::virtio {

using Bytes = std::vector<std::byte>;
inline constexpr std::uint64_t kSectors = 4096; // 2 MiB
inline constexpr Gpa kHeader{0x40000}, kData{0x50000}, kStatus{0x48000};
inline constexpr std::uint8_t kUntouched = 0xee;

// A file with a sector number at the start of each sector.
struct TestImage {
    explicit TestImage(std::uint64_t bytes = kSectors * kSectorSize, const char* folder = "/tmp")
        : path(folder + std::string{"/godwit-blk-test-XXXXXX"}) {
        const Fd fd = Fd::adopt(::mkstemp(path.data()));
        REQUIRE(fd);
        REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
        for (std::uint64_t i = 0; i < bytes / kSectorSize; ++i)
            REQUIRE(::pwrite(fd.get(), &i, sizeof i, static_cast<off_t>(i * kSectorSize)) == sizeof i);
    }
    ~TestImage() { ::unlink(path.c_str()); }
    Bytes read(std::uint64_t sector, std::size_t count) const {
        const Fd fd = must(open_file(path, O_RDONLY));
        Bytes bytes(count);
        REQUIRE(::pread(fd.get(), bytes.data(), count, static_cast<off_t>(sector * kSectorSize)) ==
                static_cast<ssize_t>(count));
        return bytes;
    }
    // Pages that are not on the storage yet; nothing where the kernel does not tell (before Linux 6.5).
    std::optional<std::uint64_t> unwritten_pages() const {
        constexpr long kCachestat = 451; // on every architecture
        struct {
            std::uint64_t offset, length;
        } range{0, 0};
        struct {
            std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
        } pages{};
        const Fd fd = must(open_file(path, O_RDONLY));
        if (::syscall(kCachestat, fd.get(), &range, &pages, 0) != 0)
            return std::nullopt;
        return pages.dirty + pages.writeback;
    }
    void write_back() const { REQUIRE(::fdatasync(must(open_file(path, O_RDONLY)).get()) == 0); }
    std::string path;
};

struct BlkFixture : TestRam, TestImage {
    struct Setup {
        bool readonly = false;
        std::uint64_t features = 0; // negotiated; none: all but EVENT_IDX
        std::uint16_t queue_size = 16;
        std::uint64_t bytes = kSectors * kSectorSize;
        const char* folder = "/tmp";
        std::chrono::seconds drain_limit{30};
        std::string disk; // in place of the file
        ErrorPolicy write_errors = kDefaultWriteErrors, read_errors = kDefaultReadErrors;
    };
    BlkFixture() : BlkFixture(Setup{}) {}
    explicit BlkFixture(const Setup& setup)
        : TestImage(setup.bytes, setup.folder), driver(*ram, setup.queue_size, Gpa{0x10000}) {
        device = must(
            Blk::create(*loop, must(BlkImage::open(setup.disk.empty() ? path : setup.disk, setup.readonly)),
                        {.id = "disk0",
                         .serial = "a-serial",
                         .queue_size = setup.queue_size,
                         .drain_limit = setup.drain_limit,
                         .write_errors = setup.write_errors,
                         .read_errors = setup.read_errors,
                         .failed = [this](const BlkError& one) { failures.push_back(one); }}));
        core.emplace(*device, *ram);
        core->attach(transport);
        go_live(setup.features != 0 ? setup.features
                                    : core->offered_features() & ~feature(VIRTIO_F_EVENT_IDX));
    }
    void go_live(std::uint64_t features) {
        core->set_status(ACKNOWLEDGE | DRIVER);
        core->set_driver_features(features);
        core->set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        core->set_queue_addresses(0, driver.addresses());
        core->enable_queue(0);
        core->set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        REQUIRE(core->running());
    }
    void turn() {
        loop->post([this] { loop->quit(); });
        loop->run();
    }
    void kick() { core->queue_notified(0); }
    // Lets the loop run until something was used.
    virtq_used_elem wait() {
        for (int i = 0; i < 1000; ++i) {
            if (const auto element = driver.take_used(); element.has_value())
                return *element;
            turn();
        }
        FAIL("nothing was used");
        return {};
    }
    FakeDriver::ChainBuilder request(std::uint32_t type, std::uint64_t sector, Gpa at = kHeader) {
        must(ram->write(at, virtio_blk_req_header{type, 0, sector}));
        must(ram->write(kStatus, kUntouched));
        auto chain = driver.chain();
        chain.readable(at, 16);
        return chain;
    }
    std::uint8_t status() const { return must(ram->read<std::uint8_t>(kStatus)); }
    // Offers the chain with a status byte and waits for its end.
    std::uint8_t run(FakeDriver::ChainBuilder chain) {
        chain.writable(kStatus, 1).offer();
        kick();
        used = wait();
        return status();
    }
    std::uint8_t read(std::uint64_t sector, std::uint32_t bytes) {
        return run(request(VIRTIO_BLK_T_IN, sector).writable(kData, bytes));
    }
    std::uint8_t write(std::uint64_t sector, std::uint32_t bytes) {
        return run(request(VIRTIO_BLK_T_OUT, sector).readable(kData, bytes));
    }
    std::uint8_t range(std::uint32_t type, std::uint64_t sector, std::uint32_t count, std::uint32_t flags) {
        must(ram->write(kData, virtio_blk_discard_write_zeroes{sector, count, flags}));
        return run(request(type, 0).readable(kData, 16));
    }
    Bytes guest(Gpa at, std::size_t count) const {
        Bytes bytes(count);
        must(ram->read(at, bytes));
        return bytes;
    }
    void fill(Gpa at, std::size_t count, std::uint8_t start = 1) {
        Bytes bytes(count);
        for (auto& byte : bytes)
            byte = static_cast<std::byte>(start++);
        must(ram->write(at, bytes));
    }
    std::vector<std::uint64_t> dirty() {
        std::vector<std::uint64_t> words(ram->dirty().word_count());
        ram->dirty().harvest_into(words);
        return words;
    }
    static bool is_dirty(const std::vector<std::uint64_t>& words, Gpa at) {
        const std::uint64_t page = at.value / kPageSize;
        return (words[page / 64] >> (page % 64) & 1) != 0;
    }

    std::unique_ptr<Loop> loop = must(Loop::create());
    FakeDriver driver;
    FakeTransport transport;
    std::unique_ptr<Blk> device;
    std::optional<Core> core;
    virtq_used_elem used{};
    std::vector<BlkError> failures;
};

} // namespace godwit::virtio
