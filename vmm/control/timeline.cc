// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/timeline.h"

#include "vmm/base/address.h"
#include "vmm/control/migration_parameters.h"

#include <algorithm>
#include <ctime>
#include <fmt/core.h>

namespace godwit::control {

namespace {

using migration::Duration;
using migration::Report;

// Of an order trace; a peer may send as many steps as its message holds.
constexpr std::size_t kMaxSteps = 2000;
constexpr std::size_t kMaxStepText = 120;

double milliseconds(Duration duration) {
    return static_cast<double>(duration.count()) / 1000;
}

std::string wall_clock() {
    const auto now = std::chrono::system_clock::now();
    const auto fraction =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()) % 1000;
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                       utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, fraction.count());
}

Json steps(const std::vector<std::string>& trace) {
    Json list = Json::array();
    for (std::size_t i = 0; i < std::min(trace.size(), kMaxSteps); ++i)
        list.push_back(trace[i].substr(0, kMaxStepText));
    return list;
}

Json round_fields(const migration::RoundReport& round) {
    return {{"round", round.number},
            {"duration", milliseconds(round.duration)},
            {"bytes", round.bytes},
            {"pages", round.pages},
            {"zero-pages", round.zero_pages}};
}

// The parts that were come to, in their order; what is left of the downtime is between them.
Json parts(const Report& report, bool at_source) {
    struct Part {
        std::string_view name;
        Duration duration;
    };
    const std::initializer_list<Part> source{{"pause", report.pause},
                                             {"last round", report.final_round.duration},
                                             {"save", report.save},
                                             {"send state", report.send},
                                             {"wait until ready", report.ready},
                                             {"commit", report.commit_to_running}};
    const std::initializer_list<Part> destination{
        {"load", report.load}, {"apply", report.apply}, {"take over", report.take_over}};
    const auto listed = [](std::initializer_list<Part> of) {
        Json list = Json::array();
        for (const Part& part : of) {
            if (part.duration.count() != 0)
                list.push_back({{"part", part.name}, {"duration", milliseconds(part.duration)}});
        }
        return list;
    };
    Json both{{"destination", listed(destination)}};
    if (at_source)
        both["source"] = listed(source);
    return both;
}

std::string_view outcome_of(const Error* reason) {
    if (reason == nullptr)
        return "completed";
    if (reason->code == ErrorCode::InDoubt)
        return "in-doubt";
    return reason->code == ErrorCode::Cancelled ? "cancelled" : "failed";
}

} // namespace

void Timeline::begin(const Head& head) {
    {
        const std::lock_guard lock{mutex_};
        begun_ = true;
        begin_ = Clock::now();
        side_ = head.side;
        parameters_ = Json::object();
        ram_only_ = true;
    }
    emit("begin", {{"version", kVersion},
                   {"side", head.side == Side::Source ? "source" : "destination"},
                   {"time", wall_clock()},
                   {"guest", head.guest},
                   {"peer", head.peer},
                   {"memory", head.memory},
                   {"cpus", head.cpus}});
}

void Timeline::emit(std::string_view record, Json fields) {
    const std::lock_guard lock{mutex_};
    if (!begun_)
        return;
    fields["record"] = record;
    fields["at"] = milliseconds(std::chrono::duration_cast<Duration>(Clock::now() - begin_));
    sink_(fields);
}

void Timeline::status_changed(migration::MigrationStatus status) {
    if (status == migration::MigrationStatus::Device) {
        const std::lock_guard lock{mutex_};
        ram_only_ = false;
        paused_ = Clock::now();
    }
    emit("phase", {{"phase", to_string(status)}});
}

void Timeline::parameters_changed(const migration::Parameters& parameters) {
    Json changed = to_json(parameters);
    {
        const std::lock_guard lock{mutex_};
        if (!begun_)
            return;
        Json different = Json::object();
        for (const auto& [name, value] : changed.items()) {
            if (parameters_.value(name, Json{}) != value)
                different[name] = value;
        }
        parameters_ = std::move(changed);
        changed = std::move(different);
    }
    if (!changed.empty())
        emit("parameters", {{"parameters", std::move(changed)}});
}

void Timeline::round_ended(const migration::RoundReport& round, const migration::Decision& decision) {
    Json fields = round_fields(round);
    fields["bytes-per-second"] = static_cast<std::uint64_t>(round.bytes_per_second);
    fields["dirty-bytes"] = round.dirty_pages * kPageSize;
    fields["dirty-bytes-per-second"] = static_cast<std::uint64_t>(round.dirty_pages_per_second * kPageSize);
    fields["expected-downtime"] = milliseconds(round.expected_downtime);
    fields["fixed-cost"] = milliseconds(round.fixed_cost);
    fields["cpu-throttle-percentage"] = round.throttle;
    fields["stalled"] = round.stalled;
    emit("round", std::move(fields));
    if (!decision.declared)
        return;
    std::string_view action = "throttle";
    if (decision.verdict == migration::Verdict::SwitchOver)
        action = "switch";
    else if (decision.verdict == migration::Verdict::GiveUp)
        action = "cancel";
    emit("stall", {{"round", round.number},
                   {"why", decision.why},
                   {"action", action},
                   {"cpu-throttle-percentage", decision.throttle}});
}

void Timeline::ended(const Report& report, const Error* reason) {
    double paused = 0;
    bool was_paused = false;
    bool at_source = false;
    {
        const std::lock_guard lock{mutex_};
        paused = milliseconds(std::chrono::duration_cast<Duration>(paused_ - begin_));
        was_paused = !ram_only_;
        at_source = side_ == Side::Source;
    }
    if (was_paused) {
        Json fields{{"paused-at", paused},
                    {"last-round", round_fields(report.final_round)},
                    {"parts", parts(report, at_source)}};
        if (reason == nullptr)
            fields["downtime"] = milliseconds(report.downtime);
        if (at_source) {
            fields["downtime-limit"] = milliseconds(report.downtime_limit);
            fields["expected-downtime"] = milliseconds(report.expected_downtime);
            fields["over-limit"] = report.over_limit;
            fields["stalled"] = report.stalled;
        }
        emit("switchover", std::move(fields));
        emit("order", {{"save", steps(report.save_trace)}, {"load", steps(report.load_trace)}});
    }
    Json fields{{"status", outcome_of(reason)},    {"total-time", milliseconds(report.total)},
                {"bytes", report.bytes},           {"data-pages", report.data_pages},
                {"zero-pages", report.zero_pages}, {"state-bytes", report.state_bytes}};
    if (reason != nullptr)
        fields["reason"] = reason->text;
    emit("outcome", std::move(fields));
    const std::lock_guard lock{mutex_};
    begun_ = false;
}

} // namespace godwit::control
