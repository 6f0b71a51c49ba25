// SPDX-License-Identifier: Apache-2.0
//
// Configuration space of a conventional PCI function: 256 bytes (PCI 3.0 section 6.1), and for each bit
// whether the guest can write it, clears it by writing one, and whether a loaded state must agree with it.
// Threads: the owning function's, that is the loop's.
#pragma once

#include "transports/pci/spec.h"
#include "vmm/base/bytes.h"
#include "vmm/base/result.h"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::pci {

// Whether an access of `length` bytes touches the register of `size` bytes at `at`.
constexpr bool overlap(std::uint32_t offset, std::size_t length, std::uint32_t at, std::size_t size) {
    return offset < at + size && at < offset + length;
}

class ConfigSpace {
  public:
    static constexpr std::size_t kSize = 256;
    using Image = std::array<std::byte, kSize>;

    struct Identity {
        std::uint16_t vendor = 0;
        std::uint16_t device = 0;
        std::uint8_t revision = 0;
        std::uint32_t class_code = 0; // base class, subclass, programming interface: 24 bits
        std::uint16_t subsystem_vendor = 0;
        std::uint16_t subsystem = 0;
        std::uint8_t interrupt_pin = 0; // 0 none, 1 INTA
    };
    explicit ConfigSpace(const Identity& identity);

    // ---- the guest. Bytes from 256 to 4095 read as zeros: no extended capability.
    void read(std::uint32_t offset, std::span<std::byte> out) const;
    void write(std::uint32_t offset, std::span<const std::byte> data);

    // ---- the function. Precondition: offset + sizeof(T) <= kSize.
    template <std::unsigned_integral T>
    T get(std::uint32_t offset) const {
        return load_le<T>(std::span{image_}.subspan(offset));
    }
    template <std::unsigned_integral T>
    void set(std::uint32_t offset, T value) {
        store_le(std::span{image_}.subspan(offset), value);
    }
    // The bits of `mask` become writable by the guest.
    template <std::unsigned_integral T>
    void make_writable(std::uint32_t offset, T mask) {
        store_le(std::span{writable_}.subspan(offset), mask);
    }
    // A loaded state must have the same bits here, except the writable ones.
    void require_equal(std::uint32_t offset, std::size_t length, std::string_view name);

    // Puts a capability (its bytes after id and next pointer) in front of the list. Precondition: it fits and
    // its range is free.
    void add_capability(std::uint8_t offset, std::uint8_t id, std::span<const std::byte> body,
                        std::string_view name);

    // ---- state

    const Image& image() const { return image_; }
    // Whether a guest that saw `incoming` may go on with this function; the error names the first register
    // that differs and both values.
    Status check(const Image& incoming) const;
    // Takes over all of it: also what is not compared was seen by the guest. Precondition: check() passed.
    void replace(const Image& image) { image_ = image; }

  private:
    struct Register {
        std::uint32_t offset;
        std::size_t length;
        std::string name;
    };
    std::string_view register_at(std::uint32_t offset) const;

    Image image_{};
    Image writable_{};
    Image write_one_to_clear_{};
    Image compared_{};
    std::vector<Register> registers_; // the compared ones, for error texts
};

} // namespace godwit::pci
