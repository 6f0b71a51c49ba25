// SPDX-License-Identifier: Apache-2.0
//
// The XSAVE area, standard format: Intel SDM volume 1, sections 10.5.1 and 13.4. The first 512 bytes are
// FXSAVE's.
#pragma once

#include "vmm/kvm/kvm_api.h"

#include <array>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace godwit::kvm {

// struct kvm_xsave without the variable part, which only AMX needs.
using XsaveArea = std::array<std::uint32_t, 1024>;
static_assert(sizeof(XsaveArea) == sizeof(kvm_xsave));

namespace fxsave {

// Byte offsets.
inline constexpr std::uint32_t kControl = 0, kStatus = 2, kTags = 4, kOpcode = 6, kInstruction = 8,
                               kData = 16, kMxcsr = 24, kX87 = 32, kXmm = 160, kXstateBv = 512;
// Components, as numbered in XCR0.
inline constexpr std::uint32_t kAvx = 2, kBndRegs = 3, kBndCsr = 4, kOpmask = 5, kZmmHigh = 6, kZmmUpper = 7,
                               kPkru = 9;

} // namespace fxsave

// Registers lie there little-endian, like the structs that hold them.
class FxsaveReader {
  public:
    explicit FxsaveReader(const XsaveArea& area) : bytes_(reinterpret_cast<const std::byte*>(area.data())) {}
    template <class T>
    requires std::is_trivially_copyable_v<T> T get(std::uint32_t offset)
    const {
        assert(offset + sizeof(T) <= sizeof(XsaveArea));
        T value;
        std::memcpy(&value, bytes_ + offset, sizeof value);
        return value;
    }

  private:
    const std::byte* bytes_;
};

class FxsaveWriter {
  public:
    explicit FxsaveWriter(XsaveArea& area) : bytes_(reinterpret_cast<std::byte*>(area.data())) {}
    template <class T>
    requires std::is_trivially_copyable_v<T>
    void put(std::uint32_t offset, const T& value) {
        assert(offset + sizeof(T) <= sizeof(XsaveArea));
        std::memcpy(bytes_ + offset, &value, sizeof value);
    }

  private:
    std::byte* bytes_;
};

} // namespace godwit::kvm
