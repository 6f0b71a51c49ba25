// SPDX-License-Identifier: Apache-2.0
//
// A timeline file, drawn: whatever it says, the picture has no markup of it.
#include "vmm/base/fuzz.h"
#include "vmm/cli/timeline/timeline_data.h"
#include "vmm/cli/timeline/timeline_svg.h"

namespace {

using namespace godwit;

// Tags are as Svg writes them, and every number in them is one.
void check_picture(std::string_view svg) {
    fuzz::require(svg.find("<script") == std::string_view::npos, "texts are no markup");
    for (const char c : svg)
        fuzz::require(static_cast<unsigned char>(c) >= ' ' || c == '\n', "there are no control characters");
    std::size_t depth = 0;
    for (std::size_t at = svg.find('<'); at != std::string_view::npos; at = svg.find('<', at + 1)) {
        const std::size_t end = svg.find('>', at);
        fuzz::require(end != std::string_view::npos && at + 1 < svg.size(), "tags end");
        const std::string_view tag = svg.substr(at, end - at);
        fuzz::require(tag.find("nan") == std::string_view::npos && tag.find("inf") == std::string_view::npos,
                      "every coordinate is a number");
        const char first = svg[at + 1];
        if (first == '?' || first == '!' || svg[end - 1] == '/')
            continue;
        if (first == '/') {
            fuzz::require(depth != 0, "what is closed was open");
            --depth;
        } else
            ++depth;
    }
    fuzz::require(depth == 0, "what was open is closed");
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    return {}; // text
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parsed = cli::parse_timeline("file", fuzz::text_of(std::as_bytes(std::span{data, size})));
    if (parsed.ok())
        check_picture(cli::draw_timeline(*parsed));
    return 0;
}
