// SPDX-License-Identifier: Apache-2.0
//
// A saved state as `godwit inspect` reads it: listed as text and as JSON, and compared with itself.
#include "migration/inspect/compare.h"
#include "migration/inspect/inspector.h"
#include "migration/inspect/render.h"
#include "migration/wire/sample_stream.h"
#include "vmm/base/fuzz.h"
#include "vmm/base/json.h"

#include <nlohmann/json.hpp>

namespace {
using namespace godwit;
using namespace godwit::migration;
} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    using wire::Description;
    test::SampleContent content;
    content.last_page_zero = true; // smaller
    return {{"whole", test::sample_stream(content)},
            {"sums", test::sample_stream(content, true)},
            {"bare", test::sample_stream(content, false, Description::None)},
            {"notes", test::sample_stream(content, true, Description::Notes)}};
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    test::BytesSource source{std::as_bytes(std::span{data, size})};
    const auto view = inspect::inspect(source, {.pages = true});
    if (!view.ok())
        return 0;
    fuzz::require(view->size == size, "all of the file is looked at");
    inspect::Listing listing{.file = "f"};
    (void)inspect::render_text(*view, listing);
    fuzz::require(!parse_json(inspect::render_json(*view, listing)).is_discarded(), "what is shown is JSON");
    listing.order = true;
    (void)inspect::render_text(*view, listing);
    const auto comparison = inspect::compare(*view, *view);
    fuzz::require(comparison.same(), "a state is the same as itself");
    (void)inspect::comparison_text(comparison, "a", "b");
    return 0;
}
