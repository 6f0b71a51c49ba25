// SPDX-License-Identifier: Apache-2.0
//
// godwit cpu dump, godwit cpu intersect: processors as files, for --cpu.
#include "vmm/cli/commands.h"
#include "vmm/cli/output.h"
#include "vmm/cpu/model_file.h"
#include "vmm/cpu/portability.h"
#include "vmm/kvm/host_model.h"
#include "vmm/machine/cpu_choice.h"

#include <memory>

namespace godwit::cli {

namespace {

struct CpuOptions {
    std::string choice = "host";
    std::string first;
    std::string second;
};

Status dump(const std::string& choice) {
    const auto kvm = TRY(kvm::Kvm::open());
    const cpu::CpuModel host = TRY(kvm::host_cpu_model(*kvm));
    print_text(cpu::to_json(TRY(choose_cpu(choice, host))));
    return {};
}

Status intersect(const std::string& first, const std::string& second) {
    const cpu::CpuModel a = TRY(cpu::read_model(first));
    const cpu::CpuModel b = TRY(cpu::read_model(second));
    print_text(cpu::to_json(TRY(cpu::intersect(a, b))));
    return {};
}

} // namespace

Command add_cpu(CLI::App& program) {
    auto options = std::make_shared<CpuOptions>();
    CLI::App* const app = program.add_subcommand("cpu", "processors as files that `--cpu` takes");
    app->require_subcommand(1);
    CLI::App* const dumping = app->add_subcommand("dump", "print what this host can give to a guest");
    dumping
        ->add_option("--cpu", options->choice,
                     "print this choice instead: baseline, or a file that is checked")
        ->capture_default_str();
    CLI::App* const joining = app->add_subcommand("intersect", "print what two hosts can both give");
    joining->add_option("first", options->first, "a file; what only describes a processor is taken from it")
        ->required();
    joining->add_option("second", options->second, "another")->required();
    app->footer("Example:\n  host1$ godwit cpu dump > host1.json\n  host2$ godwit cpu dump > host2.json\n"
                "  host1$ godwit cpu intersect host1.json host2.json > both.json\n"
                "  host1$ godwit run --cpu both.json ...");
    return {app, [options, dumping] {
                const Status status =
                    dumping->parsed() ? dump(options->choice) : intersect(options->first, options->second);
                return status.ok() ? ExitStatus::Success : report(status.error());
            }};
}

} // namespace godwit::cli
