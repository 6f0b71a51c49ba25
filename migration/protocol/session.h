// SPDX-License-Identifier: Apache-2.0
//
// One side of the conversation: frames over a channel, each step taken through the side's transition table.
// An ERROR of the peer comes out as our own error with the peer's code and text. One thread.
#pragma once

#include "migration/channel/channel.h"
#include "migration/preflight/difference.h"
#include "migration/protocol/link_transitions.h"
#include "migration/protocol/payloads.h"
#include "migration/protocol/transitions.h"

#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace godwit::migration {

struct Frame {
    Message type{};
    Bytes body;
    // Bytes of page data that follow in the channel; receive_data() takes them.
    std::uint32_t data_length = 0;

    std::uint64_t wire_size() const { return kHeaderBytes + body.size() + data_length; }
};

// What the transfer of RAM needs of a conversation, whichever side or connection it is.
class FrameStream {
  public:
    virtual ~FrameStream() = default;
    virtual Status send(Message type, std::span<const std::byte> body = {},
                        std::span<const iovec> data = {}) = 0;
    virtual Status receive_data(std::span<const iovec> parts) = 0;
    virtual Status check_peer() = 0;
    virtual Channel& channel() = 0;
};

// Frames without the tables: what both sides share.
class FrameLink {
  public:
    explicit FrameLink(Channel& channel) : channel_(&channel) {}

    Status send(Message type, std::span<const std::byte> body, std::span<const iovec> data);
    // Header and body; the length is bounded before anything is allocated: by the protocol, and by `most`,
    // for who does not know the peer yet.
    Result<Frame> receive(std::uint32_t most = std::numeric_limits<std::uint32_t>::max());
    Status receive_data(std::span<const iovec> parts);
    Channel& channel() { return *channel_; }
    // False when a frame was left in the middle: nothing that follows would be understood.
    bool can_send() const { return can_send_; }

  private:
    Channel* channel_;
    std::uint32_t sent_ = 0;
    std::uint32_t received_ = 0;
    std::uint32_t data_left_ = 0;
    bool can_send_ = true;
    std::vector<iovec> parts_;
};

// A connection of which the first frame was read.
struct Connection {
    std::unique_ptr<Channel> channel;
    FrameLink link; // over *channel
    Frame first;
};

template <class State>
class Session final : public FrameStream {
  public:
    explicit Session(Channel& channel) : link_(channel) {}
    // Goes on with a connection of which somebody has read the first frame, to see what it is about.
    // receive() gives that frame first.
    Session(FrameLink link, Frame first) : link_(std::move(link)), first_(std::move(first)) {}

    State state() const { return state_; }
    Channel& channel() override { return link_.channel(); }

    // On an error that the peer has explained meanwhile, its explanation is what comes back.
    Status send(Message type, std::span<const std::byte> body = {},
                std::span<const iovec> data = {}) override;
    // The next message, which the table must allow here.
    Result<Frame> receive();
    // The next message, which must be `wanted`.
    Result<Bytes> expect(Message wanted);
    Status receive_data(std::span<const iovec> parts) override { return link_.receive_data(parts); }
    // While sending for long: an error if the peer has given up meanwhile. Does not wait.
    Status check_peer() override;

    // Tells the peer why we give up; when it cannot be told within `limit`, it sees a closed connection.
    void tell(const Error& reason, std::chrono::milliseconds limit, Message as = Message::Error);
    // The same for what preflight found.
    void refuse(const Differences& differences, std::chrono::milliseconds limit) {
        tell_body(Message::Refuse, encode(differences), limit);
    }
    // After tell(): waits, at most for `limit`, until the peer has read the reason, and closes.
    void farewell(std::chrono::milliseconds limit = std::chrono::seconds{1});
    // The peer gave the reason itself: it need not be told.
    bool peer_gave_up() const { return peer_gave_up_; }
    // What REFUSE listed, when it was that.
    const Differences& refusal() const { return refusal_; }

  private:
    Status advance(Step step, Message type);
    Error explained_by_peer(Error ours);
    void tell_body(Message as, std::span<const std::byte> body, std::chrono::milliseconds limit);

    FrameLink link_;
    std::optional<Frame> first_;
    State state_{}; // Connected
    bool peer_gave_up_ = false;
    Differences refusal_;
};

extern template class Session<SourceState>;
extern template class Session<DestinationState>;
extern template class Session<AskerState>;
extern template class Session<AnswererState>;
using SourceSession = Session<SourceState>;
using DestinationSession = Session<DestinationState>;
using AskerSession = Session<AskerState>;
using AnswererSession = Session<AnswererState>;

// Of a further connection, which carries RAM only.
extern template class Session<LinkSourceState>;
extern template class Session<LinkDestinationState>;
using LinkSourceSession = Session<LinkSourceState>;
using LinkDestinationSession = Session<LinkDestinationState>;

} // namespace godwit::migration
