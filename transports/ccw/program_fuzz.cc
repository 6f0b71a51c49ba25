// SPDX-License-Identifier: Apache-2.0
//
// Hostile channel programs, with the device's state as it comes in a stream among them.
#include "transports/ccw/hostile_program.h"
#include "vmm/base/fuzz.h"

#include <random>

using namespace godwit;

std::vector<fuzz::Seed> fuzz::seeds() {
    // Any bytes are programs: hostile_test.cc runs the same kind.
    std::vector<Seed> seeds;
    for (unsigned run = 0; run < 4; ++run) {
        std::mt19937 random{run};
        Bytes bytes(100 + random() % 400);
        for (auto& byte : bytes)
            byte = static_cast<std::byte>(random());
        seeds.push_back({"program-" + std::to_string(run), std::move(bytes)});
    }
    return seeds;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    ccw::testing::drive(std::as_bytes(std::span{data, size}));
    return 0;
}
