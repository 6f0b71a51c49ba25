// SPDX-License-Identifier: Apache-2.0
//
// godwit timeline: draws what `--timeline` has written.
#include "vmm/base/fd.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/timeline/timeline_data.h"
#include "vmm/cli/timeline/timeline_svg.h"

#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

namespace godwit::cli {

namespace {

// A migration of an hour writes about ten megabytes.
constexpr std::size_t kMaxFile = std::size_t{256} << 20;

Error file_error(std::string_view what, const std::string& path) {
    return Error{ErrorCode::InvalidInput, system_error(errno, fmt::format("{} '{}'", what, path)).text};
}

Result<std::string> read_file(const std::string& path) {
    const Fd fd = Fd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd)
        return file_error("open", path);
    std::string text;
    for (char buffer[65536];;) {
        const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return file_error("read", path);
        if (count == 0)
            return text;
        text.append(buffer, static_cast<std::size_t>(count));
        if (text.size() > kMaxFile)
            return invalid_input("'{}' is longer than {} bytes", path, kMaxFile);
    }
}

Status write_file(const std::string& path, std::string_view text) {
    const Fd fd =
        Fd::adopt(path == "-" ? ::dup(STDOUT_FILENO)
                              : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd)
        return file_error("open", path);
    while (!text.empty()) {
        const ssize_t count = ::write(fd.get(), text.data(), text.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return file_error("write", path);
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
}

Status draw(const std::string& from, const std::string& to) {
    const std::string text = TRY(read_file(from));
    const TimelineData data = TRY(parse_timeline(from, text));
    return write_file(to, draw_timeline(data));
}

} // namespace

Command add_timeline(CLI::App& program) {
    struct Options {
        std::string from;
        std::string to = "-";
    };
    auto options = std::make_shared<Options>();
    CLI::App* const app =
        program.add_subcommand("timeline", "draw a migration from what `--timeline` has written");
    app->add_option("file", options->from, "JSON lines, of `godwit migrate` or `godwit receive`")->required();
    app->add_option("-o,--output", options->to, "where the picture goes, as SVG; - is standard output")
        ->capture_default_str();
    return {app, [options] {
                const Status status = draw(options->from, options->to);
                return status.ok() ? ExitStatus::Success : report(status.error());
            }};
}

} // namespace godwit::cli
