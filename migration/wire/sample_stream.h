// SPDX-License-Identifier: Apache-2.0
//
// For tests: a small complete stream, and a stream's bytes as a source that is read.
#pragma once

#include "migration/wire/boot_pages.h"
#include "migration/wire/global_state.h"
#include "migration/wire/input.h"
#include "migration/wire/ram_writer.h"
#include "migration/wire/stream_writer.h"
#include "migration/wire/test_sections.h"

#include <algorithm>
#include <stdexcept>

namespace godwit::migration::test {

// What differs from stream to stream.
struct SampleContent {
    std::int64_t clock = 2;
    std::byte page{0xab};
    DeviceState device = sample_device();
    bool last_page_zero = false;
};

inline constexpr std::uint64_t kSampleRam = 3 * kPageSize;

// A timer, a device and three pages, the second of which is zero. `boot`: what the guest is booted with; may
// be null.
inline std::vector<std::byte> sample_stream(const SampleContent& content = {}, bool with_sums = false,
                                            wire::Description description = wire::Description::Whole,
                                            const BootSource* boot = nullptr) {
    const auto check = [](const Status& status) {
        if (!status.ok())
            throw std::runtime_error{status.error().text};
    };
    const std::vector<std::byte> page(kPageSize, content.page);
    TestSection<TimerState> timer{TimerState{-5, content.clock}};
    TestSection<DeviceState> device{content.device, "0000:00:01.0/"};
    wire::BufferSink buffer;
    wire::SummingSink sink{buffer};
    OrderTrace order;
    wire::StreamWriter writer{sink, &order};
    wire::RamWriter ram{sink};
    check(writer.begin());
    check(ram.start(kSampleRam));
    if (boot != nullptr)
        check(wire::write_boot(ram, *boot));
    check(ram.begin_part());
    check(ram.page(RamOffset{0}, page));
    check(ram.zero_page(RamOffset{kPageSize}));
    const RamOffset last{2 * kPageSize};
    check(content.last_page_zero ? ram.zero_page(last) : ram.page(last, page));
    check(ram.end_part());
    check(ram.end());
    check(writer.section(timer));
    check(writer.section(device));
    wire::GlobalStateSection global{RunState::Running};
    check(writer.section(global));
    check(writer.end(description, with_sums ? &sink : nullptr));
    return buffer.take();
}

// At most `most` bytes at once.
class BytesSource : public wire::ByteSource {
  public:
    explicit BytesSource(std::span<const std::byte> bytes, std::size_t most = ~std::size_t{0})
        : bytes_(bytes), most_(most) {}
    Result<std::size_t> read_some(std::span<std::byte> out) override {
        const std::size_t count = std::min({out.size(), bytes_.size(), most_});
        std::copy_n(bytes_.begin(), count, out.begin());
        bytes_ = bytes_.subspan(count);
        return count;
    }

  private:
    std::span<const std::byte> bytes_;
    std::size_t most_;
};

} // namespace godwit::migration::test
