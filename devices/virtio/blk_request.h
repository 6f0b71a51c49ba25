// SPDX-License-Identifier: Apache-2.0
//
// One block request from its chain to its status byte. Virtio 1.2 section 5.2.6. Objects are reused: a
// request allocates only until its vectors have seen their largest chain. Threads: loop only.
#pragma once

#include "devices/virtio/blk_discard.h"
#include "devices/virtio/blk_policy.h"
#include "devices/virtio/blk_spec.h"
#include "devices/virtio/queue.h"
#include "vmm/loop/loop.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/uio.h>
#include <vector>

namespace godwit::virtio {

class BlkRequest;
class StableStorage;

// What all requests of a device share.
struct BlkBackend {
    Loop& loop;
    FixedFile file;
    StableStorage* storage = nullptr;     // of that file
    DeviceDiscarder* discarder = nullptr; // null: discards are holes in the file
    bool zeroing_unmaps = true;
    std::uint64_t sectors = 0;
    bool readonly = false;
    std::string serial;
    bool writeback = true;      // false: a write is on stable storage before it completes
    std::uint64_t features = 0; // negotiated
    DeviceEndian endian = DeviceEndian::Little;
};

class BlkRequestOwner {
  public:
    virtual ~BlkRequestOwner() = default;
    // The status byte is written; the chain can be returned.
    virtual void request_finished(BlkRequest& request) = 0;
    // A call of the host failed; the owner knows the policy and fills in the action, which is returned.
    virtual ErrorAction request_failed(BlkError failure, bool may_stop) = 0;
    // After ErrorAction::Stop: nothing was told to the guest, and the chain is to be started again.
    virtual void request_stalled(BlkRequest& request) = 0;
};

// Most descriptors with data in one request: IOV_MAX. More than that is answered with an error.
inline constexpr std::size_t kBlkMaxSegments = 1024;

class BlkRequest final : public Operation {
  public:
    BlkRequest(BlkBackend& backend, BlkRequestOwner& owner, std::uint16_t queue)
        : backend_(backend), owner_(owner), queue_(queue) {}

    // For SplitQueue::pop(). Leave it alone between start() and request_finished().
    Chain& chain() { return chain_; }
    std::uint16_t queue() const { return queue_; }

    // Precondition: the chain has a writable byte. Ends in request_finished() or request_stalled(), perhaps
    // before it returns.
    void start();
    // What belongs into the used ring.
    SplitQueue::Used used() const { return {chain_.head, written_}; }

  private:
    enum class Step { Read, Write, Discard, WriteZeroes, WriteZeroPages, Sync };

    void completed(std::int32_t result) override;

    void start_transfer(Step step, std::uint64_t sector, std::uint64_t bytes);
    void start_range(bool discard);
    void answer_id();
    void submit();
    void submit_sync();
    void submit_zero_pages();
    void transferred(std::uint64_t count);
    void range_failed(int errno_value);
    void fail(int errno_value);
    void finish_write();
    void finish(std::uint8_t status);
    void give_back_lent() const;

    std::uint64_t data_in_bytes() const { return chain_.writable_bytes - 1; }
    bool in_range(std::uint64_t sector, std::uint64_t count) const {
        return sector <= backend_.sectors && count <= backend_.sectors - sector;
    }
    std::string describe() const;

    BlkBackend& backend_;
    BlkRequestOwner& owner_;
    const std::uint16_t queue_;

    Chain chain_;
    std::vector<iovec> vectors_;
    std::size_t first_vector_ = 0; // those before it are done
    Step step_ = Step::Sync;
    int mode_ = 0;             // fallocate
    std::uint64_t offset_ = 0; // in the image, of what is left
    std::uint64_t left_ = 0;   // bytes
    std::uint64_t filled_ = 0; // bytes of the writable part, from its start
    std::uint32_t written_ = 0;
    bool lent_ = false; // the kernel was given the writable part
};

} // namespace godwit::virtio
