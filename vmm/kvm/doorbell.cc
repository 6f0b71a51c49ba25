// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/doorbell.h"

#include "vmm/base/log.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

#include <fcntl.h>

namespace godwit::kvm {

namespace {

class IoEventFd final : public Doorbell {
  public:
    // KVM compares the whole key when it takes a doorbell away, so the request is kept. The eventfd is
    // duplicated: its number must still be the same file then.
    IoEventFd(int vm_fd, kvm_ioeventfd request, Fd event)
        : vm_fd_(vm_fd), request_(request), event_(std::move(event)) {}
    IoEventFd(const IoEventFd&) = delete;
    IoEventFd& operator=(const IoEventFd&) = delete;
    ~IoEventFd() override {
        request_.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
        if (const auto result = KVM_CONTROL(vm_fd_, KVM_IOEVENTFD, &request_); !result.ok())
            log::error("doorbell at {}: {}", Gpa{request_.addr}, result.error().text);
    }

  private:
    int vm_fd_;
    kvm_ioeventfd request_;
    Fd event_;
};

} // namespace

Result<std::unique_ptr<Doorbell>> Doorbells::add_mmio(Gpa address, std::uint32_t width,
                                                      std::optional<std::uint64_t> match,
                                                      const EventFd& event) {
    if (width > 8 || (width & (width - 1)) != 0)
        return error(ErrorCode::Internal, "a doorbell of {} bytes", width);
    if (width == 0 && match.has_value())
        return error(ErrorCode::Internal, "a doorbell that matches a value needs a width");
    const int copied = ::fcntl(event.fd(), F_DUPFD_CLOEXEC, 0);
    if (copied < 0)
        return system_error(errno, "duplicate an eventfd");
    Fd copy = Fd::adopt(copied);

    kvm_ioeventfd request{};
    request.addr = address.value;
    request.len = width;
    request.fd = copy.get();
    if (match.has_value()) {
        request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
        request.datamatch = *match;
    }
    TRY_IN(KVM_CONTROL(vm_fd_, KVM_IOEVENTFD, &request), fmt::format("doorbell at {}", address));
    return std::unique_ptr<Doorbell>{std::make_unique<IoEventFd>(vm_fd_, request, std::move(copy))};
}

} // namespace godwit::kvm
