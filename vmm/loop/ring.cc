// SPDX-License-Identifier: Apache-2.0
#include "vmm/loop/ring.h"

#include "vmm/base/log.h"

#include <array>
#include <cerrno>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace godwit {

namespace {

constexpr unsigned kSetupFlags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
                                 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;

Error setup_error(int errno_value) {
    switch (errno_value) {
    case ENOSYS:
        return error(ErrorCode::NoDevice, "the kernel has no io_uring (CONFIG_IO_URING)");
    case EINVAL:
        return error(ErrorCode::NoDevice, "the kernel's io_uring lacks IORING_SETUP_SINGLE_ISSUER or "
                                          "IORING_SETUP_DEFER_TASKRUN; Linux 6.1 or newer is needed");
    case EPERM:
        return error(ErrorCode::NoDevice,
                     "io_uring is not permitted here (sysctl kernel.io_uring_disabled, or a seccomp filter)");
    default:
        return system_error(errno_value, "set up io_uring");
    }
}

Status check_features(unsigned features) {
    constexpr std::array kNeeded{
        std::pair{unsigned{IORING_FEAT_NODROP}, std::string_view{"IORING_FEAT_NODROP"}},
        std::pair{unsigned{IORING_FEAT_EXT_ARG}, std::string_view{"IORING_FEAT_EXT_ARG"}},
        std::pair{unsigned{IORING_FEAT_CQE_SKIP}, std::string_view{"IORING_FEAT_CQE_SKIP"}},
    };
    for (const auto& [bit, name] : kNeeded)
        if ((features & bit) == 0)
            return error(ErrorCode::NoDevice, "the kernel's io_uring lacks {}; Linux 6.1 or newer is needed",
                         name);
    return {};
}

// What loop.cc asks for, and nothing else: the ring carries out system calls that no filter sees.
Status restrict_ring(int fd) {
    constexpr std::array kOperations{IORING_OP_READ,        IORING_OP_READV,     IORING_OP_WRITEV,
                                     IORING_OP_FSYNC,       IORING_OP_FALLOCATE, IORING_OP_POLL_ADD,
                                     IORING_OP_ASYNC_CANCEL};
    std::array<io_uring_restriction, kOperations.size() + 2> rules{};
    for (std::size_t i = 0; i < kOperations.size(); ++i) {
        rules[i].opcode = IORING_RESTRICTION_SQE_OP;
        rules[i].sqe_op = static_cast<__u8>(kOperations[i]);
    }
    io_uring_restriction& flags = rules[kOperations.size()];
    flags.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    flags.sqe_flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    io_uring_restriction& files = rules[kOperations.size() + 1];
    files.opcode = IORING_RESTRICTION_REGISTER_OP;
    files.register_op = IORING_REGISTER_FILES_UPDATE;
    if (::syscall(__NR_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, rules.data(), rules.size()) < 0)
        return system_error(errno, "restrict the io_uring");
    return {};
}

} // namespace

Result<std::unique_ptr<Ring>> Ring::create() {
    std::unique_ptr<Ring> self{new Ring};
    io_uring_params params{};
    params.flags = kSetupFlags;
    params.cq_entries = kCompletionEntries;
    if (const int failed = io_uring_queue_init_params(kSubmissionEntries, &self->ring_, &params); failed < 0)
        return setup_error(-failed);
    self->initialised_ = true;
    TRY(check_features(params.features));
    if (const int failed = io_uring_register_files_sparse(&self->ring_, kFiles); failed < 0)
        return system_error(-failed,
                            fmt::format("register a table of {} files with io_uring", unsigned{kFiles}));
    TRY(restrict_ring(self->ring_.ring_fd));
    for (std::uint32_t slot = kFiles; slot-- > 0;)
        self->free_slots_.push_back(slot);
    return self;
}

Ring::~Ring() {
    if (initialised_)
        io_uring_queue_exit(&ring_);
}

void Ring::enable() {
    // liburing 2.3 declares io_uring_enable_rings() but its shared object does not have it.
    if (::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) < 0)
        log::error("{}", system_error(errno, "enable the io_uring").text);
    enabled_ = true;
}

void Ring::push(const io_uring_sqe& request) {
    if (backlog_.empty()) {
        io_uring_sqe* entry = io_uring_get_sqe(&ring_);
        if (entry == nullptr) {
            submit();
            entry = io_uring_get_sqe(&ring_);
        }
        if (entry != nullptr) {
            *entry = request;
            return;
        }
    }
    backlog_.push_back(request);
}

void Ring::move_backlog() {
    while (!backlog_.empty()) {
        io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
        if (entry == nullptr)
            return;
        *entry = backlog_.front();
        backlog_.pop_front();
    }
}

void Ring::submit() {
    if (enabled_ && io_uring_sq_ready(&ring_) != 0)
        io_uring_submit(&ring_);
}

void Ring::submit_and_wait(std::optional<std::chrono::nanoseconds> limit) {
    move_backlog();
    while (!backlog_.empty()) {
        const auto before = backlog_.size();
        io_uring_submit(&ring_);
        move_backlog();
        if (backlog_.size() == before)
            break; // the kernel is short of something: completions come first
    }
    int result = 0;
    if (io_uring_cq_ready(&ring_) != 0 || (limit.has_value() && limit->count() <= 0)) {
        result = io_uring_submit_and_get_events(&ring_);
    } else if (!limit.has_value()) {
        result = io_uring_submit_and_wait(&ring_, 1);
    } else {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*limit);
        __kernel_timespec time{seconds.count(), (*limit - seconds).count()};
        io_uring_cqe* first = nullptr;
        result = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &time, nullptr);
    }
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
        static log::RateLimit limit_lines;
        limit_lines.warning("{}", system_error(-result, "io_uring_enter").text);
    }
}

std::optional<Completion> Ring::next() {
    io_uring_cqe* entry = nullptr;
    if (io_uring_peek_cqe(&ring_, &entry) != 0 || entry == nullptr)
        return std::nullopt;
    const Completion completion{entry->user_data, entry->res, entry->flags};
    io_uring_cqe_seen(&ring_, entry);
    return completion;
}

Result<std::uint32_t> Ring::register_file(int fd) {
    if (free_slots_.empty())
        return error(ErrorCode::NoDevice, "all {} places for registered files are taken", unsigned{kFiles});
    const std::uint32_t slot = free_slots_.back();
    if (const int done = io_uring_register_files_update(&ring_, slot, &fd, 1); done < 0)
        return system_error(-done, "register a file with io_uring");
    free_slots_.pop_back();
    return slot;
}

void Ring::release_file(std::uint32_t slot) {
    // A request that is still queued must meet this file, not the slot's next one.
    submit();
    const int none = -1;
    // Refused after the loop's thread has ended: the table goes with the ring then.
    io_uring_register_files_update(&ring_, slot, &none, 1);
    free_slots_.push_back(slot);
}

} // namespace godwit
