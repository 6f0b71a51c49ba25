// SPDX-License-Identifier: Apache-2.0
//
// A main() for functions that libFuzzer could drive, for compilers without libFuzzer: inputs come from files,
// from standard input (afl-fuzz), or at random for some time. A finding is a crash or a sanitizer's report.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kLongestRandomInput = 4096;

void run(std::istream& in) {
    const std::vector<char> bytes{std::istreambuf_iterator<char>{in}, {}};
    const std::vector<std::uint8_t> input{bytes.begin(), bytes.end()};
    LLVMFuzzerTestOneInput(input.data(), input.size());
}

// Each input follows from the seed that is printed with it, so that a finding can be had again: --random 0
// SEED.
void run_random(std::chrono::seconds time, std::uint64_t seed) {
    const auto until = std::chrono::steady_clock::now() + time;
    std::uint64_t count = 0;
    do {
        std::mt19937_64 random{seed};
        std::vector<std::uint8_t> input(random() % kLongestRandomInput);
        for (std::uint8_t& byte : input)
            byte = static_cast<std::uint8_t>(random());
        std::fprintf(stderr, "\rseed %llu ", static_cast<unsigned long long>(seed));
        LLVMFuzzerTestOneInput(input.data(), input.size());
        ++seed;
        ++count;
    } while (std::chrono::steady_clock::now() < until);
    std::fprintf(stderr, "\n");
    std::printf("%llu inputs\n", static_cast<unsigned long long>(count));
}

} // namespace

int main(int argc, char** argv) {
    if (argc >= 3 && std::strcmp(argv[1], "--random") == 0) {
        run_random(std::chrono::seconds{std::atoll(argv[2])},
                   argc > 3 ? std::strtoull(argv[3], nullptr, 10) : std::random_device{}());
        return 0;
    }
    if (argc > 1 && argv[1][0] == '-') {
        std::fprintf(stderr,
                     "usage: %s [FILE...] | --random SECONDS [SEED]; without arguments, standard input\n",
                     argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; ++i) {
        std::ifstream file{argv[i], std::ios::binary};
        if (!file) {
            std::fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 2;
        }
        run(file);
    }
    if (argc == 1)
        run(std::cin);
    return 0;
}
