// SPDX-License-Identifier: Apache-2.0
#pragma once
// Interrupts as CPL3 sees them: CPL0 only counts, the loop of the first CPU looks at the counters.
// A level-triggered INTx line stays masked until its devices were asked here.
#include "base/types.h"

namespace guest::interrupts {

enum class Mode { Msix, Intx, Poll };

// Hears of interrupts.
class Client {
  public:
    virtual void interrupted() = 0; // INTx: must make the device release the line

  protected:
    constexpr Client() = default;
    ~Client() = default;
};

void init();                                      // power button
void share_line(u32 slot, u32 pin, Client& who);  // PCI slot; pin 1 is INTA
void take_edges(u32 gsi, u8 vector, Client& who); // of one edge-triggered pin
void service();                                   // before each look for work

bool power_button(); // pressed since the start

} // namespace guest::interrupts
