# SPDX-License-Identifier: Apache-2.0
"""At every message of a migration, everything that can happen to processes and networks: afterwards one owner at most,
nothing of the guest is damaged, and a second migration works."""
import json
import os
import time

import fault_cases
import pace
import pytest
import vm
from conftest import TRANSPORTS, free_port
from fault_cases import DOUBT, GONE, MOVED, STAYED
from fault_proxy import MESSAGES, Action, FaultProxy
from test_devices import check_image
from test_migration import assert_heartbeat_never_broke

# Seconds that a peer which says nothing is given: black holes are to end soon, other things take their time.
PEER_TIMEOUT = {True: 2, False: 30}  # whether there is a black hole
# Milliseconds: a busy host must not be told from a guest that writes too fast.
DOWNTIME_LIMIT = 60_000
# How long a source without an answer asks before it says that it is in doubt.
DOUBT_TIMEOUT = {True: 1, False: 60}  # whether the case may end so
ENDS = ("failed", "cancelled", "completed", "in-doubt")
WORK = ("prog=mem,disk,heartbeat mem.size=4M mem.rate=20M disk.span=1M disk.depth=4 disk.rate=8M heartbeat.mode=line "
        "heartbeat.period=20000")
MEMORY = "64M"


def patiently(what, look):
    """The first true value of `look`."""
    deadline = time.monotonic() + vm.PATIENCE
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > deadline:
            raise vm.Failed(f"{what}: not within {vm.PATIENCE} s")
        time.sleep(0.02)


class Stage:
    """Two processes with a faulty network between them."""

    def __init__(self, scene, case, tools, wire="unix"):
        self.scene = scene
        self.case = case
        self.wire = wire
        self.tools = tools
        self.image = scene.disk(size=2 << 20)
        self.slowness = 1 if scene.transport == "plain" else round(pace.PACE)  # of its vCPUs
        self.peer_timeout = PEER_TIMEOUT[any(f.action is Action.BLACK_HOLE for f in case.faults)] * self.slowness
        self.cpus = 2 if case.scenario == "refuse" else 1
        self.destination = self.receiver("destination", cpus=self.cpus)
        work = f"{WORK} mem.fill=pattern" if case.scenario == "compress" else WORK  # random pages are sent as they are
        self.source = scene.run(work, disk=self.image, memory=MEMORY)
        self.source.wait_line(r"^GT heartbeat n=2\b")
        self.controls = {}
        here = "tcp:127.0.0.1:0" if wire == "tcp" else f"unix:{scene.path}/wire"
        self.proxy = FaultProxy(here, self.destination.address, case.faults,
                                {Action.KILL_SOURCE: self.source.kill, Action.KILL_DESTINATION: self.kill_destination},
                                {"ROUND_END": self.cancel} if case.scenario == "cancel" else {})

    def receiver(self, name, cpus=1, address=None):
        if address is None and self.wire == "tcp":
            address = f"tcp:127.0.0.1:{free_port()}"
        return self.scene.receive(name, address, disk=self.image, memory=MEMORY, cpus=cpus,
                                  extra=["--peer-timeout", str(self.peer_timeout)])

    def kill_destination(self):
        self.destination.kill()
        if self.case.scenario == "restart" and self.destination.name == "destination":
            self.destination = self.receiver("successor", address=self.destination.address)

    def cancel(self):
        self.source.qmp().execute("migrate_cancel")

    def ask(self, process, command, **arguments):
        """The answer, or None when the process is gone."""
        try:
            if process not in self.controls:
                self.controls[process] = process.qmp()
            return self.controls[process].execute(command, **arguments)
        except (OSError, vm.Failed):
            patiently("a process that does not answer ends", lambda: not process.alive())
            return None

    def status(self, process):
        answer = process.alive() and self.ask(process, "query-status")
        return answer["status"] if answer else "dead"

    def migrate(self):
        parameters = {"peer_timeout": self.peer_timeout, "doubt_timeout": DOUBT_TIMEOUT[DOUBT in self.case.outcomes] * self.slowness,
                      "downtime_limit": DOWNTIME_LIMIT}
        if self.case.scenario == "connections":
            parameters["multifd_channels"] = 2
        if self.case.scenario == "verify":
            parameters["verify"] = True
        if self.case.scenario == "compress":
            parameters["multifd_compression"] = "lz4"
        self.ask(self.source, "migrate", uri=self.proxy.address, **parameters)

    def outcome(self):
        """What the source makes of it, or what became of a guest whose source was killed."""
        def settled():
            answer = self.source.alive() and self.ask(self.source, "query-migrate")
            if not answer:
                return "dead"
            if self.proxy.silent_for() > 1.5 * self.peer_timeout:
                self.proxy.heal()
            # While it asks nobody is told; then asking goes on, but an operator may decide.
            if answer["status"] == "in-doubt" and not self.told_of_doubt():
                return None
            return answer["status"] if answer["status"] in ENDS else None
        seen = patiently("the migration ends", settled)
        # What the source has made of it may be told while the frame that is to be struck is still on its way here.
        deadline = time.monotonic() + 2 * self.slowness
        while self.proxy.struck != list(self.case.faults) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.proxy.struck == list(self.case.faults), f"{seen}; the last messages: {self.proxy.seen[-4:]}"
        self.proxy.heal()
        # One that is killed just then may have told before what it made of it.
        dies = any(f.action is Action.KILL_SOURCE for f in self.case.faults)
        if seen == "in-doubt" and not dies:
            assert self.status(self.source) != "running"
            return DOUBT
        if seen in ("failed", "cancelled") and not dies:
            assert self.ask(self.source, "query-migrate")["error-desc"]
            patiently("the source runs its guest", lambda: self.status(self.source) == "running")
            return STAYED
        killed = self.source.wait_exit() != 0
        there = patiently("the destination has or has not a guest", self.decided)
        if there == "dead":
            return GONE
        if there == "running":
            return MOVED
        assert killed, "the source said that the guest moved, and the destination does not have it"
        return GONE

    def told_of_doubt(self):
        events = self.controls[self.source].events
        return any(e["event"] == "MIGRATION" and e["data"]["status"] == "in-doubt" for e in events)

    def decided(self):
        status = self.status(self.destination)
        if status in ("dead", "running"):
            return status
        # Before COMMIT a destination that has lost its source waits for another one.
        knows = any(m == ("to destination", "HELLO") for m in self.proxy.passed)
        waits = "waiting for a migration again" in self.destination.stderr()
        return status if waits or not knows or self.destination.name == "successor" else None

    def never_two(self):
        running = [p for p in (self.source, self.destination) if self.status(p) == "running"]
        if len(running) > 1:
            raise vm.Damage("two processes run the guest")

    # ---- afterwards

    def judge(self, outcome):
        self.never_two()
        if outcome == DOUBT:
            self.resolve()
            return
        if outcome == GONE:
            check_image(self.tools, self.image)
            if self.destination.alive():
                self.another_guest()
            return
        owner, other = (self.destination, self.source) if outcome == MOVED else (self.source, self.destination)
        # Again, without a fault: to the same receiver if it is still there.
        same = outcome == STAYED and other.alive() and self.case.scenario != "refuse"
        to = other if same else self.receiver("third")
        owner.cli("migrate", to.address)
        owner.expect_exit(0)
        self.finish(to)
        line = [self.source, to] if outcome == STAYED else [self.source, self.destination, to]
        assert_heartbeat_never_broke(*line)

    def finish(self, process):
        process.finish()
        for topic in ("mem", "disk"):
            assert process.report(topic)["errors"] == "0"
        check_image(self.tools, self.image)

    def another_guest(self):
        guest = self.scene.run(f"{WORK} disk.generation=2", name="another", disk=self.image, memory=MEMORY, cpus=self.cpus)
        guest.wait_line(r"^GT heartbeat n=2\b")
        guest.cli("migrate", self.destination.address)
        guest.expect_exit(0)
        self.finish(self.destination)

    def resolve(self):
        """The destination is dead. Whether the guest ran there decides which word is right."""
        self.source.cli("resume", check=False)
        assert self.status(self.source) != "running", "a guest in doubt runs only on an operator's word"
        committed = any(f.message == "RUNNING" or f.when.name == "AFTER" for f in self.case.faults)
        if committed:
            self.source.cli("resolve", "--discard")
            self.source.wait_exit()
            check_image(self.tools, self.image)
            return
        self.source.cli("resolve", "--resume")
        patiently("the source runs its guest", lambda: self.status(self.source) == "running")
        to = self.receiver("third")
        self.source.cli("migrate", to.address)
        self.source.expect_exit(0)
        self.finish(to)
        assert_heartbeat_never_broke(self.source, to)


def record(case, machine, outcome):
    """For tools/fault_matrix."""
    path = os.environ.get("GODWIT_FAULT_OUTCOMES")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"case": case.name, "machine": machine, "outcome": outcome}) + "\n")


@pytest.mark.no_kvm
def test_every_message_has_its_faults():
    tried = {fault.message for case in fault_cases.cases() for fault in case.faults}
    # A check moves nothing, and nobody can lose a guest by it (test_preflight.py).
    assert tried == set(MESSAGES.values()) - {"CHECK_REPORT"}


@pytest.mark.no_kvm
def test_a_fair_part_has_every_message_and_every_kind_of_fault():
    everything = {fault.message for case in fault_cases.cases() for fault in case.faults[-1:]}
    kinds = {(fault.action, fault.when) for fault in fault_cases.each("")}
    parts = [[case.faults[-1] for case in fault_cases.fair_part(turn)] for turn in range(len(TRANSPORTS))]
    for part in parts:
        assert {fault.message for fault in part} == everything and len(part) == len(everything)
        assert {(fault.action, fault.when) for fault in part} == kinds
    assert not any(one == other for one, other in zip(*parts))


def play(scene, case, tools, wire):
    stage = Stage(scene, case, tools, wire)
    try:
        stage.migrate()
        outcome = stage.outcome()
        assert outcome in case.outcomes, stage.source.transcript() + stage.destination.transcript()
        stage.judge(outcome)
        record(case, f"{scene.transport}-{wire}", outcome)
    finally:
        stage.proxy.close()


@pytest.mark.machines("plain")
@pytest.mark.parametrize("wire", ["unix", "tcp"])
@pytest.mark.parametrize("case", fault_cases.cases(), ids=lambda case: case.name)
def test_fault(scene, guest_tools, case, wire):
    play(scene, case, guest_tools, wire)


@pytest.mark.parametrize("transport, case", [pytest.param(transport, case, id=f"{transport}-{case.name}")
                                             for turn, transport in enumerate(TRANSPORTS)
                                             for case in fault_cases.fair_part(turn)])
def test_fault_of_a_guest_on_vcpus(scene, guest_tools, case):
    play(scene, case, guest_tools, "unix")
