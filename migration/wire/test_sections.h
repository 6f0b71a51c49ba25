// SPDX-License-Identifier: Apache-2.0
//
// Sections for the tests of the migration: a timer as QEMU has it, and a device with an array of structs, a
// repeated field name and a subsection.
#pragma once

#include "migration/state/section.h"

#include <array>

namespace godwit::migration::test {

struct TimerState {
    std::int64_t ticks = 0;
    std::int64_t clock = 0;
    bool operator==(const TimerState&) const = default;
};

struct QueueState {
    std::uint16_t index = 0;
    std::uint64_t ring = 0;
    bool operator==(const QueueState&) const = default;
};

struct DeviceExtra {
    std::uint32_t value = 0;
    bool operator==(const DeviceExtra&) const = default;
};

struct DeviceState {
    bool started = false;
    std::array<QueueState, 3> queues{};
    std::array<std::uint16_t, 4> vectors{};
    std::array<std::byte, 6> mac{};
    std::uint8_t status = 0;
    std::optional<DeviceExtra> extra;
    bool operator==(const DeviceState&) const = default;
};

} // namespace godwit::migration::test

namespace godwit {

template <>
struct Schema<migration::test::TimerState> {
    using S = migration::test::TimerState;
    static constexpr std::string_view name = "timer";
    static constexpr std::uint32_t version = 2, minimum_version = 1;
    static constexpr std::tuple fields{Field{"cpu_ticks_offset", &S::ticks}, Unused{"unused", 8},
                                       Field{"cpu_clock_offset", &S::clock}};
};
template <>
struct Schema<migration::test::QueueState> {
    using S = migration::test::QueueState;
    static constexpr std::string_view name = "queue";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"index", &S::index}, Field{"ring", &S::ring}};
};
template <>
struct Schema<migration::test::DeviceExtra> {
    using S = migration::test::DeviceExtra;
    static constexpr std::string_view name = "device/extra";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"value", &S::value}};
};
template <>
struct Schema<migration::test::DeviceState> {
    using S = migration::test::DeviceState;
    static constexpr std::string_view name = "device";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"started", &S::started}, Field{"queues", &S::queues},
                                       Field{"vectors", &S::vectors}, Field{"mac", &S::mac},
                                       Field{"status", &S::status}};
    static constexpr std::tuple subsections{Subsection{&S::extra}};
    static Status validate(const S& state) {
        if (state.status > 0x7f)
            return corrupt("status {:#x}", state.status);
        return {};
    }
};

} // namespace godwit

namespace godwit::migration::test {

template <class S>
class TestSection : public StructSection<S> {
  public:
    explicit TestSection(S initial = {}, std::string path = {}, std::uint32_t instance = 0)
        : state(initial), path_(std::move(path)), instance_(instance) {}
    SectionId id() const override {
        SectionId id = StructSection<S>::id();
        id.name = path_ + id.name;
        id.instance = instance_;
        return id;
    }
    bool needed() const override { return is_needed; }
    Status commit_load() override {
        ++commits;
        return StructSection<S>::commit_load();
    }
    void discard_load() override {
        ++discards;
        StructSection<S>::discard_load();
    }

    S state;
    bool is_needed = true;
    int commits = 0;
    int discards = 0;

  protected:
    Result<S> capture() override { return state; }
    Status apply(const S& loaded) override {
        state = loaded;
        return {};
    }

  private:
    std::string path_;
    std::uint32_t instance_;
};

inline DeviceState sample_device() {
    DeviceState device;
    device.started = true;
    device.queues = {QueueState{1, 0x1000}, QueueState{2, 0x2000}, QueueState{3, 0x3000}};
    device.vectors = {1, 2, 3, 0xffff};
    device.mac = {std::byte{0x52}, std::byte{0x54}, std::byte{0}, std::byte{1}, std::byte{2}, std::byte{3}};
    device.status = 0x0f;
    device.extra = DeviceExtra{0x12345678};
    return device;
}

} // namespace godwit::migration::test
