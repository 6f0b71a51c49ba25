# SPDX-License-Identifier: Apache-2.0
"""Whichever side fails: its reason is on the last line of `godwit migrate`, in both logs, in both exit statuses, in QMP."""
import fcntl
import os
import signal
import struct
import threading

import pytest
import vm
from test_migration import goes_on, second_attempt
from test_preflight import OFD_SETLK

pytestmark = pytest.mark.machines("plain")

BUSY = "prog=mem,heartbeat mem.static=384M mem.size=16M mem.rate=20M heartbeat.mode=line heartbeat.period=10000"


class Attempt:
    """A migration of a large guest to a `receive --once`, as far as its first megabyte, from the command line."""

    def __init__(self, scene, disk_here=None, disk_there=None):
        self.scene = scene
        self.destination = scene.receive(memory="512M", disk=disk_there, extra=["--once"])
        self.source = scene.run(BUSY, memory="512M", disk=disk_here)
        self.source.wait_line(r"^GT ready")
        self.events_here, self.events_there = self.source.qmp(), self.destination.qmp()
        self.outcome = []
        self.client = threading.Thread(target=lambda: self.outcome.append(
            self.source.cli("migrate", self.destination.address, check=False)))
        self.client.start()
        while self.events_here.execute("query-migrate").get("ram", {}).get("transferred", 0) < 1 << 20:
            assert self.destination.alive()

    def ends_with(self, status, cause, side):
        """All six places, and the guest goes on where it was."""
        self.source_says(status, cause, side)
        there = self.events_there.wait_event("MIGRATION")
        assert side in there["data"]["error-desc"] and cause in there["data"]["error-desc"]
        assert there["data"]["exit-status"] == status
        self.destination.expect_exit(status)
        log = self.destination.stderr()
        assert f"{side}: " in log and cause in log, log
        goes_on(self.source)

    def source_says(self, status, cause, side):
        self.client.join(vm.PATIENCE)
        done = self.outcome[0]
        assert done.returncode == status, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert f"{side}: " in last and cause in last, last
        event = self.events_here.wait_event("MIGRATION")
        while event["data"]["status"] in ("setup", "active", "device"):
            event = self.events_here.wait_event("MIGRATION")
        assert side in event["data"]["error-desc"] and cause in event["data"]["error-desc"]
        assert event["data"]["exit-status"] == status
        assert cause in self.events_here.execute("query-migrate")["error-desc"]
        self.source.wait_stderr(rf"{side}: .*{cause}")


@pytest.mark.machines("plain", "pci")
@pytest.mark.ordinarily_on("plain")
def test_the_destination_fails(scene):
    copy = scene.disk("copy.raw")
    attempt = Attempt(scene, disk_here=scene.disk(), disk_there=copy)
    with open(copy, "r+b") as stranger:
        fcntl.fcntl(stranger, OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        attempt.ends_with(5, f"disk '{copy}' is in use", "destination")
    second_attempt(scene, attempt.source, memory="512M", disk=copy)


def test_the_source_is_told_to_stop(scene):
    attempt = Attempt(scene)
    attempt.source.qmp().execute("migrate_cancel")
    attempt.source_says(8, "cancel", "source")
    # A cancel does not wait for the end of a frame: in the middle of one the destination only sees it break off.
    assert attempt.destination.wait_exit() in (5, 8)
    goes_on(attempt.source)
    second_attempt(scene, attempt.source, memory="512M")


def test_the_destination_is_killed(scene):
    attempt = Attempt(scene)
    attempt.destination.child.send_signal(signal.SIGKILL)
    attempt.client.join(vm.PATIENCE)
    last = attempt.outcome[0].stderr.strip().splitlines()[-1]
    assert attempt.outcome[0].returncode == 5 and "source: " in last
    goes_on(attempt.source)


def test_the_source_is_killed(scene):
    attempt = Attempt(scene)
    attempt.source.kill()
    attempt.destination.expect_exit(5)
    assert "destination: " in attempt.destination.stderr()
    attempt.client.join(vm.PATIENCE)


def test_a_refusal_is_6_on_both_sides(scene):
    destination = scene.receive(cpus=2, extra=["--once"])
    source = scene.run("prog=heartbeat heartbeat.mode=line heartbeat.period=10000")
    source.wait_line(r"GT heartbeat n=5\b")
    done = source.cli("migrate", destination.address, check=False)
    assert done.returncode == 6
    assert done.stderr.strip().splitlines()[-1] == \
        "godwit: destination: cpus: 1 vCPUs at the source, 2 here [machine.cpu-count]"
    destination.expect_exit(6)
    assert "machine.cpu-count" in destination.stderr()
    goes_on(source)
