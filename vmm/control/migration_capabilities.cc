// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/migration_capabilities.h"

#include "vmm/base/json.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace godwit::control {

namespace {

using migration::OnStall;
using migration::Parameters;

struct Capability {
    std::string_view name;
    bool (*state)(const Parameters&);
    // Null: it cannot be switched on, and switching it off, or what is always on, changes nothing.
    void (*set)(Json& values, bool on, const Parameters& now) = nullptr;
};

constexpr auto kAlways = [](const Parameters&) { return true; };
constexpr auto kNever = [](const Parameters&) { return false; };

constexpr std::array kCapabilities{
    Capability{"xbzrle", kNever},
    Capability{"rdma-pin-all", kNever},
    Capability{"auto-converge", [](const Parameters& p) { return p.on_stall == OnStall::Throttle; },
               [](Json& values, bool on, const Parameters& now) {
                   if (on)
                       values["on-stall"] = "throttle";
                   else if (now.on_stall == OnStall::Throttle)
                       values["on-stall"] = "cancel";
               }},
    Capability{"zero-blocks", kNever},
    Capability{"compress", kNever},
    Capability{"events", kAlways},
    Capability{"postcopy-ram", kNever},
    Capability{"x-colo", kNever},
    Capability{"release-ram", kNever},
    Capability{"block", kNever},
    Capability{"return-path", kAlways},
    Capability{"pause-before-switchover", [](const Parameters& p) { return p.pause_before_switchover; },
               [](Json& values, bool on, const Parameters&) { values["pause-before-switchover"] = on; }},
    Capability{"multifd", [](const Parameters& p) { return p.connections > 1; },
               [](Json& values, bool on, const Parameters& now) {
                   if (on != (now.connections > 1))
                       values["multifd-channels"] = on ? 2 : 1; // QEMU's default
               }},
    Capability{"dirty-bitmaps", kNever},
    Capability{"postcopy-blocktime", kNever},
    Capability{"late-block-activate", kNever},
    Capability{"x-ignore-shared", kNever},
    Capability{"validate-uuid", kNever},
    Capability{"background-snapshot", kNever},
    Capability{"zero-copy-send", kNever},
    Capability{"postcopy-preempt", kNever},
};

} // namespace

Json capabilities_of(const Parameters& parameters) {
    Json list = Json::array();
    for (const Capability& one : kCapabilities)
        list.push_back({{"capability", one.name}, {"state", one.state(parameters)}});
    return list;
}

Result<Json> parameters_for(const Json& capabilities, const Parameters& now) {
    Json values = Json::object();
    for (const Json& given : capabilities) {
        const Json name = given.is_object() ? given.value("capability", Json{}) : Json{};
        const Json state = given.is_object() ? given.value("state", Json{}) : Json{};
        if (!name.is_string() || !state.is_boolean())
            return invalid_input("{} is not a capability and its state", json_text(given));
        const auto found = std::ranges::find(kCapabilities, name.get<std::string>(), &Capability::name);
        if (found == kCapabilities.end())
            return invalid_input("there is no migration capability {}", json_text(name));
        if (found->set != nullptr)
            found->set(values, state.get<bool>(), now);
        else if (state.get<bool>() && !found->state(now))
            return invalid_input("migration capability '{}' is not available here", found->name);
    }
    return values;
}

} // namespace godwit::control
