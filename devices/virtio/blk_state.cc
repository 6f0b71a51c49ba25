// SPDX-License-Identifier: Apache-2.0
//
// The block device in the state stream: the requests that wait for being tried again.
#include "devices/virtio/blk.h"
#include "devices/virtio/spec.h"

#include <utility>

namespace godwit::virtio {

Status Blk::save_device(StateWriter& writer, std::uint32_t) {
    save_stalled(writer, stalled_, traits_.queue_sizes);
    return {};
}

// Capacity and cache mode as the driver sees them. A QEMU whose driver never looked sends zeros.
Status Blk::load_config(std::span<const std::byte> config) {
    loaded_writeback_.reset();
    if (config.size() < sizeof(std::uint64_t))
        return {};
    const auto sectors = load_le<std::uint64_t>(config);
    if (sectors == 0)
        return {};
    if (sectors != backend_.sectors)
        return error(ErrorCode::Incompatible, "disk '{}' has {} sectors here, {} at the source",
                     image_.path(), backend_.sectors, sectors);
    constexpr std::size_t kWriteback = offsetof(virtio_blk_config, writeback);
    if (config.size() > kWriteback)
        loaded_writeback_ = config[kWriteback] != std::byte{0};
    return {};
}

Status Blk::load_device(StateReader& reader, std::uint32_t) {
    loaded_stalled_ = TRY(load_stalled(reader, traits_.queue_sizes));
    return {};
}

Status Blk::check_loaded(std::uint64_t features) {
    if (image_.readonly() && has_feature(features, VIRTIO_F_VERSION_1) &&
        !has_feature(features, VIRTIO_BLK_F_RO))
        return error(ErrorCode::Incompatible, "disk '{}' is read-only here, the driver may write to it",
                     image_.path());
    return {};
}

Status Blk::commit_load(std::uint64_t features) {
    backend_.features = features;
    backend_.writeback = has_feature(features, VIRTIO_BLK_F_CONFIG_WCE)
                             ? loaded_writeback_.value_or(true)
                             : features == 0 || has_feature(features, VIRTIO_BLK_F_FLUSH);
    loaded_writeback_.reset();
    stalled_ = std::exchange(loaded_stalled_, {});
    return {};
}

void Blk::discard_load() {
    loaded_writeback_.reset();
    loaded_stalled_.clear();
}

} // namespace godwit::virtio
