// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/acpi/generation.h"

#include <cerrno>
#include <span>
#include <string_view>
#include <sys/random.h>

namespace godwit::acpi {

namespace {

constexpr std::string_view kSignature = "godwit VM generation ID\n";
constexpr Gpa kSignatureAt{kGenerationPage.base};
static_assert(kSignatureAt.value + kSignature.size() <= kGenerationId.value);

} // namespace

Result<GenerationId> new_generation() {
    GenerationId id{};
    if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size()))
        return system_error(errno, "a random generation ID");
    return id;
}

Status place_generation(const GenerationId& id, GuestMemory& memory) {
    TRY(memory.write(kSignatureAt, std::as_bytes(std::span{kSignature})));
    return memory.write(kGenerationId, std::span<const std::byte>{id});
}

std::optional<GenerationId> generation_in(const GuestMemory& memory) {
    std::array<std::byte, kSignature.size()> signature{};
    GenerationId id{};
    if (!memory.read(kSignatureAt, signature).ok() || !memory.read(kGenerationId, id).ok())
        return {};
    const std::string_view found{reinterpret_cast<const char*>(signature.data()), signature.size()};
    return found == kSignature ? std::optional{id} : std::nullopt;
}

} // namespace godwit::acpi
