// SPDX-License-Identifier: Apache-2.0
//
// Where a whole machine is saved to and restored from: the path of a file, of a FIFO or of a device, or
// `unix:PATH`, a socket on which whoever restores waits for the one who saves, or for a program between them.
// Or a descriptor that somebody else has opened.
//
// Whatever may keep one waiting (everything but a file) is waited for in poll(2) only, so that a cancel ends
// it. One thread.
#pragma once

#include "migration/channel/cancel.h"
#include "migration/wire/sink.h"
#include "migration/wire/wait_for.h"
#include "vmm/base/fd.h"

#include <chrono>
#include <string>

namespace godwit {

// A regular file appears whole or not at all: it is written as PATH.partial, synced and renamed. PATH may be
// a symbolic link: what it leads to is replaced. A file that is open in this process (/dev/stdout) is
// refused.
class StreamOutput {
  public:
    static Result<StreamOutput> create(const std::string& place);
    // Written directly, from where it stands. `name` is for errors.
    static Result<StreamOutput> adopt(Fd fd, const std::string& name);
    StreamOutput(StreamOutput&&) noexcept = default;
    StreamOutput& operator=(StreamOutput&&) = delete;
    // Removes what finish() did not make whole.
    ~StreamOutput();

    const std::string& name() const { return path_; }
    // For writing, with a descriptor of its own. After `patience` in which nobody read anything a write is
    // Disconnected. `cancel` must outlive it.
    Result<migration::wire::FdSink> sink(const migration::Cancel& cancel,
                                         std::chrono::milliseconds patience) const;
    // After the last byte was written.
    Status finish();

  private:
    StreamOutput(std::string path, std::string partial, Fd fd)
        : path_(std::move(path)), partial_(std::move(partial)), fd_(std::move(fd)) {}
    static Result<StreamOutput> open_special(const std::string& path);
    static Result<StreamOutput> open_socket(const std::string& path);

    std::string path_;
    std::string partial_; // empty when written directly, and after finish()
    Fd fd_;
};

// What a machine is restored from.
struct StreamInput {
    Fd fd;
    migration::wire::WaitFor wait;
    bool has_end; // a file: it can be read to its end whatever was wrong with it

    // Of a socket: waits for a connection, for as long as it takes. `cancel` must outlive it.
    static Result<StreamInput> open(const std::string& place, const migration::Cancel& cancel);
    static StreamInput adopt(Fd fd, const migration::Cancel& cancel);
};

} // namespace godwit
