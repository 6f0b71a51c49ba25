// SPDX-License-Identifier: Apache-2.0
#include "transports/pci/config_space.h"

#include <algorithm>
#include <cassert>

namespace godwit::pci {

ConfigSpace::ConfigSpace(const Identity& identity) {
    set(PCI_VENDOR_ID, identity.vendor);
    set(PCI_DEVICE_ID, identity.device);
    set(PCI_REVISION_ID, identity.revision);
    set(PCI_CLASS_PROG, static_cast<std::uint8_t>(identity.class_code));
    set(PCI_CLASS_DEVICE, static_cast<std::uint16_t>(identity.class_code >> 8));
    set(PCI_SUBSYSTEM_VENDOR_ID, identity.subsystem_vendor);
    set(PCI_SUBSYSTEM_ID, identity.subsystem);
    set(PCI_INTERRUPT_PIN, identity.interrupt_pin);

    make_writable(PCI_COMMAND,
                  static_cast<std::uint16_t>(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                                             PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE));
    make_writable(PCI_CACHE_LINE_SIZE, std::uint8_t{0xff});
    make_writable(PCI_INTERRUPT_LINE, std::uint8_t{0xff});
    store_le(std::span{write_one_to_clear_}.subspan(PCI_STATUS), kStatusErrors);

    require_equal(PCI_VENDOR_ID, 2, "vendor id");
    require_equal(PCI_DEVICE_ID, 2, "device id");
    require_equal(PCI_STATUS, 1, "status, capability list bit");
    compared_[PCI_STATUS] = static_cast<std::byte>(PCI_STATUS_CAP_LIST);
    require_equal(PCI_REVISION_ID, 1, "revision");
    require_equal(PCI_CLASS_PROG, 3, "class code");
    require_equal(PCI_HEADER_TYPE, 1, "header type");
    require_equal(PCI_CAPABILITY_LIST, 1, "capabilities pointer");
}

void ConfigSpace::read(std::uint32_t offset, std::span<std::byte> out) const {
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = offset + i < kSize ? image_[offset + i] : std::byte{0};
}

void ConfigSpace::write(std::uint32_t offset, std::span<const std::byte> data) {
    for (std::size_t i = 0; i < data.size() && offset + i < kSize; ++i) {
        const std::size_t at = offset + i;
        image_[at] = (image_[at] & ~writable_[at]) | (data[i] & writable_[at]);
        image_[at] &= ~(data[i] & write_one_to_clear_[at]);
    }
}

void ConfigSpace::require_equal(std::uint32_t offset, std::size_t length, std::string_view name) {
    std::fill_n(compared_.begin() + offset, length, std::byte{0xff});
    registers_.push_back({offset, length, std::string{name}});
}

void ConfigSpace::add_capability(std::uint8_t offset, std::uint8_t id, std::span<const std::byte> body,
                                 std::string_view name) {
    const std::size_t length = 2 + body.size();
    assert(offset >= kFirstCapability && offset % 4 == 0 && offset + length <= kSize);
    set(offset, id);
    set(offset + 1u, get<std::uint8_t>(PCI_CAPABILITY_LIST));
    std::copy(body.begin(), body.end(), image_.begin() + offset + 2);
    set(PCI_CAPABILITY_LIST, offset);
    set(PCI_STATUS, static_cast<std::uint16_t>(get<std::uint16_t>(PCI_STATUS) | PCI_STATUS_CAP_LIST));
    require_equal(offset, length, name);
}

Status ConfigSpace::check(const Image& incoming) const {
    for (std::uint32_t i = 0; i < kSize; ++i) {
        const std::byte mask = compared_[i] & ~writable_[i] & ~write_one_to_clear_[i];
        if (((incoming[i] ^ image_[i]) & mask) != std::byte{0})
            return error(ErrorCode::Incompatible,
                         "configuration byte {:#04x} ({}): {:#04x} in the stream, {:#04x} here", i,
                         register_at(i), static_cast<unsigned>(incoming[i]),
                         static_cast<unsigned>(image_[i]));
    }
    return {};
}

std::string_view ConfigSpace::register_at(std::uint32_t offset) const {
    for (const Register& reg : registers_)
        if (offset >= reg.offset && offset - reg.offset < reg.length)
            return reg.name;
    return "unnamed";
}

} // namespace godwit::pci
