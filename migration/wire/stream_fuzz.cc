// SPDX-License-Identifier: Apache-2.0
//
// A complete stream with RAM, as `godwit restore` reads it: from memory and in pieces, which makes no
// difference.
#include "migration/wire/sample_stream.h"
#include "migration/wire/stream_reader.h"
#include "vmm/base/fuzz.h"

#include <cstring>

namespace {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;

class Ram final : public wire::RamTarget {
  public:
    std::uint64_t size() const override { return bytes_.size(); }
    std::span<std::byte> page(RamOffset offset) override {
        fuzz::require(offset.value % kPageSize == 0 && offset.value < size(), "pages of RAM only");
        return std::span{bytes_}.subspan(offset.value, kPageSize);
    }
    void fill(RamOffset offset, std::byte value) override {
        std::memset(page(offset).data(), std::to_integer<int>(value), kPageSize);
    }
    bool operator==(const Ram& other) const { return bytes_ == other.bytes_; }

  private:
    std::vector<std::byte> bytes_ = std::vector<std::byte>(kSampleRam);
};

struct Outcome {
    std::string text; // of the error; empty: loaded
    TimerState timer;
    DeviceState device;
    Ram ram;
    bool operator==(const Outcome&) const = default;
};

Outcome load(wire::Input& in, wire::AfterRefusal after) {
    Outcome outcome;
    TestSection<TimerState> timer;
    TestSection<DeviceState> device{{}, "0000:00:01.0/"};
    StateSection* const sections[] = {&timer, &device};
    OrderTrace trace;
    wire::StreamReader reader{in, sections, &outcome.ram, &trace, after};
    const auto loaded = reader.load();
    fuzz::require(timer.commits == 0 && device.commits == 0, "nothing is made live by reading");
    if (!loaded.ok()) {
        fuzz::require(timer.discards != 0 && device.discards != 0, "what was read is dropped");
        outcome.text = loaded.error().text;
        fuzz::require(!outcome.text.empty(), "an error has a text");
        return outcome;
    }
    fuzz::require(timer.commit_load().ok() && device.commit_load().ok(), "what was loaded is made live");
    fuzz::require(device.state.status <= 0x7f, "what was loaded is valid");
    outcome.timer = timer.state;
    outcome.device = device.state;
    return outcome;
}

Blob blob_of(std::string_view text) {
    auto writer = std::move(BlobWriter::create("seed")).value();
    (void)writer.append(std::as_bytes(std::span{text}));
    return std::move(std::move(writer).seal()).value();
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    using wire::Description;
    const BootSource boot{blob_of("a kernel"), blob_of("an initrd"), "quiet"};
    SampleContent content;
    content.last_page_zero = true; // smaller
    return {{"bare", sample_stream(content, false, Description::None)},
            {"notes", sample_stream(content, true, Description::Notes)},
            {"booted", sample_stream(content, false, Description::None, &boot)}};
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span{data, size});
    wire::Input whole{bytes};
    const Outcome at_once = load(whole, wire::AfterRefusal::ReadOn);
    BytesSource source{bytes, 700};
    wire::Input pieces{source};
    fuzz::require(load(pieces, wire::AfterRefusal::ReadOn) == at_once, "pieces make no difference");
    wire::Input left{bytes};
    fuzz::require(load(left, wire::AfterRefusal::Leave).text.empty() == at_once.text.empty(),
                  "reading on refuses no more and no less");
    return 0;
}
