// SPDX-License-Identifier: Apache-2.0
//
// The configuration space of virtio functions and of the bridge, as QEMU 7.2 shows it for
// `-M microvm,acpi=on,pcie=on -device virtio-{blk,net}-pci,disable-legacy=on`: the initial bytes, and the
// bytes after ones were written everywhere. A difference here is a guest that cannot move between the two.
#include "transports/pci/test_support.h"

#include <catch2/catch.hpp>

namespace godwit::pci::virtio_pci_golden_test {
namespace {

using testing::Board;
using testing::EchoDevice;
using testing::Plugged;

struct Word {
    std::uint32_t offset;
    std::uint32_t initial;
    std::uint32_t after_ones;
};
// All other words up to 0xa3 are zero and stay so. From 0xa4 QEMU has memory without meaning; we have zeros.
constexpr Word kBlock[] = {
    {0x00, 0x10421af4, 0x10421af4}, {0x04, 0x00100000, 0x00100507}, {0x08, 0x01000001, 0x01000001},
    {0x0c, 0x00000000, 0x000000ff}, {0x14, 0x00000000, 0xfffff000}, {0x20, 0x0000000c, 0xffffc00c},
    {0x24, 0x00000000, 0xffffffff}, {0x2c, 0x11001af4, 0x11001af4}, {0x34, 0x00000098, 0x00000098},
    {0x3c, 0x00000100, 0x000001ff}, {0x40, 0x01100009, 0x01100009}, {0x44, 0x00000004, 0x00000004},
    {0x4c, 0x00001000, 0x00001000}, {0x50, 0x03104009, 0x03104009}, {0x54, 0x00000004, 0x00000004},
    {0x58, 0x00001000, 0x00001000}, {0x5c, 0x00001000, 0x00001000}, {0x60, 0x04105009, 0x04105009},
    {0x64, 0x00000004, 0x00000004}, {0x68, 0x00002000, 0x00002000}, {0x6c, 0x00001000, 0x00001000},
    {0x70, 0x02146009, 0x02146009}, {0x74, 0x00000004, 0x00000004}, {0x78, 0x00003000, 0x00003000},
    {0x7c, 0x00001000, 0x00001000}, {0x80, 0x00000004, 0x00000004}, {0x84, 0x05147009, 0x05147009},
    {0x88, 0x00000000, 0x000000ff}, {0x8c, 0x00000000, 0xffffffff}, {0x90, 0x00000000, 0xffffffff},
    {0x94, 0x00000000, 0xffffffff}, {0x98, 0x00018411, 0xc0018411}, {0x9c, 0x00000001, 0x00000001},
    {0xa0, 0x00000801, 0x00000801},
};
constexpr Word kBridge[] = {
    {0x00, 0x00081b36, 0x00081b36}, {0x04, 0x00000000, 0x00000507}, {0x08, 0x06000000, 0x06000000},
    {0x0c, 0x00000000, 0x000000ff}, {0x2c, 0x11001af4, 0x11001af4}, {0x3c, 0x00000000, 0x000000ff},
};

void compare(Board& board, std::uint32_t slot, std::vector<Word> expected, std::uint32_t end) {
    for (std::uint32_t offset = 0; offset < end; offset += 4) {
        const auto at = std::find_if(expected.begin(), expected.end(),
                                     [&](const Word& word) { return word.offset == offset; });
        const Word word = at == expected.end() ? Word{offset, 0, 0} : *at;
        INFO(fmt::format("slot {}, offset {:#x}", slot, offset));
        CHECK(board.config<std::uint32_t>(slot, offset) == word.initial);
    }
    for (const Word& word : expected) {
        INFO(fmt::format("slot {}, offset {:#x}, ones written", slot, word.offset));
        board.set_config(slot, word.offset, ~std::uint32_t{0});
        CHECK(board.config<std::uint32_t>(slot, word.offset) == word.after_ones);
        board.set_config(slot, word.offset, std::uint32_t{0});
        board.set_config(slot, word.offset, word.initial);
    }
}

} // namespace

TEST_CASE("configuration space is QEMU's", "[pci]") {
    Board board;
    const std::vector<Word> block{std::begin(kBlock), std::end(kBlock)};
    auto with = [&](std::uint32_t id, std::uint32_t class_revision, std::uint32_t msix) {
        auto words = block;
        words[0] = {0x00, id, id};
        words[2] = {0x08, class_revision, class_revision};
        for (Word& word : words)
            if (word.offset == kMsixCap)
                word = {kMsixCap, msix, msix | 0xc0000000};
        return words;
    };
    Plugged block_one{board, std::nullopt,
                      std::make_unique<EchoDevice>(virtio::kDeviceBlock, std::vector<std::uint16_t>{256})};
    Plugged network{
        board, std::nullopt,
        std::make_unique<EchoDevice>(virtio::kDeviceNet, std::vector<std::uint16_t>{256, 256, 64}, 0x020000)};
    Plugged block_four{
        board, std::nullopt,
        std::make_unique<EchoDevice>(virtio::kDeviceBlock, std::vector<std::uint16_t>(4, 256))};
    compare(board, 0, {std::begin(kBridge), std::end(kBridge)}, 0x40);
    compare(board, 1, block, ConfigSpace::kSize);
    compare(board, 2, with(0x10411af4, 0x02000001, 0x00038411), ConfigSpace::kSize);
    compare(board, 3, with(0x10421af4, 0x01000001, 0x00048411), ConfigSpace::kSize);
}

} // namespace godwit::pci::virtio_pci_golden_test
