// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/client.h"

#include "vmm/base/json.h"
#include "vmm/base/unix_socket.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>

namespace godwit::control {

namespace {

constexpr std::size_t kMaxMessage = 4 * 1024 * 1024;

ErrorCode code_named(std::string_view name) {
    for (const ErrorCode code :
         {ErrorCode::Internal, ErrorCode::InvalidInput, ErrorCode::System, ErrorCode::NoDevice,
          ErrorCode::Guest, ErrorCode::Protocol, ErrorCode::Corrupt, ErrorCode::Incompatible,
          ErrorCode::Disconnected, ErrorCode::Cancelled, ErrorCode::InDoubt, ErrorCode::NotConverging,
          ErrorCode::GuestEnded}) {
        if (to_string(code) == name)
            return code;
    }
    return ErrorCode::Internal;
}

Error gone() {
    return Error{ErrorCode::Disconnected, "the control socket was closed by the other side"};
}

} // namespace

Result<Client> Client::connect(const std::string& path) {
    Client client{TRY_IN(connect_unix(path), "control socket")};
    const auto greeting = TRY(client.next_message(kAnswerLimit));
    if (!greeting || !greeting->contains("QMP"))
        return error(ErrorCode::Protocol, "'{}' does not greet as a control socket does", path);
    TRY(client.execute("qmp_capabilities"));
    return client;
}

Result<Json> Client::execute(std::string_view command, Json arguments, std::chrono::seconds limit) {
    Json request{{"execute", command}};
    if (!arguments.empty())
        request["arguments"] = std::move(arguments);
    TRY(send(request));
    return answer(command, limit);
}

Status Client::hand_over(int fd, std::string_view name) {
    TRY(send({{"execute", "getfd"}, {"arguments", {{"fdname", name}}}}, fd));
    TRY(answer("getfd", kAnswerLimit));
    return {};
}

Status Client::send(const Json& request, int fd) {
    const std::string line = json_text(request) + "\n";
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
    for (std::size_t sent = 0; sent < line.size();) {
        iovec data{const_cast<char*>(line.data()) + sent, line.size() - sent};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        if (fd >= 0 && sent == 0) {
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            cmsghdr* const part = CMSG_FIRSTHDR(&message);
            part->cmsg_level = SOL_SOCKET;
            part->cmsg_type = SCM_RIGHTS;
            part->cmsg_len = CMSG_LEN(sizeof fd);
            std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
        }
        const ssize_t count = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
        if (count < 0)
            return errno == EPIPE ? gone() : system_error(errno, "control socket");
        sent += static_cast<std::size_t>(count);
    }
    return {};
}

Result<Json> Client::answer(std::string_view command, std::chrono::seconds limit) {
    for (;;) {
        auto message = TRY(next_message(limit));
        if (!message)
            return error(ErrorCode::System, "no answer to '{}' within {} s", command, limit.count());
        if (message->contains("return"))
            return std::move(message->at("return"));
        if (const auto fault = message->find("error"); fault != message->end())
            return Error{code_named(fault->value("code", "")), fault->value("desc", "unknown error")};
        events_.push_back(std::move(*message));
    }
}

Result<std::optional<Json>> Client::next_event(std::chrono::milliseconds limit) {
    if (events_.empty())
        return next_message(limit);
    std::optional<Json> event = std::move(events_.front());
    events_.pop_front();
    return event;
}

Result<std::optional<Json>> Client::next_message(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        if (const std::size_t end = received_.find('\n'); end != std::string::npos) {
            Json message = parse_json(std::string_view{received_}.substr(0, end));
            received_.erase(0, end + 1);
            if (!message.is_object())
                return error(ErrorCode::Protocol,
                             "the control socket sent something that is not a JSON object");
            return std::optional{std::move(message)};
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd wait{fd_.get(), POLLIN, 0};
        const int ready = ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready == 0)
            return std::optional<Json>{};
        char buffer[4096];
        const ssize_t count = ready < 0 ? -1 : ::recv(fd_.get(), buffer, sizeof buffer, 0);
        if (count == 0)
            return gone();
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return errno == ECONNRESET ? gone() : system_error(errno, "control socket");
        }
        received_.append(buffer, static_cast<std::size_t>(count));
        if (received_.size() > kMaxMessage)
            return error(ErrorCode::Protocol, "the control socket sent more than {} bytes in one line",
                         kMaxMessage);
    }
}

} // namespace godwit::control
