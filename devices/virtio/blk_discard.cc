// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_discard.h"

#include "vmm/base/log.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <linux/fs.h>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace godwit::virtio {

namespace {

// A file of sysfs that holds one number.
Result<std::uint64_t> read_number(const std::string& path) {
    const Fd file = TRY(open_file(path, O_RDONLY));
    std::array<char, 32> text{};
    const ssize_t length = ::read(file.get(), text.data(), text.size());
    if (length < 0)
        return system_error(errno, path);
    std::uint64_t number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + length, number);
    if (fault != std::errc{} || (end != text.data() + length && *end != '\n'))
        return invalid_input("{}: this is not a number", path);
    return number;
}

} // namespace

Result<DiscardLimits> read_discard_limits(const std::string& queue_folder) {
    const auto granularity = TRY(read_number(queue_folder + "/discard_granularity"));
    const auto most = TRY(read_number(queue_folder + "/discard_max_bytes"));
    const auto zeroes = TRY(read_number(queue_folder + "/write_zeroes_max_bytes"));
    DiscardLimits limits;
    limits.possible = most >= kSectorSize;
    limits.alignment = static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(granularity / kSectorSize, 1, kBlkMaxRangeSectors));
    limits.max_sectors =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(most / kSectorSize, kBlkMaxRangeSectors));
    limits.zeroing_unmaps = zeroes != 0;
    return limits;
}

DiscardLimits device_discard_limits(std::uint32_t major, std::uint32_t minor) {
    const std::string device = fmt::format("/sys/dev/block/{}:{}", major, minor);
    // A partition has its disk's.
    for (const char* const queue : {"/queue", "/../queue"})
        if (::access((device + queue).c_str(), F_OK) == 0)
            if (auto limits = read_discard_limits(device + queue); limits.ok())
                return *limits;
    log::warning("what the block device {}:{} discards cannot be told: {} does not say; it discards nothing",
                 major, minor, device);
    return {.possible = false, .max_sectors = 0, .zeroing_unmaps = false};
}

Result<std::unique_ptr<DeviceDiscarder>> DeviceDiscarder::create(Loop& loop, const Fd& device) {
    std::unique_ptr<DeviceDiscarder> discarder{new DeviceDiscarder{TRY(device.duplicate())}};
    discarder->helper_ = TRY(Helper::create(loop));
    return discarder;
}

void DeviceDiscarder::discard(Operation& operation, std::uint64_t offset, std::uint64_t length) {
    helper_->run(operation, [this, offset, length]() -> std::int32_t {
        std::array<std::uint64_t, 2> range{offset, length};
        return ::ioctl(device_.get(), BLKDISCARD, range.data()) == 0 ? 0 : -errno;
    });
}

} // namespace godwit::virtio
