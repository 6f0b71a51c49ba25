// SPDX-License-Identifier: Apache-2.0
//
// A migration as records, one JSON object for each thing that happens (docs/timeline.md has the schema): the
// source of MIGRATION events, and of the files that `godwit timeline` draws.
// Threads: any one may call; records leave in the order of their times.
#pragma once

#include "migration/observer.h"
#include "migration/parameters.h"
#include "migration/progress.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace godwit::control {

using Json = nlohmann::json;

class Timeline final : public migration::Observer {
  public:
    static constexpr int kVersion = 1;
    // `sink` gets each record. It must not wait, nor call back.
    explicit Timeline(std::function<void(const Json& record)> sink) : sink_(std::move(sink)) {}

    enum class Side { Source, Destination };
    struct Head {
        Side side = Side::Source;
        std::string guest;
        std::string peer;
        std::uint64_t memory = 0; // bytes
        std::uint32_t cpus = 0;
    };
    // Times count from here; an earlier migration's records are over.
    void begin(const Head& head);
    void status_changed(migration::MigrationStatus status);
    // Says what is different from the last call; the first one says everything.
    void parameters_changed(const migration::Parameters& parameters);

    void round_ended(const migration::RoundReport& round, const migration::Decision& decision) override;
    void ended(const migration::Report& report, const Error* reason) override;

  private:
    using Clock = std::chrono::steady_clock;
    void emit(std::string_view record, Json fields);

    const std::function<void(const Json&)> sink_;
    std::mutex mutex_;
    bool begun_ = false; // under mutex_, as all that follows
    Clock::time_point begin_{};
    Side side_ = Side::Source;
    Json parameters_;
    bool ram_only_ = true; // the guest has not been paused
    Clock::time_point paused_{};
};

} // namespace godwit::control
