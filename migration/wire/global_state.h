// SPDX-License-Identifier: Apache-2.0
//
// The `globalstate` section: what the guest did before it was paused for the move. Reference:
// migration/global_state.c of QEMU 7.2, qapi/run-state.json for the names.
#pragma once

#include "migration/run_state.h"
#include "migration/state/section.h"
#include "migration/wire/format.h"

#include <array>

namespace godwit::migration::wire {

struct GlobalState {
    std::uint32_t size = 0; // of the name with its NUL; QEMU's reader ignores it
    std::array<std::byte, 100> runstate{};
};

} // namespace godwit::migration::wire

namespace godwit {

template <>
struct Schema<migration::wire::GlobalState> {
    using S = migration::wire::GlobalState;
    static constexpr std::string_view name = migration::wire::kGlobalStateName;
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"size", &S::size}, Field{"runstate", &S::runstate}};
    static Status validate(const S& state);
};
static_assert(schema_is_complete<migration::wire::GlobalState>());

} // namespace godwit

namespace godwit::migration::wire {

GlobalState global_state_of(RunState state);
// Only "running" lets the guest run; QEMU's other names mean that it does not, of which "io-error" is kept.
// An unknown name is an error.
Result<RunState> run_state_of(const GlobalState& state);

// Written last and read like any other section.
class GlobalStateSection : public StructSection<GlobalState> {
  public:
    // The value that save() writes.
    explicit GlobalStateSection(RunState state = RunState::Paused) : state_(state) {}
    // After commit_load(): the value that was read.
    RunState state() const { return state_; }

  protected:
    Result<GlobalState> capture() override { return global_state_of(state_); }
    Status apply(const GlobalState& state) override {
        state_ = TRY(run_state_of(state));
        return {};
    }

  private:
    RunState state_;
};

} // namespace godwit::migration::wire
