// SPDX-License-Identifier: Apache-2.0
//
// Operations, channel programs and commands: the z/Architecture Principles of Operation (PoO) as
// docs/ccw-transport.md has it, and virtio 1.2 section 4.3.
#include "guest-tests/hostile/attack.h"

#include <algorithm>

namespace godwit::hostile {

using namespace ccw;
using namespace virtio;
using ccw::testing::Guest;
using ccw::testing::kWindow;
using ccw::testing::Response;

namespace {

constexpr std::uint32_t kData = Guest::kData, kProgram = Guest::kProgram;

Case ccw_case(std::string rule, std::string section, std::string effect, std::function<void(Attack&)> act,
              std::span<const Target> targets = kOnlyBlk) {
    return {.rule = std::move(rule),
            .section = std::move(section),
            .targets = targets,
            .transports = kOnlyCcw,
            .outcome = hostile::Outcome::Refused,
            .effect = std::move(effect),
            .act = std::move(act)};
}

Case harmless(Case one) {
    one.outcome = hostile::Outcome::Harmless;
    return one;
}

Case dead(Case one) {
    one.alive = false;
    return one;
}

Case from(Stage stage, Case one) {
    one.stage = stage;
    one.alive = one.alive.value_or(false);
    return one;
}

// ---- what a program ended with

void expect_program_check(Attack& a, const Response& got) {
    a.expect(got.outcome == ccw::Outcome::Done && (got.scsw.cstat & kProgramCheck) != 0, "no program check");
}

void expect_incorrect_length(Attack& a, const Response& got) {
    a.expect(got.outcome == ccw::Outcome::Done && got.scsw.cstat == kIncorrectLength,
             "the length is taken as correct");
}

// Unit check, and sense says command reject.
void expect_reject(Attack& a, const Response& got) {
    a.expect(got.outcome == ccw::Outcome::Done && (got.scsw.dstat & kUnitCheck) != 0, "no unit check");
    (void)a.command(kCommandSense, Bytes(kSenseBytes));
    a.expect(a.guest().data(1)[0] == std::byte{kSenseCommandReject}, "sense is not command reject");
}

// Takes what is in the way, and runs.
Response run(Attack& a, const std::vector<Ccw1>& program, Orb orb = Guest::orb()) {
    a.guest().place(program);
    Response got{};
    got.outcome = a.guest().start(orb, kVictimSchid);
    if (got.outcome == ccw::Outcome::Done)
        got = a.guest().test(kVictimSchid);
    return got;
}

std::function<void(Attack&)> program_check(std::vector<Ccw1> program, Orb orb = Guest::orb()) {
    return [=](Attack& a) { expect_program_check(a, run(a, program, orb)); };
}

std::function<void(Attack&)> rejected(std::uint8_t code, Bytes data) {
    return [=](Attack& a) { expect_reject(a, a.command(code, data)); };
}

std::function<void(Attack&)> wrong_length(std::uint8_t code, Bytes data) {
    return [=](Attack& a) { expect_incorrect_length(a, a.command(code, data)); };
}

std::function<void(Attack&)> operation(std::uint32_t function, std::uint32_t id, std::uint64_t operand,
                                       ccw::Outcome expected) {
    return [=](Attack& a) {
        a.expect(a.guest().operate(function, id, operand) == expected, "another outcome of the operation");
    };
}

Ccw1 sense_id(std::uint8_t flags = 0, std::uint16_t count = 7, std::uint32_t at = kData) {
    return {kCommandSenseId, flags, count, at};
}

// A program that only halt or clear ends.
std::vector<Ccw1> endless() {
    return {sense_id(kCcwChainCommand | kCcwSuppressLength, 8), {kCommandTransfer, 0, 0, kProgram}};
}

// Disables and enables: the next revision may be set, and until then the driver is a legacy one.
void forget_revision(Attack& a) {
    Schib schib = a.guest().store(kVictimSchid);
    schib.pmcw.flags = 0;
    a.expect(a.guest().modify(schib, kVictimSchid) == ccw::Outcome::Done &&
                 a.guest().enable(kVictimSchid) == ccw::Outcome::Done,
             "the subchannel was not modified");
}

Bytes indicator(std::uint64_t at) {
    return Guest::address(at);
}

std::vector<Case> operations() {
    using ccw::Outcome;
    return {
        ccw_case("an operation that does not exist", "PoO, 14", "operation exception",
                 operation(0xb2ff, kVictimSchid, 0, Outcome::OperationException)),
        ccw_case("a subchannel id of 0", "PoO, 14", "operand exception",
                 operation(kStoreSubchannel, 0, Guest::kSchib, Outcome::OperandException)),
        ccw_case("a subchannel id with reserved bits", "PoO, 14", "operand exception",
                 operation(kStoreSubchannel, 0xffff'0000, Guest::kSchib, Outcome::OperandException)),
        ccw_case(
            "a subchannel of another set", "PoO, 14", "condition code 3",
            operation(kStoreSubchannel, kVictimSchid | 0x0002'0000, Guest::kSchib, Outcome::NotOperational)),
        ccw_case("a subchannel that does not exist", "PoO, 14", "condition code 3",
                 operation(kStartSubchannel, kSchidOne | 2, Guest::kOrb, Outcome::NotOperational)),
        ccw_case("an operand that is not aligned", "PoO, 14", "specification exception",
                 operation(kTestSubchannel, kVictimSchid, Guest::kIrb + 2, Outcome::SpecificationException)),
        ccw_case("an ORB outside of RAM", "PoO, 14", "addressing exception",
                 [](Attack& a) {
                     operation(kStartSubchannel, kVictimSchid, a.ram_end(), Outcome::AddressingException)(a);
                 }),
        ccw_case(
            "a SCHIB that ends outside of RAM", "PoO, 14", "addressing exception",
            [](Attack& a) {
                operation(kModifySubchannel, kVictimSchid, a.ram_end() - 8, Outcome::AddressingException)(a);
                operation(kStoreSubchannel, kVictimSchid, a.ram_end() - 8, Outcome::AddressingException)(a);
            }),
        ccw_case("an IRB that wraps at 2^64", "PoO, 14", "addressing exception",
                 operation(kTestSubchannel, kVictimSchid, ~std::uint64_t{3}, Outcome::AddressingException)),
        ccw_case("an interruption code in the window's registers", "PoO, 14", "addressing exception",
                 operation(kTestPendingInterruption, 0, kWindow, Outcome::AddressingException)),
        ccw_case("an operation block outside of RAM, misaligned, and in the registers", "PoO, 14",
                 "nothing is done",
                 [](Attack& a) {
                     for (const std::uint64_t block :
                          {a.ram_end(), a.ram_end() - 8, Guest::kBlock + 4, kWindow, ~std::uint64_t{7}})
                         a.guest().write(kRegOperation, block);
                 }),
        harmless(ccw_case("registers of the window with wrong widths and at wrong places", "PoO, 14",
                          "nothing is done",
                          [](Attack& a) {
                              a.guest().write(kRegOperation, std::uint32_t{Guest::kBlock});
                              a.guest().write(kRegNotify, std::uint32_t{1});
                              a.guest().write(kRegOperation + 4, std::uint64_t{Guest::kBlock});
                              a.guest().write(kRegId, ~std::uint32_t{0});
                              a.guest().write(0x800, ~std::uint64_t{0});
                              a.expect(a.guest().read<std::uint32_t>(kRegId) == kWindowId, "another id");
                              a.expect(a.guest().read<std::uint64_t>(kRegId) == 0, "an id of 8 bytes");
                              a.expect(a.guest().read<std::uint32_t>(0x800) == 0, "there is something");
                          })),
        harmless(ccw_case("an interruption mask of ones", "PoO, 6", "8 bits of it are kept",
                          [](Attack& a) {
                              a.guest().write(kRegIscMask, ~std::uint32_t{0});
                              a.expect(a.guest().read<std::uint32_t>(kRegIscMask) == 0xff, "another mask");
                          })),
        ccw_case("start with reserved bits of the ORB", "PoO, 15", "operand exception",
                 [](Attack& a) {
                     for (int which = 0; which < 3; ++which) {
                         Orb orb = Guest::orb();
                         if (which == 0)
                             orb.ctrl0 |= kOrbInvalid;
                         else if (which == 1)
                             orb.ctrl1 |= kOrb1Invalid;
                         else
                             orb.cpa |= kAddressBad;
                         a.expect(a.guest().start(orb, kVictimSchid) == Outcome::OperandException,
                                  "it was started");
                     }
                 }),
        ccw_case("an ORB of ones", "PoO, 15", "operand exception",
                 [](Attack& a) {
                     must(a.memory().write(Gpa{Guest::kOrb}, Bytes(32, std::byte{0xff})));
                     operation(kStartSubchannel, kVictimSchid, Guest::kOrb, Outcome::OperandException)(a);
                 }),
        ccw_case("start by a path that does not exist", "PoO, 15", "condition code 3",
                 [](Attack& a) {
                     Orb orb = Guest::orb();
                     orb.lpm = 0x7f;
                     a.expect(a.guest().start(orb, kVictimSchid) == Outcome::NotOperational,
                              "it was started");
                 }),
        ccw_case(
            "start while a program runs", "PoO, 14", "condition code 2",
            [](Attack& a) {
                a.guest().place(endless());
                a.expect(a.guest().start(Guest::orb(), kVictimSchid) == Outcome::Done, "it was not started");
                for (int i = 0; i < 10; ++i)
                    a.expect(a.guest().start(Guest::orb(), kVictimSchid) == Outcome::Code2,
                             "it was started again");
                a.expect(a.guest().operate(kHaltSubchannel, kVictimSchid) == Outcome::Done,
                         "it was not halted");
                (void)a.guest().test(kVictimSchid);
            },
            kDevices),
        ccw_case("start while status pends", "PoO, 14", "condition code 1",
                 [](Attack& a) {
                     a.guest().place(std::vector<Ccw1>{sense_id()});
                     a.expect(a.guest().start(Guest::orb(), kVictimSchid) == Outcome::Done,
                              "it was not started");
                     a.expect(a.guest().start(Guest::orb(), kVictimSchid) == Outcome::Code1,
                              "it was started again");
                 }),
        ccw_case("modify while a program runs", "PoO, 14", "condition code 2",
                 [](Attack& a) {
                     a.guest().place(endless());
                     (void)a.guest().start(Guest::orb(), kVictimSchid);
                     a.expect(a.guest().enable(kVictimSchid) == Outcome::Code2, "it was modified");
                     (void)a.guest().operate(kClearSubchannel, kVictimSchid);
                     a.expect(a.guest().enable(kVictimSchid) == Outcome::Code1,
                              "it was modified while status pends");
                     (void)a.guest().test(kVictimSchid);
                 }),
        ccw_case("modify with reserved bits of the PMCW", "PoO, 15", "operand exception",
                 [](Attack& a) {
                     Schib schib = a.guest().store(kVictimSchid);
                     schib.pmcw.flags = 0xffff;
                     a.expect(a.guest().modify(schib, kVictimSchid) == Outcome::OperandException,
                              "it was modified");
                     schib = a.guest().store(kVictimSchid);
                     schib.pmcw.chars = ~0u;
                     a.expect(a.guest().modify(schib, kVictimSchid) == Outcome::OperandException,
                              "it was modified");
                 }),
        ccw_case("resume of what is not suspended", "PoO, 14", "condition code 2",
                 operation(kResumeSubchannel, kVictimSchid, 0, Outcome::Code2)),
        harmless(ccw_case(
            "halt of what does not run, 100 times", "PoO, 14", "status pends, with function halt",
            [](Attack& a) {
                for (int i = 0; i < 100; ++i) {
                    const auto got = a.guest().operate(kHaltSubchannel, kVictimSchid);
                    a.expect(got == (i % 2 == 0 ? Outcome::Done : Outcome::Code1), "another condition code");
                    if (i % 2 == 1)
                        (void)a.guest().test(kVictimSchid);
                }
            },
            kDevices)),
        harmless(ccw_case(
            "clear, 100 times, with requests between them", "PoO, 14", "requests are served",
            [](Attack& a) {
                for (int i = 0; i < 100; ++i) {
                    if (i % 25 == 0) {
                        (void)a.offer(a.good_chain());
                        a.driver().notify(a.queue());
                    }
                    a.expect(a.guest().operate(kClearSubchannel, kVictimSchid) == Outcome::Done, "no clear");
                }
                if (a.queue() == kNetReceiveQueue && a.target().kind == Kind::Net)
                    a.victim().wire().send(frame_to(kTestMac, 60));
                (void)a.victim().wait_used(a.queue(), kPatience);
                a.seal();
            },
            kQueues)),
        harmless(ccw_case(
            "the subchannel is disabled under a live device", "4.3.2.1",
            "doorbells are served; commands are not operational until it is enabled",
            [](Attack& a) {
                Schib schib = a.guest().store(kVictimSchid);
                schib.pmcw.flags = 0;
                a.expect(a.guest().modify(schib, kVictimSchid) == Outcome::Done, "it was not modified");
                a.expect(a.guest().start(Guest::orb(), kVictimSchid) == Outcome::NotOperational,
                         "it was started");
            },
            kDevices)),
        harmless(ccw_case(
            "the subchannel is disabled and enabled under a live device, and has another revision", "4.3.2.1",
            "commands are those of that revision",
            [](Attack& a) {
                forget_revision(a);
                a.expect(was_done(a.command(CCW_CMD_SET_VIRTIO_REV, Guest::revision(0))), "no revision");
                expect_reject(a, a.command(CCW_CMD_READ_STATUS, Bytes(1)));
            },
            kDevices)),
        ccw_case(
            "notify of a queue and a subchannel that do not exist", "4.3.3.2.1", "result -22",
            [](Attack& a) {
                for (const std::uint64_t queue :
                     {std::uint64_t{63}, std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
                    (void)a.guest().operate(kNotify, kVictimSchid, queue);
                    a.expect(a.guest().result() == kNotifyInvalid, "it was notified");
                }
                (void)a.guest().operate(kNotify, kSchidOne | 77, 0);
                a.expect(a.guest().result() == kNotifyInvalid, "it was notified");
            },
            kDevices),
        harmless(ccw_case("doorbells all over the area", "4.3.3.2.1", "those of nobody are ignored",
                          [](Attack& a) {
                              for (std::uint64_t at = 0; at < kDoorbellArea; at += 0x7fc) {
                                  a.guest().write(kDoorbellArea + at, std::uint8_t{1});
                                  a.guest().write(kDoorbellArea + at, ~std::uint32_t{0});
                              }
                          })),
    };
}

std::vector<Case> programs() {
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

std::vector<Case> commands() {
    const auto again = [](std::size_t count) { return Bytes(count); };
    return {
        ccw_case(
            "a command that does not exist", "4.3.1.2", "command reject",
            [](Attack& a) {
                for (const int code : {0xf1, 0x01, 0x02, 0x63, 0xff})
                    expect_reject(a, a.command(static_cast<std::uint8_t>(code), Bytes(8)));
            },
            kDevices),
        ccw_case("a second revision", "4.3.2.1", "command reject",
                 rejected(CCW_CMD_SET_VIRTIO_REV, Guest::revision(1)), kDevices),
        ccw_case("revision 3", "4.3.2.1", "command reject",
                 [](Attack& a) {
                     forget_revision(a);
                     rejected(CCW_CMD_SET_VIRTIO_REV, Guest::revision(3))(a);
                     rejected(CCW_CMD_SET_VIRTIO_REV, Guest::revision(0xffff))(a);
                     a.expect(was_done(a.command(CCW_CMD_SET_VIRTIO_REV, Guest::revision(2))),
                              "revision 2 was refused");
                 }),
        ccw_case("a revision whose data are shorter than they say", "4.3.2.1", "incorrect length",
                 wrong_length(CCW_CMD_SET_VIRTIO_REV, of({0, 2, 0xff, 0xff}))),
        ccw_case("SET_VQ of 31 bytes", "4.3.2.2", "incorrect length",
                 wrong_length(CCW_CMD_SET_VQ, again(31))),
        ccw_case("SET_VQ of a legacy driver in revision 2", "4.3.2.2", "incorrect length",
                 wrong_length(CCW_CMD_SET_VQ, Guest::legacy_queue(0, 0x20000, 16)), kDevices),
        ccw_case("WRITE_STATUS of no bytes", "4.3.2.3", "incorrect length",
                 wrong_length(CCW_CMD_WRITE_STATUS, {})),
        ccw_case("WRITE_FEAT of 4 bytes", "4.3.2.3", "incorrect length",
                 wrong_length(CCW_CMD_WRITE_FEAT, again(4))),
        ccw_case("READ_FEAT of 4 bytes", "4.3.2.3", "incorrect length",
                 wrong_length(CCW_CMD_READ_FEAT, again(4))),
        ccw_case("READ_VQ_CONF of 3 bytes", "4.3.2.2", "incorrect length",
                 wrong_length(CCW_CMD_READ_VQ_CONF, again(3))),
        ccw_case("READ_STATUS of 2 bytes", "4.3.2.3", "incorrect length",
                 wrong_length(CCW_CMD_READ_STATUS, again(2))),
        ccw_case("WRITE_CONF of no bytes", "4.3.2.4", "incorrect length",
                 wrong_length(CCW_CMD_WRITE_CONF, {})),
        ccw_case("SET_IND of 7 bytes", "4.3.2.6", "incorrect length",
                 wrong_length(CCW_CMD_SET_CONF_IND, again(7))),
        ccw_case("SET_IND_ADAPTER of 24 bytes", "4.3.2.6.3", "incorrect length",
                 wrong_length(CCW_CMD_SET_IND_ADAPTER, again(24))),
        ccw_case(
            "too few bytes with suppressed length", "4.3.1.2", "command reject",
            [](Attack& a) {
                for (const auto& [code, count] : {std::pair{CCW_CMD_SET_VQ, 31},
                                                  {CCW_CMD_WRITE_STATUS, 0},
                                                  {CCW_CMD_WRITE_FEAT, 4},
                                                  {CCW_CMD_SET_CONF_IND, 7},
                                                  {CCW_CMD_SET_IND_ADAPTER, 24}})
                    expect_reject(
                        a, a.command(code, Bytes(static_cast<std::size_t>(count)), kCcwSuppressLength));
            },
            kDevices),
        dead(harmless(ccw_case(
            "VDEV_RESET with data", "4.3.2.1", "incorrect length, and the device is reset",
            [again](Attack& a) {
                wrong_length(CCW_CMD_VDEV_RESET, again(8))(a);
                a.expect(a.driver().status() == 0, "it was not reset");
            },
            kDevices))),
        ccw_case(
            "commands whose data are outside of RAM", "4.3.1.2", "program check",
            [](Attack& a) {
                for (const std::uint8_t code :
                     {CCW_CMD_SET_VQ, CCW_CMD_WRITE_STATUS, CCW_CMD_WRITE_FEAT, CCW_CMD_WRITE_CONF,
                      CCW_CMD_SET_CONF_IND, CCW_CMD_SET_IND_ADAPTER, CCW_CMD_READ_CONF, CCW_CMD_READ_FEAT,
                      CCW_CMD_READ_VQ_CONF, CCW_CMD_READ_STATUS})
                    expect_program_check(a, run(a, {{code, 0, 64, 0x4000'0000}}));
            },
            kOnlyBlk),
        ccw_case(
            "commands whose data end outside of RAM in a chain", "4.3.1.2", "program check",
            [](Attack& a) {
                for (const std::uint8_t code :
                     {CCW_CMD_SET_VQ, CCW_CMD_SET_IND_ADAPTER, CCW_CMD_SET_CONF_IND})
                    expect_program_check(
                        a, run(a, {{code, kCcwChainData, 4, kData}, {code, 0, 60, 0x4000'0000}}));
            },
            kDevices),
        ccw_case(
            "indicators outside of RAM", "4.3.2.6.1", "command reject",
            [](Attack& a) { rejected(CCW_CMD_SET_CONF_IND, indicator(a.ram_end()))(a); }, kDevices),
        ccw_case("indicators that end outside of RAM", "4.3.2.6.1", "command reject",
                 [](Attack& a) { rejected(CCW_CMD_SET_CONF_IND, indicator(a.ram_end() - 4))(a); }),
        ccw_case("indicators that wrap at 2^64", "4.3.2.6.1", "command reject",
                 rejected(CCW_CMD_SET_CONF_IND, indicator(~std::uint64_t{7}))),
        ccw_case("indicators that are not aligned", "4.3.2.6.1", "command reject",
                 rejected(CCW_CMD_SET_CONF_IND, indicator(0x8004))),
        ccw_case("indicators in the window's registers", "4.3.2.6.1", "command reject",
                 rejected(CCW_CMD_SET_CONF_IND, indicator(kWindow))),
        ccw_case("classic indicators while adapter indicators are in use", "4.3.2.6.1", "command reject",
                 rejected(CCW_CMD_SET_IND, indicator(0x8040)), kDevices),
        from(Stage::Negotiated,
             ccw_case(
                 "adapter indicators while classic ones are in use", "4.3.2.6.3", "command reject",
                 [](Attack& a) {
                     a.expect(was_done(a.command(CCW_CMD_SET_IND, indicator(0x8040))),
                              "classic ones were refused");
                     rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0x8040, 0x8050, 0, 3))(a);
                 },
                 kDevices)),
        ccw_case("an adapter summary outside of RAM", "4.3.2.6.3", "command reject",
                 [](Attack& a) {
                     rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(a.ram_end(), 0x8050, 0, 3))(a);
                 }),
        ccw_case(
            "adapter indicators of which the bits are outside of RAM", "4.3.2.6.3", "command reject",
            [](Attack& a) {
                rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0x8040, a.ram_end() - 1, 8, 3))(a);
                rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0x8040, 0x8050, 0xffff'ffff, 3))(a);
            },
            kDevices),
        ccw_case("an adapter bit number of 2^64 - 1", "4.3.2.6.3", "command reject",
                 rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0x8040, 0x8050, ~std::uint64_t{0}, 3))),
        ccw_case("adapter indicators with only one of two addresses", "4.3.2.6.3", "command reject",
                 [](Attack& a) {
                     rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0, 0x8050, 0, 3))(a);
                     rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0x8040, 0, 0, 3))(a);
                 }),
        ccw_case("interruption subclass 8", "4.3.2.6.3", "command reject",
                 rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0x8040, 0x8050, 0, 8))),
        ccw_case("a byte order in revision 2", "docs/ccw-transport.md, 8", "command reject",
                 rejected(kCommandSetByteOrder, of({2}))),
        harmless(ccw_case(
            "READ_CONF and WRITE_CONF of 4096 bytes", "4.3.2.4",
            "the length is incorrect, the rest is not touched",
            [again](Attack& a) {
                expect_incorrect_length(a, a.command(CCW_CMD_READ_CONF, again(0x800)));
                (void)a.command(CCW_CMD_WRITE_CONF, again(0x800));
            },
            kDevices)),
        from(Stage::Reset,
             ccw_case(
                 "a modern driver's queue in revision 0", "4.3.2.2", "command reject or incorrect length",
                 [](Attack& a) {
                     forget_revision(a);
                     const Response got = a.command(CCW_CMD_SET_VQ, Guest::queue(0, a.victim().ring(0)));
                     a.expect(!was_done(got), "it was taken");
                     const bool enabled = a.victim().core().queue(0)->enabled;
                     a.expect(!enabled, "the queue is enabled");
                 },
                 kDevices)),
        from(Stage::Reset, ccw_case(
                               "a legacy queue of an alignment that is not 4096", "4.3.2.2", "command reject",
                               [](Attack& a) {
                                   forget_revision(a);
                                   for (const std::uint32_t alignment : {0u, 1u, 2048u, 8192u, 0xffffffffu})
                                       rejected(CCW_CMD_SET_VQ,
                                                Guest::legacy_queue(0, 0x20000, 8, alignment))(a);
                               },
                               kDevices)),
        from(Stage::Reset, ccw_case(
                               "a legacy queue that wraps, is outside of RAM, or has a size of 0", "4.3.2.2",
                               "command reject",
                               [](Attack& a) {
                                   forget_revision(a);
                                   rejected(CCW_CMD_SET_VQ,
                                            Guest::legacy_queue(0, ~std::uint64_t{0xfff}, 8))(a);
                                   rejected(CCW_CMD_SET_VQ, Guest::legacy_queue(0, a.ram_end(), 8))(a);
                                   rejected(CCW_CMD_SET_VQ, Guest::legacy_queue(0, 0x20000, 0))(a);
                                   rejected(CCW_CMD_SET_VQ, Guest::legacy_queue(0, 0x20000, 0x8000))(a);
                               },
                               kDevices)),
        from(Stage::Reset, ccw_case(
                               "FEATURES_OK of a legacy driver with features that are not offered", "4.3.2.3",
                               "command reject",
                               [](Attack& a) {
                                   forget_revision(a);
                                   (void)a.command(CCW_CMD_WRITE_STATUS, of({ACKNOWLEDGE | DRIVER}));
                                   (void)a.command(CCW_CMD_WRITE_FEAT, Guest::features(0, ~0u));
                                   rejected(CCW_CMD_WRITE_STATUS, of({ACKNOWLEDGE | DRIVER | DRIVER_OK}))(a);
                               },
                               kDevices)),
    };
}

} // namespace

std::vector<Case> ccw_cases() {
    std::vector<Case> all = operations();
    for (std::vector<Case> more : {programs(), commands()})
        all.insert(all.end(), more.begin(), more.end());
    return all;
}

} // namespace godwit::hostile
