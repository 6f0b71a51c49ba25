// SPDX-License-Identifier: Apache-2.0
//
// A model as text: what `godwit cpu dump` writes and `--cpu FILE` reads. JSON; numbers are strings in
// hexadecimal, as in the manuals. Names of features are written for the reader and not read back.
#pragma once

#include "vmm/base/result.h"
#include "vmm/cpu/cpuid.h"

#include <string>
#include <string_view>

namespace godwit::cpu {

inline constexpr std::size_t kMaxModelFile = std::size_t{1} << 20;

enum class Layout {
    Pretty, // many lines, with the names of features
    Line,   // one line
};
std::string to_json(const CpuModel& model, Layout layout = Layout::Pretty);
// InvalidInput says what is wrong and where.
Result<CpuModel> parse_model(std::string_view json);
Result<CpuModel> read_model(const std::string& path);

} // namespace godwit::cpu
