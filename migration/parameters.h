// SPDX-License-Identifier: Apache-2.0
//
// What an operator may ask of a migration. vmm/control/migration_parameters.h has the names, units, ranges
// and meanings by which they are set.
#pragma once

#include "migration/channel/channel.h"
#include "migration/channel/tls_credentials.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string_view>

namespace godwit::migration {

// When rounds bring no progress any more.
enum class OnStall : std::uint8_t {
    Throttle, // slow the guest until they do
    Switch,   // pause it all the same: its downtime exceeds the limit
    Cancel,   // leave the guest where it is
};
inline constexpr std::array<std::string_view, 3> kOnStallNames{"throttle", "switch", "cancel"};

// When the guest is reset meanwhile.
enum class OnReset : std::uint8_t {
    Again,  // the migration begins again
    Cancel, // it is over
};
inline constexpr std::array<std::string_view, 2> kOnResetNames{"again", "cancel"};

inline constexpr std::uint32_t kMaxConnections = 16;

enum class Compression : std::uint8_t { None, Zstd, Lz4 };
inline constexpr std::array<std::string_view, 3> kCompressionNames{"none", "zstd", "lz4"};

struct Parameters {
    std::chrono::milliseconds downtime_limit{300};
    std::chrono::seconds peer_timeout = std::chrono::floor<std::chrono::seconds>(kDefaultTimeout);
    std::chrono::seconds doubt_timeout{30};
    bool pause_before_switchover = false;
    OnStall on_stall = OnStall::Throttle;
    OnReset on_reset = OnReset::Again;
    std::chrono::seconds timeout{0}; // of the whole migration; 0: none
    // Percent of the time for which the guest stands still: at first, more with each step, at most.
    std::uint32_t throttle_initial = 20;
    std::uint32_t throttle_increment = 10;
    std::uint32_t throttle_maximum = 99;

    TlsOptions tls; // none: in the open

    std::uint32_t connections = 1;   // over which RAM goes
    std::uint64_t max_bandwidth = 0; // bytes a second, of all connections; 0: no limit
    Compression compression = Compression::None;
    bool verify = false; // compare all of RAM while the guest is paused

    bool operator==(const Parameters&) const = default;
};

// The parameters of a migration that runs: it looks at them again wherever a change can still have an effect.
// Any thread.
class LiveParameters {
  public:
    explicit LiveParameters(Parameters parameters = {}) : parameters_(std::move(parameters)) {}

    Parameters get() const {
        const std::lock_guard lock{mutex_};
        return parameters_;
    }
    void set(Parameters parameters) {
        {
            const std::lock_guard lock{mutex_};
            parameters_ = std::move(parameters);
        }
        changed_.notify_all();
    }
    // Waits until `done(parameters)` says so, which is asked at `deadline(parameters)` and whenever they
    // change. False when it was stopped before that.
    template <class Deadline, class Done>
    bool wait(const std::stop_token& stop, Deadline&& deadline, Done&& done) const {
        std::unique_lock lock{mutex_};
        while (!stop.stop_requested()) {
            if (done(parameters_))
                return true;
            const Parameters seen = parameters_;
            changed_.wait_until(lock, stop, deadline(seen), [&] { return !(parameters_ == seen); });
        }
        return false;
    }

  private:
    mutable std::mutex mutex_;
    mutable std::condition_variable_any changed_;
    Parameters parameters_;
};

} // namespace godwit::migration
