// SPDX-License-Identifier: Apache-2.0
//
// Commands of virtio over channel I/O: virtio 1.2 section 4.3.
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

std::function<void(Attack&)> rejected(std::uint8_t code, Bytes data) {
    return [=](Attack& a) { expect_reject(a, a.command(code, data)); };
}

std::function<void(Attack&)> wrong_length(std::uint8_t code, Bytes data) {
    return [=](Attack& a) { expect_incorrect_length(a, a.command(code, data)); };
}

Bytes indicator(std::uint64_t at) {
    return Guest::address(at);
}

} // namespace

std::vector<Case> ccw_command_cases() {
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

} // namespace godwit::hostile
