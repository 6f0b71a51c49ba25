// SPDX-License-Identifier: Apache-2.0
//
// The steps of saving and loading, recorded as they happen: "0000:00:01.0/virtio-blk: transport.save_config".
// Tests compare it with the documented order; the inspector and the timeline show it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace godwit {

class OrderTrace {
  public:
    // Steps that follow belong to this section.
    void enter(std::string_view section) { section_ = section; }
    void step(std::string_view name) { steps_.push_back(section_ + ": " + std::string{name}); }
    const std::vector<std::string>& steps() const { return steps_; }

  private:
    std::string section_;
    std::vector<std::string> steps_;
};

} // namespace godwit
