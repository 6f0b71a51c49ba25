// SPDX-License-Identifier: Apache-2.0
#include "migration/reception.h"

#include "vmm/base/log.h"
#include "vmm/sandbox/sandbox.h"

#include <algorithm>

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kFarewellLimit = 200ms;
// While nobody is here, only a new connection or the end wakes the thread.
constexpr std::chrono::milliseconds kIdle = 1h;
constexpr std::chrono::milliseconds kTick = 100ms;

// Anybody can provoke it.
log::RateLimit refusals;

} // namespace

void refuse(Connection connection, const Error& why) {
    Channel& channel = *connection.channel;
    channel.set_timeout(kFarewellLimit);
    if (connection.link.send(Message::Error, encode_error(why), {}).ok())
        channel.finish_writing();
    // Closing before the peer has read it would drop the reason.
    (void)channel.readable(kFarewellLimit);
    channel.close();
}

Result<std::unique_ptr<Reception>> Reception::open(const Address& address, ReceptionOptions options) {
    Listener listener = TRY(Listener::open(address));
    auto ending = TRY(Cancel::create());
    return std::make_unique<Reception>(std::move(listener), std::move(ending), std::move(options));
}

Reception::~Reception() {
    ending_->request();
    if (thread_.joinable())
        thread_.join();
}

void Reception::start(Closed closed) {
    thread_ = std::thread{[this, closed = std::move(closed)] {
        sandbox::enter(sandbox::Role::Destination);
        thread_main(closed);
    }};
}

void Reception::thread_main(const Closed& closed) {
    Status last;
    while (!ending_->requested()) {
        const auto ready = listener_.wait(sort_out(), ending_.get());
        if (ready.ok() && !ready.value())
            continue;
        last = ready.ok() ? admit() : Status{ready.error()};
        if (listener_.used_up())
            break;
        if (!last.ok() && last.error().code != ErrorCode::Cancelled) {
            refusals.warning("{}", last.error().text);
            std::this_thread::sleep_for(kTick); // of descriptors, say, there may be more soon
        }
    }
    const bool ends = ending_->requested();
    for (Visitor& visitor : visitors_) {
        if (ends)
            visitor.cancel->request();
        visitor.thread.join();
    }
    visitors_.clear();
    if (!ends && closed)
        closed(error(ErrorCode::Disconnected, "{} was one connection, which is used up", address().text()));
}

std::chrono::milliseconds Reception::sort_out() {
    const auto now = Clock::now();
    for (auto visitor = visitors_.begin(); visitor != visitors_.end();) {
        if (visitor->gone) {
            visitor->thread.join();
            visitor = visitors_.erase(visitor);
            continue;
        }
        if (!visitor->greeted && now >= visitor->deadline)
            visitor->cancel->request();
        ++visitor;
    }
    return visitors_.empty() ? kIdle : kTick;
}

// The one that has waited longest has shown the least interest.
void Reception::make_room() {
    const auto waits = [](const Visitor& v) { return !v.greeted && !v.cancel->requested(); };
    if (static_cast<std::size_t>(std::ranges::count_if(visitors_, waits)) >= options_.waiting)
        std::ranges::find_if(visitors_, waits)->cancel->request();
}

Status Reception::admit() {
    auto channel = TRY(listener_.accept(0ms, ending_.get()));
    make_room();
    // Those that must go need a moment, and routes take time.
    if (visitors_.size() >= 2 * options_.waiting)
        return error(ErrorCode::Disconnected, "too many connections to {}; one from {} is refused",
                     address().text(), channel->peer());
    Visitor& visitor = visitors_.emplace_back();
    auto cancel = Cancel::create();
    if (!cancel.ok()) {
        visitors_.pop_back();
        return std::move(cancel).error();
    }
    visitor.cancel = std::move(cancel).value();
    visitor.deadline = Clock::now() + options_.first_frame;
    visitor.thread = std::thread{[this, &visitor, channel = std::move(channel)]() mutable {
        sandbox::enter(sandbox::Role::Destination);
        greet(visitor, std::move(channel));
        visitor.gone = true;
    }};
    return {};
}

void Reception::greet(Visitor& visitor, std::unique_ptr<Channel> channel) {
    const std::string peer = channel->peer();
    auto connection = first_frame(visitor, std::move(channel));
    if (!connection.ok()) {
        if (connection.error().code == ErrorCode::Cancelled)
            refusals.warning("a connection from {} did not say in time what it wants", peer);
        else
            refusals.warning("a connection from {} was refused: {}", peer, connection.error().text);
        return;
    }
    visitor.greeted = true;
    connection->channel->set_cancel(ending_.get());
    const Message type = connection->first.type;
    if (const auto route = routes_.find(type); route != routes_.end())
        return route->second(std::move(connection).value());
    const Error why = error(ErrorCode::Protocol, "{} cannot be the first message", to_string(type));
    refusals.warning("a connection from {} was refused: {}", peer, why.text);
    refuse(std::move(connection).value(), why);
}

Result<Connection> Reception::first_frame(Visitor& visitor, std::unique_ptr<Channel> channel) {
    channel->set_timeout(options_.first_frame);
    channel->set_cancel(visitor.cancel.get());
    if (options_.secure)
        channel = TRY(options_.secure(std::move(channel)));
    FrameLink link{*channel};
    // Whoever it is: not more than the longest message with which a conversation may begin.
    Frame first = TRY(link.receive(traits_of(Message::Hello)->max_body));
    return Connection{std::move(channel), std::move(link), std::move(first)};
}

} // namespace godwit::migration
