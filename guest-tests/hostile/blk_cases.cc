// SPDX-License-Identifier: Apache-2.0
//
// Block requests that are wrong: virtio 1.2 section 5.2.6. None of them may change a byte of the disk.
#include "guest-tests/hostile/attack.h"
#include "guest-tests/hostile/tables.h"

namespace godwit::hostile {

using namespace virtio;

namespace {

constexpr std::uint64_t kData = 0x4000, kStatus = 0x3100, kHeader = 0x3000;
constexpr std::uint8_t kNothing = 0xee;
constexpr std::uint64_t kTop = ~std::uint64_t{0};

using Request = std::function<std::uint8_t(Attack&)>;

Case answered(std::string rule, std::string section, std::uint8_t status, Request request) {
    static constexpr std::string_view kNames[] = {"VIRTIO_BLK_S_OK", "VIRTIO_BLK_S_IOERR",
                                                  "VIRTIO_BLK_S_UNSUPP"};
    return {.rule = std::move(rule),
            .section = std::move(section),
            .targets = kOnlyBlk,
            .outcome = status == VIRTIO_BLK_S_OK ? Outcome::Harmless : Outcome::Error,
            .effect = std::string{kNames[status]},
            .act = [status, request = std::move(request)](Attack& a) {
                const Bytes before = a.victim().disk(0, kDiskSectors * kSectorSize);
                const std::uint8_t got = request(a);
                a.expect(got == status, fmt::format("status {}, expected {}", got, status));
                a.expect(a.victim().disk(0, before.size()) == before, "the disk has changed");
            }};
}

// A chain as it is; its status is expected at `status`.
std::uint8_t run(Attack& a, const Descriptors& chain, Gpa status) {
    must(a.memory().write(status, kNothing));
    (void)a.offer(chain);
    a.kick();
    (void)a.answer();
    return must(a.memory().read<std::uint8_t>(status));
}

virtq_desc header(Attack& a, std::uint32_t type, std::uint64_t sector, std::uint32_t length = 16) {
    must(a.memory().write(a.scratch(kHeader), virtio_blk_req_header{type, 0, sector}));
    return a.readable(a.scratch(kHeader), length);
}

virtq_desc status(Attack& a, std::uint32_t length = 1) {
    return a.writable(a.scratch(kStatus), length);
}

Request read(std::uint64_t sector, std::uint32_t bytes) {
    return [=](Attack& a) { return a.blk(VIRTIO_BLK_T_IN, sector, {a.writable(a.scratch(kData), bytes)}); };
}

Request write(std::uint64_t sector, std::uint32_t bytes) {
    return [=](Attack& a) { return a.blk(VIRTIO_BLK_T_OUT, sector, {a.readable(a.scratch(kData), bytes)}); };
}

// `length` bytes of a segment of DISCARD or WRITE_ZEROES.
Request range(std::uint32_t type, std::uint64_t sector, std::uint32_t count, std::uint32_t flags,
              std::uint32_t length = sizeof(virtio_blk_discard_write_zeroes)) {
    return [=](Attack& a) {
        must(a.memory().write(a.scratch(kData), virtio_blk_discard_write_zeroes{sector, count, flags}));
        must(a.memory().write(a.scratch(kData + 16), virtio_blk_discard_write_zeroes{sector, count, flags}));
        return a.blk(type, 0, {a.readable(a.scratch(kData), length)});
    };
}

Case breaks(std::string rule, std::string section, std::function<Descriptors(Attack&)> chain) {
    return {.rule = std::move(rule),
            .section = std::move(section),
            .targets = kOnlyBlk,
            .act = [chain = std::move(chain)](Attack& a) {
                (void)a.offer(chain(a));
                a.kick();
            }};
}

void add_transfers(std::vector<Case>& cases) {
    struct Direction {
        std::string_view name;
        Request (*request)(std::uint64_t, std::uint32_t);
    };
    static constexpr Direction kDirections[] = {{"read", read}, {"write", write}};
    struct Place {
        std::string_view what;
        std::uint64_t sector;
        std::uint32_t bytes;
    };
    static constexpr Place kPlaces[] = {
        {"of the first sector behind the disk", kDiskSectors, 512},
        {"that begins on the disk and ends behind it", kDiskSectors - 1, 1024},
        {"at sector 2^55, which is byte 2^64", std::uint64_t{1} << 55, 512},
        {"at sector 2^55 - 1, which ends at byte 2^64", (std::uint64_t{1} << 55) - 1, 512},
        {"at sector 2^63", std::uint64_t{1} << 63, 512},
        {"at sector 2^64 - 1", kTop, 512},
        {"of 1 byte", 0, 1},
        {"of 511 bytes", 0, 511},
        {"of 513 bytes", 0, 513},
    };
    for (const Direction& direction : kDirections)
        for (const Place& place : kPlaces)
            cases.push_back(answered(fmt::format("{} {}", direction.name, place.what), "5.2.6.1",
                                     VIRTIO_BLK_S_IOERR, direction.request(place.sector, place.bytes)));
}

void add_ranges(std::vector<Case>& cases) {
    struct Kind {
        std::string_view name;
        std::uint32_t type;
        unsigned needs;
    };
    static constexpr Kind kKinds[] = {{"discard", VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_F_DISCARD},
                                      {"write zeroes", VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_F_WRITE_ZEROES}};
    for (const auto& [name, type, needs] : kKinds) {
        const auto add = [&, &called = name](std::string_view what, std::uint8_t expected,
                                             Request request) -> Case& {
            return cases.emplace_back(
                answered(fmt::format("{} {}", called, what), "5.2.6.1", expected, std::move(request)));
        };
        add("without a segment", VIRTIO_BLK_S_IOERR, [type](Attack& a) { return a.blk(type, 0, {}); });
        add("with a segment of 15 bytes", VIRTIO_BLK_S_IOERR, range(type, 0, 8, 0, 15));
        add("with a segment of 17 bytes", VIRTIO_BLK_S_UNSUPP, range(type, 0, 8, 0, 17));
        add("with more segments than max_seg", VIRTIO_BLK_S_UNSUPP, range(type, 0, 8, 0, 32));
        add("with reserved flags", VIRTIO_BLK_S_UNSUPP, range(type, 0, 8, 0xfffffffe));
        add("behind the disk", VIRTIO_BLK_S_IOERR, range(type, kDiskSectors, 1, 0));
        add("that begins on the disk and ends behind it", VIRTIO_BLK_S_IOERR,
            range(type, kDiskSectors - 1, 2, 0));
        add("at sector 2^64 - 1", VIRTIO_BLK_S_IOERR, range(type, kTop, 2, 0));
        add("of 2^32 - 1 sectors", VIRTIO_BLK_S_IOERR, range(type, 0, 0xffffffff, 0));
        add("of no sectors", VIRTIO_BLK_S_OK, range(type, 3, 0, 0));
        add("without the feature", VIRTIO_BLK_S_UNSUPP, range(type, 0, 8, 0)).options.features_off =
            feature(needs);
        add("on a read-only disk", VIRTIO_BLK_S_IOERR, range(type, 0, 8, 0)).options.readonly = true;
    }
    cases.push_back(answered("discard with unmap", "5.2.6.1", VIRTIO_BLK_S_UNSUPP,
                             range(VIRTIO_BLK_T_DISCARD, 0, 8, kWriteZeroesUnmap)));
}

void add_types(std::vector<Case>& cases) {
    for (const std::uint32_t type :
         {2u, 3u, 5u, 7u, 9u, 10u, 12u, 14u, 0x100u, 0x7fffffffu, 0x80000000u, 0xffffffffu})
        cases.push_back(
            answered(fmt::format("request of type {:#x}, which is unknown or was not negotiated", type),
                     "5.2.6.2", VIRTIO_BLK_S_UNSUPP,
                     [type](Attack& a) { return a.blk(type, 0, {a.writable(a.scratch(kData), 512)}); }));
}

} // namespace

std::vector<Case> blk_cases() {
    std::vector<Case> cases{
        // ---- the shape of a request
        breaks("a request without a status byte, nothing writable", "5.2.6",
               [](Attack& a) { return Descriptors{header(a, VIRTIO_BLK_T_FLUSH, 0)}; }),
        breaks("a write without a status byte", "5.2.6",
               [](Attack& a) {
                   return Descriptors{header(a, VIRTIO_BLK_T_OUT, 0), a.readable(a.scratch(kData), 512)};
               }),
        breaks("a status byte that is read-only", "5.2.6",
               [](Attack& a) {
                   return Descriptors{header(a, VIRTIO_BLK_T_FLUSH, 0), a.readable(a.scratch(kStatus), 1)};
               }),
        answered("no header, only a status byte", "5.2.6", VIRTIO_BLK_S_IOERR,
                 [](Attack& a) { return run(a, {status(a)}, a.scratch(kStatus)); }),
        answered("a header of 1 byte", "5.2.6", VIRTIO_BLK_S_IOERR,
                 [](Attack& a) {
                     return run(a, {header(a, VIRTIO_BLK_T_IN, 0, 1), status(a)}, a.scratch(kStatus));
                 }),
        answered("a header of 15 bytes", "5.2.6", VIRTIO_BLK_S_IOERR,
                 [](Attack& a) {
                     return run(
                         a, {header(a, VIRTIO_BLK_T_IN, 0, 15), a.writable(a.scratch(kData), 512), status(a)},
                         a.scratch(kStatus));
                 }),
        answered("a read with a header of 17 bytes", "5.2.6", VIRTIO_BLK_S_OK,
                 [](Attack& a) {
                     return run(
                         a, {header(a, VIRTIO_BLK_T_IN, 0, 17), a.writable(a.scratch(kData), 512), status(a)},
                         a.scratch(kStatus));
                 }),
        answered("a write with a header of 17 bytes", "5.2.6", VIRTIO_BLK_S_IOERR,
                 [](Attack& a) {
                     return run(
                         a,
                         {header(a, VIRTIO_BLK_T_OUT, 0, 17), a.readable(a.scratch(kData), 512), status(a)},
                         a.scratch(kStatus));
                 }),
        answered("a header that is writable", "5.2.6", VIRTIO_BLK_S_IOERR,
                 [](Attack& a) {
                     (void)header(a, VIRTIO_BLK_T_FLUSH, 0);
                     return run(a, {a.writable(a.scratch(kHeader), 16), status(a)}, a.scratch(kStatus));
                 }),
        answered("a status byte in the header", "5.2.6", VIRTIO_BLK_S_OK,
                 [](Attack& a) {
                     Descriptors all{header(a, VIRTIO_BLK_T_FLUSH, 0), a.writable(a.scratch(kHeader), 1)};
                     (void)a.offer(all);
                     a.kick();
                     (void)a.answer();
                     return must(a.memory().read<std::uint8_t>(a.scratch(kHeader)));
                 }),
        answered("a status byte in the data", "5.2.6", VIRTIO_BLK_S_OK,
                 [](Attack& a) {
                     return run(a,
                                {header(a, VIRTIO_BLK_T_IN, 0), a.writable(a.scratch(kData), 512),
                                 a.writable(a.scratch(kData + 9), 1)},
                                a.scratch(kData + 9));
                 }),
        answered("a status of 512 bytes behind the data", "5.2.6", VIRTIO_BLK_S_IOERR,
                 [](Attack& a) {
                     return run(
                         a,
                         {header(a, VIRTIO_BLK_T_IN, 0), a.writable(a.scratch(kData), 512), status(a, 512)},
                         a.scratch(kStatus + 511));
                 }),
        answered("data in the header's memory", "5.2.6", VIRTIO_BLK_S_OK,
                 [](Attack& a) {
                     return run(a,
                                {header(a, VIRTIO_BLK_T_IN, 0), a.writable(a.scratch(kHeader - 256), 512),
                                 status(a, 1)},
                                a.scratch(kStatus));
                 }),

        // ---- data the wrong way
        answered("a read with nothing to write to", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) { return a.blk(VIRTIO_BLK_T_IN, 0, {}); }),
        answered("a read into a read-only buffer", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) { return a.blk(VIRTIO_BLK_T_IN, 0, {a.readable(a.scratch(kData), 512)}); }),
        answered("a write with nothing to read", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) { return a.blk(VIRTIO_BLK_T_OUT, 0, {}); }),
        answered("a write from a writable buffer", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) {
                     const Gpa data = a.scratch(kData);
                     Bytes before(512), after(512);
                     must(a.memory().read(data, before));
                     const auto got = a.blk(VIRTIO_BLK_T_OUT, 0, {a.writable(data, 512)});
                     must(a.memory().read(data, after));
                     a.expect(before == after, "the buffer was written");
                     return got;
                 }),
        on_readonly(answered("a write to a read-only disk", "5.2.6.2", VIRTIO_BLK_S_IOERR, write(0, 512))),
        answered("a flush with a sector", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) { return a.blk(VIRTIO_BLK_T_FLUSH, kTop, {}); }),
        answered("a flush with data", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) { return a.blk(VIRTIO_BLK_T_FLUSH, 0, {a.readable(a.scratch(kData), 512)}); }),
        without(VIRTIO_BLK_F_FLUSH, answered("a flush without the feature", "5.2.6.1", VIRTIO_BLK_S_OK,
                                             [](Attack& a) { return a.blk(VIRTIO_BLK_T_FLUSH, 0, {}); })),
        answered("an id in 4 bytes", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) { return a.blk(VIRTIO_BLK_T_GET_ID, 0, {a.writable(a.scratch(kData), 4)}); }),
        answered("an id in no bytes", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) { return a.blk(VIRTIO_BLK_T_GET_ID, 0, {}); }),
        answered("an id in 512 bytes", "5.2.6.1", VIRTIO_BLK_S_OK,
                 [](Attack& a) {
                     const Gpa behind = a.scratch(kData + kBlkIdLength);
                     Bytes before(512 - kBlkIdLength), after(before.size());
                     must(a.memory().read(behind, before));
                     const auto got = a.blk(VIRTIO_BLK_T_GET_ID, 0, {a.writable(a.scratch(kData), 512)});
                     must(a.memory().read(behind, after));
                     a.expect(before == after, "more than an id was written");
                     return got;
                 }),
        answered("a cache mode of 0xff in the configuration", "5.2.5", VIRTIO_BLK_S_OK,
                 [](Attack& a) {
                     constexpr std::uint32_t kMode = offsetof(virtio_blk_config, writeback);
                     a.driver().write_config(kMode, {std::byte{0xff}});
                     a.expect(a.driver().read_config(kMode, 1) == Bytes{std::byte{1}},
                              "it does not read as 1");
                     return a.blk(VIRTIO_BLK_T_FLUSH, 0, {});
                 }),
    };
    add_types(cases);
    add_transfers(cases);
    add_ranges(cases);
    return cases;
}

} // namespace godwit::hostile
