// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/ram_writer.h"

namespace godwit::migration::wire {

namespace {

ByteWriter section_head(Item item) {
    ByteWriter out;
    out.be(static_cast<std::uint8_t>(item));
    out.be(kRamSectionId);
    return out;
}

} // namespace

Status RamWriter::start(std::uint64_t ram_size) {
    ByteWriter out = section_head(Item::SectionStart);
    out.be(static_cast<std::uint8_t>(kRamSection.size()));
    out.append(kRamSection);
    out.be(std::uint32_t{0}); // instance
    out.be(kRamVersion);
    out.be(ram_size | ram_flag::kMemSize);
    out.be(static_cast<std::uint8_t>(kRamBlock.size()));
    out.append(kRamBlock);
    out.be(ram_size);
    return close(std::move(out));
}

Status RamWriter::begin_part() {
    return sink_.write(section_head(Item::SectionPart).bytes());
}

Status RamWriter::zero_page(RamOffset offset) {
    const std::byte fill{0};
    return record(offset, ram_flag::kZero, {&fill, 1});
}

Status RamWriter::page(RamOffset offset, std::span<const std::byte> page) {
    return record(offset, ram_flag::kPage, page);
}

Status RamWriter::end_part() {
    return close({});
}

Status RamWriter::end() {
    return close(section_head(Item::SectionEnd));
}

Status RamWriter::record(RamOffset offset, std::uint64_t flag, std::span<const std::byte> payload) {
    ByteWriter head;
    head.be(offset.value | flag | (block_named_ ? ram_flag::kContinue : 0));
    if (!block_named_) {
        head.be(static_cast<std::uint8_t>(kRamBlock.size()));
        head.append(kRamBlock);
        block_named_ = true;
    }
    TRY(sink_.write(head.bytes()));
    return sink_.write(payload);
}

Status RamWriter::close(ByteWriter out) {
    out.be(ram_flag::kEos);
    out.be(static_cast<std::uint8_t>(Item::SectionFooter));
    out.be(kRamSectionId);
    return sink_.write(out.bytes());
}

} // namespace godwit::migration::wire
