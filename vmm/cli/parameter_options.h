// SPDX-License-Identifier: Apache-2.0
//
// The migration parameters (vmm/control/migration_parameters.h) as options of a subcommand, one each.
#pragma once

#include "vmm/control/migration_parameters.h"

#include <CLI/CLI.hpp>

#include <map>
#include <string>

namespace godwit::cli {

// As typed; values() parses those that were given. Whether they are in range the machine says.
class ParameterOptions {
  public:
    void add_to(CLI::App& app);
    Result<control::Json> values() const;

  private:
    std::map<const control::MigrationParameter*, std::string> typed_;
};

} // namespace godwit::cli
