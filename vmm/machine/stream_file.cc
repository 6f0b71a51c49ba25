// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/stream_file.h"

#include "migration/preflight/compare.h"
#include "migration/ram/page_bitmap.h"
#include "migration/ram/zero_page.h"
#include "migration/wire/global_state.h"
#include "migration/wire/qemu_sections.h"
#include "migration/wire/ram_writer.h"
#include "migration/wire/stream_reader.h"
#include "migration/wire/stream_writer.h"
#include "vmm/base/log.h"
#include "vmm/cpu/model_file.h"
#include "vmm/machine/stream_place.h"

#include <array>
#include <cstring>

namespace godwit {

namespace {

// The guest stands still while a FIFO or a socket is not read.
constexpr std::chrono::seconds kReaderPatience{30};
// How quickly a cancel is heard while disks are written back.
constexpr std::chrono::milliseconds kGlance{50};
constexpr std::size_t kMaxRest = 64 * 1024;

Status write_ram(GuestMemory& memory, const migration::BootSource* boot, migration::wire::Sink& sink) {
    migration::wire::RamWriter writer{sink};
    TRY(writer.start(memory.size()));
    if (boot != nullptr)
        TRY_IN(migration::wire::write_boot(writer, *boot), "what the guest is booted with");
    TRY(writer.begin_part());
    for (RamOffset at{0}; at.value < memory.size(); at.value += kPageSize) {
        const std::byte* const page = memory.host(at);
        TRY(migration::is_zero_page(page) ? writer.zero_page(at) : writer.page(at, {page, kPageSize}));
    }
    TRY(writer.end_part());
    return writer.end();
}

Status write_stream(Guest& guest, migration::wire::FdSink& file, migration::RunState state) {
    migration::wire::SummingSink sink{file};
    OrderTrace order;
    migration::wire::StreamWriter stream{sink, &order};
    TRY(stream.begin());
    TRY(write_ram(guest.memory(), guest.boot_source().get(), sink));
    for (StateSection* const section : guest.sections())
        TRY(stream.section(*section));
    migration::wire::GlobalStateSection global_state{state};
    TRY(stream.section(global_state));
    stream.note({cpu::to_json(guest.cpu(), cpu::Layout::Line),
                 to_json(Standstill{guest.stopped_at(), guest.disk_contents()})});
    TRY(stream.end(migration::wire::Description::Whole, &sink));
    return file.flush();
}

// A saved guest whose disk has lost something is none.
Status write_back(Guest& guest, const migration::Cancel& cancel) {
    while (TRY(guest.port().write_back(kGlance)).under_way)
        if (cancel.requested())
            return cancel.error();
    return {};
}

Status save_held(Guest& guest, StreamOutput& output, AfterSave after, const migration::Cancel& cancel) {
    const migration::RunState state = guest.port().run_state();
    TRY(guest.hold(Guest::Hold::Save));
    // It has ended: restored, it would hang.
    if (const GuestStop stop = guest.stopped_by_guest(); stop != GuestStop::None)
        return stop_error(stop);
    TRY(write_back(guest, cancel));
    migration::wire::FdSink sink = TRY(output.sink(cancel, kReaderPatience));
    TRY(write_stream(guest, sink, state));
    TRY(output.finish());
    // Before the connection is closed: its end is how a reader at the other end knows that they are free.
    return after == AfterSave::Stay ? guest.unlock_disks() : Status{};
}

// Guest memory that reads zero so far: a zero page is written only over one that is not.
class FreshRam final : public migration::wire::RamTarget {
  public:
    explicit FreshRam(GuestMemory& memory) : memory_(memory), touched_(memory.page_count()) {}

    std::uint64_t size() const override { return memory_.size(); }
    std::span<std::byte> page(RamOffset offset) override {
        touched_.set(offset.value / kPageSize);
        return {memory_.host(offset), kPageSize};
    }
    void fill(RamOffset offset, std::byte value) override {
        if (value == std::byte{0} && !touched_.test(offset.value / kPageSize))
            return;
        std::memset(page(offset).data(), std::to_integer<int>(value), kPageSize);
    }

  private:
    GuestMemory& memory_;
    migration::PageBitmap touched_;
};

// What the guest saw of its processor stays the same. That this host cannot give it explains what a section
// may have been refused for, so it is said instead.
Status adopt_saved_cpu(Guest& guest, const std::string& json, bool all_valid,
                       std::span<const std::string> accepted) {
    const cpu::CpuModel model = TRY_IN(cpu::parse_model(json), "the processor in the description");
    migration::Differences found;
    migration::compare_cpu(model, guest.cpu_offer(), found);
    accept(found, accepted);
    if (const auto refuses = migration::refusing(found); !refuses.empty())
        return migration::as_error(refuses);
    for (const migration::Difference& one : found)
        log::warning("{} [{}], which was accepted", one.sentence(), one.code);
    return all_valid ? guest.adopt_cpu(model) : Status{};
}

// Who saves to a FIFO or a socket closes it when it has let go of the disks.
Status read_end(migration::wire::FdSource& source) {
    std::array<std::byte, 4096> rest{};
    for (std::size_t passed = 0; passed <= kMaxRest;) {
        const std::size_t count = TRY(source.read_some(rest));
        if (count == 0)
            return {};
        passed += count;
    }
    return corrupt("the stream goes on for more than {} bytes behind its end", kMaxRest);
}

struct StreamRead {
    migration::RunState state;
    migration::BesideSections beside;
};

Result<StreamRead> read_stream(Guest& guest, StreamInput stream, const std::string& place,
                               const Tolerance& tolerance) {
    const auto after_refusal =
        stream.has_end ? migration::wire::AfterRefusal::ReadOn : migration::wire::AfterRefusal::Leave;
    migration::wire::FdSource source{std::move(stream.fd), std::move(stream.wait)};
    migration::wire::Input input{source};
    const auto strangers = migration::wire::make_qemu_sections();
    std::vector<StateSection*> sections = guest.sections();
    for (const auto& section : strangers)
        sections.push_back(section.get());
    FreshRam ram{guest.memory()};
    migration::wire::StreamReader reader{input, sections, &ram, nullptr, after_refusal};
    auto state = reader.load();
    if (const std::string& cpu = reader.notes().cpu; !cpu.empty())
        TRY_IN(adopt_saved_cpu(guest, cpu, state.ok(), tolerance.accepted), place);
    if (!state.ok()) {
        Error fault = std::move(state).error();
        if (fault.code == ErrorCode::Corrupt)
            fault.code = ErrorCode::InvalidInput;
        return std::move(fault).in(fmt::format("byte {}", reader.position())).in(place);
    }
    for (const auto& section : strangers)
        TRY(section->commit_load()); // each says that it is dropped
    if (!stream.has_end)
        TRY_IN(read_end(source), place);
    return StreamRead{state.value(), {reader.notes().guest, reader.boot_source()}};
}

} // namespace

Status save_stream(Guest& guest, StreamOutput output, AfterSave after, const migration::Cancel& cancel) {
    Status saved = save_held(guest, output, after, cancel);
    if (saved.ok() && after == AfterSave::Stay)
        return {};
    const Status released = guest.release(Guest::Hold::Save);
    if (!saved.ok())
        return std::move(saved).error().in(fmt::format("saving to '{}'", output.name()));
    if (!released.ok())
        return Error{released.error()}.in("the guest was saved but does not go on");
    return {};
}

Result<migration::RunState> restore_stream(Guest& guest, StreamInput stream, const std::string& place,
                                           const Tolerance& tolerance) {
    StreamRead read = TRY(read_stream(guest, std::move(stream), place, tolerance));
    const Standstill then = TRY_IN(parse_standstill(read.beside.notes), place);
    TRY_IN(guest.port().apply_incoming(std::move(read.beside)), place);
    // With their locks: from here on nobody else writes.
    const Status unchanged = check_unchanged(then.disks, guest.disk_contents());
    if (!unchanged.ok() && tolerance.changed_disks == ChangedDisks::Refuse)
        return Error{unchanged.error()}.in(place);
    if (!unchanged.ok())
        log::warning("{}", unchanged.error().text);
    TRY_IN(guest.begin_generation(), place); // somebody may have gone on from it already
    return read.state;
}

} // namespace godwit
