// SPDX-License-Identifier: Apache-2.0
#include "vmm/loop/helper.h"

#include "vmm/loop/loop_fixture.h"

#include <atomic>

namespace godwit {

using namespace loop_test;

TEST_CASE("a call that blocks does not hold the loop up, and its result comes to the loop") {
    const auto loop = make_loop();
    const auto helper = std::move(Helper::create(*loop)).value();
    const Pipe pipe;
    Recorded blocked, next;
    std::thread::id where;
    helper->run(blocked, [&] {
        where = std::this_thread::get_id();
        pollfd until{pipe.read_end.get(), POLLIN, 0};
        return ::poll(&until, 1, -1) == 1 ? 17 : -EIO;
    });
    helper->run(next, [&] { return blocked.result ? 0 : -EBADF; }); // only the loop writes it
    bool went_on = false;
    loop->post([&] {
        went_on = !blocked.result;
        pipe.put("x");
    });
    run_until(*loop, [&] { return next.result.has_value(); });
    CHECK(went_on);
    CHECK(blocked.result == 17);
    CHECK(where != std::this_thread::get_id());
}

TEST_CASE("a drain waits for a helper's calls, also for those that a completion asks for") {
    const auto loop = make_loop();
    const auto helper = std::move(Helper::create(*loop)).value();
    Gate gate;
    std::atomic<int> calls = 0;
    Recorded first, second;
    const auto call = [&] { return -++calls; };
    first.then = [&] {
        helper->run(second, call);
        gate.leave();
    };
    second.then = [&] { gate.leave(); };
    gate.enter();
    gate.enter();
    helper->run(first, call);
    REQUIRE(loop->drain(gate, std::chrono::seconds{20}).ok());
    CHECK(first.result == -1);
    CHECK(second.result == -2);
}

TEST_CASE("a helper that was never asked ends at once") {
    const auto loop = make_loop();
    CHECK(Helper::create(*loop).ok());
}

} // namespace godwit
