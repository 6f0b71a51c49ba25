// SPDX-License-Identifier: Apache-2.0
#include "migration/protocol/session.h"

#include "migration/preflight/difference.h"
#include "migration/protocol/crc32c.h"
#include "vmm/base/log.h"

#include <algorithm>

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// How long a side that cannot send waits for the reason that the peer may have sent. The guest may be paused.
constexpr auto kReasonWait = 20ms;

template <class State>
constexpr bool kIsSource = std::is_same_v<State, SourceState> || std::is_same_v<State, AskerState> ||
                           std::is_same_v<State, LinkSourceState>;
template <class State>
constexpr std::string_view kPeerName = kIsSource<State> ? "destination" : "source";

iovec part_of(std::span<const std::byte> bytes) {
    return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

} // namespace

Status FrameLink::send(Message type, std::span<const std::byte> body, std::span<const iovec> data) {
    FrameHeader header;
    header.type = type;
    header.sequence = ++sent_;
    header.body_length = static_cast<std::uint32_t>(body.size());
    for (const iovec& part : data)
        header.data_length += static_cast<std::uint32_t>(part.iov_len);
    header.body_crc = crc32c(body);
    const MessageTraits& traits = *traits_of(type);
    if (body.size() > traits.max_body || header.data_length > traits.max_data)
        return error(ErrorCode::Internal, "{} of {} + {} bytes is more than the protocol allows", traits.name,
                     body.size(), header.data_length);
    const auto head = encode(header);
    parts_.assign({part_of(head), part_of(body)});
    parts_.insert(parts_.end(), data.begin(), data.end());
    // Whatever fails here, the peer has not got the whole frame: the kernel took less than all of it.
    can_send_ = false;
    TRY(channel_->write(parts_));
    can_send_ = true;
    return {};
}

Result<Frame> FrameLink::receive(std::uint32_t most) {
    if (data_left_ != 0)
        return error(ErrorCode::Internal, "{} bytes of page data were not taken", data_left_);
    std::array<std::byte, kHeaderBytes> raw;
    TRY(channel_->read(std::span{raw}));
    const FrameHeader header = TRY(decode_header(raw));
    if (header.sequence != ++received_)
        return error(ErrorCode::Protocol, "{} has sequence number {}, {} was due", to_string(header.type),
                     header.sequence, received_);
    if (header.body_length > most)
        return error(ErrorCode::Protocol, "{} of {} bytes is too long here: {} are possible",
                     to_string(header.type), header.body_length, most);
    Frame frame{header.type, Bytes(header.body_length), header.data_length};
    TRY(channel_->read(std::span{frame.body}));
    if (crc32c(frame.body) != header.body_crc)
        return corrupt("the checksum of {} does not hold", to_string(header.type));
    data_left_ = header.data_length;
    return frame;
}

Status FrameLink::receive_data(std::span<const iovec> parts) {
    TRY(channel_->read(parts));
    data_left_ = 0;
    return {};
}

template <class State>
Status Session<State>::advance(Step step, Message type) {
    const auto next = next_state(state_, step, type);
    if (!next.has_value())
        return error(step == Step::Send ? ErrorCode::Internal : ErrorCode::Protocol,
                     "{} may not be {} in the state '{}'", to_string(type),
                     step == Step::Send ? "sent" : "received", to_string(state_));
    state_ = *next;
    return {};
}

template <class State>
Status Session<State>::send(Message type, std::span<const std::byte> body, std::span<const iovec> data) {
    if (!next_state(state_, Step::Send, type).has_value())
        return advance(Step::Send, type);
    auto sent = link_.send(type, body, data);
    if (!sent.ok())
        return explained_by_peer(std::move(sent).error());
    return advance(Step::Send, type);
}

// The peer that went away may have said why: that is the better reason.
template <class State>
Error Session<State>::explained_by_peer(Error ours) {
    if (ours.code != ErrorCode::Disconnected)
        return ours;
    const auto timeout = channel().timeout();
    channel().set_timeout(kReasonWait);
    const auto answer = channel().readable(kReasonWait);
    if (answer.ok() && answer.value())
        if (auto reason = receive(); peer_gave_up_)
            ours = std::move(reason).error();
    channel().set_timeout(timeout);
    return ours;
}

template <class State>
Result<Frame> Session<State>::receive() {
    Frame frame = first_ ? std::move(*std::exchange(first_, std::nullopt)) : TRY(link_.receive());
    TRY(advance(Step::Receive, frame.type));
    if (frame.type == Message::Error || frame.type == Message::Refuse || frame.type == Message::Relinquish) {
        peer_gave_up_ = true;
        if (frame.type != Message::Refuse)
            return decode_error(frame.body).in(kPeerName<State>);
        refusal_ = TRY(decode_differences(frame.body));
        return as_error(refusal_).in(kPeerName<State>);
    }
    return frame;
}

template <class State>
Result<Bytes> Session<State>::expect(Message wanted) {
    Frame frame = TRY(receive());
    if (frame.type != wanted)
        return error(ErrorCode::Protocol, "{} came where {} was due", to_string(frame.type),
                     to_string(wanted));
    return std::move(frame.body);
}

template <class State>
Status Session<State>::check_peer() {
    if (!TRY(channel().readable(0ms)))
        return {};
    const Frame frame = TRY(receive());
    return error(ErrorCode::Protocol, "{} came while nothing was due", to_string(frame.type));
}

template <class State>
void Session<State>::tell(const Error& reason, std::chrono::milliseconds limit, Message as) {
    tell_body(as, encode_error(reason), limit);
}

template <class State>
void Session<State>::tell_body(Message as, std::span<const std::byte> body, std::chrono::milliseconds limit) {
    Channel& out = channel();
    out.set_cancel(nullptr);
    out.set_timeout(limit);
    if (!peer_gave_up_ && link_.can_send() && next_state(state_, Step::Send, as).has_value()) {
        const auto told = send(as, body);
        if (told.ok()) {
            out.finish_writing();
            return;
        }
        log::debug("{} could not be told why: {}", out.peer(), told.error().text);
    }
    out.close(); // the peer sees at least that we are gone
}

template <class State>
void Session<State>::farewell(std::chrono::milliseconds limit) {
    // What is still coming is read away: closing with unread bytes would make the kernel drop the reason on
    // its way to the peer.
    Channel& in = channel();
    in.set_cancel(nullptr);
    in.set_timeout(limit);
    std::vector<std::byte> dropped(std::size_t{256} << 10);
    const auto until = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < until) {
        const auto count = in.read_some(dropped);
        if (!count.ok() || count.value() == 0)
            break;
    }
    in.close();
}

template class Session<SourceState>;
template class Session<DestinationState>;
template class Session<AskerState>;
template class Session<AnswererState>;
template class Session<LinkSourceState>;
template class Session<LinkDestinationState>;

} // namespace godwit::migration
