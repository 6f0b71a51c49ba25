// SPDX-License-Identifier: Apache-2.0
//
// Two machines with the fake device, one to save and one to load, for tests of the core's state in the
// stream.
#pragma once

#include "devices/virtio/core_fakes.h"

#include <catch2/catch.hpp>

namespace godwit::virtio::state_test {

using Bytes = std::vector<std::byte>;
inline constexpr Gpa kBuffer{0x40000};

struct StateMachine : CoreUnderTest {
    using CoreUnderTest::CoreUnderTest;

    Bytes save(OrderTrace* trace = nullptr) {
        StateWriter writer{"virtio-fake", 3, trace};
        must(core.save(writer));
        description = writer.description();
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    Status load(std::span<const std::byte> bytes, OrderTrace* trace = nullptr) {
        ByteReader in{bytes};
        StateReader reader{in, "fake:0/virtio-fake", trace};
        TRY(core.load(reader, 3));
        if (!in.at_end())
            return corrupt("{} bytes are left", in.remaining());
        return {};
    }
    RecordDescription description;
};

struct StateFixture : TestRam {
    StateMachine source{*ram}, destination{*ram};

    // Running, with a buffer used and another one offered on the first queue.
    Bytes running() {
        source.device.counter = 77;
        source.transport.extra = 0x1234;
        source.transport.vectors = {1, 2};
        source.negotiate(feature(VIRTIO_F_VERSION_1) | feature(9));
        source.set_up(0, source.first);
        source.set_up(1, source.second);
        source.driver_ok();
        source.first.chain().writable(kBuffer, 4).offer();
        source.core.queue_notified(0);
        must(source.core.pause());
        source.first.chain().writable(kBuffer, 4).offer();
        return source.save();
    }
    std::string refused(const Bytes& bytes) {
        const auto status = destination.load(bytes);
        REQUIRE_FALSE(status.ok());
        destination.core.discard_load();
        return status.error().text;
    }
};

template <std::unsigned_integral T>
Bytes with(Bytes bytes, std::size_t offset, T value) {
    REQUIRE(offset + sizeof value <= bytes.size());
    store_be(std::span{bytes}.subspan(offset), value);
    return bytes;
}

} // namespace godwit::virtio::state_test
