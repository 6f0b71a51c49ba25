// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/entropy.h"

#include "vmm/base/fd.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace godwit::virtio {

namespace {

constexpr std::string_view kKernel = "getrandom";

class KernelEntropy final : public EntropySource {
  public:
    ssize_t read(std::span<std::byte> out) override {
        const ssize_t count = ::getrandom(out.data(), out.size(), GRND_NONBLOCK);
        return count > 0 ? count : -errno;
    }
    std::string_view name() const override { return kKernel; }
};

class DeviceEntropy final : public EntropySource {
  public:
    DeviceEntropy(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    ssize_t read(std::span<std::byte> out) override {
        const ssize_t count = ::read(fd_.get(), out.data(), out.size());
        if (count == 0)
            return -ENODATA;
        return count > 0 ? count : -errno;
    }
    std::string_view name() const override { return path_; }

  private:
    const Fd fd_;
    const std::string path_;
};

} // namespace

Result<std::unique_ptr<EntropySource>> open_entropy(const std::string& source) {
    if (source == kKernel)
        return std::unique_ptr<EntropySource>{new KernelEntropy};
    Fd fd = TRY(open_file(source, O_RDONLY | O_NONBLOCK, 0, ErrorCode::NoDevice));
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0 || !S_ISCHR(status.st_mode))
        return invalid_input("'{}' is no character device", source);
    return std::unique_ptr<EntropySource>{new DeviceEntropy{std::move(fd), source}};
}

} // namespace godwit::virtio
