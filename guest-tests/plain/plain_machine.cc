// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/plain_machine.h"

#include "devices/console/make_console.h"
#include "guest-tests/plain/section.h"
#include "vmm/base/log.h"
#include "vmm/machine/board.h"
#include "vmm/machine/boot/boot_files.h"

#include <algorithm>
#include <atomic>
#include <unistd.h>

namespace godwit::plain {

namespace {

constexpr std::chrono::milliseconds kSerialPatience{500};
constexpr std::chrono::seconds kLongestRest{1};

// The least that counts as a processor: its vendor, and nothing that another host could lack.
const cpu::CpuModel kNoCpu{
    {{.function = 0, .eax = 1, .ebx = 0x69616c50, .ecx = 0x74697764, .edx = 0x6f472d6e}, {.function = 1}},
    {}};

// A kernel that is no file.
constexpr std::string_view kBuiltIn = "built-in";

Result<Blob> read_kernel(const MachineConfig& config) {
    if (config.kernel != kBuiltIn)
        return boot::keep_file(config.kernel, "kernel", config.memory);
    BlobWriter writer = TRY(BlobWriter::create("kernel"));
    TRY(writer.append(std::as_bytes(std::span{kBuiltIn})));
    return std::move(writer).seal();
}

Status refuse_what_it_lacks(const MachineConfig& config) {
    if (!config.nets.empty())
        return invalid_input("--net: a plain machine has no network");
    if (!config.rngs.empty())
        return invalid_input("--rng: a plain machine has no entropy device");
    for (const DiskConfig& disk : config.disks)
        if (disk.write_errors != virtio::kDefaultWriteErrors ||
            disk.read_errors != virtio::kDefaultReadErrors)
            return invalid_input("--disk: a plain machine's disk has no werror or rerror");
    for (const DiskConfig& disk : config.disks)
        if (disk.features_off != 0)
            return invalid_input("--disk: a plain machine's disk has no features");
    if (config.cpu != "host")
        return invalid_input("--cpu {}: a plain machine has no processor to choose", config.cpu);
    return {};
}

} // namespace

PlainMachine::PlainMachine(const MachineConfig& config, Loop& loop, MachineEvents& events)
    : config_(config), loop_(loop), events_(events) {}

Result<std::unique_ptr<Guest>> PlainMachine::create(const MachineConfig& config, Loop& loop,
                                                    MachineEvents& events) {
    TRY(refuse_what_it_lacks(config));
    std::unique_ptr<PlainMachine> machine{new PlainMachine{config, loop, events}};
    TRY(machine->build());
    return std::unique_ptr<Guest>{std::move(machine)};
}

Status PlainMachine::build() {
    memory_ = TRY(GuestMemory::create(config_.memory, board::kLowRamLimit));
    for (const DiskConfig& disk : config_.disks)
        disks_.push_back({disk.id, TRY_IN(virtio::BlkImage::open(disk.path, disk.readonly), disk.id)});
    TRY(loop_.call([&] { return build_serial(); }));
    forget();
    list_sections();
    cpus_ = TRY(Cpus::create(config_.cpus, [this](std::uint32_t cpu) { return step(cpu); }));
    return {};
}

Status PlainMachine::build_serial() {
    const ConsoleSpec spec = TRY(parse_console_spec(config_.serial));
    console_ = TRY(make_console(loop_, spec));
    console_socket_ = console_->listener();
    serial_ = std::make_unique<Serial>(wake_, *console_);
    return {};
}

PlainMachine::~PlainMachine() {
    cpus_.reset();
    if (serial_ != nullptr) {
        // What the guest said last is still on its way to the console.
        if (const Status status = serial_->flush(kSerialPatience); !status.ok())
            log::warning("{}", status.error().text);
    }
    loop_.call([&] {
        serial_.reset();
        console_.reset();
    });
}

void PlainMachine::list_sections() {
    const auto own = [&](std::unique_ptr<StateSection> section) {
        section_list_.push_back(section.get());
        sections_.push_back(std::move(section));
    };
    own(make_section(state_.clock));
    own(make_section(state_.programs)); // before the CPUs: it says how many there are
    for (std::uint32_t i = 0; i < config_.cpus; ++i)
        own(make_section(
            state_.cpus[i],
            [this, i](const CpuState& state) {
                return Programs::check(*memory_, first_disk(), i, config_.cpus, state);
            },
            i));
    own(make_section(state_.heartbeat));
    own(std::make_unique<SerialSection>(*serial_));
    if (!disks_.empty())
        own(make_section(
            state_.disk,
            [this](const DiskState& state) { return Programs::check(*memory_, first_disk(), state); }, 0,
            disks_.front().id + "/"));
}

// To the state of a guest that has not begun. What sections refer to stays where it is.
void PlainMachine::forget() {
    state_.clock = {};
    state_.cpus.resize(config_.cpus);
    std::ranges::fill(state_.cpus, CpuState{});
    state_.programs = {.cpus = config_.cpus};
    state_.heartbeat = {};
    state_.disk = {};
}

Status PlainMachine::read_boot_source() {
    if (config_.kernel.empty() || boot_source() != nullptr)
        return {};
    migration::BootSource source{TRY(read_kernel(config_)), {}, config_.command_line};
    source.kernel_name = fmt::format("'{}'", config_.kernel);
    if (!config_.initrd.empty())
        source.initrd = TRY(boot::keep_file(config_.initrd, "initrd", config_.memory));
    set_given_boot_source(std::make_shared<const migration::BootSource>(std::move(source)));
    return {};
}

Status PlainMachine::boot() {
    TRY(lock_disks_at_start());
    TRY(read_boot_source());
    const migration::BootSourcePtr source = boot_source();
    TRY(store_command_line(*memory_, source->command_line));
    return store_boot_images(*memory_, *source);
}

Status PlainMachine::clear() {
    loop_.call([&] { serial_->reset(); });
    forget();
    return memory_->discard_all();
}

// ---- running

Status PlainMachine::start() {
    serial_->resume();
    clock_base_ = Cpus::Clock::now() - std::chrono::nanoseconds{state_.clock.now};
    programs_.emplace(Programs::Machine{*memory_, *serial_, first_disk(), [this] { cpus_->wake(); },
                                        [this] { power_off(); }, [this] { reset_itself(); }},
                      state_);
    cpus_->resume();
    return {};
}

Status PlainMachine::stop() {
    cpus_->pause();
    state_.clock.now = now();
    programs_.reset();
    serial_->pause();
    return {};
}

std::uint64_t PlainMachine::now() const {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds{Cpus::Clock::now() - clock_base_}.count());
}

std::chrono::nanoseconds PlainMachine::step(std::uint32_t cpu) {
    const std::uint64_t next = programs_->step(cpu, now());
    const std::uint64_t then = now();
    return std::min<std::chrono::nanoseconds>(std::chrono::nanoseconds{next > then ? next - then : 0},
                                              kLongestRest);
}

void PlainMachine::power_off() {
    if (stop_by_guest(GuestStop::PowerOff))
        events_.guest_powered_off();
}

void PlainMachine::reset_itself() {
    if (stop_by_guest(GuestStop::Reset))
        events_.guest_reset();
}

void PlainMachine::press_power_button() {
    std::atomic_ref{state_.programs.power_button}.store(true);
    cpus_->wake();
}

void PlainMachine::Wake::set_level(bool high) {
    if (high && machine_.cpus_ != nullptr)
        machine_.cpus_->wake();
}

// ---- for a migration

cpu::CpuModel PlainMachine::cpu() const {
    return kNoCpu;
}

const cpu::CpuModel& PlainMachine::cpu_offer() const {
    return kNoCpu;
}

Status PlainMachine::adopt_cpu(const cpu::CpuModel& model) {
    if (model != kNoCpu)
        return error(ErrorCode::Incompatible,
                     "the guest was given a processor, and a plain machine has none");
    return {};
}

Status PlainMachine::lock_disks() {
    return loop_.call([&]() -> Status {
        for (PlainDisk& disk : disks_)
            TRY(disk.image.lock());
        return {};
    });
}

Status PlainMachine::unlock_disks() {
    return loop_.call([&]() -> Status {
        for (PlainDisk& disk : disks_)
            TRY(disk.image.unlock());
        return {};
    });
}

std::vector<DiskContent> PlainMachine::disk_contents() const {
    std::vector<DiskContent> contents;
    for (const PlainDisk& disk : disks_)
        contents.push_back({disk.id, disk.image.current_bytes(), disk.image.modified()});
    return contents;
}

WriteBack::Pass PlainMachine::write_back_pass() const {
    std::vector<std::shared_ptr<virtio::StableStorage>> storages;
    for (const PlainDisk& disk : disks_)
        if (!disk.image.readonly())
            storages.push_back(disk.image.storage());
    return [storages = std::move(storages)] { return virtio::write_back_all(storages); };
}

} // namespace godwit::plain
