# SPDX-License-Identifier: Apache-2.0
"""The power of the source's or of the destination's host is cut at a message of a migration: who has the guest then, what
both sides say, and that the next migration works. Unlike a process that is killed, a host without power says nothing: no
connection ends and nobody is refused, and the peer knows it by its patience alone."""
import fault_cases
from fault_cases import DOUBT, GONE, MOVED, STAYED
from fault_proxy import Action, When
from handover import DESTINATION, RECEIVER, SOURCE, Handover
from test_devices import check_image
from two_hosts import WORK, beats_on, finish, patiently

AROUND_COMMIT = ("READY", "COMMIT", "RUNNING")
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


class PowerCut(Handover):
    """A guest on its way, until the power was cut."""

    def __init__(self, stage, case):
        super().__init__(stage)
        self.cut = CUT[case.faults[-1].action]
        self.begin(DESTINATION, self.door, case.faults)
        passed = self.until("struck")
        self.greeted, self.arrived = "HELLO" in passed, "COMMIT" in passed
        stage.fleet[self.cut].run(["true"])  # what the guest there has said is here
        stage.pair.lose_power(self.cut)

    def outcome(self):
        """What the side that has power makes of it, and says."""
        return self._at_the_destination() if self.cut == SOURCE else self._at_the_source()

    def _at_the_destination(self):
        def decided():
            if self.destination.running():
                return MOVED
            again = "waiting for a migration again" in self.destination.stderr()
            return (again or not self.greeted) and GONE  # who was not greeted knows of no migration
        seen = patiently("the destination has or has not the guest", decided)
        says = self.destination.status()
        assert ("guest: here\n" if seen == MOVED else "guest: not here yet\n") in says, says
        return seen

    def _at_the_source(self):
        status = self.client_ends()
        if status == 0:
            self.source.expect_exit(0)
            return GONE
        if status == 7:
            self.is_in_doubt()
            return DOUBT
        assert status == 5, self.client.transcript()
        patiently("the source runs its guest", self.source.running)
        says = self.source.status()
        assert "guest: here\n" in says, says
        return STAYED

    # ---- afterwards

    def judge(self, outcome, tools):
        self.stage.never_two()
        self.stage.pair.ready()  # the power is back
        if outcome in (MOVED, STAYED):
            self.move_on(outcome, tools)
        elif outcome == DOUBT:
            self._resolve(tools)
        else:
            check_image(tools, self.stage.image)
            if self.destination.alive():
                self._another_guest(self.destination, tools)

    def _another_guest(self, destination, tools):
        guest = self.stage.run(SOURCE, f"{WORK} disk.generation=2", name="another")
        self.stage.migrate(guest, destination)
        finish(self.stage, destination, tools, guest)

    def _resolve(self, tools):
        """The destination's host had the guest or was about to: only an operator can know. Another receiver cannot."""
        successor = self.stage.receive(DESTINATION, self.door, RECEIVER, "successor")
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
