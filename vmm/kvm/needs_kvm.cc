// SPDX-License-Identifier: Apache-2.0
//
// Linked into test programs that run guests: without /dev/kvm they say why and are counted as skipped (Meson
// takes exit code 77 for that).
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "vmm/kvm/kvm.h"

#include <catch2/catch.hpp>
#include <fmt/core.h>

#include <cstdlib>

namespace {

class NeedsKvm : public Catch::TestEventListenerBase {
  public:
    using TestEventListenerBase::TestEventListenerBase;
    void testRunStarting(const Catch::TestRunInfo&) override {
        if (const auto kvm = godwit::kvm::Kvm::open(); !kvm.ok()) {
            fmt::print("skipped: {}\n", kvm.error().text);
            std::exit(77);
        }
    }
};

} // namespace

CATCH_REGISTER_LISTENER(NeedsKvm)
