// SPDX-License-Identifier: Apache-2.0
//
// A file that appears whole or not at all: written as PATH.partial, synced and renamed. What is there already
// and is no regular file (a FIFO, a device) is written to directly. One thread.
#pragma once

#include "vmm/base/fd.h"

#include <string>

namespace godwit {

class OutputFile {
  public:
    static Result<OutputFile> create(const std::string& path);
    OutputFile(OutputFile&&) noexcept = default;
    OutputFile& operator=(OutputFile&&) = delete;
    // Removes what finish() did not make whole.
    ~OutputFile();

    // A descriptor of its own for the writer.
    Result<Fd> writer() const { return fd_.duplicate(); }
    // After the last byte was written.
    Status finish();

  private:
    OutputFile(std::string path, std::string partial, Fd fd)
        : path_(std::move(path)), partial_(std::move(partial)), fd_(std::move(fd)) {}
    static Result<OutputFile> open_special(const std::string& path);

    std::string path_;
    std::string partial_; // empty when written directly, and after finish()
    Fd fd_;
};

} // namespace godwit
