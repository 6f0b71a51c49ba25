// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/runner.h"

#include "guest-tests/hostile/attack.h"

namespace godwit::hostile {

using namespace virtio;
using std::chrono::milliseconds;

namespace {

// For requests that are not expected to be served.
constexpr milliseconds kNoPatience{5};

struct Judge {
    Judge(const Case& which, Target at, Transport transport)
        : one(which), outcome(outcome_on(which, transport)),
          here(Machine::make(transport, at.kind, which.options)),
          there(Machine::make(transport, at.kind, which.options)), attack(*here, at, transport) {}

    void run() {
        here->fill_memory();
        attack.expect(here->bystander().set_up(Stage::Live) && here->victim().set_up(one.stage),
                      "set-up was refused");
        attack.seal();
        one.act(attack);
        check_outcome();
        attack.verify();
        attack.expect(here->bystander().works(kPatience), "the other device does not work");
        move();
        check_alike();
        heal(*here, "here");
        heal(*there, "there");
    }

    bool needs_reset(Machine& machine) {
        return machine.loop().call(
            [&] { return (machine.victim().core().status() & DEVICE_NEEDS_RESET) != 0; });
    }

    void check_outcome() {
        const auto end = std::chrono::steady_clock::now() + kPatience;
        while (outcome == Outcome::NeedsReset && !needs_reset(*here) &&
               std::chrono::steady_clock::now() < end)
            attack.settle();
        attack.settle();
        attack.expect(needs_reset(*here) == (outcome == Outcome::NeedsReset),
                      outcome == Outcome::NeedsReset ? "DEVICE_NEEDS_RESET is not set"
                                                     : "DEVICE_NEEDS_RESET is set");
        // Section 2.1.2: a driver that runs is told.
        if (outcome == Outcome::NeedsReset && one.stage == Stage::Live)
            attack.expect(here->victim().driver().take_config_interrupt(),
                          "nobody told the driver of NEEDS_RESET");
    }

    // Into a machine in which nothing has happened yet.
    void move() {
        here->pause();
        attack.expect(needs_reset(*here) == (outcome == Outcome::NeedsReset || one.broken_by_pause),
                      "pausing changed DEVICE_NEEDS_RESET");
        const auto saved = here->save();
        if (!saved.ok())
            return attack.expect(false, "state is not saved: " + saved.error().text);
        if (const Status loaded = there->load(saved.value(), *here); !loaded.ok())
            return attack.expect(false, "state is refused: " + loaded.error().text);
        const auto again = there->save();
        attack.expect(again.ok() && again.value() == saved.value(), "loaded state is saved as another one");
        here->resume();
        there->resume();
    }

    std::string shape(Machine& machine) {
        return machine.loop().call([&] {
            Core& core = machine.victim().core();
            // Features that are not offered do not move with a driver that has not said FEATURES_OK.
            std::string text = fmt::format("status {:#x}, features {:#x}, running {}", core.status(),
                                           core.driver_features() & core.offered_features(), core.running());
            for (std::uint16_t i = 0; i < core.queue_count(); ++i)
                text += fmt::format(", queue {}: {} {}", i, core.queue(i)->enabled, core.queue(i)->size);
            return text;
        });
    }

    void check_alike() {
        const std::string source = shape(*here), destination = shape(*there);
        attack.expect(source == destination, "here " + source + "; there " + destination);
        const bool by_default =
            one.stage == Stage::Live && outcome != Outcome::NeedsReset && !one.broken_by_pause;
        const bool alive = one.alive.value_or(by_default);
        const milliseconds patience = alive ? kPatience : kNoPatience;
        attack.expect(here->victim().works(patience) == alive,
                      alive ? "the device does not go on" : "the device goes on");
        attack.expect(there->victim().works(patience) == alive,
                      alive ? "the device does not go on where it was moved to"
                            : "the device goes on where it was moved to");
        const bool other = there->bystander().works(one.other_lost_by_move ? kNoPatience : kPatience);
        attack.expect(
            other != one.other_lost_by_move,
            fmt::format("the other device {} where it was moved to", other ? "works" : "does not work"));
    }

    void heal(Machine& machine, std::string_view where) {
        attack.expect(machine.victim().set_up(Stage::Live) && !needs_reset(machine) &&
                          machine.victim().works(kPatience),
                      fmt::format("a reset {} does not heal the device", where));
        attack.expect(machine.bystander().works(kPatience),
                      fmt::format("a reset {} harms the other device", where));
    }

    const Case& one;
    const Outcome outcome;
    const std::unique_ptr<Machine> here, there;
    Attack attack;
};

} // namespace

std::string run_case(const Case& one, Target target, Transport transport) {
    std::string lines;
    try {
        Judge judge{one, target, transport};
        judge.run();
        for (const std::string& line : judge.attack.wrong())
            lines += line + '\n';
    } catch (const std::exception& exception) {
        lines += std::string{"exception: "} + exception.what() + '\n';
    }
    return lines;
}

} // namespace godwit::hostile
