// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/timeline/timeline_data.h"

#include "vmm/base/json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace godwit::cli {

namespace {

using Json = nlohmann::json;

constexpr double kVersion = 1;
constexpr double kLargest = 1e18;
constexpr std::size_t kMaxLine = std::size_t{4} << 20;
constexpr std::size_t kMaxParts = 32;

// One record, or an object in it. Errors begin with `where`: "run.jsonl:3: round".
class Fields {
  public:
    Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

    // Bounded, and never negative: nothing in a timeline is.
    Result<double> number(const char* key) const {
        const auto found = object_.find(key);
        if (found == object_.end())
            return missing(key);
        const double value = found->is_number() ? found->get<double>() : -1;
        if (!(value >= 0 && value <= kLargest))
            return wrong(key, "a number that could be right");
        return value;
    }
    Result<std::optional<double>> optional_number(const char* key) const {
        if (!object_.contains(key))
            return std::optional<double>{};
        return std::optional<double>{TRY(number(key))};
    }
    Result<std::string> text(const char* key) const {
        const auto found = object_.find(key);
        if (found == object_.end())
            return missing(key);
        if (!found->is_string())
            return wrong(key, "a text");
        return found->get<std::string>();
    }
    Result<Fields> object(const char* key) const {
        const auto found = object_.find(key);
        if (found == object_.end())
            return missing(key);
        if (!found->is_object())
            return wrong(key, "an object");
        return Fields{*found, where_ + ": " + key};
    }
    // [{"part": ..., "duration": ...}, ...]; none when there is no such key.
    Result<std::vector<TimelineData::Part>> parts(const char* key) const {
        std::vector<TimelineData::Part> list;
        const auto found = object_.find(key);
        if (found == object_.end())
            return list;
        if (!found->is_array() || found->size() > kMaxParts)
            return wrong(key, fmt::format("a list of at most {} parts", kMaxParts));
        for (const Json& entry : *found) {
            if (!entry.is_object())
                return wrong(key, "a list of objects");
            const Fields part{entry, where_ + ": " + key};
            TimelineData::Part one{TRY(part.text("part")), 0};
            one.duration = TRY(part.number("duration"));
            list.push_back(std::move(one));
        }
        return list;
    }
    const std::string& where() const { return where_; }

  private:
    Error missing(const char* key) const { return invalid_input("{}: '{}' is missing", where_, key); }
    Error wrong(const char* key, std::string_view due) const {
        return invalid_input("{}: '{}' is not {}", where_, key, due);
    }
    const Json& object_;
    std::string where_;
};

Status add_begin(TimelineData& data, const Fields& fields) {
    if (const double version = TRY(fields.number("version")); version != kVersion)
        return invalid_input("{}: version {} is not known here, only {}", fields.where(), version, kVersion);
    data.side = TRY(fields.text("side"));
    if (data.side != "source" && data.side != "destination")
        return invalid_input("{}: 'side' is neither source nor destination", fields.where());
    data.time = TRY(fields.text("time"));
    data.guest = TRY(fields.text("guest"));
    data.peer = TRY(fields.text("peer"));
    data.memory = TRY(fields.number("memory"));
    data.cpus = TRY(fields.number("cpus"));
    return {};
}

Status add_round(TimelineData& data, const Fields& fields, double at) {
    TimelineData::Round round{};
    round.number = TRY(fields.number("round"));
    round.end = at;
    round.begin = std::max(0.0, at - TRY(fields.number("duration")));
    round.bytes = TRY(fields.number("bytes"));
    round.zero_pages = TRY(fields.number("zero-pages"));
    round.dirty_bytes = TRY(fields.number("dirty-bytes"));
    round.dirty_rate = TRY(fields.number("dirty-bytes-per-second"));
    round.expected_downtime = TRY(fields.number("expected-downtime"));
    round.throttle = TRY(fields.number("cpu-throttle-percentage"));
    if (round.throttle > 100)
        return invalid_input("{}: 'cpu-throttle-percentage' is {}, more than 100", fields.where(),
                             round.throttle);
    data.rounds.push_back(round);
    return {};
}

Status add_switchover(TimelineData& data, const Fields& fields) {
    TimelineData::Switchover made{};
    made.paused_at = TRY(fields.number("paused-at"));
    made.downtime = TRY(fields.optional_number("downtime"));
    made.limit = TRY(fields.optional_number("downtime-limit"));
    made.expected = TRY(fields.optional_number("expected-downtime"));
    const Fields last_round = TRY(fields.object("last-round"));
    made.last_round_bytes = TRY(last_round.number("bytes"));
    const Fields parts = TRY(fields.object("parts"));
    made.source = TRY(parts.parts("source"));
    made.destination = TRY(parts.parts("destination"));
    // At a destination the downtime begins with the last round.
    if (const double duration = TRY(last_round.number("duration")); data.side == "destination")
        made.destination.insert(made.destination.begin(), {"last round", duration});
    data.end = std::max(data.end, made.paused_at + made.downtime.value_or(0));
    data.switchover = std::move(made);
    return {};
}

Status add_record(TimelineData& data, const Fields& fields, std::string_view kind, double at) {
    if (kind == "begin")
        return add_begin(data, fields);
    if (kind == "round")
        return add_round(data, fields, at);
    if (kind == "switchover")
        return add_switchover(data, fields);
    if (kind == "phase") {
        data.phases.push_back({at, TRY(fields.text("phase"))});
    } else if (kind == "sample") {
        TimelineData::Sample sample{at, TRY(fields.number("transferred")), 0};
        sample.remaining = TRY(fields.number("remaining"));
        data.samples.push_back(sample);
    } else if (kind == "stall") {
        TimelineData::Stall stall{at, TRY(fields.number("round")), {}};
        stall.action = TRY(fields.text("action"));
        data.stalls.push_back(std::move(stall));
    } else if (kind == "outcome") {
        TimelineData::Outcome outcome{at, TRY(fields.text("status")), {}, 0};
        outcome.bytes = TRY(fields.number("bytes"));
        if (outcome.status != "completed")
            outcome.reason = TRY(fields.text("reason"));
        data.outcome = std::move(outcome);
    }
    return {};
}

Status add_line(TimelineData& data, std::string_view line, const std::string& where, bool first) {
    if (line.size() > kMaxLine)
        return invalid_input("{}: longer than {} bytes", where, kMaxLine);
    const Json record = parse_json(line);
    if (!record.is_object())
        return invalid_input("{}: not a JSON object", where);
    const Fields plain{record, where};
    const std::string kind = TRY(plain.text("record"));
    const double at = TRY(plain.number("at"));
    if (first != (kind == "begin"))
        return invalid_input("{}: {}", where,
                             first ? "a timeline begins with a 'begin' record" : "a second 'begin' record");
    data.end = std::max(data.end, at);
    return add_record(data, Fields{record, where + ": " + kind}, kind, at);
}

} // namespace

Result<TimelineData> parse_timeline(std::string_view name, std::string_view text) {
    TimelineData data;
    std::size_t number = 0;
    bool first = true;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        ++number;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos)
            continue;
        TRY(add_line(data, line, fmt::format("{}:{}", name, number), first));
        first = false;
    }
    if (first)
        return invalid_input("{}: there is no record in it", name);
    std::ranges::stable_sort(data.samples, {}, &TimelineData::Sample::at);
    std::ranges::stable_sort(data.rounds, {}, &TimelineData::Round::end);
    return data;
}

} // namespace godwit::cli
