// SPDX-License-Identifier: Apache-2.0
//
// The records of a timeline in a file, one JSON object per line. A record that begins a migration begins the
// file anew. One thread at a time.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <nlohmann/json.hpp>

#include <memory>
#include <string>

namespace godwit::control {

class TimelineFile {
  public:
    // Replaces what is there.
    static Result<std::unique_ptr<TimelineFile>> create(const std::string& path);
    // A file that cannot be written is no reason to end a migration: the first failure is logged, and
    // nothing more is written.
    void write(const nlohmann::json& record);

  private:
    TimelineFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    Status put(const std::string& line);

    Fd fd_;
    std::string path_;
};

} // namespace godwit::control
