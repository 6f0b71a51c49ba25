// SPDX-License-Identifier: Apache-2.0
//
// Numbers of the model-specific registers that the state stream names. References: Intel SDM volume 4; AMD64
// APM volume 2, appendix A; Linux Documentation/virt/kvm/x86/msr.rst.
#pragma once

#include <array>
#include <cstdint>

namespace godwit::kvm::msr {

inline constexpr std::uint32_t kTsc = 0x10;
inline constexpr std::uint32_t kApicBase = 0x1b;
inline constexpr std::uint32_t kSmiCount = 0x34;
inline constexpr std::uint32_t kFeatureControl = 0x3a;
inline constexpr std::uint32_t kTscAdjust = 0x3b;
inline constexpr std::uint32_t kSpecCtrl = 0x48;
inline constexpr std::uint32_t kSmbase = 0x9e;
inline constexpr std::uint32_t kUmwaitControl = 0xe1;
inline constexpr std::uint32_t kTsxCtrl = 0x122;
inline constexpr std::uint32_t kSysenterCs = 0x174;
inline constexpr std::uint32_t kSysenterEsp = 0x175;
inline constexpr std::uint32_t kSysenterEip = 0x176;
inline constexpr std::uint32_t kMcgCap = 0x179;
inline constexpr std::uint32_t kMcgStatus = 0x17a;
inline constexpr std::uint32_t kMcgCtl = 0x17b;
inline constexpr std::uint32_t kMiscEnable = 0x1a0;
inline constexpr std::uint32_t kPat = 0x277;
inline constexpr std::uint32_t kMtrrDefaultType = 0x2ff;
inline constexpr std::uint32_t kMceBanks = 0x400; // CTL, STATUS, ADDR, MISC of bank 0, then of bank 1...
inline constexpr std::uint32_t kMceBankRegisters = 40;
inline constexpr std::uint32_t kMcgExtCtl = 0x4d0;
inline constexpr std::uint32_t kPkrs = 0x6e1;
inline constexpr std::uint32_t kTscDeadline = 0x6e0;
inline constexpr std::uint32_t kBndcfgs = 0xd90;
inline constexpr std::uint32_t kXss = 0xda0;
inline constexpr std::uint32_t kKvmWallClock = 0x4b564d00;
inline constexpr std::uint32_t kKvmSystemTime = 0x4b564d01;
inline constexpr std::uint32_t kKvmAsyncPf = 0x4b564d02;
inline constexpr std::uint32_t kKvmStealTime = 0x4b564d03;
inline constexpr std::uint32_t kKvmPvEoi = 0x4b564d04;
inline constexpr std::uint32_t kKvmPollControl = 0x4b564d05;
inline constexpr std::uint32_t kKvmAsyncPfInt = 0x4b564d06;
inline constexpr std::uint32_t kKvmAsyncPfAck = 0x4b564d07;
inline constexpr std::uint32_t kKvmWallClockOld = 0x11; // the same registers as the two above
inline constexpr std::uint32_t kKvmSystemTimeOld = 0x12;
inline constexpr std::uint32_t kEfer = 0xc0000080;
inline constexpr std::uint32_t kStar = 0xc0000081;
inline constexpr std::uint32_t kLstar = 0xc0000082;
inline constexpr std::uint32_t kCstar = 0xc0000083;
inline constexpr std::uint32_t kFmask = 0xc0000084;
inline constexpr std::uint32_t kKernelGsBase = 0xc0000102;
inline constexpr std::uint32_t kTscAux = 0xc0000103;
inline constexpr std::uint32_t kVmHsave = 0xc0010117;
inline constexpr std::uint32_t kVirtSsbd = 0xc001011f;

inline constexpr std::array<std::uint32_t, 11> kMtrrFixed{0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                                          0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
inline constexpr std::uint32_t kMtrrVariableCount = 8;
constexpr std::uint32_t mtrr_base(std::uint32_t i) {
    return 0x200 + 2 * i;
}
constexpr std::uint32_t mtrr_mask(std::uint32_t i) {
    return 0x201 + 2 * i;
}

} // namespace godwit::kvm::msr
