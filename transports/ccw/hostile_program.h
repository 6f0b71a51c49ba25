// SPDX-License-Identifier: Apache-2.0
//
// One run of a hostile driver: bytes become channel programs, their data, and operations in some order,
// against a virtio device. Used by the fuzz target and, with a fixed sequence, by the unit tests.
#pragma once

#include <cstddef>
#include <span>

namespace godwit::ccw::testing {

// Throws std::runtime_error when something is not as it must be; a sanitizer sees the rest.
void drive(std::span<const std::byte> bytes);

} // namespace godwit::ccw::testing
