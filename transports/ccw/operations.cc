// SPDX-License-Identifier: Apache-2.0
//
// Operation blocks: what s390x has as instructions. docs/ccw-transport.md, section 3.
#include "transports/ccw/css.h"
#include "transports/ccw/guest_form.h"

namespace godwit::ccw {

namespace {

constexpr std::size_t kOrbBytes = 12; // those that have a meaning
constexpr std::size_t kInterruptionCodeBytes = 12;
constexpr std::uint64_t kBlockAlignment = 8;
constexpr std::uint64_t kOperandAlignment = 4;
constexpr unsigned kCodeIscShift = 27;

std::size_t operand_bytes(std::uint32_t function) {
    switch (function) {
    case kModifySubchannel:
    case kStoreSubchannel:
        return kSchibBytes;
    case kStartSubchannel:
        return kOrbBytes;
    case kTestSubchannel:
        return kIrbBytes;
    default:
        return 0;
    }
}

} // namespace

void ChannelSubsystem::operation(Gpa block) {
    std::array<std::byte, kBlockBytes> bytes;
    if (block.value % kBlockAlignment != 0 || !memory_.read(block, bytes).ok())
        return guest_errors_.warning("channel subsystem: no operation block at {}", block);
    const std::span<const std::byte> all{bytes};
    Operation operation{load_be<std::uint32_t>(all), load_be<std::uint32_t>(all.subspan(4)),
                        Gpa{load_be<std::uint64_t>(all.subspan(8))}};
    const Outcome outcome = perform(operation);
    if (operation.function == kNotify)
        (void)memory_.write(Gpa{block.value + kBlockResult},
                            to_be(static_cast<std::uint64_t>(operation.result)));
    // Last: who polls it finds everything else done. The block was RAM a moment ago, and RAM does not go.
    (void)memory_.write(Gpa{block.value + kBlockOutcome}, to_be(static_cast<std::uint32_t>(outcome)));
}

Outcome ChannelSubsystem::perform(Operation& operation) {
    switch (operation.function) {
    case kTestPendingInterruption:
        return test_pending_interruption(operation.operand);
    case kClearSubchannel:
    case kHaltSubchannel:
    case kModifySubchannel:
    case kStartSubchannel:
    case kStoreSubchannel:
    case kTestSubchannel:
    case kResumeSubchannel:
    case kNotify:
        break;
    default:
        return Outcome::OperationException;
    }
    if ((operation.id & kSchidInvalid) != 0 || (operation.id & kSchidOne) == 0)
        return Outcome::OperandException;
    if (operation.function == kNotify) {
        const bool rung = ring(operation.id, operation.operand.value);
        operation.result = rung ? doorbell_cookie(static_cast<std::uint16_t>(operation.id),
                                                  static_cast<std::uint16_t>(operation.operand.value))
                                : kNotifyInvalid;
        return Outcome::Done;
    }
    if (const std::size_t bytes = operand_bytes(operation.function); bytes != 0) {
        if (operation.operand.value % kOperandAlignment != 0)
            return Outcome::SpecificationException;
        if (!memory_.locate(operation.operand, bytes).ok())
            return Outcome::AddressingException;
    }
    Subchannel* const subchannel = find(operation.id);
    return subchannel == nullptr ? Outcome::NotOperational : perform_on(*subchannel, operation);
}

// Precondition: the operand lies in RAM.
Outcome ChannelSubsystem::perform_on(Subchannel& subchannel, const Operation& operation) {
    switch (operation.function) {
    case kClearSubchannel:
        return subchannel.clear();
    case kHaltSubchannel:
        return subchannel.halt();
    case kResumeSubchannel:
        return subchannel.resume();
    case kStartSubchannel: {
        std::array<std::byte, kOrbBytes> orb;
        (void)memory_.read(operation.operand, orb);
        return subchannel.start(from_guest<Orb>(orb));
    }
    case kModifySubchannel: {
        std::array<std::byte, kSchibBytes> schib;
        (void)memory_.read(operation.operand, schib);
        return subchannel.modify(from_guest<Schib>(schib));
    }
    case kStoreSubchannel: {
        Schib schib;
        const Outcome outcome = subchannel.store(schib);
        (void)memory_.write(operation.operand, to_guest(schib));
        return outcome;
    }
    default: {
        std::vector<std::byte> irb;
        const Outcome outcome = subchannel.test(irb);
        if (!irb.empty())
            (void)memory_.write(operation.operand, irb);
        return outcome;
    }
    }
}

Outcome ChannelSubsystem::test_pending_interruption(Gpa code) {
    if (code.value % kOperandAlignment != 0)
        return Outcome::SpecificationException;
    if (code.value != 0 && !memory_.locate(code, kInterruptionCodeBytes).ok())
        return Outcome::AddressingException;
    Subchannel* first = nullptr;
    for (Subchannel* const subchannel : subchannels_) {
        if (!subchannel->interruption_pending() || !open(subchannel->isc()))
            continue;
        if (first == nullptr || subchannel->isc() < first->isc() ||
            (subchannel->isc() == first->isc() && subchannel->number() < first->number()))
            first = subchannel;
    }
    if (first == nullptr)
        return Outcome::Done;
    first->set_interruption_pending(false);
    if (code.value != 0) {
        ByteWriter out;
        out.be(subchannel_id(first->number()));
        out.be(first->interruption_parameter());
        out.be(std::uint32_t{first->isc()} << kCodeIscShift);
        (void)memory_.write(code, out.bytes());
    }
    return Outcome::Code1;
}

} // namespace godwit::ccw
