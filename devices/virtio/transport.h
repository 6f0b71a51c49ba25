// SPDX-License-Identifier: Apache-2.0
//
// A transport as the core sees it: how interrupts reach the driver, and the transport's part of the saved
// state. Threads: loop only.
#pragma once

#include "migration/state/reader.h"
#include "migration/state/writer.h"
#include "vmm/base/result.h"

#include <cstdint>
#include <string>

namespace godwit::virtio {

class Transport {
  public:
    virtual ~Transport() = default;

    // Prefix of the section's name: "0000:00:01.0" gives "0000:00:01.0/virtio-blk".
    virtual std::string path() const = 0;

    virtual void notify_queue(std::uint16_t queue) = 0;
    virtual void notify_config() = 0;

    // The device goes live or stops: doorbells are attached, or given back.
    virtual Status start_doorbells() = 0;
    virtual void stop_doorbells() = 0;
    // The driver reset the device through the core.
    virtual void device_reset() = 0;
    // As when the machine is reset: what only the machine can put back. The machine resets the core as well.
    virtual void reset() = 0;

    // The driver uses the legacy interface (virtio 1.2 section 7.4): it neither knows FEATURES_OK nor
    // VIRTIO_F_VERSION_1, and has a byte order of its own.
    virtual bool legacy() const { return false; }
    // Whether that can ever be, so that a loaded state may be a legacy driver's.
    virtual bool legacy_capable() const { return false; }

    // The order in which the core calls these is design section 4.
    virtual Status save_config(StateWriter& writer) = 0;
    virtual Status save_queue(StateWriter& writer, std::uint16_t queue) = 0;
    // Written as the last subsection, inside "virtio/extra_state"; false when there is none.
    virtual bool has_extra_state() const = 0;
    virtual Status save_extra_state(StateWriter& writer) = 0;

    virtual Status load_config(StateReader& reader) = 0;
    virtual Status load_queue(StateReader& reader, std::uint16_t queue) = 0;
    virtual Status load_extra_state(StateReader& reader) = 0;
    virtual Status commit_load() = 0;
    virtual void discard_load() = 0;
};

} // namespace godwit::virtio
