// SPDX-License-Identifier: Apache-2.0
//
// A timeline file (docs/timeline.md) as data. Files come from anywhere: whatever does not fit the schema is
// an error that names the file and the line. Pure functions.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::cli {

// Times in milliseconds since the connection stood, sizes in bytes, rates in bytes a second.
struct TimelineData {
    std::string side; // "source" or "destination"
    std::string time; // of the beginning, as the file has it
    std::string guest;
    std::string peer;
    double memory = 0;
    double cpus = 0;

    struct Phase {
        double at;
        std::string name;
    };
    struct Round {
        double number;
        double begin;
        double end;
        double bytes;
        double zero_pages;
        double dirty_bytes;
        double dirty_rate;
        double expected_downtime;
        double throttle; // percent
    };
    struct Sample {
        double at;
        double transferred;
        double remaining;
    };
    struct Stall {
        double at;
        double round;
        std::string action;
    };
    struct Part {
        std::string name;
        double duration;
    };
    struct Switchover {
        double paused_at;
        std::optional<double> downtime; // when it was completed
        std::optional<double> limit;
        std::optional<double> expected;
        double last_round_bytes;
        std::vector<Part> source;
        std::vector<Part> destination;
    };
    struct Outcome {
        double at;
        std::string status;
        std::string reason;
        double bytes;
    };
    std::vector<Phase> phases;
    std::vector<Round> rounds;
    std::vector<Sample> samples;
    std::vector<Stall> stalls;
    std::optional<Switchover> switchover;
    std::optional<Outcome> outcome; // none: the file ends before the migration did
    double end = 0;                 // the latest time of any record
};

// `name` is for messages. Records of kinds that are not known are skipped: a later version may have them.
Result<TimelineData> parse_timeline(std::string_view name, std::string_view text);

} // namespace godwit::cli
