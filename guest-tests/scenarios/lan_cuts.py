# SPDX-License-Identifier: Apache-2.0
"""The LAN between two hosts is cut at a message, in one direction or in both. What was sent is not lost: TCP sends it again as
soon as it can, so a COMMIT may arrive long after its source has begun to ask. The relay is on the source's host, so that the
message and what follows it are on their way over the LAN."""
from fault_cases import MOVED, STAYED
from fault_proxy import Action, Fault
from handover import DESTINATION, SOURCE, Handover
from two_hosts import PORT, patiently

THERE, BACK = (SOURCE, DESTINATION), (DESTINATION, SOURCE)
WAYS = {"both": [THERE, BACK], "there": [THERE], "back": [BACK]}


class LanCut(Handover):
    def __init__(self, stage, message, ways):
        super().__init__(stage)
        self.begin(SOURCE, f"tcp:127.0.0.1:{PORT}", [Fault(Action.DELAY, message)])
        self.until("here")
        for way in WAYS[ways]:
            stage.fleet.lan.cut(*way)
        self.relay.send(b"\n")

    def before_commit(self):
        """It fails while the LAN is cut, and the guest goes on where it is."""
        assert self.client_ends() == 5, self.client.transcript()
        patiently("the source runs its guest", self.source.running)
        self.stage.never_two()
        self.destination.wait_stderr("waiting for a migration again")

    def in_doubt(self, arrives):
        """COMMIT was sent, and it arrives or not: the source cannot know, the destination does."""
        assert self.client_ends() == 7, self.client.transcript()
        self.is_in_doubt()
        if arrives:
            patiently("the destination runs the guest", self.destination.running)
            assert "guest: here\n" in self.destination.status()
        else:
            self.destination.wait_stderr("waiting for a migration again")
            assert "guest: not here yet\n" in self.destination.status()
        asked = self.source.cli("resolve", check=False)
        assert asked.returncode == 7, asked.stderr
        self.stage.never_two()

    def healed(self):
        """The doubt ends by itself. Who has the guest."""
        self.stage.fleet.lan.heal()

        def decided():
            if not self.source.alive():
                return MOVED
            return self.source.running() and STAYED
        seen = patiently("the source knows who has the guest", decided)
        if seen == MOVED:
            self.source.expect_exit(0)
            assert self.destination.running()
        self.stage.never_two()
        return seen
