// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/ccw_machine.h"

namespace godwit::hostile {

using namespace ccw;
using ccw::testing::Guest;
using ccw::testing::Response;
using virtio::must;

namespace {

constexpr std::uint8_t kIsc = 3;
constexpr std::uint16_t kRevision = 2;

class CcwStationDriver final : public Driver {
  public:
    CcwStationDriver(ccw::testing::Board& board, Guest& guest, std::uint16_t number)
        : board_(board), guest_(guest), id_(subchannel_id(number)),
          indicators_(kIndicators + number * kIndicatorStride) {}

    // Clear ends whatever runs; what it leaves behind is taken. Disabling makes the revision unset.
    bool begin() override {
        guest_.open();
        (void)guest_.operate(kClearSubchannel, id_);
        (void)guest_.test(id_);
        must(guest_.memory().write(Gpa{indicators_}, Bytes(kIndicatorStride)));
        Schib schib = guest_.store(id_);
        schib.pmcw.flags = 0;
        schib.pmcw.lpm = kPath;
        return guest_.modify(schib, id_) == Outcome::Done && guest_.enable(id_, kIsc) == Outcome::Done &&
               does(CCW_CMD_SET_VIRTIO_REV, Guest::revision(kRevision)) && does(CCW_CMD_VDEV_RESET, {}) &&
               status() == 0;
    }
    std::uint8_t status() override {
        if (!does(CCW_CMD_READ_STATUS, Bytes(1)))
            return 0xff;
        return static_cast<std::uint8_t>(guest_.data(1)[0]);
    }
    bool set_status(std::uint8_t status) override { return does(CCW_CMD_WRITE_STATUS, Guest::byte(status)); }
    std::uint32_t offered_word(std::uint32_t select) override {
        (void)does(CCW_CMD_READ_FEAT, Guest::features(static_cast<std::uint8_t>(select)));
        return load_le<std::uint32_t>(guest_.data(4));
    }
    void accept_word(std::uint32_t select, std::uint32_t features) override {
        (void)does(CCW_CMD_WRITE_FEAT, Guest::features(static_cast<std::uint8_t>(select), features));
    }
    std::uint16_t largest_size(std::uint16_t queue) override {
        ByteWriter block;
        block.be(queue);
        block.be(std::uint16_t{0xffff});
        (void)does(CCW_CMD_READ_VQ_CONF, block.bytes());
        return load_be<std::uint16_t>(std::span<const std::byte>{guest_.data(4)}.subspan(2));
    }
    bool set_queue(std::uint16_t queue, std::uint16_t size, const virtio::QueueAddresses& at) override {
        ByteWriter block;
        block.be(at.desc.value);
        block.be(std::uint32_t{0});
        block.be(queue);
        block.be(size);
        block.be(at.driver.value);
        block.be(at.device.value);
        return does(CCW_CMD_SET_VQ, block.bytes());
    }
    bool set_interrupts() override {
        return does(CCW_CMD_SET_IND_ADAPTER,
                    Guest::thinint(indicators_ + kSummaryAt, indicators_ + kAreaAt, 0, kIsc)) &&
               does(CCW_CMD_SET_CONF_IND, Guest::address(indicators_ + kConfigAt));
    }
    void notify(std::uint16_t queue) override {
        const std::uint64_t value = std::uint64_t{id_} << 32 | queue;
        if (!board_.on_loop([&] { return board_.bells.ring(ccw::testing::kWindow + kRegNotify, 8, value); }))
            guest_.write(kRegNotify, value);
    }
    Bytes read_config(std::uint32_t offset, std::uint32_t length) override {
        const Bytes nothing(offset + length);
        (void)run_command(guest_, id_, CCW_CMD_READ_CONF, nothing, kCcwSuppressLength);
        const Bytes all = guest_.data(nothing.size());
        return {all.begin() + offset, all.end()};
    }
    // From the start of the space, as the command does.
    void write_config(std::uint32_t offset, const Bytes& bytes) override {
        Bytes all = read_config(0, offset);
        all.insert(all.end(), bytes.begin(), bytes.end());
        (void)run_command(guest_, id_, CCW_CMD_WRITE_CONF, all, kCcwSuppressLength);
    }
    bool take_config_interrupt() override {
        const Gpa word{indicators_ + kConfigAt};
        const bool set = must(guest_.memory().read<std::uint64_t>(word)) != 0;
        must(guest_.memory().write(word, std::uint64_t{0}));
        return set;
    }

  private:
    bool does(std::uint8_t code, std::span<const std::byte> data) {
        return was_done(run_command(guest_, id_, code, data));
    }

    ccw::testing::Board& board_;
    Guest& guest_;
    const std::uint32_t id_;
    const std::uint64_t indicators_;
};

} // namespace

Response run_command(Guest& guest, std::uint32_t id, std::uint8_t code, std::span<const std::byte> data,
                     std::uint8_t flags) {
    must(guest.memory().write(Gpa{Guest::kData}, data));
    guest.place(std::vector<Ccw1>{{code, flags, static_cast<std::uint16_t>(data.size()), Guest::kData}});
    auto outcome = guest.start(Guest::orb(), id);
    if (outcome == Outcome::Code1) {
        (void)guest.test(id);
        outcome = guest.start(Guest::orb(), id);
    }
    Response response{};
    response.outcome = outcome;
    if (outcome == Outcome::Done)
        response = guest.test(id);
    return response;
}

bool was_done(const Response& response) {
    return response.outcome == Outcome::Done && response.scsw.dstat == (kChannelEnd | kDeviceEnd) &&
           response.scsw.cstat == 0;
}

CcwMachine::CcwMachine(Kind victim, const StationOptions& options) {
    const Kind other = victim == Kind::Blk ? Kind::Net : Kind::Blk;
    victim_ = std::make_unique<Station>(victim, options, loop(), memory(), Gpa{kVictimMemory});
    bystander_ = std::make_unique<Station>(other, StationOptions{}, loop(), memory(), Gpa{kBystanderMemory});
    victim_ccw_ = plug(*victim_, 0);
    bystander_ccw_ = plug(*bystander_, 1);
}

std::unique_ptr<VirtioCcw> CcwMachine::plug(Station& station, std::uint16_t number) {
    station.use(std::make_unique<CcwStationDriver>(board_, guest_, number));
    return loop().call([&] {
        return must(VirtioCcw::create(*board_.css, station.core(), board_.bells,
                                      static_cast<std::uint16_t>(number + 1)));
    });
}

CcwMachine::~CcwMachine() {
    loop().call([&] {
        board_.css->pause();
        (void)victim_->core().pause();
        (void)bystander_->core().pause();
        victim_ccw_.reset();
        bystander_ccw_.reset();
    });
    victim_.reset();
    bystander_.reset();
}

} // namespace godwit::hostile
