// SPDX-License-Identifier: Apache-2.0
//
// A plot area with a time axis and a value axis: scales, round ticks, units. Pure.
#pragma once

#include "vmm/cli/timeline/svg.h"

#include <string>
#include <string_view>
#include <vector>

namespace godwit::cli {

// Values that are 1, 2 or 5 times a power of ten apart, from 0 to at most `most`; about `about` of them.
std::vector<double> round_ticks(double most, int about);

// A unit in which values up to `most` are readable numbers.
struct Unit {
    double size; // one of it
    std::string_view name;
};
Unit unit_of_time(double most_milliseconds);
Unit unit_of_bytes(double most);
// "12.3", "4", "0.05": three digits.
std::string short_number(double value);

class Chart {
  public:
    struct Box {
        double left;
        double top;
        double width;
        double height;
        double bottom() const { return top + height; }
        double right() const { return left + width; }
    };
    // Time runs from 0 to `time`, values from 0 to `value`; neither is 0.
    Chart(Box box, double time, double value) : box_(box), time_(time), value_(value) {}

    const Box& box() const { return box_; }
    double x(double time) const { return box_.left + box_.width * clamped(time / time_); }
    double y(double value) const { return box_.bottom() - box_.height * clamped(value / value_); }
    Point at(double time, double value) const { return {x(time), y(value)}; }

    // Frame, grid and labels. `unit` is that of values, `per` follows it: "MB", "MB/s".
    void draw_axes(Svg& svg, Unit unit, std::string_view per, std::string_view title) const;
    void draw_time_axis(Svg& svg) const;

  private:
    static double clamped(double share) { return share < 0 ? 0 : share > 1 ? 1 : share; }
    Box box_;
    double time_;
    double value_;
};

} // namespace godwit::cli
