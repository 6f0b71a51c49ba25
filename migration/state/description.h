// SPDX-License-Identifier: Apache-2.0
//
// What was written, by name: the tree behind the JSON description at the end of a stream (QEMU's "vmdesc").
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace godwit {

struct RecordDescription;

struct FieldDescription {
    std::string name;
    std::string type; // "uint32", "buffer", "struct"...
    std::size_t size = 0;
    std::optional<std::size_t> array_length;                 // all elements have this type and `size` each
    std::optional<std::size_t> index;                        // one element of an array of structs
    std::vector<RecordDescription> structure;                // one entry when type is "struct"
    bool operator==(const FieldDescription&) const noexcept; // clang 14 crashes when it has to find that out
};

struct RecordDescription {
    std::string name;
    std::uint32_t version = 0;
    std::vector<FieldDescription> fields;
    std::vector<RecordDescription> subsections;
    bool operator==(const RecordDescription&) const noexcept = default;
};

inline bool FieldDescription::operator==(const FieldDescription&) const noexcept = default;

} // namespace godwit
