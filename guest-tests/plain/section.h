// SPDX-License-Identifier: Apache-2.0
//
// A section of the state stream whose struct lies ready: the machine that has it stands still.
#pragma once

#include "migration/state/section.h"

#include <functional>
#include <memory>
#include <string>

namespace godwit::plain {

template <HasSchema S>
class PlainSection final : public StructSection<S> {
  public:
    using Check = std::function<Status(const S&)>;

    PlainSection(S& state, Check check, std::uint32_t instance, std::string path)
        : state_(state), check_(std::move(check)), instance_(instance), path_(std::move(path)) {}

    SectionId id() const override {
        SectionId id = StructSection<S>::id();
        id.name = path_ + id.name;
        id.instance = instance_;
        return id;
    }

  protected:
    Result<S> capture() override { return state_; }
    Status apply(const S& state) override {
        state_ = state;
        return {};
    }
    Result<S> blank() override { return state_; }
    Status check(const S& state) override { return check_ ? check_(state) : Status{}; }

  private:
    S& state_;
    const Check check_; // against the machine
    const std::uint32_t instance_;
    const std::string path_;
};

// `state` stays where it is as long as the section.
template <HasSchema S>
std::unique_ptr<StateSection> make_section(S& state, typename PlainSection<S>::Check check = {},
                                           std::uint32_t instance = 0, std::string path = {}) {
    return std::make_unique<PlainSection<S>>(state, std::move(check), instance, std::move(path));
}

} // namespace godwit::plain
