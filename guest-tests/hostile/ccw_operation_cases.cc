// SPDX-License-Identifier: Apache-2.0
//
// Operations on subchannels: the z/Architecture Principles of Operation (PoO), as docs/ccw-transport.md has
// it.
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

std::function<void(Attack&)> operation(std::uint32_t function, std::uint32_t id, std::uint64_t operand,
                                       ccw::Outcome expected) {
    return [=](Attack& a) {
        a.expect(a.guest().operate(function, id, operand) == expected, "another outcome of the operation");
    };
}

} // namespace

std::vector<Case> ccw_operation_cases() {
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

} // namespace godwit::hostile
