// SPDX-License-Identifier: Apache-2.0
//
// godwit check: would the guest fit on a waiting receiver? Nothing moves.
#include "migration/channel/address.h"
#include "vmm/base/json.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/output.h"
#include "vmm/cli/parameter_options.h"
#include "vmm/control/client.h"

#include <memory>

namespace godwit::cli {

namespace {

struct CheckOptions {
    std::string control_path;
    std::string address;
    bool json = false;
    ParameterOptions parameters;
};

void show(const control::Json& answer) {
    const control::Json differences = answer.value("differences", control::Json::array());
    if (differences.empty())
        print("the guest fits\n");
    const auto line = [](const control::Json& one, std::string_view before, std::string_view after) {
        print("{}{}: {} [{}]{}\n", before, one.value("subject", ""), one.value("text", ""),
              one.value("code", ""), after);
    };
    for (const control::Json& one : differences)
        line(one, "", "");
    for (const control::Json& one : answer.value("warnings", control::Json::array()))
        line(one, "warning: ", one.value("accepted", false) ? ", accepted there" : "");
}

Result<bool> check(const CheckOptions& options) {
    TRY(migration::Address::parse(options.address));
    control::Client client = TRY(control::Client::connect(options.control_path));
    control::Json arguments = TRY(options.parameters.values());
    arguments["uri"] = TRY(address_for(client, options.address));
    const control::Json answer = TRY(client.execute("check", std::move(arguments)));
    if (options.json)
        print("{}\n", json_text(answer, {.indent = 2}));
    else
        show(answer);
    return answer.value("fits", false);
}

} // namespace

Command add_check(CLI::App& program) {
    auto options = std::make_shared<CheckOptions>();
    CLI::App* const app = program.add_subcommand(
        "check", "ask a waiting `godwit receive` whether the guest could move there; nothing moves");
    app->add_option("--control", options->control_path, "control socket of the machine that would move")
        ->required();
    app->add_option("address", options->address, "where it would go: tcp:HOST:PORT or unix:PATH")->required();
    app->add_flag("--json", options->json,
                  "answer as JSON: {\"fits\", \"differences\": [{\"code\", \"subject\", "
                  "\"text\"}], \"warnings\"}");
    options->parameters.add_to(*app);
    app->footer("Exit status 0: it fits. 6: it does not, and every difference is listed; docs/preflight.md "
                "says what to "
                "do about\neach code. The guest runs on, and the receiver goes on waiting.");
    return {app, [options] {
                const auto fits = check(*options);
                if (!fits.ok())
                    return report(fits.error());
                return *fits ? ExitStatus::Success : ExitStatus::Incompatible;
            }};
}

} // namespace godwit::cli
