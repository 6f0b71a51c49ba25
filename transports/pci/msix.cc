// SPDX-License-Identifier: Apache-2.0
#include "transports/pci/msix.h"

#include <algorithm>

namespace godwit::pci {

Msix::Msix(std::string name, std::vector<Delivery> delivery)
    : name_(std::move(name)), tables_(blank(delivery.size())), delivery_(std::move(delivery)) {}

Result<std::unique_ptr<Msix>> Msix::create(std::string name, std::uint16_t vectors,
                                           InterruptController& interrupts) {
    if (vectors == 0 || vectors > kMaxVectors)
        return invalid_input("{}: {} interrupt vectors, 1 to {} can be", name, vectors, kMaxVectors);
    std::vector<Delivery> delivery(vectors);
    for (Delivery& one : delivery)
        one.vector = TRY_IN(interrupts.msi(), name);
    return std::unique_ptr<Msix>{new Msix{std::move(name), std::move(delivery)}};
}

Msix::Tables Msix::blank(std::size_t vectors) {
    Tables tables{std::vector<std::byte>(vectors * PCI_MSIX_ENTRY_SIZE),
                  std::vector<std::byte>((vectors + 7) / 8)};
    for (std::size_t i = 0; i < vectors; ++i)
        tables.table[i * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL] =
            std::byte{PCI_MSIX_ENTRY_CTRL_MASKBIT};
    return tables;
}

void Msix::add_capability(ConfigSpace& config, std::uint8_t offset, unsigned bar) const {
    std::array<std::byte, 10> body{};
    store_le(std::span{body}, static_cast<std::uint16_t>(vectors() - 1));
    store_le(std::span{body}.subspan(2), std::uint32_t{bar}); // table offset 0
    store_le(std::span{body}.subspan(6), kPendingOffset | bar);
    config.add_capability(offset, PCI_CAP_ID_MSIX, body, "MSI-X capability");
    config.make_writable(offset + std::uint32_t{PCI_MSIX_FLAGS},
                         static_cast<std::uint16_t>(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL));
}

// ---- table entries

std::span<const std::byte> Msix::entry(std::uint16_t vector) const {
    return std::span{tables_.table}.subspan(vector * PCI_MSIX_ENTRY_SIZE, PCI_MSIX_ENTRY_SIZE);
}

bool Msix::masked(std::uint16_t vector) const {
    if (!enabled() || (control_ & PCI_MSIX_FLAGS_MASKALL) != 0)
        return true;
    const auto control = load_le<std::uint32_t>(entry(vector).subspan(PCI_MSIX_ENTRY_VECTOR_CTRL));
    return (control & PCI_MSIX_ENTRY_CTRL_MASKBIT) != 0;
}

bool Msix::pending(std::uint16_t vector) const {
    return (tables_.pending[vector / 8u] & std::byte{1} << vector % 8) != std::byte{0};
}

void Msix::set_pending(std::uint16_t vector, bool on) {
    const std::byte bit = std::byte{1} << vector % 8;
    std::byte& byte = tables_.pending[vector / 8u];
    byte = on ? byte | bit : byte & ~bit;
}

// ---- delivery

void Msix::notify(std::uint16_t vector) {
    if (vector >= vectors())
        return;
    if (masked(vector))
        set_pending(vector, true);
    else
        trigger(vector);
}

void Msix::trigger(std::uint16_t vector) {
    if (delivery_[vector].routed.has_value())
        delivery_[vector].vector->trigger();
}

void Msix::update(std::uint16_t vector) {
    if (masked(vector))
        return;
    Delivery& delivery = delivery_[vector];
    const auto bytes = entry(vector);
    const Message message{load_le<std::uint64_t>(bytes.subspan(PCI_MSIX_ENTRY_LOWER_ADDR)),
                          load_le<std::uint32_t>(bytes.subspan(PCI_MSIX_ENTRY_DATA))};
    if (delivery.routed != message) {
        const Status status = delivery.vector->route(message.address, message.data);
        if (!status.ok()) {
            delivery.routed.reset();
            errors_.warning("{}: vector {} to {:#x}, {:#x} is lost: {}", name_, vector, message.address,
                            message.data, status.error().text);
        } else {
            delivery.routed = message;
        }
    }
    if (pending(vector)) {
        set_pending(vector, false);
        trigger(vector);
    }
}

void Msix::update_all() {
    for (std::uint16_t vector = 0; vector < vectors(); ++vector)
        update(vector);
}

void Msix::set_control(std::uint16_t control) {
    control_ = control;
    update_all();
}

void Msix::clear_pending() {
    std::fill(tables_.pending.begin(), tables_.pending.end(), std::byte{0});
}

void Msix::reset() {
    control_ = 0;
    tables_ = blank(vectors());
}

// ---- the BAR

namespace {

bool well_formed(std::uint64_t offset, std::size_t size) {
    return (size == 4 || size == 8) && offset % size == 0;
}

} // namespace

void Msix::read(std::uint64_t offset, std::span<std::byte> data) {
    std::fill(data.begin(), data.end(), std::byte{0});
    if (!well_formed(offset, data.size()))
        return;
    for (std::size_t i = 0; i < data.size(); ++i) {
        const std::uint64_t at = offset + i;
        if (at < tables_.table.size())
            data[i] = tables_.table[at];
        else if (at >= kPendingOffset && at - kPendingOffset < tables_.pending.size())
            data[i] = tables_.pending[at - kPendingOffset];
    }
}

void Msix::write(std::uint64_t offset, std::span<const std::byte> data) {
    if (!well_formed(offset, data.size()) || offset >= tables_.table.size())
        return; // pending bits are read-only
    std::copy(data.begin(), data.end(), tables_.table.begin() + static_cast<std::ptrdiff_t>(offset));
    update(static_cast<std::uint16_t>(offset / PCI_MSIX_ENTRY_SIZE));
}

// ---- state

void Msix::save(StateWriter& writer) const {
    writer.buffer("msix_table", tables_.table);
    writer.buffer("msix_pba", tables_.pending);
}

Status Msix::load(StateReader& reader) {
    Tables loaded = blank(vectors());
    TRY(reader.buffer("msix_table", loaded.table));
    TRY(reader.buffer("msix_pba", loaded.pending));
    if (const unsigned used = vectors() % 8u;
        used != 0 && (loaded.pending.back() >> static_cast<int>(used)) != std::byte{0})
        return reader.within(corrupt("msix_pba has bits beyond the {} vectors", vectors()));
    loaded_ = std::move(loaded);
    return {};
}

void Msix::commit(std::uint16_t control) {
    if (!loaded_.has_value())
        return;
    tables_ = std::move(*loaded_);
    loaded_.reset();
    set_control(control);
}

} // namespace godwit::pci
