// SPDX-License-Identifier: Apache-2.0
#include "devices/console/pty_console.h"

#include "devices/console/stream_console.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

namespace godwit {

namespace {

// Holds the terminal's side open: the mode set here stays until somebody connects (an echo would come back to
// the guest as input), and the master never reports a hang-up.
class PtyConsole final : public StreamConsole {
  public:
    PtyConsole(Loop& loop, std::string description, Fd terminal)
        : StreamConsole(loop, std::move(description), {}), terminal_(std::move(terminal)) {}
    Status start(Fd input, Fd output) { return attach(std::move(input), std::move(output)); }

  private:
    Fd terminal_;
};

} // namespace

Result<std::unique_ptr<Console>> make_pty_console(Loop& loop) {
    Fd master = Fd::adopt(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    std::array<char, 64> path{};
    if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 ||
        ::ptsname_r(master.get(), path.data(), path.size()) != 0)
        return system_error(errno, "console: open a pseudo terminal");
    if (::fcntl(master.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0)
        return system_error(errno, "console: make a pseudo terminal non-blocking");
    Fd terminal = TRY_IN(open_file(path.data(), O_RDWR | O_NOCTTY), "console");
    termios mode{};
    if (::tcgetattr(terminal.get(), &mode) != 0)
        return system_error(errno, "console: get the mode of a pseudo terminal");
    ::cfmakeraw(&mode);
    if (::tcsetattr(terminal.get(), TCSANOW, &mode) != 0)
        return system_error(errno, "console: set the mode of a pseudo terminal");
    auto console =
        std::make_unique<PtyConsole>(loop, fmt::format("pty {}", path.data()), std::move(terminal));
    Fd output = TRY(master.duplicate());
    TRY(console->start(std::move(master), std::move(output)));
    return std::unique_ptr<Console>{std::move(console)};
}

} // namespace godwit
