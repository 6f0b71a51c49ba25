// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/model_file.h"

#include "vmm/cpu/sample_models.h"

#include <catch2/catch.hpp>

using namespace godwit;
using namespace godwit::cpu;
using Catch::Matchers::Contains;

TEST_CASE("a model is read as it was written", "[cpu]") {
    const std::string text = to_json(test::server());
    REQUIRE(parse_model(text).value() == test::server());
    REQUIRE_THAT(text, Contains("\"avx512f\"") && Contains("\"IA32_ARCH_CAPABILITIES\"") &&
                           Contains("GenuineIntel"));
}

TEST_CASE("a file that is not a model is refused with the place", "[cpu][hostile]") {
    const std::string head = R"({"format": "godwit-cpu", "version": 1, )";
    const std::string leaf = R"({"leaf": "0x0", "eax": "0", "ebx": "0", "ecx": "0", "edx": "0"})";
    const std::string one = R"({"leaf": "0x1", "eax": "0", "ebx": "0", "ecx": "0", "edx": "0"})";
    struct Case {
        std::string text;
        std::string why;
    };
    const std::vector<Case> cases{
        {"", "not a JSON object"},
        {"[1]", "not a JSON object"},
        {R"({"format": "godwit-cpu", "version": 2})",
         "not a processor model of format 'godwit-cpu', version 1"},
        {head + R"("msrs": []})", "'cpuid' is not a list of up to 240 entries"},
        {head + R"("cpuid": [7], "msrs": []})", "entry 0 of 'cpuid': not an object"},
        {head + R"("cpuid": [{"leaf": 7}], "msrs": []})",
         "entry 0 of 'cpuid': 'leaf' is not a string with a number"},
        {head + R"("cpuid": [{"leaf": "0x100000000"}], "msrs": []})",
         "entry 0 of 'cpuid': 'leaf': '0x100000000' is not a number up to 0xffffffff"},
        {head + R"("cpuid": [{"leaf": "0x"}], "msrs": []})",
         "entry 0 of 'cpuid': 'leaf': '0x' is not a number up to 0xffffffff"},
        {head + R"("cpuid": [{"leaf": "0x1"}], "msrs": []})", "entry 0 of 'cpuid': 'eax' is missing"},
        {head + R"("cpuid": [)" + leaf + "," + leaf + R"(], "msrs": []})",
         "leaf 0x0 subleaf 0 is there twice"},
        {head + R"("cpuid": [)" + leaf + R"(], "msrs": []})", "CPUID leaves 0 and 1 are not both there"},
        {head + R"("cpuid": [)" + leaf + "," + one + R"(], "msrs": [{"index": "0x174", "value": "0"}]})",
         "register 0x174 does not tell features"},
        {head + R"("cpuid": [)" + leaf + "," + one +
             R"(], "msrs": [{"index": "0x8b", "value": "1"}, {"index": "0x8b", "value": "2"}]})",
         "register 0x8b is there twice"},
        {head + R"("cpuid": [)" + leaf + "," + one + R"(], "msrs": [{"index": "0x8b", "value": "-1"}]})",
         "entry 0 of 'msrs': 'value': '-1' is not a number up to 0xffffffffffffffff"},
        {std::string(kMaxModelFile + 1, ' '), "1048577 bytes are too many for a processor model"},
    };
    for (const Case& one_case : cases) {
        const auto parsed = parse_model(one_case.text);
        REQUIRE_FALSE(parsed.ok());
        REQUIRE(parsed.error().code == ErrorCode::InvalidInput);
        REQUIRE(parsed.error().text == one_case.why);
    }
    REQUIRE(read_model("/nonexistent").error().code == ErrorCode::InvalidInput);
}
