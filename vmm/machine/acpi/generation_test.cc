// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/acpi/acpi.h"
#include "vmm/machine/acpi/generation.h"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace godwit;
using namespace godwit::acpi;

TEST_CASE("a guest has the generation that was given to it", "[acpi]") {
    const auto memory =
        std::move(GuestMemory::create(std::uint64_t{4} << 20, std::uint64_t{3} << 30)).value();
    REQUIRE_FALSE(generation_in(*memory).has_value());
    const GenerationId first = new_generation().value(), second = new_generation().value();
    REQUIRE(first != second);
    REQUIRE(place_generation(first, *memory).ok());
    REQUIRE(generation_in(*memory) == first);
    REQUIRE(memory->read<GenerationId>(kGenerationId).value() == first);
    REQUIRE(place_generation(second, *memory).ok());
    REQUIRE(generation_in(*memory) == second);
    // Of a guest that was booted elsewhere anything may lie there.
    REQUIRE(memory->write(Gpa{kGenerationPage.base + 3}, std::uint8_t{0}).ok());
    REQUIRE_FALSE(generation_in(*memory).has_value());
}

TEST_CASE("the page of the generation is kept from the guest and apart from the tables", "[acpi]") {
    const AcpiBlob blob = build_tables({board::kMaxCpus, board::pcie_mmio64(40), true}).value();
    REQUIRE(blob.base.value + blob.bytes.size() <= kGenerationPage.base);
    const auto kept = std::ranges::find(blob.reservations, Gpa{kGenerationPage.base}, &E820Entry::base);
    REQUIRE(kept != blob.reservations.end());
    REQUIRE(kept->size == kGenerationPage.size);
    REQUIRE(kept->type == E820Type::AcpiNvs);
}

TEST_CASE("there is no generation in memory that ends before it", "[acpi]") {
    const auto memory =
        std::move(GuestMemory::create(std::uint64_t{64} << 10, std::uint64_t{3} << 30)).value();
    REQUIRE_FALSE(generation_in(*memory).has_value());
    REQUIRE_FALSE(place_generation({}, *memory).ok());
}
