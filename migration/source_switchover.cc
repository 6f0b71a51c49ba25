// SPDX-License-Identifier: Apache-2.0
//
// The phase between the last round in which the guest ran and the switchover: the guest is paused, and its
// disks and an operator have the word.
#include "migration/source_phases.h"
#include "migration/switchover_gate.h"

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// How quickly the operator's word is heard; the peer's, and a cancel, at once.
constexpr std::chrono::milliseconds kGlance = 10ms;
// The peer gives up when it hears nothing for its time-out, which is a second at least.
constexpr std::chrono::milliseconds kAliveInterval = 300ms;

// While somebody waits at the gate.
class AtGate {
  public:
    explicit AtGate(SwitchoverGate& gate) : gate_(gate) { gate_.arrive(); }
    ~AtGate() { gate_.leave(); }
    AtGate(const AtGate&) = delete;
    AtGate& operator=(const AtGate&) = delete;

  private:
    SwitchoverGate& gate_;
};

} // namespace

// A round of nothing shows either side that the other is still there.
Status Paused::keep_alive() {
    RoundReport report;
    report.number = static_cast<std::uint32_t>(attempt.report().rounds.size() + 1);
    PageBitmap nothing{attempt.port().memory().page_count()};
    TRY(attempt.links().send_round(nothing, report.number, RoundKind::Live));
    TRY(attempt.session().send(Message::RoundEnd, encode(Round{report.number, 0})));
    TRY(attempt.links().await_answer());
    const Bytes body = TRY(attempt.session().expect(Message::RoundAck));
    if (TRY(decode_round(body)) != Round{report.number, 0})
        return error(ErrorCode::Protocol, "a round of no pages was acknowledged as another");
    attempt.report().rounds.push_back(report);
    return {};
}

Status Paused::write_back() {
    while (TRY(attempt.port().write_back(kAliveInterval)).under_way) {
        if (TRY(attempt.session().channel().readable(0ms))) // or a cancel
            TRY(attempt.session().check_peer());
        TRY(keep_alive());
    }
    return {};
}

Status Paused::await_switchover() {
    SwitchoverGate* const gate = attempt.options().gate;
    if (gate == nullptr || !attempt.parameters().pause_before_switchover)
        return {};
    const AtGate waiting{*gate};
    attempt.progress().set_status(MigrationStatus::PreSwitchover);
    const auto interval = std::min<std::chrono::milliseconds>(attempt.options().timeout / 4, kAliveInterval);
    auto next = std::chrono::steady_clock::now() + interval;
    while (!gate->is_open()) {
        if (TRY(attempt.session().channel().readable(kGlance)))
            TRY(attempt.session().check_peer());
        if (std::chrono::steady_clock::now() >= next) {
            TRY(keep_alive());
            next = std::chrono::steady_clock::now() + interval;
        }
    }
    attempt.progress().set_status(MigrationStatus::Device);
    return {};
}

} // namespace godwit::migration
