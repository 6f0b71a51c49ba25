// SPDX-License-Identifier: Apache-2.0
//
// One way in which two machines do not fit. A list of them is what preflight finds and what travels to the
// source. Pure functions.
#pragma once

#include "migration/preflight/reason.h"
#include "vmm/base/result.h"

#include <span>
#include <string>
#include <vector>

namespace godwit::migration {

struct Difference {
    std::string code;    // reason.h; a newer peer may have others
    std::string subject; // what differs: "virtio-net 'net0'", "cpu"
    std::string text; // from the destination's point of view: "feature VIRTIO_NET_F_MQ (22) not offered here"
    Weight weight = Weight::Refuses;
    bool operator==(const Difference&) const = default;

    // "virtio-net 'net0': feature VIRTIO_NET_F_MQ (22) not offered here"
    std::string sentence() const { return subject + ": " + text; }
};
using Differences = std::vector<Difference>;

// A value as it stands in a reason's text.
template <class T>
std::string value_text(const T& value) {
    return fmt::format("{}", value);
}

// `values` are as many as the reason's text has places.
Difference difference(Reason reason, std::string subject, const std::vector<std::string>& values = {});

// Makes those that refuse, and whose code is among `codes`, accepted ones.
void accept(Differences& differences, std::span<const std::string> codes);
// InvalidInput: there is no such code, or no receiver could go on in spite of it.
Status check_acceptable(std::string_view code);
// Those that refuse; the others.
Differences refusing(std::span<const Difference> differences);
Differences not_refusing(std::span<const Difference> differences);

// All of them as one error: each sentence, with its code in brackets.
Error as_error(std::span<const Difference> differences);

// REFUSE and CHECK_REPORT. What does not fit into kMaxDifferenceBytes is left out, and its number told.
enum class Weights {
    None, // all refuse
    Told, // behind the list, which who does not expect them cannot read (kKnowsWeights)
};
inline constexpr std::uint32_t kMaxDifferences = 1024;
inline constexpr std::size_t kMaxDifferenceText = 768;
inline constexpr std::size_t kMaxDifferenceBytes = std::size_t{1} << 20;
std::vector<std::byte> encode(std::span<const Difference> differences, Weights weights = Weights::None);
Result<Differences> decode_differences(std::span<const std::byte> body);

} // namespace godwit::migration
