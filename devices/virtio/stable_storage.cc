// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/stable_storage.h"

#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace godwit::virtio {

Status StableStorage::write_back() {
    TRY(check());
    int result = 0;
    do
        result = ::fdatasync(fd_.get());
    while (result != 0 && errno == EINTR);
    if (result != 0)
        failed(errno);
    return check();
}

void StableStorage::failed(int errno_value) {
    int none = 0;
    errno_.compare_exchange_strong(none, errno_value);
}

Status StableStorage::check() const {
    const int first = errno_.load();
    if (first == 0)
        return {};
    return error(ErrorCode::System,
                 "disk '{}': writing back failed ({}): of what the guest wrote something may be lost", name_,
                 std::strerror(first));
}

Status write_back_all(std::span<const std::shared_ptr<StableStorage>> storages) {
    Status first;
    for (const auto& storage : storages)
        if (Status status = storage->write_back(); first.ok())
            first = std::move(status);
    return first;
}

} // namespace godwit::virtio
