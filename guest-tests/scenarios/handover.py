# SPDX-License-Identifier: Apache-2.0
"""A guest on its way from one host of the lab to another, with a relay on one of them that stops it at a message."""
import json
import pathlib

import vm
from fault_cases import MOVED
from two_hosts import LIMIT, PORT, beats_on, finish

RELAY = str(pathlib.Path(__file__).resolve().with_name("relay.py"))
SOURCE, DESTINATION = "alpha", "beta"
PEER_TIMEOUT = 8  # seconds: longer than a host that waits for a processor stands still
DOUBT_TIMEOUT = 2  # seconds for which a source asks before it tells that it is in doubt
RECEIVER = ("--insecure", "--peer-timeout", str(PEER_TIMEOUT))


class Handover:
    def __init__(self, stage):
        self.stage = stage
        address = stage.fleet[DESTINATION].address
        self.door, self.behind = f"tcp:{address}:{PORT}", f"tcp:{address}:{PORT + 1}"
        self.destination = stage.receive(DESTINATION, self.behind, RECEIVER)
        self.relay = self.client = None
        self.source = stage.run(SOURCE)
        stage.ping()

    def begin(self, where, door, faults):
        """`godwit migrate` to a relay on the host `where`, which listens at `door` (relay.py)."""
        faults = [(fault.action.value, fault.message, fault.when.value, fault.paused) for fault in faults]
        self.relay = self.stage.start_program(where, ["/usr/bin/python3", "-B", RELAY, door, self.behind, json.dumps(faults)])
        self.relay.wait_line("^listening")
        self.client = self.stage.start_program(SOURCE, [
            vm.GODWIT, "migrate", "--control", self.source.control, "--peer-timeout", str(PEER_TIMEOUT), "--doubt-timeout",
            str(DOUBT_TIMEOUT), "--downtime-limit", str(LIMIT), door])

    def until(self, what):
        """Waits until the relay has "struck" or a message is "here". The messages that have passed."""
        self.relay.wait_line(f"^{what}", 2 * vm.PATIENCE)
        return self.relay.stdout()[-1].split()[1:]

    def client_ends(self):
        return self.client.wait_exit(2 * vm.PATIENCE)

    def is_in_doubt(self):
        """And says so: a guest in doubt stands still until somebody knows better."""
        assert "resolve --resume" in self.client.stderr() and "resolve --discard" in self.client.stderr()
        says = self.source.cli("status").stdout
        assert "guest: in doubt: `godwit resolve`" in says and "running" not in says, says
        assert "resolve" in self.source.cli("resume", check=False).stderr

    def move_on(self, outcome, tools):
        """The guest lives; it can be moved as if nothing had been, and all along only one answered."""
        owner, where = (self.destination, SOURCE) if outcome == MOVED else (self.source, DESTINATION)
        beats_on(owner)
        self.stage.pings.go_on(3)
        waits = outcome != MOVED and self.destination.alive()
        to = self.destination if waits else self.stage.receive(where, extra=RECEIVER, name="third")
        self.stage.migrate(owner, to)
        self.stage.pings.go_on(3)
        self.stage.never_two()
        finish(self.stage, to, tools, *([self.source] if outcome == MOVED else []), owner)
