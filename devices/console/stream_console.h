// SPDX-License-Identifier: Apache-2.0
//
// A console on file descriptors: standard input and output, a pty, a file, a socket's client.
//
// Output goes straight to the descriptor from the calling thread. What it does not take is queued, and the
// loop writes it on. When the queue is full the writer is told so (the guest sees a busy transmitter), but
// only while the reader takes something now and then: after `stall_limit` without a byte the oldest output is
// dropped instead, so that a reader that sleeps or a hostile client cannot hold the guest.
//
// Threads: as said in console.h; output under mutex_, everything else on the loop's thread. Destroy it on the
// loop's thread or while no loop runs.
#pragma once

#include "devices/console/console.h"
#include "devices/console/output_queue.h"
#include "vmm/base/log.h"
#include "vmm/loop/loop.h"

#include <mutex>

namespace godwit {

class StreamConsole : public Console {
  public:
    struct Limits {
        std::size_t queue = std::size_t{256} << 10; // bytes
        std::chrono::milliseconds stall{1000};
    };

    // Descriptors are non-blocking or sockets. `input` may be empty.
    StreamConsole(Loop& loop, std::string description, Limits limits);
    static Result<std::unique_ptr<StreamConsole>> create(Loop& loop, std::string description, Limits limits,
                                                         Fd input, Fd output);
    ~StreamConsole() override;

    std::string describe() const override { return description_; }
    void connect(User* user) override { user_ = user; }
    std::size_t write(std::span<const std::byte> bytes) override;
    std::size_t read(std::span<std::byte> room) override;
    void want_input() override { later(&StreamConsole::announce_input); }
    Status flush(std::chrono::milliseconds limit) override;

  protected:
    // Loop thread. With one descriptor for both ways, give a duplicate.
    Status attach(Fd input, Fd output);
    void detach();
    bool attached() const { return static_cast<bool>(output_); }
    bool hung_up() const { return hung_up_; }
    // Whether somebody else may come when the reader has gone: then output is kept, else discarded.
    virtual bool keeps_output() const { return false; }
    // Loop thread: the other side has gone, and nothing more is to be read.
    virtual void peer_gone() {}
    // Any thread: calls it on the loop's thread, if this still exists then.
    void later(void (StreamConsole::*what)());

    Loop& loop_;

  private:
    enum class Reader { Present, Away, Gone }; // Away: may come back; Gone: never

    std::size_t send_locked(std::span<const std::byte> bytes);
    void drain_locked();
    void lose_reader_locked();
    void start_output();
    void continue_output();
    void stalled();
    void announce_input();
    void announce_output();
    void input_event(std::uint32_t events);
    void look_for_end();

    const std::string description_;
    const Limits limits_;
    const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    User* user_ = nullptr;
    std::unique_ptr<Watch> input_watch_, output_watch_;
    std::unique_ptr<Timer> stall_timer_;
    Fd input_;
    bool input_ended_ = true;
    bool hung_up_ = false;
    log::RateLimit log_;

    std::mutex mutex_;
    Fd output_;
    Reader reader_ = Reader::Away;
    OutputQueue queue_;
    bool started_ = false;  // start_output() is on its way, or output_watch_ exists
    bool refused_ = false;  // somebody waits for output_ready()
    bool stalled_ = false;  // drop instead of refusing
    bool progress_ = false; // since the stall timer was armed
};

} // namespace godwit
