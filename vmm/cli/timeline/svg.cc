// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/timeline/svg.h"

#include "vmm/base/text.h"

#include <fmt/core.h>

#include <iterator>

namespace godwit::cli {

namespace {

std::string path_of(const std::vector<Point>& points) {
    std::string path;
    for (const Point& point : points)
        append(path, "{}{:.2f} {:.2f}", path.empty() ? "M" : " L", point.x, point.y);
    return path;
}

} // namespace

std::string escaped(std::string_view text, std::size_t most) {
    std::string out;
    std::size_t characters = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool continues = (byte & 0xc0) == 0x80; // of a UTF-8 sequence
        if (!continues && characters++ == most)
            return out + "\u2026";
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else
            out += byte < 0x20 || byte == 0x7f ? '?' : c;
    }
    return out;
}

Svg::Svg(double width, double height, std::string_view title) {
    out_ = fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
                       "viewBox=\"0 0 {0} {1}\" font-family=\"Helvetica, Arial, sans-serif\">\n"
                       "<title>{2}</title>\n",
                       width, height, escaped(title));
    rectangle({0, 0}, width, height, "#ffffff");
}

void Svg::rectangle(Point corner, double width, double height, std::string_view fill, double opacity) {
    append(out_,
           "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\" "
           "fill-opacity=\"{}\"/>\n",
           corner.x, corner.y, width, height, fill, opacity);
}

void Svg::line(Point from, Point to, std::string_view colour, double width, bool dashed) {
    curve({from, to}, colour, width, dashed ? "4 3" : "");
}

void Svg::curve(const std::vector<Point>& points, std::string_view colour, double width,
                std::string_view dashes) {
    if (points.size() < 2)
        return;
    append(out_, "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"",
           path_of(points), colour, width);
    if (!dashes.empty())
        append(out_, " stroke-dasharray=\"{}\"", dashes);
    out_ += "/>\n";
}

void Svg::area(const std::vector<Point>& outline, std::string_view fill, double opacity) {
    if (outline.size() > 2)
        append(out_, "<path d=\"{} Z\" fill=\"{}\" fill-opacity=\"{}\"/>\n", path_of(outline), fill, opacity);
}

void Svg::circle(Point centre, double radius, std::string_view fill) {
    append(out_, "<circle cx=\"{:.2f}\" cy=\"{:.2f}\" r=\"{}\" fill=\"{}\"/>\n", centre.x, centre.y, radius,
           fill);
}

void Svg::text(Point at, std::string_view what, const TextStyle& style) {
    static constexpr std::string_view kAnchors[] = {"start", "middle", "end"};
    append(out_,
           "<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"{}\" fill=\"{}\" text-anchor=\"{}\"{}>{}</text>\n",
           at.x, at.y, style.size, style.colour, kAnchors[static_cast<int>(style.anchor)],
           style.bold ? " font-weight=\"bold\"" : "", escaped(what, style.most));
}

void Svg::begin_group(std::string_view tip) {
    append(out_, "<g><title>{}</title>\n", escaped(tip));
}

void Svg::end_group() {
    out_ += "</g>\n";
}

std::string Svg::finish() && {
    out_ += "</svg>\n";
    return std::move(out_);
}

} // namespace godwit::cli
