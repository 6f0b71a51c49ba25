// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/outgoing_links.h"

#include "vmm/sandbox/sandbox.h"

namespace godwit::migration {

namespace {
// How often the wait for the other connections looks for what the destination says.
constexpr std::chrono::milliseconds kLookOut{20};
} // namespace

Result<std::unique_ptr<OutgoingLinks>> OutgoingLinks::create(const GuestMemory& memory, SourceSession& main,
                                                             Progress& progress, const Cancel* cancel,
                                                             TransferOptions options) {
    auto stop = TRY(Cancel::create(cancel));
    auto codec = TRY(Codec::create(options.compression));
    return std::unique_ptr<OutgoingLinks>{
        new OutgoingLinks{memory, main, progress, std::move(stop), std::move(codec), std::move(options)}};
}

OutgoingLinks::~OutgoingLinks() {
    halt();
    for (const auto& link : links_)
        link->channel->close();
}

void OutgoingLinks::halt() {
    stop_->request();
    {
        const std::lock_guard lock{mutex_};
        closing_ = true;
    }
    changed_.notify_all();
    for (const auto& link : links_)
        if (link->thread.joinable())
            link->thread.join();
}

std::uint64_t OutgoingLinks::bytes_written() const {
    std::uint64_t bytes = 0;
    for (const auto& link : links_)
        bytes += link->channel->bytes_written();
    return bytes;
}

Status OutgoingLinks::attach(std::unique_ptr<Channel> channel, const MigrationId& id) {
    const std::uint32_t index = connections();
    channel->set_timeout(main_.channel().timeout());
    channel->set_cancel(stop_.get());
    auto link = std::make_unique<Link>(std::move(channel), memory_, progress_,
                                       TRY(Codec::create(options_.compression)), limit());
    TRY(link->session.send(Message::Attach, encode(Attach{id, index})));
    links_.push_back(std::move(link));
    links_.back()->thread = std::thread{[this, raw = links_.back().get(), index] {
        sandbox::enter(sandbox::Role::Source);
        thread_main(*raw, index);
    }};
    return {};
}

Result<RoundCount> OutgoingLinks::send_round(const PageBitmap& pages, std::uint32_t number, RoundKind kind) {
    if (kind == RoundKind::Final)
        limit_.lift(); // the guest waits
    RoundWork work{pages};
    {
        const std::lock_guard lock{mutex_};
        task_.emplace(Task{work, number, kind});
        ++tasks_;
        busy_ = links_.size();
        count_ = {};
    }
    changed_.notify_all();
    auto own = sender_.send(work);
    auto others = own.ok() ? watch_links() : Result<RoundCount>{own.error()};
    if (!others.ok()) {
        // Nobody may use `work` when it goes away.
        work.give_up();
        stop_->request();
    }
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return busy_ == 0; });
    task_.reset();
    if (!others.ok())
        return std::move(others).error();
    *own += *others;
    return own;
}

// Until they have sent all. What the destination has to say meanwhile comes on the first connection.
Result<RoundCount> OutgoingLinks::watch_links() {
    for (;;) {
        {
            std::unique_lock lock{mutex_};
            changed_.wait_for(lock, kLookOut, [&] { return busy_ == 0 || failure_.has_value(); });
            if (failure_.has_value())
                return *failure_;
            if (busy_ == 0)
                return count_;
        }
        TRY(main_.check_peer());
    }
}

Status OutgoingLinks::await_answer() {
    Channel& first = main_.channel();
    const auto deadline = std::chrono::steady_clock::now() + first.timeout();
    while (!links_.empty() && !TRY(first.readable(kLookOut))) {
        for (std::size_t i = 0; i < links_.size(); ++i)
            TRY_IN(links_[i]->session.check_peer(), fmt::format("connection {}", i + 2));
        if (std::chrono::steady_clock::now() >= deadline)
            return error(ErrorCode::Disconnected, "{} made no progress for {} ms", first.peer(),
                         first.timeout().count());
    }
    return {};
}

void OutgoingLinks::thread_main(Link& link, std::uint32_t index) {
    std::unique_lock lock{mutex_};
    for (std::uint64_t done = 0;;) {
        changed_.wait(lock, [&] { return closing_ || tasks_ != done; });
        if (closing_)
            break;
        done = tasks_;
        const Task task = *task_;
        lock.unlock();
        auto outcome = serve(link, task);
        if (!outcome.ok())
            task.work.give_up(); // the others need not go on
        lock.lock();
        if (outcome.ok())
            count_ += *outcome;
        else if (!failure_.has_value())
            failure_ = std::move(outcome).error().in(fmt::format("connection {}", index + 1));
        --busy_;
        changed_.notify_all();
    }
}

Result<RoundCount> OutgoingLinks::serve(Link& link, const Task& task) {
    const std::uint64_t before = link.channel->bytes_written();
    if (task.kind == RoundKind::Final)
        TRY(link.session.send(Message::FinalRound, encode(Round{task.number, 0})));
    RoundCount count = TRY(link.sender.send(task.work));
    TRY(link.session.send(Message::RoundEnd, encode(Round{task.number, count.pages()})));
    count.bytes = link.channel->bytes_written() - before;
    return count;
}

} // namespace godwit::migration
