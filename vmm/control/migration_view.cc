// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/migration_view.h"

#include "vmm/control/sides.h"

namespace godwit::control {

namespace {

using migration::Custody;
using migration::MigrationStatus;
using migration::ProgressSnapshot;
using Json = nlohmann::json;

Json common(std::string_view here, const ProgressSnapshot& now) {
    Json view{{"status", to_string(now.status)},
              {"setup-time", now.setup_time.count()},
              {"total-time", now.total_time.count()},
              {"ram",
               {{"total", now.ram_total},
                {"transferred", now.ram_transferred},
                {"remaining", now.ram_remaining},
                {"duplicate", now.duplicate},
                {"normal", now.normal},
                {"normal-bytes", now.normal * now.page_size},
                {"mbps", now.mbps},
                {"dirty-sync-count", now.dirty_sync_count},
                {"dirty-pages-rate", now.dirty_pages_rate},
                {"page-size", now.page_size}}}};
    if (now.downtime)
        view["downtime"] = now.downtime->count();
    if (now.error)
        view["error-desc"] = reason_text(here, *now.error);
    return view;
}

std::string_view owner_of(const ProgressSnapshot& outgoing) {
    if (outgoing.status == MigrationStatus::InDoubt)
        return "in-doubt";
    switch (outgoing.custody) {
    case Custody::Here:
        return "here";
    case Custody::Away:
        return "undecided";
    case Custody::InDoubt:
        return "in-doubt";
    case Custody::Gone:
        return "destination";
    }
    return "in-doubt";
}

} // namespace

Json outgoing_view(const ProgressSnapshot& now, bool has_guest) {
    if (now.status == MigrationStatus::None)
        return {{"owner", has_guest ? "here" : "none"}};
    Json view = common(kSource, now);
    view["direction"] = "outgoing";
    view["owner"] = owner_of(now);
    view["expected-downtime"] = now.expected_downtime.count();
    view["stalled"] = now.stalled;
    view["writing-back"] = now.writing_back;
    if (now.throttle != 0)
        view["cpu-throttle-percentage"] = now.throttle;
    return view;
}

Json incoming_view(const ProgressSnapshot& now) {
    if (now.status == MigrationStatus::None)
        return {{"owner", "none"}};
    Json view = common(kDestination, now);
    view["direction"] = "incoming";
    const bool over = now.status == MigrationStatus::Failed || now.status == MigrationStatus::Cancelled;
    view["owner"] = now.status == MigrationStatus::Completed ? "here" : over ? "none" : "source";
    return view;
}

} // namespace godwit::control
