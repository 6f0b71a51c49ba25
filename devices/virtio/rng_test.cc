// SPDX-License-Identifier: Apache-2.0
//
// The entropy device behind the core: what it fills, what it leaves in the ring, and what it refuses.
#include "devices/virtio/core_fakes.h"
#include "devices/virtio/rng.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <unistd.h>

namespace rng_test {

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

using Bytes = std::vector<std::byte>;
constexpr Gpa kBuffer{0x40000};

// Counts 1, 2, 3...; gives `most` at once, and nothing while it is dry.
class FakeSource final : public EntropySource {
  public:
    struct Tap {
        int fault = 0; // an errno while it gives nothing
        std::size_t most = 1 << 20;
        std::uint64_t given = 0;
        unsigned reads = 0;
        std::function<void()> meanwhile = [] {}; // what the driver does during a read
    };
    explicit FakeSource(Tap& tap) : tap_(tap) {}
    ssize_t read(std::span<std::byte> out) override {
        ++tap_.reads;
        tap_.meanwhile();
        if (tap_.fault != 0)
            return -tap_.fault;
        const std::size_t count = std::min(out.size(), tap_.most);
        for (std::byte& byte : out.first(count))
            byte = static_cast<std::byte>(++tap_.given);
        return static_cast<ssize_t>(count);
    }
    std::string_view name() const override { return "fake"; }

  private:
    Tap& tap_;
};

struct Side {
    Side(GuestMemory& ram, Loop& loop)
        : rng("rng0", std::make_unique<FakeSource>(tap), loop), core(rng, ram) {
        core.attach(transport);
    }
    ~Side() { must(core.pause()); }
    void go_live(const FakeDriver& driver) {
        core.set_status(ACKNOWLEDGE | DRIVER);
        core.set_driver_features(feature(VIRTIO_F_VERSION_1));
        core.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        core.set_queue_size(0, driver.size());
        core.set_queue_addresses(0, driver.addresses());
        core.enable_queue(0);
        core.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        REQUIRE(core.running());
    }
    Bytes save() {
        must(core.pause());
        StateWriter writer{"virtio-rng", 1};
        must(core.save(writer));
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    Status load(std::span<const std::byte> bytes) {
        ByteReader in{bytes};
        StateReader reader{in, "virtio-rng"};
        TRY(core.load(reader, 1));
        return in.at_end() ? Status{} : corrupt("{} bytes are left", in.remaining());
    }

    FakeSource::Tap tap;
    Rng rng;
    FakeTransport transport;
    Core core;
};

struct RngFixture : TestRam {
    void ask(std::uint32_t bytes, Gpa at = kBuffer) {
        driver.chain().writable(at, bytes).offer();
        side.core.queue_notified(0);
    }
    Bytes guest(std::size_t count, Gpa at = kBuffer) const {
        Bytes bytes(count);
        must(ram->read(at, bytes));
        return bytes;
    }
    static Bytes counted(std::size_t count) {
        Bytes bytes(count);
        for (std::size_t i = 0; i < count; ++i)
            bytes[i] = static_cast<std::byte>(i + 1);
        return bytes;
    }
    // Turns of the loop, until the driver finds something used.
    std::optional<virtq_used_elem> wait() {
        for (int i = 0; i < 2000; ++i) {
            if (const auto element = driver.take_used(); element.has_value())
                return element;
            turn();
            ::usleep(1000);
        }
        return std::nullopt;
    }
    void turn() {
        loop->post([this] { loop->quit(); });
        loop->run();
    }

    std::unique_ptr<Loop> loop = must(Loop::create());
    FakeDriver driver{*ram, Rng::kQueueSize, Gpa{0x10000}};
    Side side{*ram, *loop};
};

} // namespace

TEST_CASE_METHOD(RngFixture, "a buffer is filled, marked dirty and used", "[rng]") {
    side.go_live(driver);
    ram->dirty().start();
    ask(64);
    const auto used = driver.take_used();
    REQUIRE(used.has_value());
    CHECK(used->len == 64);
    CHECK(guest(64) == counted(64));
    CHECK(guest(1, Gpa{kBuffer.value + 64})[0] == std::byte{0});
    CHECK(side.transport.queue_interrupts[0] == 1);
    std::vector<std::uint64_t> words(ram->dirty().word_count());
    ram->dirty().harvest_into(words);
    const std::uint64_t page = kBuffer.value / kPageSize;
    CHECK((words[page / 64] >> (page % 64) & 1) != 0);
}

TEST_CASE_METHOD(RngFixture, "one request gets no more than a turn can bear", "[rng]") {
    side.go_live(driver);
    driver.chain().writable(kBuffer, 3000).writable(Gpa{kBuffer.value + 0x1000}, 100000).offer();
    side.core.queue_notified(0);
    CHECK(driver.take_used()->len == Rng::kBytesPerRequest);
    CHECK(side.tap.given == Rng::kBytesPerRequest);
    CHECK(guest(1, Gpa{kBuffer.value + 0x1000})[0] == std::byte{3001 % 256});
}

TEST_CASE_METHOD(RngFixture, "a source may give less than was asked for", "[rng]") {
    side.go_live(driver);
    side.tap.most = 5;
    ask(64);
    CHECK(driver.take_used()->len == 5);
    CHECK(guest(6)[5] == std::byte{0});
}

TEST_CASE_METHOD(RngFixture, "a turn is as long as the ring, however fast the driver is", "[rng]") {
    side.go_live(driver);
    side.tap.meanwhile = [&] { driver.chain().writable(kBuffer, 16).offer(); };
    ask(16);
    CHECK(side.tap.reads == Rng::kQueueSize);
    CHECK(side.core.broken()); // that driver did not wait for its buffers
    CHECK(driver.used_index() == Rng::kQueueSize);
}

TEST_CASE_METHOD(RngFixture, "what a source has nothing for stays in the ring, and is served later",
                 "[rng]") {
    side.go_live(driver);
    const int fault = GENERATE(EAGAIN, EIO);
    side.tap.fault = fault;
    ask(32);
    CHECK(driver.used_index() == 0);
    const unsigned reads = side.tap.reads;
    side.core.queue_notified(0); // a driver that is impatient does not make it busy
    CHECK(side.tap.reads == reads);
    side.tap.fault = 0;
    REQUIRE(wait().has_value());
    CHECK(guest(32) == counted(32));
    CHECK(side.core.running());
}

TEST_CASE_METHOD(RngFixture, "requests that the driver may not make break the device, not the machine",
                 "[rng]") {
    side.go_live(driver);
    SECTION("nothing to write to") {
        driver.chain().readable(kBuffer, 8).offer();
    }
    SECTION("something to read beside") {
        driver.chain().readable(kBuffer, 8).writable(kBuffer, 8).offer();
    }
    SECTION("memory that is none") {
        driver.chain().writable(Gpa{1 << 20}, 8).offer();
    }
    SECTION("more than the ring has") {
        driver.set_avail_index(100);
    }
    side.core.queue_notified(0);
    CHECK(side.core.broken());
    CHECK(driver.used_index() == 0);
    turn();
    CHECK(side.tap.given == 0);
    side.core.set_status(0);
    CHECK_FALSE(side.core.broken());
}

TEST_CASE_METHOD(RngFixture, "it moves with a request in its ring, and nothing else of its own", "[rng]") {
    Side destination{*ram, *loop};
    side.go_live(driver);
    side.tap.fault = EAGAIN;
    ask(16);
    const Bytes bytes = side.save();
    must(destination.load(bytes));
    must(destination.core.commit_load());
    CHECK(destination.save() == bytes);
    CHECK(driver.used_index() == 0);
    must(destination.core.resume());
    CHECK(driver.take_used()->len == 16);
    CHECK(side.tap.given == 0);
    for (std::size_t length = 0; length < bytes.size(); ++length)
        CHECK_FALSE(destination.load(std::span{bytes}.first(length)).ok());
}

TEST_CASE_METHOD(RngFixture, "a stopped device asks nobody", "[rng]") {
    side.go_live(driver);
    side.tap.fault = EAGAIN;
    ask(16);
    must(side.core.pause());
    must(side.core.pause());
    side.tap.fault = 0;
    ::usleep(40000);
    turn();
    CHECK(side.tap.given == 0);
    must(side.core.resume());
    CHECK(driver.take_used()->len == 16);
}

TEST_CASE("the kernel's generator and devices give bytes, files are refused", "[rng]") {
    for (const char* const name : {"getrandom", "/dev/urandom"}) {
        const auto source = must(open_entropy(name));
        CHECK(source->name() == name);
        Bytes first(32), second(32);
        REQUIRE(source->read(first) == 32);
        REQUIRE(source->read(second) == 32);
        CHECK(first != second);
    }
    Bytes bytes(4, std::byte{7});
    CHECK(must(open_entropy("/dev/zero"))->read(bytes) == 4);
    CHECK(bytes == Bytes(4));
    CHECK(must(open_entropy("/dev/null"))->read(bytes) == -ENODATA);

    std::string path = "/tmp/godwit-rng-test-XXXXXX";
    const Fd file = Fd::adopt(::mkstemp(path.data()));
    CHECK_THAT(open_entropy(path).error().text, Contains("is no character device"));
    ::unlink(path.c_str());
    CHECK(open_entropy(path).error().code == ErrorCode::NoDevice);
}

} // namespace rng_test
