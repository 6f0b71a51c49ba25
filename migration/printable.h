// SPDX-License-Identifier: Apache-2.0
//
// Text from the peer, made fit for a log line or an error: other bytes than printable ASCII become '?'.
#pragma once

#include <string>
#include <string_view>

namespace godwit::migration {

inline std::string printable(std::string_view text) {
    std::string clean{text};
    for (char& c : clean)
        if (c < 0x20 || c > 0x7e)
            c = '?';
    return clean;
}

} // namespace godwit::migration
