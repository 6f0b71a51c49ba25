# SPDX-License-Identifier: Apache-2.0
"""The power of the source's or of the destination's host is cut at a message of a migration: who has the guest then, what
both sides say, and that the next migration works. Unlike a process that is killed, a host without power says nothing: no
connection ends and nobody is refused, and the peer knows it by its patience alone."""
import json
import pathlib

import fault_cases
import vm
from fault_cases import DOUBT, GONE, MOVED, STAYED
from fault_proxy import Action, When
from test_devices import check_image
from two_hosts import LIMIT, PORT, WORK, beats_on, finish, patiently

RELAY = str(pathlib.Path(__file__).resolve().with_name("relay.py"))
PEER_TIMEOUT = 8  # seconds: longer than a host that waits for a processor stands still
DOUBT_TIMEOUT = 2  # seconds for which a source asks before it tells that it is in doubt
AROUND_COMMIT = ("READY", "COMMIT", "RUNNING")
SOURCE, DESTINATION = "alpha", "beta"
CUT = {Action.KILL_SOURCE: SOURCE, Action.KILL_DESTINATION: DESTINATION}


def cases():
    """Those of the fault matrix in which a process is killed, up to the handover."""
    listed = [*fault_cases.before_commit(), *fault_cases.at_commit(), *fault_cases.asked()]
    return [case for case in listed if case.faults[-1].action in CUT]


def is_around_commit(case):
    return len(case.faults) == 1 and case.faults[0].message in AROUND_COMMIT


def name(case):
    fault = case.faults[-1]
    first = f"-after-lost-{case.faults[0].message}" if len(case.faults) > 1 else ""
    return (f"{fault.action.value.removeprefix('kill ')}-{'before' if fault.when is When.BEFORE else 'after'}-{fault.message}"
            f"{'-paused' if fault.paused else ''}{first}")


class PowerCut:
    """A guest on its way, until the power was cut."""

    def __init__(self, stage, case):
        self.stage, self.case = stage, case
        self.cut = CUT[case.faults[-1].action]
        there = stage.fleet[DESTINATION].address
        self.options = ["--insecure", "--peer-timeout", str(PEER_TIMEOUT)]
        self.behind = f"tcp:{there}:{PORT + 1}"
        self.destination = stage.receive(DESTINATION, self.behind, self.options)
        faults = [(f.action.value, f.message, f.when.value, f.paused) for f in case.faults]
        self.door = f"tcp:{there}:{PORT}"
        relay = stage.program(DESTINATION, ["/usr/bin/python3", "-B", RELAY, self.door, self.behind, json.dumps(faults)])
        self.source = stage.run(SOURCE)
        relay.wait_line("^listening")
        stage.ping()
        self.client = stage.program(SOURCE, [
            vm.GODWIT, "migrate", "--control", self.source.control, "--peer-timeout", str(PEER_TIMEOUT), "--doubt-timeout",
            str(DOUBT_TIMEOUT), "--downtime-limit", str(LIMIT), self.door])
        relay.wait_line("^struck", 2 * vm.PATIENCE)
        passed = relay.stdout()[-1].split()[1:]
        self.arrived = "COMMIT" in passed
        self.greeted = "HELLO" in passed
        stage.fleet[self.cut].run(["true"])  # what the guest there has said is here
        stage.fleet[self.cut].power_off()

    def outcome(self):
        """What the side that has power makes of it."""
        return self._at_the_destination() if self.cut == SOURCE else self._at_the_source()

    def _at_the_destination(self):
        if not self.greeted:  # it has never heard of a guest
            assert "guest: not here yet" in self.destination.cli("status").stdout
            return GONE

        def decided():
            if "waiting for a migration again" in self.destination.stderr():
                return GONE
            return "running" in self.destination.cli("status").stdout and MOVED
        seen = patiently("the destination has or has not the guest", decided)
        says = self.destination.cli("status").stdout
        assert ("guest: here" if seen == MOVED else "guest: not here yet") in says, says
        return seen

    def _at_the_source(self):
        status = self.client.wait_exit(2 * vm.PATIENCE)
        if status == 0:
            self.source.expect_exit(0)
            return GONE
        says = self.source.cli("status").stdout
        if status == 7:
            assert "guest: in doubt: `godwit resolve`" in says, says
            assert "resolve --resume" in self.client.stderr() and "resolve --discard" in self.client.stderr()
            return DOUBT
        assert status == 5, self.client.transcript()
        patiently("the source runs its guest", lambda: "running" in self.source.cli("status").stdout)
        assert "guest: here" in self.source.cli("status").stdout
        return STAYED

    # ---- afterwards

    def judge(self, outcome, tools):
        self.stage.never_two()
        self.stage.pair.ready()  # the power is back
        if outcome == MOVED:
            self._move_on(self.destination, SOURCE, tools, self.source)
        elif outcome == STAYED:
            self._move_on(self.source, DESTINATION, tools)
        elif outcome == DOUBT:
            self._resolve(tools)
        else:
            check_image(tools, self.stage.image)
            if self.destination.alive():
                self._another_guest(self.destination, tools)

    def _move_on(self, owner, where, tools, *former):
        """A second migration, to the host that had no power; the pings are still answered, by one guest."""
        beats_on(owner)
        self.stage.pings.go_on(3)
        third = self.stage.receive(where, name="third")
        self.stage.migrate(owner, third)
        self.stage.pings.go_on(3)
        self.stage.never_two()
        finish(self.stage, third, tools, *former, owner)

    def _another_guest(self, destination, tools):
        guest = self.stage.run(SOURCE, f"{WORK} disk.generation=2", name="another")
        self.stage.migrate(guest, destination)
        finish(self.stage, destination, tools, guest)

    def _resolve(self, tools):
        """The destination's host had the guest or was about to: only an operator can know."""
        assert "resolve" in self.source.cli("resume", check=False).stderr
        successor = self.stage.receive(DESTINATION, self.door, self.options, "successor")
        asked = self.source.cli("resolve", check=False)
        assert asked.returncode == 7 and "knows nothing of this migration" in asked.stderr, asked.stderr
        self.stage.never_two()
        if not self.arrived:
            assert "goes on here" in self.source.cli("resolve", "--resume").stdout
            beats_on(self.source)
            self.stage.pings.go_on(3)
            self.stage.migrate(self.source, successor)
            finish(self.stage, successor, tools, self.source)
        else:
            assert "ends" in self.source.cli("resolve", "--discard").stdout
            self.source.wait_exit()
            check_image(tools, self.stage.image)
            self._another_guest(successor, tools)
