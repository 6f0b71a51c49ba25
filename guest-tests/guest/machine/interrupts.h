// SPDX-License-Identifier: Apache-2.0
#pragma once
// Interrupts as CPL3 sees them: CPL0 only counts, the loop of the first CPU looks at the counters.
// A level-triggered INTx line stays masked until its devices were asked here.
#include "base/types.h"

namespace guest::interrupts {

enum class Mode { Msix, Intx, Poll };

// A device on an INTx line.
class IntxClient {
  public:
    virtual void acknowledge() = 0; // must make the device release the line

  protected:
    constexpr IntxClient() = default;
    ~IntxClient() = default;
};

void init();                                         // power button
void share_line(u32 slot, u32 pin, IntxClient& who); // PCI slot; pin 1 is INTA
void service();                                      // before each look for work

bool power_button(); // pressed since the start

} // namespace guest::interrupts
