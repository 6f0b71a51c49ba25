// SPDX-License-Identifier: Apache-2.0
//
// What the machine hands to the migration: an ordered list of sections, each a record of the state stream.
// Loading is parse, validate, then commit: nothing of the running machine changes before every section has
// been validated.
#pragma once

#include "migration/state/reader.h"
#include "migration/state/writer.h"

#include <cstdint>
#include <string>

namespace godwit {

struct SectionId {
    std::string name;           // QEMU's idstr: "ioapic", "0000:00:01.0/virtio-blk"
    std::uint32_t instance = 0; // vCPU index for "cpu", 0 for nearly all others
    std::uint32_t version = 1;
    std::uint32_t minimum_version = 1;
    std::string record; // QEMU's vmsd name, without the device path: "virtio-blk"
};

class StateSection {
  public:
    virtual ~StateSection() = default;
    virtual SectionId id() const = 0;
    // False leaves the section out of the stream.
    virtual bool needed() const { return true; }
    // The machine is paused. Writes the body.
    virtual Status save(StateWriter& writer) = 0;
    // Reads and validates into scratch. Guest RAM is already loaded.
    virtual Status load(StateReader& reader, std::uint32_t version) = 0;
    // After every section was loaded: makes the scratch live. The machine is paused.
    virtual Status commit_load() = 0;
    // Forgets the scratch of a load that will not be committed.
    virtual void discard_load() = 0;
};

// A section whose body is one struct with a schema. Capture and apply are the owner's.
template <HasSchema S>
class StructSection : public StateSection {
  public:
    SectionId id() const override {
        return {std::string{Schema<S>::name}, 0, Schema<S>::version, Schema<S>::minimum_version,
                std::string{Schema<S>::name}};
    }
    Status save(StateWriter& writer) override {
        writer.fields(TRY(capture()));
        return {};
    }
    Status load(StateReader& reader, std::uint32_t version) override {
        S state = TRY(blank());
        TRY(reader.fields(state, version));
        TRY(check(state));
        scratch_ = std::move(state);
        return {};
    }
    Status commit_load() override {
        if (!scratch_.has_value())
            return {};
        const S state = std::move(*scratch_);
        scratch_.reset();
        return apply(state);
    }
    void discard_load() override { scratch_.reset(); }

  protected:
    virtual Result<S> capture() = 0;
    virtual Status apply(const S& state) = 0;
    // What loading starts from; EqualField members must hold the local values.
    virtual Result<S> blank() { return S{}; }
    // Checks against this machine, beyond Schema<S>::validate.
    virtual Status check(const S&) { return {}; }

  private:
    std::optional<S> scratch_;
};

} // namespace godwit
