// SPDX-License-Identifier: Apache-2.0
//
// The options that describe a machine and what it boots, the same for `run`, `receive` and `restore`.
#pragma once

#include "vmm/machine/config/machine_config.h"
#include "vmm/sandbox/sandbox.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace godwit::cli {

// As typed; config() parses and checks them.
class MachineOptions {
  public:
    void add_to(CLI::App& app);
    Result<MachineConfig> config() const;

    // What the process gives up once everything is open.
    Result<sandbox::Options> sandbox() const;

    std::string control_path;

  private:
    std::string name_ = "godwit";
    std::string memory_ = "256M";
    std::string cpus_ = "1";
    std::string cpu_ = "host";
    std::string clock_ = "host";
    std::string serial_ = "stdio";
    bool emulation_assist_ = false;
    std::string sandbox_ = "on";
    std::string user_;
    std::string root_;
    std::vector<std::string> sandbox_paths_;
    std::vector<std::string> disks_;
    std::vector<std::string> nets_;
    std::vector<std::string> rngs_;
};

// What the guest is booted with.
class BootOptions {
  public:
    enum class For {
        Start, // the kernel must be given
        Later, // a guest comes, and brings what it is booted with
    };
    void add_to(CLI::App& app, For use);
    void apply(MachineConfig& config) const;

  private:
    std::string kernel_;
    std::string initrd_;
    std::string command_line_;
};

} // namespace godwit::cli
