// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace godwit::log {

namespace {

spdlog::logger& logger() {
    static const auto instance = [] {
        auto made = spdlog::stderr_color_mt("godwit");
        made->set_pattern("%Y-%m-%dT%H:%M:%S.%f%z godwit[%P] %^%l%$: %v");
        return made;
    }();
    return *instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
    switch (level) {
    case Level::Debug:
        return spdlog::level::debug;
    case Level::Info:
        return spdlog::level::info;
    case Level::Warning:
        return spdlog::level::warn;
    case Level::Error:
        return spdlog::level::err;
    }
    return spdlog::level::err;
}

} // namespace

void set_level(Level level) {
    logger().set_level(to_spdlog(level));
}

bool enabled(Level level) {
    return logger().should_log(to_spdlog(level));
}

void write(Level level, std::string_view text) {
    logger().log(to_spdlog(level), spdlog::string_view_t{text.data(), text.size()});
}

void write(Level level, fmt::string_view format, fmt::format_args args) {
    write(level, std::string_view{fmt::vformat(format, args)});
}

RateLimit::Pass RateLimit::admit() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    const auto now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
    auto start = window_start_ns_.load();
    if (start == 0 || now_ns - start > std::chrono::nanoseconds{period_}.count()) {
        if (window_start_ns_.compare_exchange_strong(start, now_ns))
            in_window_.store(0);
    }
    if (in_window_.fetch_add(1) < burst_)
        return {true, suppressed_.exchange(0)};
    suppressed_.fetch_add(1);
    return {false, 0};
}

void RateLimit::warn(fmt::string_view format, fmt::format_args args) {
    const auto pass = admit();
    if (!pass.admitted)
        return;
    auto text = fmt::vformat(format, args);
    if (pass.suppressed != 0)
        text += fmt::format(" ({} similar messages were left out)", pass.suppressed);
    write(Level::Warning, text);
}

} // namespace godwit::log
