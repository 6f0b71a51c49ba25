// SPDX-License-Identifier: Apache-2.0
//
// Whether a page reads zero. Most pages that do not are known by their first bytes. Pure, any thread; the
// guest may write to the page meanwhile.
#pragma once

#include <cstddef>

namespace godwit::migration {

// `page` is aligned to, and has, kPageSize bytes.
bool is_zero_page(const std::byte* page);

} // namespace godwit::migration
