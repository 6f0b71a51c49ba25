# SPDX-License-Identifier: Apache-2.0
"""`godwit check` and the preflight of `godwit migrate`: everything that does not fit, at once, before anything moves."""
import fcntl
import json
import os
import re
import struct
import subprocess

import pytest
import vm
from test_migration import goes_on, migrate, second_attempt

pytestmark = pytest.mark.machines("plain")

HEARTBEAT = "prog=heartbeat heartbeat.mode=line heartbeat.period=10000"
OFD_SETLK = 37


def running(scene, **parts):
    source = scene.run(HEARTBEAT, **parts)
    source.wait_line(r"GT heartbeat n=5\b")
    return source


def check(source, destination):
    """Exit status, and code -> difference of the list."""
    done = source.cli("check", destination.address, "--json", check=False)
    answer = json.loads(done.stdout)
    assert answer["fits"] == (done.returncode == 0) == (not answer["differences"])
    return done.returncode, {one["code"]: one for one in answer["differences"]}


@pytest.mark.machines("plain", "pci", "ccw")
def test_a_guest_that_fits(scene):
    image = scene.disk()
    destination = scene.receive(disk=image, extra=["--once"])
    source = running(scene, disk=image)
    assert check(source, destination) == (0, {})
    assert source.cli("check", destination.address).stdout == "the guest fits\n"
    goes_on(source)
    assert destination.alive(), "a check is not an attempt, not even for --once"
    migrate(source, destination)
    destination.finish()


@pytest.mark.machines("plain", "pci", "ccw")
def test_everything_that_differs_is_told_and_nothing_else_happens(scene):
    destination = scene.receive(memory="96M", cpus=2, disk=scene.disk("small.raw", 16 << 20))
    source = running(scene, disk=scene.disk())
    status, found = check(source, destination)
    assert status == 6
    assert set(found) == {"machine.memory-size", "machine.cpu-count", "blk.capacity"}
    assert found["blk.capacity"]["subject"] == f"{scene.disk_type} 'disk0'"
    assert found["blk.capacity"]["text"] == "65536 sectors at the source, 32768 here"
    human = source.cli("check", destination.address, check=False)
    assert human.returncode == 6
    assert "cpus: 1 vCPUs at the source, 2 here [machine.cpu-count]" in human.stdout
    assert "status" not in source.qmp().execute("query-migrate"), "a check is not a migration"
    goes_on(source)
    assert destination.alive()


@pytest.mark.machines("plain", "pci", "ccw")
def test_a_read_only_disk_is_not_a_writable_one(scene):
    image = scene.disk()
    destination = scene.receive(disk=image, readonly=True)
    source = running(scene, disk=image)
    status, found = check(source, destination)
    assert (status, found["blk.read-only"]["text"]) == (6, "is writable at the source, read-only here")


def test_the_lock_of_a_stranger_is_told_from_the_sources(scene):
    copy = scene.disk("copy.raw")
    destination = scene.receive(disk=copy)
    source = running(scene, disk=scene.disk())
    assert check(source, destination) == (0, {})
    with open(copy, "r+b") as stranger:
        fcntl.fcntl(stranger, OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        status, found = check(source, destination)
        assert status == 6 and set(found) == {"host.disk-locked"}
        assert str(copy) in found["host.disk-locked"]["text"]
        done = source.cli("migrate", destination.address, check=False)
        assert done.returncode == 6 and "[host.disk-locked]" in done.stderr
        goes_on(source)
    assert check(source, destination) == (0, {})


def test_a_disk_that_was_resized_meanwhile(scene):
    copy = scene.disk("copy.raw")
    destination = scene.receive(disk=copy)
    os.truncate(copy, 8 << 20)
    status, found = check(running(scene, disk=scene.disk()), destination)
    assert (status, set(found)) == (6, {"host.disk-changed"})


@pytest.mark.machines("pci", "ccw")
def test_a_tap_that_was_removed_meanwhile(scene):
    wire = scene.with_network()
    destination = scene.receive(tap="tap1")
    source = running(scene, tap="tap0")
    assert check(source, destination) == (0, {})
    wire.inside("link", "del", "tap1")
    status, found = check(source, destination)
    assert (status, set(found)) == (6, {"host.tap-gone"})
    assert found["host.tap-gone"]["subject"] == "virtio-net 'net0'"


@pytest.mark.machines("pci", "ccw")
def test_a_tap_that_leads_nowhere_is_a_warning(scene):
    wire = scene.with_network()
    destination = scene.receive(tap="tap1")
    source = running(scene, tap="tap0")
    wire.inside("link", "set", "tap1", "down")
    done = source.cli("check", destination.address, "--json")
    warning, = json.loads(done.stdout)["warnings"]
    assert (warning["code"], warning["accepted"]) == ("host.tap-idle", False) and "'tap1' is down" in warning["text"]
    assert source.cli("check", destination.address).stdout.startswith("the guest fits\nwarning: virtio-net 'net0': its tap")
    migrate(source, destination)
    assert "'tap1' is down: no frame gets anywhere from there [host.tap-idle]" in destination.stderr()
    destination.finish()


@pytest.mark.machines("pci", "ccw")
def test_without_an_address_of_its_own_a_receiver_takes_the_guests(scene):
    """Another tap, another process, another name: the guest keeps its address, also when it is reset there."""
    scene.with_network()
    on = scene._on("net")
    parts = ["--memory", "128M", "--serial", "stdio"]
    source = scene.start("run", "source", ["--kernel", vm.GUEST, "--cmdline", "prog=net,heartbeat net.ip=10.0.2.15 " + HEARTBEAT.split(" ", 1)[1],
                                           *parts, "--net", f"tap=tap0{on}"])
    source.wait_line(r"GT heartbeat n=5\b")
    address = f"unix:{scene.path}/there"
    destination = scene.start("receive", "there", [address, "--name", "other", *parts, "--net", f"tap=tap1{on}"])
    destination.address = address
    destination.wait_stderr("waiting for a migration")
    assert check(source, destination) == (0, {})
    migrate(source, destination)
    destination.finish()
    assert destination.report("net")["errors"] == "0"


def test_a_reason_may_be_accepted_by_its_code(scene):
    """The disk of the receiver has grown since it was started, which is told apart from one that is another."""
    copy = scene.disk("copy.raw")
    accepting = ["--accept", "host.disk-changed", "--accept", "host.memory-short"]
    source = running(scene, disk=scene.disk())
    strict = scene.receive("strict", disk=copy)
    destination = scene.receive("there", disk=copy, extra=accepting)
    os.truncate(copy, 33 << 20)
    assert check(source, strict)[0] == 6
    done = source.cli("check", destination.address, "--json")
    answer = json.loads(done.stdout)
    warning, = answer["warnings"]
    assert answer["fits"] and not answer["differences"] and (warning["code"], warning["accepted"]) == ("host.disk-changed", True)
    assert "[host.disk-changed], accepted there" in source.cli("check", destination.address).stdout
    migrate(source, destination)
    assert re.search(r"warning: .*had 33554432 bytes .*\[host.disk-changed\], which was accepted", destination.stderr())
    destination.finish()


def test_what_can_be_accepted_is_checked_at_the_start(scene):
    for code, words in (("host.memory", "'host.memory' is no reason"), ("version.protocol", "'version.protocol' cannot be accepted")):
        done = subprocess.run([scene.program, "receive", f"unix:{scene.path}/x", "--accept", code], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and words in done.stderr, done.stderr


def test_nobody_answers(scene, tcp_address):
    source = running(scene)
    done = source.cli("check", tcp_address, check=False)
    assert done.returncode == 5 and tcp_address.removeprefix("tcp:") in done.stderr
    goes_on(source)
    second_attempt(scene, source)


def test_the_words_of_the_command(scene):
    done = subprocess.run([vm.GODWIT, "check", "--control", "/nonexistent", "tcp:nowhere"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2 and "tcp:nowhere" in done.stderr
    source = running(scene)
    assert source.qmp().raw(b'{"execute": "check", "arguments": {"uri": "ftp:x"}}\n')["error"]


@pytest.mark.machines("pci", "ccw")
def test_a_feature_that_one_side_has_off_is_told_with_its_option(scene):
    scene.with_network()
    image = scene.disk()

    def options(tap, features):
        return ["--disk", f"path={image},discard=off{scene._on('disk')}",
                "--net", f"tap={tap},mac=02:00:00:00:00:15{scene._on('net')}{features}"]
    other = scene.receive("other", extra=options("tap1", ""))
    source = running(scene, extra=options("tap0", ",csum=off"))
    status, found = check(source, other)
    assert status == 6 and set(found) == {"device.feature-extra"}
    human = source.cli("check", other.address, check=False).stdout
    assert "VIRTIO_NET_F_CSUM (0) (csum=off leaves it out) offered here and not at the source" in human
    assert "VIRTIO_NET_F_HOST_TSO4 (11) (host_tso4=off leaves it out)" in human
    other.kill()
    destination = scene.receive(extra=options("tap1", ",csum=off"))
    assert check(source, destination) == (0, {})
    migrate(source, destination)
    destination.finish()


@pytest.mark.machines("plain")
@pytest.mark.no_kvm
def test_a_feature_that_is_none_is_refused_by_name(scene):
    for option, text in (("tap=t,xyz=off", "--net: unknown key 'xyz'"), ("tap=t,csum=off,host_tso4=on", "host_tso4=on needs a feature that is off")):
        done = subprocess.run([vm.GODWIT, "run", "--kernel", "x", "--net", option], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and text in done.stderr
    help_text = subprocess.run([vm.GODWIT, "run", "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("guest_announce", "write-zeroes", "werror=report|stop|enospc|ignore"):
        assert word in help_text
