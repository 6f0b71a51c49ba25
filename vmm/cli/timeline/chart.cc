// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/timeline/chart.h"

#include <fmt/core.h>

#include <cmath>

namespace godwit::cli {

namespace {
constexpr std::string_view kGrid = "#e4e4e4";
constexpr std::string_view kFrame = "#999999";
} // namespace

std::vector<double> round_ticks(double most, int about) {
    const double rough = most / about;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double candidate : {1.0, 2.0, 5.0}) {
        if (candidate * power >= rough) {
            step = candidate * power;
            break;
        }
    }
    std::vector<double> ticks;
    for (int i = 0; i * step <= most * (1 + 1e-9); ++i)
        ticks.push_back(i * step);
    return ticks;
}

Unit unit_of_time(double most_milliseconds) {
    if (most_milliseconds < 2'000)
        return {1, "ms"};
    if (most_milliseconds < 600'000)
        return {1'000, "s"};
    return {60'000, "min"};
}

Unit unit_of_bytes(double most) {
    if (most >= 2e12)
        return {1e12, "TB"};
    if (most >= 2e9)
        return {1e9, "GB"};
    if (most >= 2e6)
        return {1e6, "MB"};
    return {1e3, "kB"};
}

std::string short_number(double value) {
    return fmt::format("{:.{}f}", value, value >= 100 || value == 0 ? 0 : value >= 10 ? 1 : 2);
}

void Chart::draw_axes(Svg& svg, Unit unit, std::string_view per, std::string_view title) const {
    for (const double tick : round_ticks(value_ / unit.size, 4)) {
        const double height = y(tick * unit.size);
        svg.line({box_.left, height}, {box_.right(), height}, kGrid);
        svg.text({box_.left - 6, height + 4}, fmt::format("{:g}", tick),
                 {.size = 11, .anchor = Svg::Anchor::End});
    }
    svg.line({box_.left, box_.bottom()}, {box_.right(), box_.bottom()}, kFrame);
    svg.line({box_.left, box_.top}, {box_.left, box_.bottom()}, kFrame);
    svg.text({box_.left, box_.top - 10}, fmt::format("{} ({}{})", title, unit.name, per),
             {.size = 13, .colour = "#111111", .bold = true});
}

void Chart::draw_time_axis(Svg& svg) const {
    const Unit unit = unit_of_time(time_);
    for (const double tick : round_ticks(time_ / unit.size, 8)) {
        const double place = x(tick * unit.size);
        svg.line({place, box_.bottom()}, {place, box_.bottom() + 4}, kFrame);
        svg.text({place, box_.bottom() + 17}, fmt::format("{:g}", tick),
                 {.size = 11, .anchor = Svg::Anchor::Middle});
    }
    svg.text({box_.right() + 10, box_.bottom() + 17}, unit.name, {.size = 11});
}

} // namespace godwit::cli
