// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/timeline_file.h"

#include "vmm/base/in_use.h"
#include "vmm/base/json.h"
#include "vmm/base/log.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace godwit::control {

Result<std::unique_ptr<TimelineFile>> TimelineFile::create(const std::string& path) {
    TRY(check_unlocked(path));
    Fd fd = TRY(open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, ErrorCode::InvalidInput));
    return std::unique_ptr<TimelineFile>{new TimelineFile{std::move(fd), path}};
}

void TimelineFile::write(const nlohmann::json& record) {
    if (!fd_)
        return;
    if (record.value("record", "") == "begin" && ::ftruncate(fd_.get(), 0) == 0)
        (void)::lseek(fd_.get(), 0, SEEK_SET);
    const Status written = put(json_text(record) + "\n");
    if (!written.ok()) {
        log::warning("the timeline ends here: {}", written.error().text);
        fd_ = Fd{};
    }
}

Status TimelineFile::put(const std::string& line) {
    for (std::size_t done = 0; done < line.size();) {
        const ssize_t count = ::write(fd_.get(), line.data() + done, line.size() - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error(errno, fmt::format("write '{}'", path_));
        done += static_cast<std::size_t>(count);
    }
    return {};
}

} // namespace godwit::control
