// SPDX-License-Identifier: Apache-2.0
//
// A subsection of the core's record that a later release adds: how state that no release had before gets into
// the stream. It is written behind all subsections of this release, and read in its own place among them,
// before the core looks at features. Transport and device may have a part in it: save and load call them,
// through whatever methods the release gives them for that. Plain data, loop thread.
//
// Rules (docs/state-stream.md, "Version policy"): `needed` is false while the state is what a release without
// the subsection would assume, so that the guest can still go there; where the subsection is missing,
// `absent` puts that same assumption into the scratch. load() keeps what it reads in scratch of its owner
// until commit.
#pragma once

#include "migration/state/reader.h"
#include "migration/state/writer.h"

#include <functional>
#include <string>

namespace godwit::virtio {

struct CoreSubsection {
    std::string name; // "virtio/...", another one than any release used
    std::uint32_t version = 1;
    std::function<bool()> needed;
    std::function<Status(StateWriter&)> save; // the fields; header and end are the core's
    std::function<Status(StateReader&, std::uint32_t version)> load;
    std::function<void()> absent; // called when a loaded record has none
};

} // namespace godwit::virtio
