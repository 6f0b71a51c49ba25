// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/timeline/timeline_svg.h"

#include "vmm/cli/timeline/chart.h"
#include "vmm/cli/timeline/switchover_svg.h"

#include <fmt/core.h>

#include <algorithm>

namespace godwit::cli {

namespace {

// Colours that people with any colour vision can tell apart (Okabe and Ito).
constexpr std::string_view kSent = "#0072B2";
constexpr std::string_view kRemaining = "#E69F00";
constexpr std::string_view kDirty = "#D55E00";
constexpr std::string_view kThrottle = "#999999";
constexpr std::string_view kPaused = "#CC79A7";
constexpr std::string_view kBand = "#eef4fa";
constexpr std::string_view kMuted = "#555555";

constexpr double kWidth = 960;
constexpr double kLeft = 76;
constexpr double kPlotWidth = 808;
// A band with less room carries no label.
constexpr double kLeastBand = 16;
constexpr double kLeastLabel = 60;
// Of bytes: what lies above the highest curve is for labels.
constexpr double kHeadroom = 1.4;

// The span of the picture, in which nothing is divided by zero.
double whole_time(const TimelineData& data) {
    return std::max(data.end, 1.0);
}

double paused_until(const TimelineData& data) {
    return data.switchover->paused_at +
           data.switchover->downtime.value_or(std::max(data.end - data.switchover->paused_at, 0.0));
}

// ---- head

std::string size_text(double bytes) {
    const Unit unit = unit_of_bytes(bytes);
    return fmt::format("{} {}", short_number(bytes / unit.size), unit.name);
}

std::string time_text(double milliseconds) {
    const Unit unit = unit_of_time(milliseconds);
    return fmt::format("{} {}", short_number(milliseconds / unit.size), unit.name);
}

std::string outcome_text(const TimelineData& data) {
    if (!data.outcome)
        return "the record ends before the migration did";
    std::string text = fmt::format("{} after {}, {} moved in {} {}", data.outcome->status,
                                   time_text(data.outcome->at), size_text(data.outcome->bytes),
                                   data.rounds.size(), data.rounds.size() == 1 ? "round" : "rounds");
    if (data.side == "destination")
        text = fmt::format("{} after {}, {} received", data.outcome->status, time_text(data.outcome->at),
                           size_text(data.outcome->bytes));
    if (data.switchover && data.switchover->downtime)
        text += fmt::format(", downtime {}", time_text(*data.switchover->downtime));
    if (data.switchover && data.switchover->limit)
        text += fmt::format(" (limit {})", time_text(*data.switchover->limit));
    return text;
}

void draw_head(Svg& svg, const TimelineData& data) {
    svg.text(
        {kLeft, 30},
        fmt::format("Migration of {} {} {}", data.guest, data.side == "source" ? "to" : "from", data.peer),
        {.size = 19, .colour = "#111111", .bold = true});
    svg.text({kLeft, 51}, outcome_text(data), {.size = 14});
    svg.text({kLeft, 69},
             fmt::format("{}, {} RAM, {} {}", data.time, size_text(data.memory), data.cpus,
                         data.cpus == 1 ? "vCPU" : "vCPUs"),
             {.size = 12, .colour = kMuted});
    if (data.outcome && !data.outcome->reason.empty())
        svg.text({kLeft, 86}, data.outcome->reason, {.size = 12, .colour = kDirty, .most = 130});
}

// ---- bands

struct Band {
    double begin;
    double end;
    std::string label;
    std::string tip;
    std::string_view fill;
};

std::vector<Band> bands_of(const TimelineData& data) {
    std::vector<Band> bands;
    const double first = data.rounds.empty() ? 0 : data.rounds.front().begin;
    if (!data.rounds.empty())
        bands.push_back({0, first, "setup", "comparing the machines", "#f3f3f3"});
    for (std::size_t i = 0; i < data.rounds.size(); ++i) {
        const auto& round = data.rounds[i];
        const std::string number = fmt::format("{}", round.number);
        bands.push_back({round.begin, round.end, i == 0 ? "round " + number : number,
                         fmt::format("round {}: {} in {}, {} left, expected downtime {}", number,
                                     size_text(round.bytes), time_text(round.end - round.begin),
                                     size_text(round.dirty_bytes), time_text(round.expected_downtime)),
                         i % 2 == 0 ? kBand : "#ffffff"});
    }
    // Of a destination only the phases are known.
    if (data.rounds.empty()) {
        for (std::size_t i = 0; i < data.phases.size(); ++i) {
            const double end = i + 1 < data.phases.size() ? data.phases[i + 1].at : data.end;
            if (data.phases[i].name != "device")
                bands.push_back({data.phases[i].at, end, data.phases[i].name, data.phases[i].name,
                                 i % 2 == 0 ? kBand : "#f3f3f3"});
        }
    }
    return bands;
}

void draw_bands(Svg& svg, const TimelineData& data, const Chart& chart, bool labels) {
    const Chart::Box& box = chart.box();
    for (const Band& band : bands_of(data)) {
        const double left = chart.x(band.begin);
        const double width = chart.x(band.end) - left;
        svg.begin_group(band.tip);
        svg.rectangle({left, box.top}, width, box.height, band.fill);
        if (labels && width >= (band.label.size() > 2 ? kLeastLabel : kLeastBand))
            svg.text({left + width / 2, box.top + 13}, band.label,
                     {.size = 11, .colour = kMuted, .anchor = Svg::Anchor::Middle});
        svg.end_group();
    }
}

// Labels of marks stand beneath those of bands, one line each, where no curve comes (kHeadroom).
void draw_marks(Svg& svg, const TimelineData& data, const Chart& chart, bool labels) {
    const Chart::Box& box = chart.box();
    const auto label = [&](double left, double right, double line, std::string_view text,
                           std::string_view colour) {
        const bool before = left > box.left + box.width / 2;
        svg.text({before ? left - 5 : right + 5, box.top + line}, text,
                 {.size = 12,
                  .colour = colour,
                  .anchor = before ? Svg::Anchor::End : Svg::Anchor::Start,
                  .bold = true});
    };
    if (!data.stalls.empty()) {
        const auto& stall = data.stalls.front();
        const double x = chart.x(stall.at);
        svg.line({x, box.top}, {x, box.bottom()}, kDirty, 1.2, true);
        if (labels)
            label(x, x, 29, fmt::format("no progress: {}", stall.action), kDirty);
    }
    if (!data.switchover)
        return;
    const double left = chart.x(data.switchover->paused_at);
    const double width = std::max(chart.x(paused_until(data)) - left, 2.0);
    svg.rectangle({left, box.top}, width, box.height, kPaused, 0.45);
    if (labels)
        label(left, left + width, 45,
              data.switchover->downtime ? fmt::format("paused for {}", time_text(*data.switchover->downtime))
                                        : "paused",
              "#8a2f64");
}

// ---- bytes

std::vector<Point> sent_curve(const TimelineData& data, const Chart* chart, double& most) {
    struct Mark {
        double at;
        double bytes;
    };
    std::vector<Mark> marks{{data.rounds.empty() ? 0 : data.rounds.front().begin, 0}};
    double sum = 0;
    for (const auto& round : data.rounds) {
        sum += round.bytes;
        marks.push_back({round.end, sum});
    }
    for (const auto& sample : data.samples)
        marks.push_back({sample.at, sample.transferred});
    if (data.switchover)
        marks.push_back({paused_until(data), sum + data.switchover->last_round_bytes});
    std::ranges::stable_sort(marks, {}, &Mark::at);
    std::vector<Point> points;
    double highest = 0; // what was sent stays sent; a sample may be a moment old
    for (const Mark& mark : marks) {
        highest = std::max(highest, mark.bytes);
        if (chart != nullptr)
            points.push_back(chart->at(mark.at, highest));
    }
    most = std::max(most, highest);
    return points;
}

std::vector<Point> remaining_curve(const TimelineData& data, const Chart& chart) {
    struct Mark {
        double at;
        double bytes;
    };
    std::vector<Mark> marks;
    if (!data.rounds.empty())
        marks.push_back({data.rounds.front().begin, data.memory});
    for (const auto& sample : data.samples)
        marks.push_back({sample.at, sample.remaining});
    for (const auto& round : data.rounds)
        marks.push_back({round.end, round.dirty_bytes});
    if (data.switchover && data.switchover->downtime)
        marks.push_back({paused_until(data), 0});
    std::ranges::stable_sort(marks, {}, &Mark::at);
    std::vector<Point> points;
    for (const Mark& mark : marks)
        points.push_back(chart.at(mark.at, mark.bytes));
    return points;
}

void legend(Svg& svg, const Chart::Box& box,
            std::initializer_list<std::pair<std::string_view, std::string_view>> entries) {
    double x = box.right();
    const std::vector<std::pair<std::string_view, std::string_view>> listed{entries};
    for (auto entry = listed.rbegin(); entry != listed.rend(); ++entry) {
        x -= 6.3 * static_cast<double>(entry->second.size());
        svg.text({x, box.top - 10}, entry->second, {.size = 12});
        svg.rectangle({x - 18, box.top - 17}, 13, 6, entry->first);
        x -= 34;
    }
}

void draw_bytes(Svg& svg, const TimelineData& data, const Chart::Box& box) {
    double most = std::max(data.memory, 1.0);
    (void)sent_curve(data, nullptr, most);
    const Chart chart{box, whole_time(data), most * kHeadroom};
    draw_bands(svg, data, chart, true);
    chart.draw_axes(svg, unit_of_bytes(most), "", "RAM sent and remaining");
    legend(svg, box, {{kSent, "sent, all rounds"}, {kRemaining, "remaining to be sent"}});
    draw_marks(svg, data, chart, true);
    svg.curve(remaining_curve(data, chart), kRemaining, 2, "7 3");
    svg.curve(sent_curve(data, &chart, most), kSent);
}

// ---- rates

double rate_of(const TimelineData::Round& round) {
    return round.bytes * 1000 / std::max(round.end - round.begin, 0.001);
}

void draw_rates(Svg& svg, const TimelineData& data, const Chart::Box& box) {
    double most = 1;
    bool throttled = false;
    for (const auto& round : data.rounds) {
        most = std::max({most, rate_of(round), round.dirty_rate});
        throttled = throttled || round.throttle > 0;
    }
    const Chart chart{box, whole_time(data), most * 1.1};
    draw_bands(svg, data, chart, false);
    const Chart percent{box, whole_time(data), 100};
    for (const auto& round : data.rounds) {
        const double left = chart.x(round.begin);
        const double top = percent.y(round.throttle);
        if (round.throttle > 0)
            svg.rectangle({left, top}, chart.x(round.end) - left, box.bottom() - top, kThrottle, 0.35);
    }
    chart.draw_axes(svg, unit_of_bytes(most), "/s", "Rates");
    if (throttled) {
        for (const double tick : {0.0, 50.0, 100.0})
            svg.text({box.right() + 6, percent.y(tick) + 4}, fmt::format("{:g} %", tick),
                     {.size = 11, .colour = kMuted});
        legend(
            svg, box,
            {{kSent, "sent"}, {kDirty, "written by the guest"}, {kThrottle, "guest slowed by (right axis)"}});
    } else {
        legend(svg, box, {{kSent, "sent"}, {kDirty, "written by the guest"}});
    }
    draw_marks(svg, data, chart, false);
    std::vector<Point> sent;
    std::vector<Point> dirty;
    for (const auto& round : data.rounds) {
        for (const double at : {round.begin, round.end}) {
            sent.push_back(chart.at(at, rate_of(round)));
            dirty.push_back(chart.at(at, round.dirty_rate));
        }
    }
    svg.curve(sent, kSent);
    svg.curve(dirty, kDirty, 2, "7 3");
    chart.draw_time_axis(svg);
}

} // namespace

std::string draw_timeline(const TimelineData& data) {
    const bool source = data.side == "source";
    const double bytes_top = 128;
    const double rates_top = bytes_top + 170 + 50;
    const double switch_top = (source ? rates_top + 140 : bytes_top + 60) + 62;
    const double height = data.switchover ? switch_top + kSwitchoverHeight : switch_top - 20;
    Svg svg{kWidth, height, fmt::format("Migration of {}", data.guest)};
    draw_head(svg, data);
    if (source) {
        draw_bytes(svg, data, {kLeft, bytes_top, kPlotWidth, 170});
        draw_rates(svg, data, {kLeft, rates_top, kPlotWidth, 140});
    } else {
        // A destination knows no rates: its phases are all there is to show over time.
        const Chart chart{{kLeft, bytes_top, kPlotWidth, 60}, whole_time(data), 1};
        draw_bands(svg, data, chart, true);
        draw_marks(svg, data, chart, true);
        svg.text({kLeft, bytes_top - 10}, "Phases", {.size = 13, .colour = "#111111", .bold = true});
        chart.draw_time_axis(svg);
    }
    if (data.switchover)
        draw_switchover(svg, *data.switchover, {kLeft, switch_top, kPlotWidth, kSwitchoverHeight});
    return std::move(svg).finish();
}

} // namespace godwit::cli
