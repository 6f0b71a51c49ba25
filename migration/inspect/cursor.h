// SPDX-License-Identifier: Apache-2.0
//
// Takes fields off a section's body and notes each with its name and place. The bytes are hostile: nothing is
// taken that is not there, and the number of fields is bounded. One thread.
#pragma once

#include "migration/inspect/view.h"
#include "vmm/base/bytes.h"

#include <string_view>

namespace godwit::migration::inspect {

// Fields of a whole stream, over all sections. A machine with 30 devices has some ten thousand.
inline constexpr std::size_t kMaxFields = std::size_t{1} << 20;

class Cursor {
  public:
    // `offset` is where `bytes` start in the stream. `budget` counts down and outlives the cursor.
    Cursor(std::span<const std::byte> bytes, std::uint64_t offset, std::size_t& budget)
        : in_(bytes), offset_(offset), budget_(budget) {}

    std::uint64_t offset() const { return offset_ + in_.offset(); }
    std::size_t remaining() const { return in_.remaining(); }
    std::span<const std::byte> peek(std::size_t count) const { return in_.peek(count); }
    Status skip(std::size_t count);

    // Each appends to the struct that is open.
    Result<std::uint64_t> number(std::string_view name, unsigned width, bool is_signed = false);
    Status numbers(std::string_view name, std::string_view type, unsigned width, bool is_signed,
                   std::uint64_t count);
    Status boolean(std::string_view name);
    Status bytes(std::string_view name, std::string_view type, std::uint64_t count);

    // What follows goes into a struct or a subsection, until close(). `header` bytes of a subsection's name
    // and version are taken first.
    Status open(Field field, std::size_t header = 0);
    void close();
    // Closes what is still open after an error, so that what was read is not lost.
    std::vector<Field> finish();

  private:
    Result<Field*> append(Field field, std::uint64_t size);

    ByteReader in_;
    std::uint64_t offset_;
    std::size_t& budget_;
    std::vector<Field> open_; // the path of structs, outermost first
    std::vector<Field> fields_;
};

// Header of the subsection that `in` stands at: 05, length, name, version. Nothing when it is none or is cut.
struct SubsectionHeader {
    std::string name;
    std::uint32_t version;
    std::size_t size;
};
std::optional<SubsectionHeader> subsection_at(const Cursor& in);

} // namespace godwit::migration::inspect
