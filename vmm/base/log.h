// SPDX-License-Identifier: Apache-2.0
//
// Logging for the whole program: levels, one line each, to standard error (never to the guest's console).
// spdlog stands behind it; only log.cc sees its headers. A thread of its own writes, so that nobody waits for
// who reads: of lines that nobody takes the oldest are dropped, and their number is told.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace godwit::log {

enum class Level { Debug, Info, Warning, Error };

// Call once from main. Any thread may log before and after.
void set_level(Level level);
bool enabled(Level level);
// What the thread that writes does first. Call once from main, before any line is written.
void on_thread_start(void (*begin)());
// Before the process ends: waits for the last lines, for a moment at the most.
void finish();
void write(Level level, std::string_view text);
void write(Level level, fmt::string_view format, fmt::format_args args);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::Debug))
        write(Level::Debug, format, fmt::make_format_args(args...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::Info))
        write(Level::Info, format, fmt::make_format_args(args...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Warning, format, fmt::make_format_args(args...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Error, format, fmt::make_format_args(args...));
}

// For messages that a guest or a peer can provoke: at most `burst` lines per `period`, the rest is counted
// and the count is told with the next line that passes. Any thread.
class RateLimit {
  public:
    explicit RateLimit(std::uint32_t burst = 5, std::chrono::seconds period = std::chrono::seconds{5})
        : burst_(burst), period_(period) {}

    template <class... Args>
    void warning(fmt::format_string<Args...> format, Args&&... args) {
        warn(format, fmt::make_format_args(args...));
    }

  private:
    struct Pass {
        bool admitted;
        std::uint64_t suppressed;
    };
    Pass admit();
    void warn(fmt::string_view format, fmt::format_args args);

    const std::uint32_t burst_;
    const std::chrono::seconds period_;
    std::atomic<std::int64_t> window_start_ns_{0};
    std::atomic<std::uint32_t> in_window_{0};
    std::atomic<std::uint64_t> suppressed_{0};
};

} // namespace godwit::log
