# SPDX-License-Identifier: Apache-2.0
"""Whatever is lost around COMMIT, one side has the guest, or an operator is told and decides."""
import time

import pytest
import vm
from commit_relay import COMMIT, READY, RUNNING, STATE, Relay
from test_migration import assert_heartbeat_never_broke, goes_on, heartbeats, second_attempt

pytestmark = pytest.mark.machines("plain")

GUEST = "prog=mem,heartbeat mem.size=8M mem.rate=10M heartbeat.mode=line heartbeat.period=10000"


@pytest.fixture
def between(scene, tcp_address):
    """A guest, a receiver, and a relay between them that does something at one message."""
    made = []

    class Between:
        def __init__(self, stop_at, **options):
            self.image = scene.disk()
            self.destination = scene.receive(address=tcp_address, disk=self.image)
            self.source = scene.run(GUEST, disk=self.image)
            self.relay = Relay(int(tcp_address.rsplit(":", 1)[1]), stop_at, **options)
            made.append(self.relay)
            self.source.wait_line(r"GT heartbeat n=5\b")

        def migrate(self, *options):
            return self.source.cli("migrate", *options, self.relay.address, check=False)

    yield Between
    for relay in made:
        relay.close()


@pytest.mark.machines("plain", "pci", "ccw")
def test_commit_is_lost_with_the_connection(between, scene):
    both = between(COMMIT, then=Relay.cut)
    done = both.migrate()
    assert done.returncode == 5, done.stderr
    goes_on(both.source)
    both.destination.wait_stderr("waiting for a migration again")
    second_attempt(scene, both.source, disk=both.image)


def test_commit_vanishes_and_the_connection_stays(between, scene):
    """The destination would wait for it; the question of the source is a fence."""
    both = between(COMMIT)
    done = both.migrate()
    assert done.returncode == 5, done.stderr
    both.destination.wait_stderr("has it back")
    goes_on(both.source)
    assert "guest: here" in both.source.cli("status").stdout
    second_attempt(scene, both.source, disk=both.image)


@pytest.mark.machines("plain", "pci", "ccw")
@pytest.mark.parametrize("cut", [True, False])
def test_running_is_lost(between, cut):
    both = between(RUNNING, then=Relay.cut if cut else None)
    done = both.migrate()
    assert done.returncode == 0, done.stderr
    both.source.expect_exit(0)
    assert "guest: here" in both.destination.cli("status").stdout
    both.destination.finish()
    assert both.destination.report("mem")["errors"] == "0"
    assert_heartbeat_never_broke(both.source, both.destination)


def in_doubt(both):
    done = both.migrate("--doubt-timeout", "1")
    assert done.returncode == 7, done.stderr
    assert "resolve --resume" in done.stderr and "resolve --discard" in done.stderr
    shown = both.source.cli("status").stdout
    assert "in doubt" in shown, shown
    before = heartbeats(both.source)[-1]
    refused = both.source.cli("resume", check=False)
    assert refused.returncode == 2 and "resolve" in refused.stderr
    assert heartbeats(both.source)[-1] == before
    asked = both.source.cli("resolve", check=False)
    assert asked.returncode == 7, asked.stderr


def test_destination_dies_before_commit_arrives(between, scene):
    both = between(COMMIT, then=lambda relay: (both.destination.kill(), relay.cut()), answers=False)
    in_doubt(both)
    said = both.source.cli("resolve", "--resume")
    assert "goes on" in said.stdout
    goes_on(both.source)
    assert_heartbeat_never_broke(both.source)
    second_attempt(scene, both.source, disk=both.image)


def test_resume_is_refused_while_the_destination_has_the_disk(between):
    both = between(RUNNING, answers=False, then=Relay.cut)
    in_doubt(both)
    refused = both.source.cli("resolve", "--resume", check=False)
    assert refused.returncode == 7 and "lock" in refused.stderr, refused.stderr
    last = heartbeats(both.destination)[-1] if heartbeats(both.destination) else 0
    both.destination.wait_line(rf"GT heartbeat n={max(last, heartbeats(both.source)[-1]) + 5}\b")
    assert "ends" in both.source.cli("resolve", "--discard").stdout
    both.source.expect_exit(0)
    both.destination.finish()
    assert both.destination.report("mem")["errors"] == "0"
    assert_heartbeat_never_broke(both.source, both.destination)


def test_the_answer_comes_late(between):
    """In doubt already, and told: the destination can be reached again, and the doubt ends by itself."""
    both = between(RUNNING, answers=False, then=Relay.cut)
    in_doubt(both)
    both.relay.answers = True
    both.source.expect_exit(0)
    both.destination.finish()
    assert_heartbeat_never_broke(both.source, both.destination)


def test_ending_a_process_in_doubt_says_so(between):
    both = between(RUNNING, answers=False, then=Relay.cut)
    in_doubt(both)
    both.source.cli("quit")
    both.source.expect_exit(7)
    both.destination.finish()


@pytest.mark.parametrize("message", [STATE, READY])
def test_destination_dies_before_ready(between, scene, message):
    both = between(message, then=lambda relay: (both.destination.kill(), relay.cut()))
    done = both.migrate()
    assert done.returncode == 5, done.stderr
    goes_on(both.source)
    second_attempt(scene, both.source, disk=both.image)


def test_resolve_without_doubt_is_refused(scene):
    source = scene.run(GUEST)
    source.wait_line(r"^GT ready")
    for option in ([], ["--resume"], ["--discard"]):
        refused = source.cli("resolve", *option, check=False)
        assert refused.returncode == 2 and "nothing is in doubt" in refused.stderr
    assert source.alive()


def test_a_taken_receiver_says_so(scene, tcp_address):
    """While one migration is under way, and when its guest is there; silent connections are no hindrance."""
    import socket
    destination = scene.receive(address=tcp_address)
    port = int(tcp_address.rsplit(":", 1)[1])
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    source = scene.run(GUEST)
    source.wait_line(r"^GT ready")
    source.cli("migrate", tcp_address)
    source.expect_exit(0)
    other = scene.run(GUEST, name="other")
    other.wait_line(r"GT heartbeat n=5\b")
    done = other.cli("migrate", tcp_address, check=False)
    assert done.returncode == 5 and "has its guest already" in done.stderr
    goes_on(other)
    destination.finish()
    for one in silent:
        one.close()


def test_both_sides_say_who_has_the_guest(scene):
    destination = scene.receive()
    source = scene.run(GUEST)
    source.wait_line(r"^GT ready")
    assert "guest: here" in source.cli("status").stdout
    assert "guest: not here yet" in destination.cli("status").stdout
    assert destination.qmp().execute("query-migrate") == {"owner": "none"}
    source.cli("migrate", destination.address)
    source.expect_exit(0)
    view = destination.qmp().execute("query-migrate")
    assert view["owner"] == "here" and view["direction"] == "incoming" and view["status"] == "completed"
    destination.finish()
