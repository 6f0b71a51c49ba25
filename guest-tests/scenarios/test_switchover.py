# SPDX-License-Identifier: Apache-2.0
"""Pausing before the switchover, and cancelling in every phase, also when the peer has fallen silent."""
import time

import pytest
from commit_relay import READY, STATE, Relay
from test_migration import assert_heartbeat_never_broke, goes_on, heartbeats, second_attempt

pytestmark = pytest.mark.machines("plain")

GUEST = "prog=mem,heartbeat mem.size=8M mem.rate=10M heartbeat.mode=line heartbeat.period=10000"


def until_status(control, *wanted):
    seen = []
    while not seen or seen[-1] not in wanted:
        seen.append(control.wait_event("MIGRATION")["data"]["status"])
    return seen[-1]


@pytest.fixture
def waiting(scene):
    """A guest that is paused before its switchover."""
    destination = scene.receive(extra=["--peer-timeout", "2"])
    source = scene.run(GUEST)
    source.wait_line(r"GT heartbeat n=5\b")
    control = source.qmp()
    control.execute("migrate-set-capabilities",
                    capabilities=[{"capability": "pause-before-switchover", "state": True}])
    assert {"capability": "pause-before-switchover", "state": True} in control.execute("query-migrate-capabilities")
    control.execute("migrate", uri=destination.address)
    assert until_status(control, "pre-switchover", "failed", "completed") == "pre-switchover"
    assert control.execute("query-migrate")["status"] == "pre-switchover"
    assert control.execute("query-migrate")["owner"] == "here"
    assert not control.execute("query-status")["running"]
    yield source, destination, control
    control.close()


@pytest.mark.machines("plain", "pci", "ccw")
def test_it_waits_and_goes_on(waiting):
    source, destination, control = waiting
    before = heartbeats(source)
    time.sleep(4)  # the destination's patience is 2 s
    assert heartbeats(source) == before and source.alive() and destination.alive()
    control.execute("migrate-continue", state="pre-switchover")
    source.expect_exit(0)
    destination.wait_line(r"^GT heartbeat n=")
    destination.finish()
    assert destination.report("mem")["errors"] == "0"
    assert_heartbeat_never_broke(source, destination)


def test_it_can_be_cancelled_there(waiting, scene):
    source, destination, control = waiting
    control.execute("migrate_cancel")
    assert until_status(control, "cancelled", "failed", "completed") == "cancelled"
    goes_on(source)
    assert_heartbeat_never_broke(source)


def test_a_destination_that_dies_meanwhile_is_noticed(waiting):
    source, destination, control = waiting
    destination.kill()
    assert until_status(control, "cancelled", "failed", "completed") == "failed"
    goes_on(source)


def test_from_the_command_line(scene):
    destination = scene.receive()
    source = scene.run(GUEST)
    source.wait_line(r"GT heartbeat n=5\b")
    refused = source.cli("migrate-continue", check=False)
    assert refused.returncode == 2 and "no migration is paused" in refused.stderr
    source.cli("migrate", "--detach", "--pause-before-switchover", destination.address)
    while "pre-switchover" not in source.cli("status").stdout:
        assert source.alive()
    source.cli("migrate-continue")
    while "completed" not in source.cli("status").stdout:
        assert source.alive()
    source.cli("quit")
    source.expect_exit(0)
    destination.finish()
    assert_heartbeat_never_broke(source, destination)


# HELLO_REPLY, RAM, ROUND_ACK, FINAL_ROUND, STATE, READY
@pytest.mark.parametrize("silent_from", [2, 4, 7, 8, STATE, READY])
def test_cancel_when_the_peer_is_silent(scene, tcp_address, silent_from):
    scene.receive(address=tcp_address)
    relay = Relay(int(tcp_address.rsplit(":", 1)[1]), silent_from)
    source = scene.run(GUEST)
    source.wait_line(r"GT heartbeat n=5\b")
    control = source.qmp()
    control.execute("migrate", uri=relay.address)
    assert relay.stopped.wait(60)
    control.execute("migrate_cancel")
    assert until_status(control, "cancelled", "failed", "completed") == "cancelled"
    assert control.execute("query-status")["running"]
    control.close()
    goes_on(source)
    relay.close()
    second_attempt(scene, source)


def test_a_silent_destination_lets_go_of_the_disk_when_it_is_asked(scene, tcp_address):
    """It has the disk's lock, and the connection is dead; on another one it hears that the migration is over."""
    image = scene.disk()
    destination = scene.receive(address=tcp_address, disk=image)
    relay = Relay(int(tcp_address.rsplit(":", 1)[1]), READY)
    source = scene.run(GUEST, disk=image)
    source.wait_line(r"GT heartbeat n=5\b")
    control = source.qmp()
    control.execute("migrate", uri=relay.address)
    assert relay.stopped.wait(60)
    control.execute("migrate_cancel")
    assert until_status(control, "cancelled", "failed", "completed", "in-doubt") == "cancelled"
    control.close()
    destination.wait_stderr("has it back")
    goes_on(source)
    relay.close()
    second_attempt(scene, source, disk=image)
