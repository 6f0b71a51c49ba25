// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/log.h"

#include "vmm/base/text.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <csignal>
#include <thread>

namespace godwit::log {

namespace {

constexpr std::size_t kLines = 512; // that wait
constexpr std::chrono::milliseconds kFinishLimit{500};

// Standard error, on the thread that writes.
class Sink final : public spdlog::sinks::sink {
  public:
    explicit Sink(spdlog::details::thread_pool& lines) : lines_(lines) {}

    void log(const spdlog::details::log_msg& line) override {
        const std::size_t dropped = lines_.overrun_counter();
        if (dropped != told_) {
            const std::string text =
                fmt::format("{} older lines were dropped: nobody took them", dropped - told_);
            told_ = dropped;
            stream_.log({line.time, {}, line.logger_name, spdlog::level::warn, text});
        }
        stream_.log(line);
        ++written_;
    }
    void flush() override { stream_.flush(); }
    void set_pattern(const std::string& pattern) override { stream_.set_pattern(pattern); }
    void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
        stream_.set_formatter(std::move(formatter));
    }
    std::size_t written() const { return written_; }

  private:
    spdlog::details::thread_pool& lines_;
    spdlog::sinks::stderr_color_sink_mt stream_;
    std::size_t told_ = 0;
    std::atomic<std::size_t> written_{0};
};

void (*thread_start)() = [] {};

// Signals are for the threads that expect them.
std::shared_ptr<spdlog::details::thread_pool> make_pool() {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    auto pool = std::make_shared<spdlog::details::thread_pool>(kLines, 1, thread_start);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return pool;
}

// Lives as long as the process: its thread may be waiting for a reader when the process ends.
struct Log {
    Log()
        : pool(make_pool()), sink(std::make_shared<Sink>(*pool)),
          logger(std::make_shared<spdlog::async_logger>("godwit", sink, pool,
                                                        spdlog::async_overflow_policy::overrun_oldest)) {
        logger->set_level(spdlog::level::trace); // enabled() has judged
        logger->set_pattern("%Y-%m-%dT%H:%M:%S.%f%z godwit[%P] %^%l%$: %v");
    }
    const std::shared_ptr<spdlog::details::thread_pool> pool;
    const std::shared_ptr<Sink> sink;
    const std::shared_ptr<spdlog::async_logger> logger;
    std::atomic<std::size_t> lines{0}; // that were given to it
};

std::atomic<Log*> made{nullptr};
std::atomic<spdlog::level::level_enum> lowest{spdlog::level::info};

Log& the_log() {
    static Log* const log = [] {
        made = new Log;
        return made.load();
    }();
    return *log;
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
    lowest = to_spdlog(level);
}

void on_thread_start(void (*begin)()) {
    thread_start = begin;
}

bool enabled(Level level) {
    return to_spdlog(level) >= lowest;
}

void finish() {
    const Log* const log = made;
    if (log == nullptr)
        return;
    const auto deadline = std::chrono::steady_clock::now() + kFinishLimit;
    while (log->sink->written() + log->pool->overrun_counter() < log->lines &&
           std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
}

void write(Level level, std::string_view text) {
    if (!enabled(level))
        return;
    Log& log = the_log();
    ++log.lines;
    const std::string line = without_controls(text);
    log.logger->log(to_spdlog(level), spdlog::string_view_t{line.data(), line.size()});
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
