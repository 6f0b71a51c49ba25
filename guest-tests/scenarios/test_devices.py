# SPDX-License-Identifier: Apache-2.0
"""Disk and network of a guest that stays where it is, on each transport."""
import re
import subprocess
import sys

import network
import pace
import pytest
from probes import UdpProbe


def check_image(guest_tools, image):
    done = subprocess.run([sys.executable, guest_tools / "check_disk.py", image], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise vm.Damage(done.stdout + done.stderr)


@pytest.mark.parametrize("irq", ["msix", "intx", "poll"])
def test_disk_holds_what_was_written(scene, guest_tools, irq):
    image = scene.disk()
    guest = scene.run(f"prog=disk disk.span=8M disk.extra=1 irq={irq} time=2", disk=image)
    guest.expect_exit(0)
    report = guest.report("disk")
    assert int(report["writes"]) > 0 and int(report["flushes"]) > 0 and report["errors"] == "0"
    check_image(guest_tools, image)


@pytest.mark.parametrize("rings", ["event_idx=0 indirect=0", "event_idx=1 indirect=0", "event_idx=0 indirect=1",
                                   "event_idx=1 indirect=1"])
def test_disk_with_each_ring_feature(scene, guest_tools, rings):
    image = scene.disk()
    guest = scene.run(f"prog=disk disk.span=4M {rings} time=1", disk=image)
    guest.expect_exit(0)
    assert guest.report("disk")["errors"] == "0"
    check_image(guest_tools, image)


def test_readonly_disk_is_not_written(scene):
    image = scene.disk()
    before = image.read_bytes()
    guest = scene.run("prog=disk disk.mode=read disk.span=4M time=1", disk=image, readonly=True)
    guest.expect_exit(0)
    assert int(guest.report("disk")["reads"]) > 0
    assert image.read_bytes() == before


def test_driver_can_start_over(scene, guest_tools):
    image = scene.disk()
    guest = scene.run("prog=disk disk.span=4M reinit=5 time=2", disk=image)
    guest.expect_exit(0)
    assert guest.report("disk")["errors"] == "0"
    check_image(guest_tools, image)


@pytest.mark.parametrize("irq", ["msix", "intx"])
def test_guest_answers_ping(scene, irq):
    wire = scene.with_network()
    guest = scene.run(f"prog=net net.ip={network.GUEST} irq={irq}", tap="tap0")
    guest.wait_line(r"^GT ready")
    wire.ping(20, interval=0.01)
    guest.finish()
    assert int(guest.report("net")["icmp"]) >= 20


def test_guest_echoes_udp(scene):
    wire = scene.with_network()
    guest = scene.run(f"prog=net net.ip={network.GUEST}", tap="tap0")
    guest.wait_line(r"^GT ready")
    probe = UdpProbe(wire)
    probe.wait_answers(60)
    result = probe.end()
    assert result["received"] == result["sent"] > 50
    assert result["duplicated"] == 0 and result["foreign"] == 0
    guest.finish()


def test_a_tap_in_use_is_refused(scene):
    scene.with_network()
    first = scene.run(f"prog=net net.ip={network.GUEST}", tap="tap0")
    first.wait_line(r"^GT ready")
    second = scene.run("prog=hello", name="second", tap="tap0")
    second.expect_exit(3)
    assert "tap0" in second.stderr() and "use" in second.stderr()
    first.finish()


def test_devices_work_again_after_a_reset(scene):
    """The guest verifies its disk at the end of each run, resets the machine, and starts over."""
    wire = scene.with_network()
    guest = scene.run(f"prog=disk,net,reset disk.span=4M net.ip={network.GUEST} time={round(2 * pace.PACE)}", disk=scene.disk(), tap="tap0")
    seen = 0
    for _ in range(3):
        guest.wait_line(r"^GT ready", after=seen)
        wire.ping(1)
        guest.wait_line(r"^GT exit status=0\b", after=seen)
        end = next(n for n, line in enumerate(guest.stdout()) if n >= seen and line.startswith("GT exit")) + 1
        said = "\n".join(guest.stdout()[seen:end])  # of this run: the next one may have begun
        assert re.search(r"^GT disk writes=.* errors=0$", said, re.M) and re.search(r"^GT net arp=.* errors=0$", said, re.M), said
        seen = end
    guest.cli("quit")
    guest.expect_exit(0)


def test_all_programs_at_once(scene, guest_tools):
    wire = scene.with_network()
    image = scene.disk()
    guest = scene.run(f"prog=all mem.size=16M mem.rate=40M disk.span=8M net.ip={network.GUEST} heartbeat.mode=line",
                      cpus=2, disk=image, tap="tap0")
    guest.wait_line(r"^GT ready")
    wire.ping(5)
    guest.finish()
    for topic in ("mem", "disk", "net"):
        assert guest.report(topic)["errors"] == "0"
    check_image(guest_tools, image)
