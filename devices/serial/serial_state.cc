// SPDX-License-Identifier: Apache-2.0
//
// Capturing and applying what migrates of the UART.
#include "devices/serial/serial.h"

namespace godwit {

using namespace uart;

SerialState Serial::capture() const {
    const std::lock_guard lock{mutex_};
    SerialState state = regs_;
    const bool identified = (regs_.iir & iir::kIdMask) == iir::kTransmitterEmpty;
    if ((regs_.ier & ier::kEtbei) != 0 && thre_interrupt_ != identified)
        state.thr_pending = SerialThrPending{thre_interrupt_ ? 1 : 0};
    if ((regs_.lsr & lsr::kTemt) == 0)
        state.transmitting = SerialTsr{1, thr_, tsr_};
    if (!receive_fifo_.empty())
        state.receive_fifo = SerialReceiveFifo{receive_fifo_};
    if (!transmit_fifo_.empty())
        state.transmit_fifo = SerialTransmitFifo{transmit_fifo_};
    if (timeout_pending())
        state.timeout_pending = SerialTimeoutPending{1};
    return state;
}

void Serial::apply(const SerialState& state) {
    const std::lock_guard lock{mutex_};
    paused_ = true;
    regs_ = state;
    regs_.thr_pending.reset();
    regs_.transmitting.reset();
    regs_.receive_fifo.reset();
    regs_.transmit_fifo.reset();
    regs_.timeout_timer.reset();
    regs_.timeout_pending.reset();
    regs_.poll.reset();
    regs_.ier &= ier::kMask;
    regs_.mcr &= mcr::kMask;
    regs_.fcr &= fcr::kMask;
    receive_fifo_ = state.receive_fifo.value_or(SerialReceiveFifo{}).recv_fifo;
    transmit_fifo_ = state.transmit_fifo.value_or(SerialTransmitFifo{}).xmit_fifo;
    if (!fifo_enabled()) {
        receive_fifo_.clear();
        transmit_fifo_.clear();
    }
    const bool shifting = state.transmitting.has_value() && state.transmitting->tsr_retry != 0;
    thr_ = shifting ? state.transmitting->thr : 0;
    tsr_ = shifting ? state.transmitting->tsr : 0;
    // The status bits follow from what there is, whatever the stream said.
    const auto derive = [this](std::uint8_t bit, bool set) {
        regs_.lsr = static_cast<std::uint8_t>(set ? regs_.lsr | bit : regs_.lsr & ~bit);
    };
    if (fifo_enabled()) {
        derive(lsr::kDataReady, !receive_fifo_.empty());
        derive(lsr::kThre, transmit_fifo_.empty());
    } else if (!shifting) {
        derive(lsr::kThre, true);
    }
    thre_interrupt_ = state.thr_pending.has_value() ? state.thr_pending->thr_ipending != 0
                                                    : (state.iir & iir::kIdMask) == iir::kTransmitterEmpty;
    load_shift_register_locked();
    const std::uint8_t source = interrupt_source();
    regs_.iir = static_cast<std::uint8_t>(source | (fifo_enabled() ? iir::kFifosEnabled : 0));
}

} // namespace godwit
