// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/incoming_links.h"

#include "vmm/sandbox/sandbox.h"

#include <algorithm>

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// How often the wait for the end of a round looks for progress and for a request to stop.
constexpr auto kLook = 20ms;
// The first connection watches over the progress of all.
constexpr std::chrono::hours kNoTimeout{24 * 365};

} // namespace

Result<std::unique_ptr<IncomingLinks>> IncomingLinks::create(IncomingRam& ram, std::uint32_t connections,
                                                             const Cancel* cancel, Compression compression) {
    return std::unique_ptr<IncomingLinks>{
        new IncomingLinks{ram, connections, TRY(Cancel::create(cancel)), compression}};
}

IncomingLinks::~IncomingLinks() {
    halt();
    for (const auto& link : links_)
        if (link != nullptr)
            link->channel->close();
}

void IncomingLinks::halt() {
    stop_->request();
    {
        const std::lock_guard lock{mutex_};
        closing_ = true;
    }
    changed_.notify_all();
    for (const auto& link : links_)
        if (link != nullptr && link->thread.joinable())
            link->thread.join();
}

Error IncomingLinks::reason(Error error) {
    const std::lock_guard lock{mutex_};
    return error.code == ErrorCode::Cancelled && failure_.has_value() ? *failure_ : error;
}

Status IncomingLinks::attach(std::uint32_t index, Connection& connection) {
    const std::lock_guard lock{mutex_};
    if (index == 0 || index > links_.size())
        return error(ErrorCode::Protocol, "connection {} of {}", index + 1, links_.size() + 1);
    auto& place = links_[index - 1];
    if (place != nullptr)
        return error(ErrorCode::Protocol, "connection {} is there already", index + 1);
    if (closing_)
        return error(ErrorCode::Cancelled, "the migration has ended");
    auto codec = TRY(Codec::create(compression_));
    connection.channel->set_timeout(kNoTimeout);
    connection.channel->set_cancel(stop_.get());
    place = std::make_unique<Link>(std::move(connection), ram_, std::move(codec));
    place->thread = std::thread{[this, link = place.get(), index] {
        sandbox::enter(sandbox::Role::Destination);
        thread_main(*link, index);
    }};
    return {};
}

void IncomingLinks::begin_round(std::uint32_t number) {
    ram_.begin_round();
    {
        const std::lock_guard lock{mutex_};
        round_ = number;
    }
    changed_.notify_all();
}

Status IncomingLinks::end_round(RoundKind kind, std::chrono::milliseconds timeout,
                                const std::function<Status()>& look) {
    std::unique_lock lock{mutex_};
    const auto behind = [&](const std::unique_ptr<Link>& link) {
        return link == nullptr || link->done != round_;
    };
    auto last_progress = Clock::now();
    for (auto arrived = ram_.counters().pages();;) {
        const bool ended = changed_.wait_for(
            lock, kLook, [&] { return failure_.has_value() || std::ranges::none_of(links_, behind); });
        if (failure_.has_value())
            return *failure_;
        if (ended)
            break;
        if (stop_->requested())
            return stop_->error();
        lock.unlock();
        TRY(look());
        lock.lock();
        if (const auto now = ram_.counters().pages(); now != arrived) {
            arrived = now;
            last_progress = Clock::now();
        } else if (Clock::now() - last_progress > timeout) {
            const auto missing = std::ranges::find_if(links_, behind);
            return error(ErrorCode::Disconnected, "connection {} {} for {} ms", missing - links_.begin() + 2,
                         *missing == nullptr ? "did not come" : "made no progress", timeout.count());
        }
    }
    for (std::size_t i = 0; i < links_.size(); ++i)
        if (links_[i]->kind != kind)
            return error(ErrorCode::Protocol, "connection {} is{} in its last round, the first one is{}",
                         i + 2, links_[i]->kind == RoundKind::Final ? "" : " not",
                         kind == RoundKind::Final ? "" : " not");
    return {};
}

void IncomingLinks::thread_main(Link& link, std::uint32_t index) {
    (void)link.session.receive(); // ATTACH, which brought it here
    std::unique_lock lock{mutex_};
    for (;;) {
        changed_.wait(lock, [&] { return closing_ || round_ != link.done; });
        if (closing_)
            break;
        const std::uint32_t number = round_;
        lock.unlock();
        auto outcome = serve(link, number);
        lock.lock();
        if (!outcome.ok()) {
            if (!failure_.has_value())
                failure_ = std::move(outcome).error().in(fmt::format("connection {}", index + 1));
            stop_->request();
            changed_.notify_all();
            break;
        }
        link.kind = *outcome;
        link.done = number;
        changed_.notify_all();
        if (*outcome == RoundKind::Final)
            break;
    }
}

// One round of one connection.
Result<RoundKind> IncomingLinks::serve(Link& link, std::uint32_t number) {
    RoundKind kind = RoundKind::Live;
    const std::uint64_t pages_before = link.receiver.pages();
    for (;;) {
        const Frame frame = TRY(link.session.receive());
        if (frame.type == Message::RoundEnd) {
            const Round ours{number, link.receiver.pages() - pages_before};
            const Round announced = TRY(decode_round(frame.body));
            if (announced != ours)
                return error(ErrorCode::Protocol,
                             "round {} of {} pages was sent, round {} of {} pages arrived", announced.number,
                             announced.pages, ours.number, ours.pages);
            bytes_read_ +=
                link.channel->bytes_read() - std::exchange(link.counted, link.channel->bytes_read());
            return kind;
        }
        if (frame.type == Message::FinalRound)
            kind = RoundKind::Final;
        else
            TRY(link.receiver.take(frame, kind == RoundKind::Final ? IncomingRam::Guest::Paused
                                                                   : IncomingRam::Guest::Runs));
    }
}

} // namespace godwit::migration
