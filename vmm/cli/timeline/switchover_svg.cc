// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/timeline/switchover_svg.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>

namespace godwit::cli {

namespace {

using Part = TimelineData::Part;

constexpr std::array<std::string_view, 9> kColours{"#56B4E9", "#0072B2", "#009E73", "#CC79A7", "#E69F00",
                                                   "#D55E00", "#F0E442", "#7a6bb5", "#444444"};
constexpr std::string_view kBetween = "#cccccc";
constexpr double kBarHeight = 22;

// A part where it is drawn.
struct Bar {
    const Part* part;
    double begin;
    std::string_view colour;
};

double sum_of(const std::vector<Part>& parts) {
    return std::accumulate(parts.begin(), parts.end(), 0.0,
                           [](double sum, const Part& part) { return sum + part.duration; });
}

std::vector<Bar> one_after_the_other(const std::vector<Part>& parts, std::size_t first_colour) {
    std::vector<Bar> bars;
    double begin = 0;
    for (const Part& part : parts) {
        bars.push_back({&part, begin, kColours[(first_colour + bars.size()) % kColours.size()]});
        begin += part.duration;
    }
    return bars;
}

std::optional<Bar> find(const std::vector<Bar>& bars, std::string_view name) {
    const auto found = std::ranges::find_if(bars, [&](const Bar& bar) { return bar.part->name == name; });
    return found == bars.end() ? std::nullopt : std::optional{*found};
}

// The destination loads and applies while the source waits until it is ready, and takes over while the source
// waits for the answer to its commit: both end when the wait does.
std::vector<Bar> beneath(const std::vector<Bar>& source, const std::vector<Part>& destination) {
    std::vector<Bar> bars = one_after_the_other(destination, source.empty() ? 4 : 6);
    const auto ready = find(source, "wait until ready");
    const auto commit = find(source, "commit");
    double end = ready ? ready->begin + ready->part->duration : 0;
    for (Bar& bar : bars) {
        if (bar.part->name == "load" && ready) {
            const auto apply = find(bars, "apply");
            bar.begin = end - bar.part->duration - (apply ? apply->part->duration : 0);
        } else if (bar.part->name == "apply" && ready) {
            bar.begin = end - bar.part->duration;
        } else if (bar.part->name == "take over" && commit) {
            bar.begin = commit->begin + commit->part->duration - bar.part->duration;
        }
        bar.begin = std::max(bar.begin, 0.0);
    }
    return bars;
}

std::string text_of(const Part& part) {
    return fmt::format("{} {} ms", part.name, short_number(part.duration));
}

void draw_row(Svg& svg, const Chart& chart, double top, std::string_view name, const std::vector<Bar>& bars) {
    svg.text({chart.box().left - 8, top + 15}, name, {.size = 12, .anchor = Svg::Anchor::End});
    for (const Bar& bar : bars) {
        const double left = chart.x(bar.begin);
        const double width = std::max(chart.x(bar.begin + bar.part->duration) - left, 1.0);
        svg.begin_group(text_of(*bar.part));
        svg.rectangle({left, top}, width, kBarHeight, bar.colour);
        svg.line({left, top}, {left, top + kBarHeight}, "#ffffff");
        svg.end_group();
    }
}

} // namespace

void draw_switchover(Svg& svg, const TimelineData::Switchover& switchover, const Chart::Box& box) {
    const std::vector<Bar> source = one_after_the_other(switchover.source, 0);
    const std::vector<Bar> destination = beneath(source, switchover.destination);
    double whole = std::max(switchover.downtime.value_or(0), sum_of(switchover.source));
    for (const Bar& bar : destination)
        whole = std::max(whole, bar.begin + bar.part->duration);
    // A limit that is far away would leave no room for the parts.
    const bool limit_in_reach = switchover.limit && *switchover.limit <= whole * 2;
    const double span = std::max(limit_in_reach ? std::max(whole, *switchover.limit) * 1.02 : whole, 0.001);
    const Chart chart{{box.left + 20, box.top, box.width - 20, source.empty() ? 34.0 : 64.0}, span, 1};

    std::string title = "Switchover: the guest stands still";
    if (switchover.downtime)
        title += fmt::format(" for {} ms", short_number(*switchover.downtime));
    if (switchover.expected)
        title += fmt::format(", forecast {} ms", short_number(*switchover.expected));
    if (switchover.limit)
        title += fmt::format(", limit {} ms", short_number(*switchover.limit));
    svg.text({box.left, box.top - 10}, title, {.size = 13, .colour = "#111111", .bold = true});
    double top = box.top + 4;
    if (!source.empty()) {
        svg.rectangle({chart.x(0), top}, chart.x(whole) - chart.x(0), kBarHeight, kBetween);
        draw_row(svg, chart, top, "source", source);
        top += kBarHeight + 6;
    }
    draw_row(svg, chart, top, "destination", destination);
    if (limit_in_reach) {
        const double x = chart.x(*switchover.limit);
        svg.line({x, box.top}, {x, chart.box().bottom()}, "#111111", 1.5, true);
        svg.text({x - 4, chart.box().top - 2}, "limit", {.size = 11, .anchor = Svg::Anchor::End});
    }
    svg.line({chart.x(0), chart.box().bottom()}, {chart.box().right(), chart.box().bottom()}, "#999999");
    chart.draw_time_axis(svg);

    // Parts may be too narrow for a label of their own.
    std::vector<Bar> listed = source;
    listed.insert(listed.end(), destination.begin(), destination.end());
    constexpr std::size_t kColumns = 5;
    for (std::size_t i = 0; i < listed.size(); ++i) {
        const double x = box.left + static_cast<double>(i % kColumns) * box.width / kColumns;
        const double y = chart.box().bottom() + 42 + 19 * static_cast<double>(i / kColumns);
        svg.rectangle({x, y - 10}, 12, 12, listed[i].colour);
        svg.text({x + 17, y}, text_of(*listed[i].part), {.size = 12});
    }
}

} // namespace godwit::cli
