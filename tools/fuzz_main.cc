// SPDX-License-Identifier: Apache-2.0
//
// A main() for fuzz targets (vmm/base/fuzz.h) where there is no libFuzzer: inputs come from files, from
// standard input (afl-fuzz), as mutations of files, or at random for some time. A finding is a crash or a
// sanitizer's report.
#include "vmm/base/fuzz.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <unistd.h>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);

namespace {

using Input = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

constexpr std::size_t kLongestRandomInput = 4096;
constexpr std::size_t kMostGrowth = 4096; // of a mutation beyond its origin
constexpr unsigned kMostSteps = 6;        // in one mutation

const char* const kUsage =
    "usage: %s [FILE|FOLDER...]                     each file; without arguments, standard input\n"
    "       %s --mutate COUNT SEED FILE|FOLDER...   each file, then COUNT mutations of them\n"
    "       %s --show NUMBER SEED FILE|FOLDER...    mutation NUMBER, to standard output\n"
    "       %s --random SECONDS [SEED]              bytes at random\n"
    "       %s --seeds FOLDER                       writes the files that the target starts from\n";

int usage(const char* program) {
    std::fprintf(stderr, kUsage, program, program, program, program, program);
    return 2;
}

// Which input is being run, for whoever has to find it again when it crashes.
std::array<char, 512> current{};

void say_which() {
    (void)!::write(STDERR_FILENO, current.data(), std::strlen(current.data()));
}

void crashed(int signal) {
    say_which();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void run(const Input& input, const std::string& name) {
    std::snprintf(current.data(), current.size(), "the input was %.480s\n", name.c_str());
    // A copy of exactly this size: a sanitizer sees a read beyond it.
    const Input exact{input.begin(), input.end()};
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

Input read_all(std::istream& in) {
    const std::vector<char> bytes{std::istreambuf_iterator<char>{in}, {}};
    return {bytes.begin(), bytes.end()};
}

struct File {
    std::string name;
    Input bytes;
};

// Files, and those in folders, in the order of their names.
bool read_files(int count, char** paths, std::vector<File>& files) {
    std::vector<std::string> names;
    for (const std::string path : std::span{paths, static_cast<std::size_t>(count)}) {
        if (!std::filesystem::is_directory(path)) {
            names.push_back(path);
            continue;
        }
        const auto first = static_cast<std::ptrdiff_t>(names.size());
        for (const auto& entry : std::filesystem::directory_iterator{path})
            names.push_back(entry.path().string());
        std::sort(names.begin() + first, names.end());
    }
    for (const std::string& name : names) {
        std::ifstream file{name, std::ios::binary};
        if (!file) {
            std::fprintf(stderr, "%s: cannot be read\n", name.c_str());
            return false;
        }
        files.push_back({name, read_all(file)});
    }
    if (files.empty())
        std::fprintf(stderr, "there is no file to start from\n");
    return !files.empty();
}

// ---- mutations

std::size_t below(Random& random, std::size_t limit) {
    return limit == 0 ? 0 : random() % limit;
}

void set_number(Input& input, Random& random) {
    static constexpr std::uint64_t kInteresting[] = {0,
                                                     1,
                                                     2,
                                                     4,
                                                     16,
                                                     64,
                                                     0x7f,
                                                     0x80,
                                                     0xff,
                                                     0x100,
                                                     0x1000,
                                                     0x7fff,
                                                     0x8000,
                                                     0xffff,
                                                     1 << 16,
                                                     1 << 20,
                                                     0x7fffffff,
                                                     0x80000000,
                                                     0xffffffff,
                                                     std::uint64_t{1} << 32,
                                                     ~std::uint64_t{0} >> 1,
                                                     std::uint64_t{1} << 63,
                                                     ~std::uint64_t{0} - 0xfff,
                                                     ~std::uint64_t{0}};
    const std::size_t width = std::size_t{1} << below(random, 4);
    if (input.size() < width)
        return;
    const std::size_t at = below(random, input.size() - width + 1);
    std::uint64_t value = kInteresting[below(random, std::size(kInteresting))];
    if (random() % 4 == 0) { // near to what is there
        value = 0;
        for (std::size_t i = 0; i < width; ++i)
            value |= std::uint64_t{input[at + i]} << 8 * i;
        value += random() % 9 - 4;
    }
    const bool big_endian = random() % 2 == 0;
    for (std::size_t i = 0; i < width; ++i)
        input[at + (big_endian ? width - 1 - i : i)] = static_cast<std::uint8_t>(value >> 8 * i);
}

void insert(Input& input, Random& random, std::span<const std::uint8_t> bytes) {
    const auto at = static_cast<std::ptrdiff_t>(below(random, input.size() + 1));
    input.insert(input.begin() + at, bytes.begin(), bytes.end());
}

// A piece of another input, or of this one.
std::span<const std::uint8_t> piece_of(const Input& from, Random& random) {
    const std::size_t at = below(random, from.size());
    return std::span{from}.subspan(at, below(random, std::min<std::size_t>(from.size() - at, 256) + 1));
}

void step(Input& input, Random& random, const Input& other) {
    switch (random() % 9) {
    case 0:
    case 1:
        if (!input.empty())
            input[below(random, input.size())] ^= static_cast<std::uint8_t>(1 << random() % 8);
        break;
    case 2:
        if (!input.empty())
            input[below(random, input.size())] = static_cast<std::uint8_t>(random());
        break;
    case 3:
    case 4:
        set_number(input, random);
        break;
    case 5: {
        Input bytes(1 + below(random, 8));
        for (std::uint8_t& byte : bytes)
            byte = static_cast<std::uint8_t>(random());
        insert(input, random, bytes);
        break;
    }
    case 6:
        if (!input.empty()) {
            const std::size_t at = below(random, input.size());
            const std::size_t count = 1 + below(random, std::min<std::size_t>(input.size() - at, 32));
            input.erase(input.begin() + static_cast<std::ptrdiff_t>(at),
                        input.begin() + static_cast<std::ptrdiff_t>(at + count));
        }
        break;
    case 7: {
        const Input whole = input;
        insert(input, random, piece_of(random() % 2 == 0 ? other : whole, random));
        break;
    }
    default: // its beginning, and the end of the other
        if (random() % 2 == 0) {
            input.resize(below(random, input.size() + 1));
            const std::size_t from = std::min(input.size(), other.size());
            input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
        } else if (random() % 4 == 0)
            input.resize(below(random, input.size() + 1));
    }
}

// Follows from its number and the seed alone.
Input mutation(std::uint64_t number, std::uint64_t seed, const std::vector<File>& files) {
    Random random{seed + number};
    const Input& origin = files[below(random, files.size())].bytes;
    const Input& other = files[below(random, files.size())].bytes;
    Input input = origin;
    for (unsigned left = 1 + static_cast<unsigned>(random() % kMostSteps); left != 0; --left)
        step(input, random, other);
    input.resize(std::min(input.size(), origin.size() + kMostGrowth));
    return input;
}

void run_random(std::chrono::seconds time, std::uint64_t seed) {
    const auto until = std::chrono::steady_clock::now() + time;
    std::uint64_t count = 0;
    do {
        Random random{seed};
        Input input(random() % kLongestRandomInput);
        for (std::uint8_t& byte : input)
            byte = static_cast<std::uint8_t>(random());
        run(input, "--random 0 " + std::to_string(seed));
        ++seed;
        ++count;
    } while (std::chrono::steady_clock::now() < until);
    std::printf("%llu inputs\n", static_cast<unsigned long long>(count));
}

int write_seeds(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    for (const godwit::fuzz::Seed& seed : godwit::fuzz::seeds()) {
        std::ofstream file{folder / seed.name, std::ios::binary};
        file.write(reinterpret_cast<const char*>(seed.bytes.data()),
                   static_cast<std::streamsize>(seed.bytes.size()));
        if (!file.flush()) {
            std::fprintf(stderr, "%s: cannot be written\n", (folder / seed.name).c_str());
            return 1;
        }
    }
    return 0;
}

std::uint64_t number(const char* text) {
    return std::strtoull(text, nullptr, 10);
}

int from_files(int argc, char** argv) {
    const std::string_view mode = argv[1];
    const bool plain = mode.front() != '-';
    std::vector<File> files;
    if (!read_files(argc - (plain ? 1 : 4), argv + (plain ? 1 : 4), files))
        return 2;
    const std::uint64_t count = plain ? 0 : number(argv[2]);
    const std::uint64_t seed = plain ? 0 : number(argv[3]);
    if (mode == "--show") {
        const Input input = mutation(count, seed, files);
        return std::fwrite(input.data(), 1, input.size(), stdout) == input.size() ? 0 : 1;
    }
    for (const File& file : files)
        run(file.bytes, file.name);
    for (std::uint64_t i = 0; i < count; ++i)
        run(mutation(i, seed, files), "that of --show " + std::to_string(i) + " " + argv[3]);
    return 0;
}

} // namespace

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_set_death_callback(void (*callback)());
#endif

int main(int argc, char** argv) {
    LLVMFuzzerInitialize(&argc, &argv);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_set_death_callback(say_which);
    std::signal(SIGABRT, crashed);
#else
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
        std::signal(signal, crashed);
#endif
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (argc == 1) {
        run(read_all(std::cin), "standard input");
        return 0;
    }
    if (argc == 3 && mode == "--seeds")
        return write_seeds(argv[2]);
    if (argc >= 3 && mode == "--random") {
        run_random(std::chrono::seconds{std::atoll(argv[2])},
                   argc > 3 ? number(argv[3]) : std::random_device{}());
        return 0;
    }
    if (((mode == "--mutate" || mode == "--show") && argc > 4) || (!mode.empty() && mode.front() != '-'))
        return from_files(argc, argv);
    return usage(argv[0]);
}
