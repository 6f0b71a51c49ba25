// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/boot_pages.h"

#include "migration/protocol/crc32c.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include <algorithm>

namespace godwit::migration::wire {

namespace {

constexpr std::string_view kBootMagic = "GDWTBOOT";
constexpr std::uint32_t kBootVersion = 1;
constexpr unsigned kMarkRecords = 8;
constexpr RamOffset kFirstPage{0};

Status write_padded(RamWriter& ram, std::span<const std::byte> bytes) {
    for (; bytes.size() >= kPageSize; bytes = bytes.subspan(kPageSize))
        TRY(ram.page(kFirstPage, bytes.first(kPageSize)));
    if (bytes.empty())
        return {};
    std::array<std::byte, kPageSize> page{};
    std::ranges::copy(bytes, page.begin());
    return ram.page(kFirstPage, page);
}

} // namespace

Status write_boot(RamWriter& ram, const BootSource& source) {
    const Mapping kernel = TRY(source.kernel.map());
    Mapping initrd;
    if (source.initrd)
        initrd = TRY(source.initrd->map());
    const std::array<std::span<const std::byte>, kBootParts> parts{
        kernel.bytes(), initrd.bytes(), std::as_bytes(std::span{source.command_line})};
    ByteWriter header;
    header.append(kBootMagic);
    header.be(kBootVersion);
    for (const auto& part : parts)
        header.be(std::uint64_t{part.size()});
    for (const auto& part : parts)
        header.be(crc32c(part));
    TRY(ram.begin_part());
    for (unsigned i = 0; i < kMarkRecords; ++i)
        TRY(ram.zero_page(kFirstPage));
    TRY(write_padded(ram, header.bytes()));
    for (const auto& part : parts)
        TRY(write_padded(ram, part));
    return ram.end_part();
}

void BootMark::saw_zeros(bool first_page) {
    if (state_ != State::Looking)
        return;
    seen_ = first_page ? seen_ + 1 : 0;
    if (!first_page)
        state_ = State::Over;
    else if (seen_ == kMarkRecords)
        state_ = State::Found;
}

std::optional<BootHeader> BootMark::header(std::span<const std::byte> page) {
    state_ = State::Over;
    if (!std::ranges::equal(page.first(kBootMagic.size()), std::as_bytes(std::span{kBootMagic})))
        return {};
    state_ = State::Inside;
    page = page.subspan(kBootMagic.size());
    const auto take = [&]<class T>(T& value) {
        value = load_be<T>(page);
        page = page.subspan(sizeof(T));
    };
    BootHeader header;
    take(header.version);
    for (std::uint64_t& size : header.sizes)
        take(size);
    for (std::uint32_t& sum : header.sums)
        take(sum);
    return header;
}

Status BootPages::begin(const BootHeader& header) {
    if (header.version != kBootVersion) {
        log::warning(
            "what the guest is booted with is in the stream in a version that is not known here ({}): "
            "it cannot reboot here, unless a kernel was given",
            header.version);
        return {};
    }
    header_ = header;
    return {};
}

Status BootPages::page(std::span<const std::byte> page) {
    if (!header_)
        return {};
    if (part_ == kBootParts)
        return corrupt("what the guest is booted with goes on behind its end");
    return add(page.first(std::min<std::uint64_t>(page.size(), header_->sizes[part_] - here_)));
}

Status BootPages::add(std::span<const std::byte> bytes) {
    const BootPart part{static_cast<std::uint8_t>(part_)};
    const std::uint64_t size = header_->sizes[part_];
    const std::uint32_t sum = TRY(assembly_.add(part, size, here_, bytes));
    here_ += bytes.size();
    if (here_ != size)
        return {};
    if (sum != header_->sums[part_])
        return corrupt("the checksum of the {} does not hold", to_string(part));
    here_ = 0;
    ++part_;
    // Parts without bytes have no page.
    if (part == BootPart::Kernel && header_->sizes[part_] == 0)
        ++part_;
    if (part_ == kBootParts - 1 && header_->sizes[part_] == 0)
        return add({});
    return {};
}

Status BootPages::end() const {
    if (header_ && part_ != kBootParts)
        return corrupt("not all of what the guest is booted with is there");
    return {};
}

Result<BootSourcePtr> BootPages::take() {
    if (!header_)
        return BootSourcePtr{};
    return std::move(assembly_).take();
}

} // namespace godwit::migration::wire
