// SPDX-License-Identifier: Apache-2.0
//
// The control socket's client side, blocking: what the subcommands use.
#pragma once

#include "vmm/base/fd.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <deque>
#include <optional>
#include <string>

namespace godwit::control {

using Json = nlohmann::json;

class Client {
  public:
    static constexpr std::chrono::seconds kAnswerLimit{60};

    // Connects, reads the greeting and negotiates.
    static Result<Client> connect(const std::string& path);

    // The command's return value; its error as our own, with the server's code where it gave one.
    Result<Json> execute(std::string_view command, Json arguments = Json::object(),
                         std::chrono::seconds limit = kAnswerLimit);
    // Hands over a copy of this process's descriptor; commands of this client call it `name` from then on.
    Status hand_over(int fd, std::string_view name);
    // The next event, or nothing after `limit`. An error when the server is gone.
    Result<std::optional<Json>> next_event(std::chrono::milliseconds limit);

  private:
    explicit Client(Fd fd) : fd_(std::move(fd)) {}
    // `fd` goes beside it, unless it is -1.
    Status send(const Json& request, int fd = -1);
    Result<Json> answer(std::string_view command, std::chrono::seconds limit);
    Result<std::optional<Json>> next_message(std::chrono::milliseconds limit);

    Fd fd_;
    std::string received_;
    std::deque<Json> events_;
};

} // namespace godwit::control
