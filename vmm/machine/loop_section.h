// SPDX-License-Identifier: Apache-2.0
//
// Carries a section's calls to the loop, for state that belongs to it: the migration works on a thread of its
// own.
#pragma once

#include "migration/state/section.h"
#include "vmm/loop/loop.h"

namespace godwit {

class LoopSection final : public StateSection {
  public:
    LoopSection(Loop& loop, StateSection& inner) : loop_(loop), inner_(inner) {}

    SectionId id() const override { return inner_.id(); }
    bool needed() const override {
        return loop_.call([&] { return inner_.needed(); });
    }
    Status save(StateWriter& writer) override {
        return loop_.call([&] { return inner_.save(writer); });
    }
    Status load(StateReader& reader, std::uint32_t version) override {
        return loop_.call([&] { return inner_.load(reader, version); });
    }
    Status commit_load() override {
        return loop_.call([&] { return inner_.commit_load(); });
    }
    void discard_load() override {
        loop_.call([&] { inner_.discard_load(); });
    }

  private:
    Loop& loop_;
    StateSection& inner_;
};

} // namespace godwit
