// SPDX-License-Identifier: Apache-2.0
//
// Two streams, field by field and page by page. Pure functions.
#pragma once

#include "migration/inspect/view.h"

#include <string>

namespace godwit::migration::inspect {

inline constexpr std::uint64_t kPageBytes = 4096;

struct Difference {
    std::string section; // empty: the stream as a whole
    std::string field;   // path; empty: the section as a whole
    std::string first;   // value texts; empty where there is none
    std::string second;
};

struct PageRange {
    std::uint64_t first = 0; // page number
    std::uint64_t count = 0;
};

struct RamDifference {
    std::string block;
    std::uint64_t pages = 0; // of the larger one
    std::uint64_t differing = 0;
    std::vector<PageRange> ranges; // the first ones
};

struct Comparison {
    std::vector<Difference> differences;
    std::vector<RamDifference> ram;
    std::uint64_t fields = 0; // that were compared
    bool same() const { return differences.empty() && ram.empty(); }
};

// Pages are compared when both streams were inspected with Options::pages. Sections are paired by name and
// instance, fields by path; layout differs where a path is in one only.
Comparison compare(const View& first, const View& second);

std::string comparison_text(const Comparison& comparison, const std::string& first,
                            const std::string& second);
std::string comparison_json(const Comparison& comparison, const std::string& first,
                            const std::string& second);

} // namespace godwit::migration::inspect
