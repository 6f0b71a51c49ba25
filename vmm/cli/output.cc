// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace godwit::cli {

namespace {

int output_errno = 0; // of the first write that failed

void note_failure() {
    if (output_errno == 0)
        output_errno = errno != 0 ? errno : EIO;
}

} // namespace

void occupy_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        // The lowest free number is given out first, so this is the stream's. Reading gives nothing, writing
        // EBADF.
        if (::fcntl(stream, F_GETFD) < 0 && errno == EBADF)
            (void)::open("/dev/null", O_RDONLY);
    }
}

Result<Fd> take_standard_input() {
    const int stream = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (stream < 0)
        return system_error(errno, "standard input");
    const Fd nothing = TRY(open_file("/dev/null", O_RDONLY));
    (void)::dup2(nothing.get(), STDIN_FILENO);
    return Fd::adopt(stream);
}

void print_text(std::string_view text) {
    errno = 0;
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
        note_failure();
}

void tell_text(std::string_view text) {
    (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

Status finish_output() {
    errno = 0;
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        note_failure();
    if (output_errno == 0)
        return {};
    const ErrorCode code = output_errno == EPIPE ? ErrorCode::Disconnected : ErrorCode::System;
    return error(code, "standard output: {}", std::strerror(output_errno));
}

} // namespace godwit::cli
