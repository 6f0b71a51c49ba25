// SPDX-License-Identifier: Apache-2.0
//
// A block device over a file (loop(4)), for tests.
#pragma once

#include "vmm/base/fd.h"

#include <cstdint>
#include <fcntl.h>
#include <fstream>
#include <linux/loop.h>
#include <string>
#include <sys/ioctl.h>

namespace godwit::virtio {

class LoopDevice {
  public:
    // Without a path() where this process may have none.
    explicit LoopDevice(const std::string& file) {
        const Fd control = Fd::adopt(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
        const Fd backing = Fd::adopt(::open(file.c_str(), O_RDWR | O_CLOEXEC));
        for (int attempt = 0; attempt < 20; ++attempt) { // others may take the free one first
            const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
            if (number < 0)
                return;
            const std::string path = "/dev/loop" + std::to_string(number);
            device_ = Fd::adopt(::open(path.c_str(), O_RDWR | O_CLOEXEC));
            if (device_ && ::ioctl(device_.get(), LOOP_SET_FD, backing.get()) == 0) {
                path_ = path;
                number_ = number;
                return;
            }
        }
    }
    ~LoopDevice() {
        if (!path_.empty())
            ::ioctl(device_.get(), LOOP_CLR_FD);
    }
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;

    const std::string& path() const { return path_; }
    std::string queue_folder() const { return folder() + "/queue"; }
    // Discards that the device was asked for: Documentation/block/stat.rst, field 12.
    std::uint64_t discards() const {
        std::ifstream file{folder() + "/stat"};
        std::uint64_t value = 0;
        for (int field = 0; field < 12; ++field)
            file >> value;
        return value;
    }

  private:
    std::string folder() const { return "/sys/block/loop" + std::to_string(number_); }
    Fd device_;
    std::string path_;
    int number_ = 0;
};

} // namespace godwit::virtio
