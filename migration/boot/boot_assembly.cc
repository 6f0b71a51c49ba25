// SPDX-License-Identifier: Apache-2.0
#include "migration/boot/boot_assembly.h"

#include "migration/protocol/crc32c.h"

namespace godwit::migration {

std::string_view to_string(BootPart part) {
    switch (part) {
    case BootPart::Kernel:
        return "kernel";
    case BootPart::Initrd:
        return "initrd";
    case BootPart::CommandLine:
        return "command line";
    }
    return "?";
}

Result<std::uint32_t> BootAssembly::add(BootPart part, std::uint64_t total, std::uint64_t offset,
                                        std::span<const std::byte> bytes) {
    if (complete_ || part_ != part)
        TRY(begin(part, total));
    if (total != total_)
        return corrupt("the {} has {} bytes now, {} before", to_string(part), total, total_);
    if (offset != here_ || bytes.size() > total_ - here_ || (bytes.empty() && total_ != 0))
        return corrupt("{} bytes of the {} from byte {} on; {} of {} are here", bytes.size(), to_string(part),
                       offset, here_, total_);
    sum_ = crc32c(bytes, sum_);
    here_ += bytes.size();
    if (part == BootPart::CommandLine)
        command_line_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    else
        TRY(writer_->append(bytes));
    const std::uint32_t sum = sum_;
    if (here_ == total_)
        TRY(end_part());
    return sum;
}

Status BootAssembly::begin(BootPart part, std::uint64_t total) {
    if (complete_ || here_ != total_)
        return corrupt("the {} comes while {}", to_string(part),
                       complete_ ? "everything is here" : "another part is not complete");
    const bool in_order = part == BootPart::Kernel ? !part_ : part_ && part > *part_;
    if (!in_order)
        return corrupt("the {} comes out of order", to_string(part));
    const std::uint64_t most = part == BootPart::CommandLine ? kMaxBootCommandLine : ram_size_;
    const std::uint64_t least = part == BootPart::CommandLine ? 0 : 1;
    if (total < least || total > most)
        return corrupt("{} of {} bytes, {} to {} can be", to_string(part), total, least, most);
    if (part != BootPart::CommandLine)
        writer_ = TRY(BlobWriter::create(part == BootPart::Kernel ? "kernel" : "initrd"));
    part_ = part;
    total_ = total;
    here_ = 0;
    sum_ = 0;
    return {};
}

Status BootAssembly::end_part() {
    switch (*part_) {
    case BootPart::Kernel:
        kernel_ = TRY(std::move(*writer_).seal());
        break;
    case BootPart::Initrd:
        initrd_ = TRY(std::move(*writer_).seal());
        break;
    case BootPart::CommandLine:
        if (command_line_.find('\0') != std::string::npos)
            return corrupt("the command line has a zero byte");
        complete_ = true;
        break;
    }
    writer_.reset();
    return {};
}

Result<BootSourcePtr> BootAssembly::take() && {
    if (!complete_)
        return error(ErrorCode::Internal, "the boot source is not complete");
    return std::make_shared<const BootSource>(
        BootSource{std::move(*kernel_), std::move(initrd_), std::move(command_line_)});
}

} // namespace godwit::migration
