// SPDX-License-Identifier: Apache-2.0
//
// Texts in message bodies: a length, then bytes that become printable on arrival. Pure functions.
#pragma once

#include "migration/printable.h"
#include "vmm/base/bytes.h"
#include "vmm/base/result.h"

#include <string>
#include <string_view>

namespace godwit::migration {

inline void put_text(ByteWriter& out, std::string_view text) {
    out.le(static_cast<std::uint32_t>(text.size()));
    out.append(text);
}

inline Result<std::string> get_text(ByteReader& in, std::size_t limit, std::string_view what) {
    const auto length = TRY(in.le<std::uint32_t>());
    if (length > limit)
        return error(ErrorCode::Protocol, "{} of {} bytes, at most {} can be", what, length, limit);
    const auto bytes = TRY(in.take(length));
    return printable({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

inline Status at_end(const ByteReader& in) {
    if (!in.at_end())
        return error(ErrorCode::Protocol, "{} bytes are left over", in.remaining());
    return {};
}

} // namespace godwit::migration
