// SPDX-License-Identifier: Apache-2.0
//
// godwit inspect: what is in a saved state, ours or a QEMU's.
#include "devices/virtio/feature_names.h"
#include "migration/inspect/compare.h"
#include "migration/inspect/inspector.h"
#include "migration/inspect/render.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/output.h"
#include "vmm/sandbox/sandbox.h"

#include <algorithm>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

namespace godwit::cli {

namespace {

namespace inspect = migration::inspect;

struct InspectOptions {
    std::vector<std::string> files; // one, or two to compare
    bool diff = false;
    bool json = false;
    bool sections = false;
    bool order = false;
    std::string only;
};

Result<Fd> open(const std::string& file) {
    if (file != "-")
        return open_file(file, O_RDONLY, 0, ErrorCode::InvalidInput);
    const int copy = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return system_error(errno, "standard input");
    return Fd::adopt(copy);
}

// All is open: what strangers' files hold is read by a process that can open nothing else, where the kernel
// has that.
void close_door() {
    if (sandbox::begin({}).ok())
        sandbox::enter(sandbox::Role::Worker, "inspect");
}

Result<inspect::View> view_of(const std::string& file, Fd fd, bool pages) {
    migration::wire::FdSource source{std::move(fd)};
    auto view = inspect::inspect(source, {.pages = pages});
    if (!view.ok()) {
        Error fault = std::move(view).error();
        if (fault.code == ErrorCode::Corrupt || fault.code == ErrorCode::Incompatible)
            fault.code = ErrorCode::InvalidInput;
        return std::move(fault).in(file);
    }
    return view;
}

// Bits of a virtio device's status, virtio 1.2 section 2.1.
std::string status_names(std::uint64_t status) {
    constexpr std::pair<unsigned, const char*> kBits[] = {{1, "ACKNOWLEDGE"},  {2, "DRIVER"},
                                                          {8, "FEATURES_OK"},  {4, "DRIVER_OK"},
                                                          {64, "NEEDS_RESET"}, {128, "FAILED"}};
    std::string names;
    for (const auto& [bit, name] : kBits)
        if ((status & bit) != 0)
            names += (names.empty() ? "" : ", ") + std::string{name};
    return names;
}

std::uint16_t virtio_id(const std::string& section) {
    constexpr std::pair<const char*, std::uint16_t> kDevices[] = {
        {"virtio-net", std::uint16_t{1}}, {"virtio-blk", std::uint16_t{2}}, {"virtio-rng", std::uint16_t{4}}};
    for (const auto& [name, id] : kDevices)
        if (section.ends_with(name))
            return id;
    return 0;
}

// Fields that have a unit or names for their values, in whichever section.
std::string unit_of(std::string_view field, std::uint64_t value) {
    constexpr std::string_view kNanoseconds[] = {"clock", "cpu_clock_offset", "initial_count_load_time",
                                                 "next_time", "timer_expiry"};
    if (std::ranges::find(kNanoseconds, field) != std::end(kNanoseconds))
        return static_cast<std::int64_t>(value) < 0
                   ? "off"
                   : fmt::format("{:.6f} s", static_cast<double>(value) / 1e9);
    if (field == "tsc_khz")
        return fmt::format("{:.3f} MHz", static_cast<double>(value) / 1e3);
    constexpr const char* kMpStates[] = {"runnable", "uninitialised", "INIT received", "halted",
                                         "SIPI received"};
    if (field == "mp_state" && value < std::size(kMpStates))
        return kMpStates[value];
    return {};
}

std::string explain(const inspect::Section& section, const std::string& path, std::uint64_t value) {
    if (std::string unit = unit_of(std::string_view{path}.substr(path.rfind('.') + 1), value); !unit.empty())
        return unit;
    const std::uint16_t device = virtio_id(section.name);
    if (device == 0)
        return {};
    if (path == "status")
        return status_names(value);
    if (path == "virtio/64bit_features.guest_features")
        return virtio::feature_names(device, value);
    return {};
}

Result<ExitStatus> compare(const InspectOptions& options) {
    Fd one = TRY(open(options.files[0])), other = TRY(open(options.files[1]));
    close_door();
    const inspect::View first = TRY(view_of(options.files[0], std::move(one), true));
    const inspect::View second = TRY(view_of(options.files[1], std::move(other), true));
    const inspect::Comparison comparison = inspect::compare(first, second);
    const auto render = options.json ? inspect::comparison_json : inspect::comparison_text;
    print_text(render(comparison, options.files[0], options.files[1]));
    for (const auto* const view : {&first, &second})
        for (const inspect::Problem& problem : view->problems)
            tell("godwit: {}: byte {}: {}\n", view == &first ? options.files[0] : options.files[1],
                 problem.offset, problem.text);
    if (!first.problems.empty() || !second.problems.empty())
        return ExitStatus::Usage;
    return comparison.same() ? ExitStatus::Success : ExitStatus::Failure;
}

Result<ExitStatus> show(const InspectOptions& options) {
    Fd fd = TRY(open(options.files[0]));
    close_door();
    const inspect::View view = TRY(view_of(options.files[0], std::move(fd), false));
    inspect::Listing listing;
    listing.file = options.files[0];
    listing.fields = !options.sections;
    listing.only = options.only;
    listing.order = options.order;
    listing.explain = explain;
    print_text(options.json ? inspect::render_json(view, listing) : inspect::render_text(view, listing));
    if (view.problems.empty())
        return ExitStatus::Success;
    return invalid_input(
        "{}: byte {}: {}{}", options.files[0], view.problems[0].offset, view.problems[0].text,
        view.problems.size() == 1 ? std::string{} : fmt::format(", and {} more", view.problems.size() - 1));
}

} // namespace

Command add_inspect(CLI::App& program) {
    auto options = std::make_shared<InspectOptions>();
    CLI::App* const app = program.add_subcommand(
        "inspect", "show what is in a saved state, field by field, or how two of them differ");
    app->add_option("file", options->files, "what `godwit save` or a QEMU wrote; - is standard input")
        ->required()
        ->expected(1, 2);
    app->add_flag("--diff", options->diff, "compare two files, field by field and page by page");
    app->add_flag("--json", options->json, "for programs: everything, as one JSON object");
    CLI::Option* const sections =
        app->add_flag("--sections", options->sections, "only the list of sections, without their fields");
    app->add_option("--only", options->only, "only sections whose name contains this");
    app->add_flag("--order", options->order, "the steps in which the state was saved")->excludes(sections);
    app->footer("Exit status: 0 when the file is in order; with --diff, 0 when both are the same and 1 when "
                "they differ;\n2 when a file is damaged: what can be read of it is shown all the same.");
    return {app, [options] {
                if (options->files.size() != (options->diff ? 2u : 1u))
                    return report(invalid_input("{}", options->diff ? "--diff compares two files"
                                                                    : "two files are for --diff"));
                const auto status = options->diff ? compare(*options) : show(*options);
                return status.ok() ? *status : report(status.error());
            }};
}

} // namespace godwit::cli
