// SPDX-License-Identifier: Apache-2.0
//
// A channel that misbehaves as a test asks: it wraps a real one and sees every call.
#pragma once

#include "migration/channel/socket_channel.h"
#include "migration/protocol/message.h"
#include "migration/protocol/payloads.h" // for Bytes

#include <functional>
#include <sys/socket.h>

namespace godwit::migration::test {

class TestChannel : public Channel {
  public:
    enum class Action { Pass, Close, Swallow };

    explicit TestChannel(std::unique_ptr<Channel> inner) : inner_(std::move(inner)) {}

    // Asked before each call, with its number from 0; reads and writes count together.
    std::function<Action(std::size_t call)> on_call = [](std::size_t) { return Action::Pass; };
    // Asked before each frame is written; may change the bytes, which are then sent instead.
    std::function<Action(Message type, Bytes& frame)> on_frame;
    std::size_t calls() const { return calls_; }

    Status write(std::span<const iovec> parts) override {
        pass_settings();
        switch (on_call(calls_++)) {
        case Action::Close:
            return closed();
        case Action::Swallow:
            return {};
        case Action::Pass:
            break;
        }
        Status status;
        if (on_frame) {
            Bytes frame;
            for (const iovec& part : parts) {
                const auto* const bytes = static_cast<const std::byte*>(part.iov_base);
                frame.insert(frame.end(), bytes, bytes + part.iov_len);
            }
            const auto type = Message{load_le<std::uint16_t>(std::span{frame}.subspan(4))};
            const Action action = on_frame(type, frame);
            if (action == Action::Close)
                return closed();
            if (action == Action::Swallow)
                return {};
            const iovec whole{frame.data(), frame.size()};
            status = inner_->write(std::span{&whole, 1});
        } else {
            status = inner_->write(parts);
        }
        bytes_written_ = inner_->bytes_written();
        return status;
    }
    Status read(std::span<const iovec> parts) override {
        pass_settings();
        if (on_call(calls_++) == Action::Close)
            return closed();
        auto status = inner_->read(parts);
        bytes_read_ = inner_->bytes_read();
        return status;
    }
    using Channel::read;
    Result<std::size_t> read_some(std::span<std::byte> out) override {
        pass_settings();
        return inner_->read_some(out);
    }
    Result<bool> readable(std::chrono::milliseconds wait) override {
        pass_settings();
        return inner_->readable(wait);
    }
    void finish_writing() override { inner_->finish_writing(); }
    void close() override { inner_->close(); }
    const std::string& peer() const override { return inner_->peer(); }

  private:
    Status closed() {
        inner_->close();
        return error(ErrorCode::Disconnected, "the test closed the channel");
    }
    void pass_settings() {
        inner_->set_timeout(timeout());
        inner_->set_cancel(cancel());
    }

    std::unique_ptr<Channel> inner_;
    std::size_t calls_ = 0;
};

struct Link {
    std::unique_ptr<TestChannel> source;
    std::unique_ptr<TestChannel> destination;
};

inline Link connected() {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        std::abort();
    return {std::make_unique<TestChannel>(
                std::move(SocketChannel::adopt(Fd::adopt(fds[0]), "the receiver")).value()),
            std::make_unique<TestChannel>(
                std::move(SocketChannel::adopt(Fd::adopt(fds[1]), "the sender")).value())};
}

} // namespace godwit::migration::test
