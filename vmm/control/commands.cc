// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/commands.h"

#include "migration/channel/address.h"
#include "vmm/base/json.h"
#include "vmm/control/instance.h"
#include "vmm/control/migration_capabilities.h"
#include "vmm/control/migration_parameters.h"

#include <algorithm>

namespace godwit::control {

namespace {
constexpr Argument kMigrateArguments[]{
    {"uri", ArgumentType::String, true},
    {"timeline", ArgumentType::Boolean}, // MIGRATION_TIMELINE events are wanted
    {"quit", ArgumentType::Boolean},     // the process ends when the guest has moved
    // QEMU's: it never waits, as here; and three that clients switch off explicitly.
    {"detach", ArgumentType::Boolean},
    {"blk", ArgumentType::Boolean},
    {"inc", ArgumentType::Boolean},
    {"resume", ArgumentType::Boolean},
};
constexpr std::string_view kNotHere[]{"blk", "inc", "resume"};
} // namespace

// A friend of Instance: the handlers, by command.
struct Commands {
    // Answers with the outcome of something that the conductor does.
    template <class F>
    static void on_conductor(Instance& instance, const Responder& responder, F&& work) {
        instance.tasks_.push([&instance, responder, work = std::forward<F>(work)]() mutable {
            const Status status = work(instance);
            if (status.ok())
                responder.success();
            else
                responder.failure(status.error());
        });
    }

    // The same for what a migration that is under way forbids. Whoever has seen the end of one may ask at
    // once: then its end is dealt with first.
    template <class F>
    static void after_migration(Instance& instance, F&& work) {
        instance.tasks_.push([&instance, work = std::forward<F>(work)]() mutable {
            if (instance.outgoing_->over())
                return after_migration(instance, std::move(work));
            work();
        });
    }

    static void stop(Instance& instance, const Request&, const Responder& responder) {
        on_conductor(instance, responder, [](Instance& i) { return i.stop(); });
    }
    static void cont(Instance& instance, const Request&, const Responder& responder) {
        on_conductor(instance, responder, [](Instance& i) { return i.cont(); });
    }
    static void quit(Instance& instance, const Request&, const Responder& responder) {
        responder.success();
        instance.quit(Instance::Cause::Client);
    }
    static void system_powerdown(Instance& instance, const Request&, const Responder& responder) {
        instance.guest_->press_power_button();
        instance.broadcast("POWERDOWN");
        responder.success();
    }
    static void system_reset(Instance& instance, const Request&, const Responder& responder) {
        on_conductor(instance, responder, [](Instance& i) -> Status {
            if (i.guest_->held(Guest::Hold::NotStarted))
                return invalid_input("the guest has not arrived yet");
            return i.restart(Instance::Cause::Client);
        });
    }
    static void query_status(Instance& instance, const Request&, const Responder& responder) {
        const std::string_view status = instance.status_name();
        responder.success({{"status", status}, {"running", status == "running"}, {"singlestep", false}});
    }
    static void query_name(Instance& instance, const Request&, const Responder& responder) {
        responder.success({{"name", instance.options_.machine.name}});
    }
    // In QEMU's words: "pty:/dev/pts/7".
    static void query_chardev(Instance& instance, const Request&, const Responder& responder) {
        std::string file = instance.guest_->console();
        if (const std::size_t blank = file.find(' '); blank != std::string::npos)
            file[blank] = ':';
        responder.success(Json::array({{{"label", "serial0"}, {"filename", file}, {"frontend-open", true}}}));
    }
    static void query_version(Instance&, const Request&, const Responder& responder) {
        responder.success(
            {{"qemu", {{"major", 7}, {"minor", 2}, {"micro", 0}}}, {"package", "godwit " GODWIT_VERSION}});
    }
    static void query_commands(Instance&, const Request&, const Responder& responder) {
        Json names = Json::array();
        names.push_back({{"name", "qmp_capabilities"}});
        for (const CommandEntry& command : command_table())
            names.push_back({{"name", command.name}});
        responder.success(std::move(names));
    }
    static void migrate(Instance& instance, const Request& request, const Responder& responder) {
        const auto address = address_of(request);
        if (!address.ok())
            return responder.failure(address.error());
        const auto parameters = parameters_of(instance, request.arguments);
        if (!parameters.ok())
            return responder.failure(parameters.error());
        const Instance::MoveOptions options{request.arguments.value("timeline", false),
                                            request.arguments.value("quit", false)};
        after_migration(instance, [&instance, responder, address = *address, parameters = *parameters,
                                   options] {
            if (const Status started = instance.start_migration(address, parameters, options); !started.ok())
                return responder.failure(started.error());
            responder.success();
        });
    }
    // A descriptor by its number would be one of this process's own.
    static Result<migration::Address> address_of(const Request& request) {
        migration::Address address =
            TRY(migration::Address::parse(request.arguments.at("uri").get<std::string>()));
        if (address.kind != migration::Address::Kind::Fd)
            return address;
        if (address.name.empty())
            return invalid_input("address '{}': a socket is handed over by `getfd` and named here",
                                 address.text());
        address.handed = std::make_shared<Fd>(TRY(request.descriptors->take(address.name)));
        return address;
    }
    static void getfd(Instance&, const Request& request, const Responder& responder) {
        answer(responder, request.descriptors->name(request.arguments.at("fdname").get<std::string>()));
    }
    static void closefd(Instance&, const Request& request, const Responder& responder) {
        answer(responder, request.descriptors->close(request.arguments.at("fdname").get<std::string>()));
    }
    static void answer(const Responder& responder, const Status& status) {
        if (!status.ok())
            return responder.failure(status.error());
        responder.success();
    }
    // Parameters that come with a command are those of this migration alone.
    static Result<migration::Parameters> parameters_of(Instance& instance, const Json& arguments) {
        for (const std::string_view name : kNotHere)
            if (arguments.value(std::string{name}, false))
                return invalid_input("migrate: '{}' is not available here", name);
        Json values = arguments;
        for (const Argument& own : kMigrateArguments)
            values.erase(std::string{own.name});
        migration::Parameters parameters = instance.outgoing_->next_parameters();
        TRY(set_parameters(parameters, values, false));
        return parameters;
    }
    static void check(Instance& instance, const Request& request, const Responder& responder) {
        const auto address = address_of(request);
        if (!address.ok())
            return responder.failure(address.error());
        const auto parameters = parameters_of(instance, request.arguments);
        if (!parameters.ok())
            return responder.failure(parameters.error());
        instance.tasks_.push([&instance, responder, address = *address, parameters = *parameters] {
            const auto answered = [responder](const Checker::Answer& answer) {
                if (!answer.ok())
                    return responder.failure(answer.error());
                Json refusing = Json::array(), others = Json::array();
                for (const migration::Difference& one : *answer) {
                    Json entry{{"code", one.code}, {"subject", one.subject}, {"text", one.text}};
                    if (one.weight == migration::Weight::Refuses) {
                        refusing.push_back(std::move(entry));
                        continue;
                    }
                    entry["accepted"] = one.weight == migration::Weight::Accepted;
                    others.push_back(std::move(entry));
                }
                responder.success({{"fits", refusing.empty()},
                                   {"differences", std::move(refusing)},
                                   {"warnings", std::move(others)}});
            };
            if (const Status started = instance.start_check(address, parameters, answered); !started.ok())
                responder.failure(started.error());
        });
    }
    static void migrate_cancel(Instance& instance, const Request&, const Responder& responder) {
        const Status status = instance.outgoing_->cancel();
        if (!status.ok())
            return responder.failure(status.error());
        responder.success();
    }
    static void migrate_continue(Instance& instance, const Request& request, const Responder& responder) {
        if (request.arguments.at("state") != "pre-switchover")
            return responder.failure(invalid_input("migrate-continue: the state can be pre-switchover"));
        const Status status = instance.outgoing_->continue_migration();
        if (!status.ok())
            return responder.failure(status.error());
        responder.success();
    }
    static void migrate_set_capabilities(Instance& instance, const Request& request,
                                         const Responder& responder) {
        change_parameters(
            instance, responder, [&](migration::Parameters& parameters, bool running) -> Status {
                const Json values = TRY(parameters_for(request.arguments.at("capabilities"), parameters));
                return set_parameters(parameters, values, running);
            });
    }
    static void query_migrate_capabilities(Instance& instance, const Request&, const Responder& responder) {
        responder.success(capabilities_of(instance.outgoing_->parameters()));
    }
    static void migrate_resolve(Instance& instance, const Request& request, const Responder& responder) {
        using Word = migration::Doubt::Word;
        const auto action = request.arguments.value("action", "ask");
        const Word word = action == "resume" ? Word::Resume : action == "discard" ? Word::Discard : Word::Ask;
        if (word == Word::Ask && action != "ask")
            return responder.failure(
                invalid_input("migrate-resolve: action '{}' is not ask, resume or discard", action));
        instance.tasks_.push([&instance, responder, word] {
            auto outcome = instance.outgoing_->doubt().say(word);
            if (!outcome.ok())
                return responder.failure(outcome.error());
            responder.success({{"outcome", *outcome}});
        });
    }
    static void query_migrate(Instance& instance, const Request&, const Responder& responder) {
        responder.success(instance.migration_status());
    }
    static void migrate_set_parameters(Instance& instance, const Request& request,
                                       const Responder& responder) {
        change_parameters(instance, responder, [&](migration::Parameters& parameters, bool running) {
            return set_parameters(parameters, request.arguments, running);
        });
    }
    template <class Change>
    static void change_parameters(Instance& instance, const Responder& responder, Change&& change) {
        if (const Status status = instance.outgoing_->change_parameters(change); !status.ok())
            return responder.failure(status.error());
        responder.success();
    }
    static void query_migrate_parameters(Instance& instance, const Request&, const Responder& responder) {
        responder.success(to_json(instance.outgoing_->parameters()));
    }
    static void save(Instance& instance, const Request& request, const Responder& responder) {
        constexpr std::string_view kGiven = "fd:";
        const bool quit = request.arguments.value("quit", false);
        const std::string path = request.arguments.at("path");
        std::shared_ptr<Fd> given;
        if (path.starts_with(kGiven)) {
            auto taken = request.descriptors->take(path.substr(kGiven.size()));
            if (!taken.ok())
                return responder.failure(taken.error());
            given = std::make_shared<Fd>(std::move(taken).value());
        }
        after_migration(instance, [&instance, responder, quit, path, given] {
            const Status status = instance.save(path, given, quit ? AfterSave::Stay : AfterSave::GoOn);
            if (!status.ok())
                return responder.failure(status.error());
            responder.success();
            if (quit)
                instance.quit(Instance::Cause::Client);
        });
    }
};

namespace {

constexpr Argument kFdArguments[]{{"fdname", ArgumentType::String, true}};
constexpr Argument kContinueArguments[]{{"state", ArgumentType::String, true}};
constexpr Argument kCapabilityArguments[]{{"capabilities", ArgumentType::Array, true}};
constexpr Argument kResolveArguments[]{{"action", ArgumentType::String}};
constexpr Argument kSaveArguments[]{{"path", ArgumentType::String, true}, {"quit", ArgumentType::Boolean}};

constexpr CommandEntry kCommands[]{
    {"stop", {}, Commands::stop},
    {"cont", {}, Commands::cont},
    {"quit", {}, Commands::quit},
    {"system_powerdown", {}, Commands::system_powerdown},
    {"system_reset", {}, Commands::system_reset},
    {"query-status", {}, Commands::query_status},
    {"query-name", {}, Commands::query_name},
    {"query-version", {}, Commands::query_version},
    {"getfd", kFdArguments, Commands::getfd},
    {"closefd", kFdArguments, Commands::closefd},
    {"query-chardev", {}, Commands::query_chardev},
    {"query-commands", {}, Commands::query_commands},
    {"migrate", kMigrateArguments, Commands::migrate, true},
    // Ours: whether the guest could move there, without touching it.
    {"check", kMigrateArguments, Commands::check, true},
    {"migrate_cancel", {}, Commands::migrate_cancel},
    {"query-migrate", {}, Commands::query_migrate},
    {"migrate-set-parameters", {}, Commands::migrate_set_parameters, true},
    {"query-migrate-parameters", {}, Commands::query_migrate_parameters},
    {"migrate-continue", kContinueArguments, Commands::migrate_continue},
    {"migrate-set-capabilities", kCapabilityArguments, Commands::migrate_set_capabilities},
    {"query-migrate-capabilities", {}, Commands::query_migrate_capabilities},
    // Ours: the way out of a handover whose outcome is not known.
    {"migrate-resolve", kResolveArguments, Commands::migrate_resolve},
    // Ours: a complete stream in QEMU's format, RAM included, into a file.
    {"save", kSaveArguments, Commands::save},
};

bool has_type(const Json& value, ArgumentType type) {
    switch (type) {
    case ArgumentType::String:
        return value.is_string();
    case ArgumentType::Integer:
        return value.is_number_integer();
    case ArgumentType::Boolean:
        return value.is_boolean();
    case ArgumentType::Array:
        return value.is_array();
    }
    return false;
}

Status check_arguments(const CommandEntry& command, const Json& arguments) {
    for (const auto& [key, value] : arguments.items()) {
        const auto known = std::find_if(command.arguments.begin(), command.arguments.end(),
                                        [&key = key](const Argument& a) { return a.name == key; });
        if (known == command.arguments.end() && command.takes_parameters)
            continue; // the table of parameters judges it
        if (known == command.arguments.end())
            return invalid_input("{}: unknown argument '{}'", command.name, key);
        if (!has_type(value, known->type))
            return invalid_input("{}: argument '{}' has the wrong type", command.name, key);
    }
    for (const Argument& argument : command.arguments) {
        if (argument.required && !arguments.contains(argument.name))
            return invalid_input("{}: argument '{}' is missing", command.name, argument.name);
    }
    return {};
}

} // namespace

std::span<const CommandEntry> command_table() {
    return kCommands;
}

void dispatch(Instance& instance, const Request& request, const Responder& responder) {
    for (const CommandEntry& command : kCommands) {
        if (command.name != request.command)
            continue;
        if (const Status status = check_arguments(command, request.arguments); !status.ok())
            return responder.failure(status.error());
        return command.handle(instance, request, responder);
    }
    responder.failure("CommandNotFound", fmt::format("The command {} has not been found", request.command));
}

} // namespace godwit::control
