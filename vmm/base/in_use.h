// SPDX-License-Identifier: Apache-2.0
//
// A file that is about to be replaced or emptied may be somebody's: the disk of a running guest, named by
// mistake.
#pragma once

#include "vmm/base/result.h"

#include <string>

namespace godwit {

// An error (InvalidInput) when a process, this one too, holds a lock on that regular file, as every machine
// does on its disks (QEMU too). What is not there, or cannot be read, is nobody's. Symbolic links are
// followed.
Status check_unlocked(const std::string& path);

// The same, also when this process has the file open, as a disk or a log.
Status check_unused(const std::string& path);

} // namespace godwit
