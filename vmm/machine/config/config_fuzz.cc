// SPDX-License-Identifier: Apache-2.0
//
// Values of the command line, one a line: "disk path=a", "net tap=b", "rng source=c", "size 2G", "number 17".
#include "vmm/base/fuzz.h"
#include "vmm/machine/config/key_values.h"
#include "vmm/machine/config/machine_config.h"

#include <set>

namespace {

using namespace godwit;

constexpr std::size_t kMostDevices = 64;

template <class T>
void add(std::vector<T>& to, Result<T> parsed) {
    if (parsed.ok() && to.size() < kMostDevices)
        to.push_back(std::move(parsed).value());
}

void check_complete(MachineConfig config) {
    if (!complete(config).ok())
        return;
    std::set<std::string> ids;
    const auto check = [&](const auto& devices) {
        for (const auto& device : devices) {
            fuzz::require(!device.id.empty() && ids.insert(device.id).second, "every device has its own id");
            fuzz::require(device.place.transport != TransportKind::Ccw || device.place.devno.has_value(),
                          "every device of channel I/O has a number");
        }
    };
    check(config.disks);
    check(config.nets);
    check(config.rngs);
    (void)has_channel_io(config);
    fuzz::require(complete(config).ok(), "what is complete stays so");
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    return {}; // text
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view rest = fuzz::text_of(std::as_bytes(std::span{data, size}));
    MachineConfig config;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        const std::string_view kind = line.substr(0, line.find(' '));
        const std::string_view value = line.substr(std::min(kind.size() + 1, line.size()));
        if (kind == "disk")
            add(config.disks, parse_disk(value));
        else if (kind == "net")
            add(config.nets, parse_net(value));
        else if (kind == "rng")
            add(config.rngs, parse_rng(value));
        else if (kind == "size") {
            if (const auto bytes = parse_size("--memory", value); bytes.ok())
                config.memory = *bytes;
        } else if (const auto number = parse_number("--cpus", value, 1, 255); number.ok())
            config.cpus = static_cast<std::uint32_t>(*number);
    }
    check_complete(std::move(config));
    return 0;
}
