// SPDX-License-Identifier: Apache-2.0
//
// Just enough SVG 1.1 to draw a diagram: shapes by coordinates, texts that may come from anywhere. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace godwit::cli {

struct Point {
    double x;
    double y;
};

class Svg {
  public:
    enum class Anchor { Start, Middle, End };
    struct TextStyle {
        double size = 12;
        std::string_view colour = "#333333";
        Anchor anchor = Anchor::Start;
        bool bold = false;
        std::size_t most = 200; // characters
    };

    Svg(double width, double height, std::string_view title);

    void rectangle(Point corner, double width, double height, std::string_view fill, double opacity = 1);
    void line(Point from, Point to, std::string_view colour, double width = 1, bool dashed = false);
    void curve(const std::vector<Point>& points, std::string_view colour, double width = 2,
               std::string_view dashes = {});
    void area(const std::vector<Point>& outline, std::string_view fill, double opacity);
    void circle(Point centre, double radius, std::string_view fill);
    void text(Point at, std::string_view text, const TextStyle& style);
    void text(Point at, std::string_view what) { text(at, what, TextStyle{}); }
    // What pointing at the shapes drawn since then shows.
    void begin_group(std::string_view tip);
    void end_group();

    std::string finish() &&;

  private:
    std::string out_;
};

// For XML: markup escaped, control characters replaced, cut to `most` characters.
std::string escaped(std::string_view text, std::size_t most = 200);

} // namespace godwit::cli
