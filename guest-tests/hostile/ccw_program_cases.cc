// SPDX-License-Identifier: Apache-2.0
//
// Channel programs: the z/Architecture Principles of Operation (PoO), as docs/ccw-transport.md has it.
#include "guest-tests/hostile/ccw_case.h"
#include "guest-tests/hostile/tables.h"

namespace godwit::hostile {

using namespace ccw;
using namespace virtio;
using ccw::testing::Guest;
using ccw::testing::kWindow;
using ccw::testing::Response;

namespace {

constexpr std::uint32_t kData = Guest::kData, kProgram = Guest::kProgram;

std::function<void(Attack&)> program_check(std::vector<Ccw1> program, Orb orb = Guest::orb()) {
    return [=](Attack& a) { expect_program_check(a, run(a, program, orb)); };
}

} // namespace

std::vector<Case> ccw_program_cases() {
    const Orb suspending = [] {
        Orb orb = Guest::orb();
        orb.ctrl0 |= kOrbSuspend;
        return orb;
    }();
    const Orb format0 = [] {
        Orb orb = Guest::orb();
        orb.ctrl0 = 0;
        return orb;
    }();
    const auto at = [](std::uint32_t address) { return Guest::orb(address); };
    constexpr std::uint8_t kCd = kCcwChainData, kCc = kCcwChainCommand, kSli = kCcwSuppressLength;
    return {
        ccw_case("a program of format 0", "PoO, 15", "program check", program_check({sense_id()}, format0)),
        ccw_case("a program that is not aligned", "PoO, 15", "program check",
                 program_check({sense_id()}, at(kProgram + 4))),
        ccw_case(
            "a program outside of RAM", "PoO, 15", "program check",
            [at](Attack& a) { program_check({sense_id()}, at(static_cast<std::uint32_t>(a.ram_end())))(a); }),
        ccw_case("a program at the end of 2 GiB", "PoO, 15", "program check",
                 program_check({sense_id()}, at(0x7fff'fff8))),
        ccw_case("a program that runs out of RAM", "PoO, 15", "program check",
                 [at](Attack& a) {
                     const auto last = static_cast<std::uint32_t>(a.ram_end() - kCcwSize);
                     a.guest().place(std::vector<Ccw1>{sense_id(kCc)}, last);
                     a.seal();
                     a.expect(a.guest().start(at(last), kVictimSchid) == ccw::Outcome::Done,
                              "it was not started");
                     expect_program_check(a, a.guest().test(kVictimSchid));
                 }),
        ccw_case("a command with the lower four bits 0", "PoO, 15", "program check",
                 program_check({{0xf0, 0, 8, kData}})),
        ccw_case("a transfer as the first CCW", "PoO, 15", "program check",
                 program_check({{kCommandTransfer, 0, 0, kProgram}})),
        ccw_case("a transfer to a transfer", "PoO, 15", "program check",
                 program_check({sense_id(kCc),
                                {kCommandTransfer, 0, 0, kProgram + 16},
                                {kCommandTransfer, 0, 0, kProgram}})),
        ccw_case("a transfer with flags", "PoO, 15", "program check",
                 program_check({sense_id(kCc), {kCommandTransfer, kCc, 0, kProgram}})),
        ccw_case("a transfer with a count", "PoO, 15", "program check",
                 program_check({sense_id(kCc), {kCommandTransfer, 0, 8, kProgram}})),
        ccw_case("a transfer to what is not aligned", "PoO, 15", "program check",
                 program_check({sense_id(kCc), {kCommandTransfer, 0, 0, kProgram + 3}})),
        ccw_case("a transfer beyond 2 GiB", "PoO, 15", "program check",
                 program_check({sense_id(kCc), {kCommandTransfer, 0, 0, 0x8000'0000 | kProgram}})),
        ccw_case("a transfer out of RAM", "PoO, 15", "program check",
                 program_check({sense_id(kCc), {kCommandTransfer, 0, 0, 0x7000'0000}})),
        ccw_case("indirect data addressing", "PoO, 15", "program check",
                 program_check({sense_id(kCcwIndirect)})),
        ccw_case("modified indirect data addressing", "PoO, 15", "program check",
                 program_check({sense_id(kCcwModifiedIndirect)})),
        ccw_case("suspension that the ORB does not allow", "PoO, 15", "program check",
                 program_check({sense_id(kCcwSuspend)})),
        ccw_case("suspension in a CCW of a data chain", "PoO, 15", "program check",
                 program_check({sense_id(kCd, 4), sense_id(kCcwSuspend, 3)}, suspending)),
        ccw_case("a count of 0 with chained data", "PoO, 15", "program check",
                 program_check({sense_id(kCd, 0), sense_id()})),
        ccw_case("a count of 0 in a data chain", "PoO, 15", "program check",
                 program_check({sense_id(kCd, 4), sense_id(0, 0)})),
        ccw_case("all flags", "PoO, 15", "program check", program_check({sense_id(0xff)})),
        ccw_case("data above 2 GiB", "PoO, 15", "program check",
                 program_check({sense_id(0, 7, 0x8000'0000 | kData)})),
        ccw_case("data outside of RAM", "PoO, 15", "program check",
                 program_check({sense_id(0, 7, 0x4000'0000)})),
        ccw_case("data that end outside of RAM", "PoO, 15", "program check",
                 [](Attack& a) {
                     program_check({sense_id(0, 7, static_cast<std::uint32_t>(a.ram_end() - 3))})(a);
                 }),
        ccw_case("data that end beyond 2 GiB", "PoO, 15", "program check",
                 program_check({sense_id(0, 7, 0x7fff'fffe)})),
        ccw_case("a data chain of which the second part is outside of RAM", "PoO, 15", "program check",
                 program_check({sense_id(kCd, 4), sense_id(0, 3, 0x4000'0000)})),
        ccw_case("300 commands that move nothing", "PoO, 15", "program check",
                 [](Attack& a) {
                     std::vector<Ccw1> program(300, Ccw1{kCommandNoOp, kCc, 0, 0});
                     program.back().flags = 0;
                     const Response got = run(a, program);
                     for (int i = 0; i < 4; ++i)
                         a.machine().turn();
                     expect_program_check(a, got.pending() ? got : a.guest().test(kVictimSchid));
                 }),
        harmless(ccw_case(
            "a program without end, and clear", "PoO, 15", "it runs in slices until it is cleared",
            [](Attack& a) {
                a.guest().place(endless());
                a.expect(a.guest().start(Guest::orb(), kVictimSchid) == ccw::Outcome::Done,
                         "it was not started");
                (void)a.offer(a.good_chain());
                a.driver().notify(a.queue());
                a.expect(a.machine().bystander().works(kPatience), "the other device does not work");
                if (a.queue() == kNetReceiveQueue && a.target().kind == Kind::Net)
                    a.victim().wire().send(frame_to(kTestMac, 60));
                (void)a.victim().wait_used(a.queue(), kPatience);
                a.expect(a.guest().operate(kClearSubchannel, kVictimSchid) == ccw::Outcome::Done, "no clear");
                a.seal();
            },
            kQueues)),
        harmless(ccw_case(
            "a program without end that goes on while the device moves", "PoO, 15",
            "it goes on there; requests are served beside it",
            [](Attack& a) {
                a.guest().place(endless());
                a.expect(a.guest().start(Guest::orb(), kVictimSchid) == ccw::Outcome::Done,
                         "it was not started");
            },
            kDevices)),
        harmless(ccw_case(
            "a suspended program under a live device", "PoO, 15", "requests are served",
            [suspending](Attack& a) {
                a.guest().place(std::vector<Ccw1>{sense_id(kCcwSuspend)});
                a.expect(a.guest().start(suspending, kVictimSchid) == ccw::Outcome::Done,
                         "it was not started");
                a.expect((a.guest().store(kVictimSchid).scsw.ctrl & kSuspended) != 0, "it is not suspended");
            },
            kDevices)),
        harmless(ccw_case("a program that overwrites itself", "PoO, 15",
                          "CCWs are fetched when they are needed",
                          [](Attack& a) {
                              // Sense id over the CCW that follows, and that is no command then.
                              expect_reject(a, run(a, {sense_id(kCc | kSli, 8, kProgram + 8), sense_id()}));
                          })),
        harmless(ccw_case("data over the operation block", "PoO, 14", "the outcome is written last",
                          [](Attack& a) {
                              a.guest().place(std::vector<Ccw1>{
                                  sense_id(kSli, 40, static_cast<std::uint32_t>(Guest::kBlock))});
                              a.expect(a.guest().start(Guest::orb(), kVictimSchid) == ccw::Outcome::Done,
                                       "another outcome");
                              (void)a.guest().test(kVictimSchid);
                          })),
        harmless(ccw_case("a read that is skipped, to an address outside of RAM", "PoO, 15",
                          "nothing is stored",
                          [](Attack& a) { (void)run(a, {sense_id(kCcwSkip, 7, 0x4000'0000)}); })),
    };
}

} // namespace godwit::hostile
