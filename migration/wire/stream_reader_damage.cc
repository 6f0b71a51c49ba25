// SPDX-License-Identifier: Apache-2.0
//
// StreamReader, the part that tells damage: the stream's own check sums, and what the damaged bytes hold.
#include "migration/wire/description_json.h"
#include "migration/wire/stream_reader.h"
#include "migration/wire/stream_writer.h" // for section_label

#include <algorithm>

namespace godwit::migration::wire {

// All of the stream is known to be as it was written, RAM too; or the error says where it is not.
Status StreamReader::check_sums(std::string_view description) {
    sums_.finish();
    const auto saved = TRY(sums_in(description));
    if (!saved.has_value())
        return {};
    damage_told_ = true;
    if (saved->bytes != sums_.bytes())
        return corrupt("the stream has {} bytes up to its end mark, {} were written", sums_.bytes(),
                       saved->bytes);
    if (const auto ranges = damaged_ranges(sums_, *saved); !ranges.empty()) {
        failed_at_ = ranges[0].begin;
        return corrupt("{}", damage_text(ranges));
    }
    return {};
}

// A flipped bit can look like anything, also like another machine.
Error StreamReader::explained(Error fault) {
    const auto ranges = damage_in_rest();
    if (!ranges.ok())
        return error(ErrorCode::Corrupt, "{}; {}", fault.text, ranges.error().text);
    if (ranges->empty())
        return fault;
    return error(ErrorCode::Corrupt, "{}; {}", fault.text, damage_text(*ranges));
}

// Empty when there is nothing to compare with: not a stream of ours, or its end is not there.
Result<std::vector<ByteRange>> StreamReader::damage_in_rest() {
    constexpr std::size_t kKeep = kMaxDescriptionBytes + kSumBlock;
    const std::uint64_t limit = 4 * ram_size_ + kMaxStateBytes + kMaxDescriptionBytes;
    auto rest = in_.drain(limit, kKeep);
    if (!rest.ok())
        return std::vector<ByteRange>{};
    const auto at = find_description(*rest);
    if (!at.has_value())
        return std::vector<ByteRange>{};
    const auto text = rest->subspan(*at + 1 + sizeof(std::uint32_t));
    const std::string_view description{reinterpret_cast<const char*>(text.data()), text.size()};
    const auto saved = TRY(sums_in(description));
    GuestNotes notes = notes_in(description);
    in_.advance(*at);
    in_.sum_into(nullptr);
    sums_.finish();
    auto ranges = saved.has_value() ? damaged_ranges(sums_, *saved) : std::vector<ByteRange>{};
    if (ranges.empty())
        notes_ = std::move(notes);
    return ranges;
}

std::string StreamReader::damage_text(const std::vector<ByteRange>& ranges) const {
    const ByteRange& first = ranges[0];
    std::string text = fmt::format("bytes {} to {} are damaged", first.begin, first.end - 1);
    if (const std::string content = content_text(first); !content.empty())
        text += fmt::format(" ({})", content);
    if (ranges.size() > 1)
        text += fmt::format(", and {} more places", ranges.size() - 1);
    return text + ": their check sum is not the one that was saved";
}

std::string StreamReader::content_text(const ByteRange& range) const {
    std::string text;
    const auto& marks = ram_->marks();
    if (range.begin < ram_end_ && !marks.empty()) {
        const auto first = std::ranges::lower_bound(marks, range.begin, {}, &RamReader::Mark::offset);
        const auto behind = std::ranges::lower_bound(marks, range.end, {}, &RamReader::Mark::offset);
        const RamOffset last = behind == marks.end() ? ram_->last_page() : behind->before;
        text = fmt::format("RAM from page {} to {}", first == marks.end() ? last : first->before, last);
    }
    if (const ByteRange& boot = ram_->boot_place(); boot.end > range.begin && boot.begin < range.end)
        text = "what the guest is booted with";
    for (const Slot& slot : slots_)
        if (slot.place.end > range.begin && slot.place.begin < range.end)
            text += fmt::format("{}section '{}'", text.empty() ? "" : ", ",
                                section_label(slot.id.name, slot.id.instance));
    return text;
}

} // namespace godwit::migration::wire
