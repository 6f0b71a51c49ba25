// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/ccw.h"

#include "transports/ccw/guest_form.h"

namespace godwit::ccw {

std::optional<Ccw1> fetch_ccw(const GuestMemory& memory, std::uint64_t at) {
    if (at % kCcwSize != 0 || at > kAddressLimit - kCcwSize)
        return std::nullopt;
    std::array<std::byte, kCcwSize> bytes;
    if (!memory.read(Gpa{at}, bytes).ok())
        return std::nullopt;
    return from_guest<Ccw1>(bytes);
}

bool valid_transfer(const Ccw1& ccw) {
    return ccw.cmd_code == kCommandTransfer && ccw.flags == 0 && ccw.count == 0 &&
           (ccw.cda & kAddressBad) == 0 && ccw.cda % kCcwSize == 0;
}

bool valid_data(const Ccw1& ccw, bool chained) {
    if ((ccw.flags & (kCcwIndirect | kCcwModifiedIndirect)) != 0 || (ccw.cda & kAddressBad) != 0)
        return false;
    if (chained)
        return ccw.count != 0 && (ccw.flags & kCcwSuspend) == 0;
    if ((ccw.cmd_code & 0x0f) == 0)
        return false;
    return ccw.count != 0 || (ccw.flags & kCcwChainData) == 0;
}

} // namespace godwit::ccw
