// SPDX-License-Identifier: Apache-2.0
//
// A processor model as `--cpu FILE` and the notes of a saved state have it: read, written again, compared
// with a host's, and narrowed.
#include "vmm/base/fuzz.h"
#include "vmm/cpu/model_file.h"
#include "vmm/cpu/portability.h"
#include "vmm/cpu/sample_models.h"

namespace {
using namespace godwit;
using namespace godwit::cpu;
} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    CpuModel small = test::server();
    small.cpuid.resize(2);
    return {{"small.json", bytes_of(to_json(small))},
            {"server.json", bytes_of(to_json(test::server(), Layout::Line))}};
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto model = parse_model(fuzz::text_of(std::as_bytes(std::span{data, size})));
    if (!model.ok())
        return 0;
    fuzz::require(!fault_of(*model).has_value(), "what was read can be used");
    for (const Layout layout : {Layout::Pretty, Layout::Line}) {
        const auto again = parse_model(to_json(*model, layout));
        fuzz::require(again.ok() && *again == *model, "what was written can be read");
    }
    const CpuModel host = test::server();
    for (const Obstacle& obstacle : obstacles(*model, host))
        fuzz::require(!obstacle.text().empty(), "an obstacle has a text");
    for (const Obstacle& obstacle : obstacles(host, *model))
        fuzz::require(!obstacle.text().empty(), "an obstacle has a text");
    if (const auto both = intersect(*model, host); both.ok())
        fuzz::require(obstacles(*both, host).empty(), "what both can give one can give");
    (void)baseline(*model);
    (void)missing_of_baseline(*model);
    return 0;
}
