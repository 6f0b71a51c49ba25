// SPDX-License-Identifier: Apache-2.0
//
// The table of QMP commands. Each names the arguments that it knows; everything else is refused before its
// handler runs. Handlers run on the loop's thread and answer from there or later.
#pragma once

#include "vmm/control/qmp_server.h"

#include <span>
#include <string_view>

namespace godwit::control {

class Instance;

enum class ArgumentType { String, Integer, Boolean, Array };

struct Argument {
    std::string_view name;
    ArgumentType type;
    bool required = false;
};

struct CommandEntry {
    std::string_view name;
    std::span<const Argument> arguments;
    void (*handle)(Instance&, const Request&, const Responder&);
    bool takes_parameters = false; // those of a migration (migration_parameters.h), too
};

std::span<const CommandEntry> command_table();

// Finds the command, checks its arguments, and calls its handler; or answers what is wrong.
void dispatch(Instance& instance, const Request& request, const Responder& responder);

} // namespace godwit::control
