// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/ccw_case.h"

namespace godwit::hostile {

using namespace ccw;
using namespace virtio;
using ccw::testing::Guest;
using ccw::testing::Response;

Case ccw_case(std::string rule, std::string section, std::string effect, std::function<void(Attack&)> act,
              std::span<const Target> targets) {
    return {.rule = std::move(rule),
            .section = std::move(section),
            .targets = targets,
            .transports = kOnlyCcw,
            .outcome = hostile::Outcome::Refused,
            .effect = std::move(effect),
            .act = std::move(act)};
}

void expect_program_check(Attack& a, const Response& got) {
    a.expect(got.outcome == ccw::Outcome::Done && (got.scsw.cstat & kProgramCheck) != 0, "no program check");
}

void expect_incorrect_length(Attack& a, const Response& got) {
    a.expect(got.outcome == ccw::Outcome::Done && got.scsw.cstat == kIncorrectLength,
             "the length is taken as correct");
}

void expect_reject(Attack& a, const Response& got) {
    a.expect(got.outcome == ccw::Outcome::Done && (got.scsw.dstat & kUnitCheck) != 0, "no unit check");
    (void)a.command(kCommandSense, Bytes(kSenseBytes));
    a.expect(a.guest().data(1)[0] == std::byte{kSenseCommandReject}, "sense is not command reject");
}

Response run(Attack& a, const std::vector<Ccw1>& program, Orb orb) {
    a.guest().place(program);
    Response got{};
    got.outcome = a.guest().start(orb, kVictimSchid);
    if (got.outcome == ccw::Outcome::Done)
        got = a.guest().test(kVictimSchid);
    return got;
}

Ccw1 sense_id(std::uint8_t flags, std::uint16_t count, std::uint32_t at) {
    return {kCommandSenseId, flags, count, at};
}

std::vector<Ccw1> endless() {
    return {sense_id(kCcwChainCommand | kCcwSuppressLength, 8), {kCommandTransfer, 0, 0, Guest::kProgram}};
}

void forget_revision(Attack& a) {
    Schib schib = a.guest().store(kVictimSchid);
    schib.pmcw.flags = 0;
    a.expect(a.guest().modify(schib, kVictimSchid) == ccw::Outcome::Done &&
                 a.guest().enable(kVictimSchid) == ccw::Outcome::Done,
             "the subchannel was not modified");
}

} // namespace godwit::hostile
