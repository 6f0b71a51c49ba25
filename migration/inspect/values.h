// SPDX-License-Identifier: Apache-2.0
//
// Fields as paths and values as text, for the listing and for the comparison. Pure functions.
#pragma once

#include "migration/inspect/view.h"

#include <functional>
#include <string_view>

namespace godwit::migration::inspect {

// How the notes of the processor are headed, among sections.
inline constexpr std::string_view kProcessor = "processor";

// "44.5 KiB"; exact below 1024.
std::string size_text(std::uint64_t bytes);

// Called for each field that is no struct, in the order of the stream. A path reads "state.divider",
// "vq[0].desc", "virtio/64bit_features.guest_features". Neighbouring elements of an array of structs with the
// same bytes are visited once, as "vq[3..1023].desc", when `fold` is set.
using LeafVisitor = std::function<void(const std::string& path, const Field& field)>;
void each_leaf(const View& view, const std::vector<Field>& fields, bool fold, const LeafVisitor& visit);

// "1f 00 a0".
std::string hex_text(std::span<const std::byte> bytes, std::string_view separator = " ");

// One line. Numbers from ten on in hexadecimal and decimal, equal elements of an array together ("0 x 30"),
// texts in quotes, addresses of Ethernet with colons; of a long buffer only its size.
std::string value_text(const View& view, const Field& field);

// All of a value: long arrays and the bytes of long buffers take further lines. What is zero is counted.
std::vector<std::string> value_lines(const View& view, const Field& field);

} // namespace godwit::migration::inspect
