# SPDX-License-Identifier: Apache-2.0
"""A running guest moves to another process and notices nothing. On each transport."""
import re
import time

import network
import pytest
import vm
from probes import UdpProbe
from test_devices import check_image


def migrate(source, destination, *options):
    done = source.cli("migrate", *options, destination.address)
    source.expect_exit(0)
    return done


def heartbeats(*processes):
    # As one serial line: the move may fall into the middle of a report, which then begins here and ends there.
    text = b"".join(p.raw for p in processes).decode(errors="replace").replace("\r", "")
    return [int(n) for n in re.findall(r"^GT heartbeat n=(\d+)\s", text, re.M)]


def assert_heartbeat_never_broke(*processes):
    numbers = heartbeats(*processes)
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise vm.Damage(f"a heartbeat was lost or came twice: {numbers}")


@pytest.mark.machines("plain", "pci", "ccw")
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_idle_guest(scene, tcp_address, cpus):
    destination = scene.receive(address=tcp_address, cpus=cpus)
    source = scene.run("prog=heartbeat heartbeat.mode=line heartbeat.period=20000", cpus=cpus)
    source.wait_line(r"GT heartbeat n=5\b")
    done = migrate(source, destination)
    assert "downtime" in done.stdout
    last = heartbeats(source)[-1]
    destination.wait_line(rf"GT heartbeat n={last + 10}\b")
    destination.finish()
    assert_heartbeat_never_broke(source, destination)


@pytest.mark.machines("plain", "pci", "ccw")
def test_over_a_unix_socket(scene):
    destination = scene.receive()
    source = scene.run("prog=heartbeat heartbeat.mode=line heartbeat.period=20000")
    source.wait_line(r"GT heartbeat n=5\b")
    migrate(source, destination)
    destination.finish()
    assert_heartbeat_never_broke(source, destination)


@pytest.mark.machines("plain", "pci", "ccw")
@pytest.mark.parametrize("rate", ["100M", "0"])
def test_while_memory_is_written(scene, tcp_address, rate):
    destination = scene.receive(address=tcp_address, cpus=2)
    source = scene.run(f"prog=mem,heartbeat mem.size=48M mem.rate={rate} heartbeat.mode=line", cpus=2)
    source.wait_line(r"^GT heartbeat n=")
    migrate(source, destination)
    destination.wait_line(r"^GT heartbeat n=")
    destination.finish()
    assert destination.report("mem")["errors"] == "0"
    assert_heartbeat_never_broke(source, destination)


@pytest.mark.machines("plain", "pci", "ccw")
def test_memory_above_four_gigabytes_moves(scene):
    memory = "3200M" if scene.transport == "plain" else "5G"  # 128 MiB of it are there, and are used
    destination = scene.receive(memory=memory)
    source = scene.run("prog=mem,heartbeat mem.size=32M mem.rate=50M heartbeat.mode=line", memory=memory)
    source.wait_line(r"^GT ready")
    migrate(source, destination)
    destination.finish()
    assert destination.report("mem")["errors"] == "0"


@pytest.mark.parametrize("irq", ["msix", "intx"])
def test_while_disk_requests_are_in_flight(scene, tcp_address, guest_tools, irq):
    image = scene.disk()
    destination = scene.receive(address=tcp_address, disk=image)
    source = scene.run(f"prog=disk,heartbeat disk.span=16M disk.depth=16 irq={irq} heartbeat.mode=line", disk=image)
    source.wait_line(r"^GT ready")
    vm.let_work(0.5)
    migrate(source, destination)
    before = destination.report("disk")
    destination.send(b"s")
    destination.wait_line(r"^GT disk")
    destination.finish()
    report = destination.report("disk")
    assert report["errors"] == "0" and report != before
    check_image(guest_tools, image)
    assert_heartbeat_never_broke(source, destination)


def test_while_udp_flows(scene, tcp_address):
    wire = scene.with_network()
    destination = scene.receive(address=tcp_address, tap="tap1")
    source = scene.run(f"prog=net net.ip={network.GUEST}", tap="tap0")
    source.wait_line(r"^GT ready")
    probe = UdpProbe(wire, interval_ms=2)
    probe.wait_answers(50)
    began = time.monotonic()
    migrate(source, destination)
    ended = time.monotonic()
    probe.wait_answers(50)
    result = probe.end()
    assert result["duplicated"] == 0 and result["foreign"] == 0
    # Datagrams may be lost while nobody runs the guest, and only then.
    assert all(began <= at <= ended for at in result["missing_at"]), result
    assert result["received"] > len(result["missing_at"]), result
    destination.finish()
    assert destination.report("net")["errors"] == "0"


def test_announces_itself_and_is_silent_before(scene, tcp_address):
    wire = scene.with_network()
    destination = scene.receive(address=tcp_address, tap="tap1")
    source = scene.run(f"prog=net net.ip={network.GUEST}", tap="tap0")
    source.wait_line(r"^GT ready")
    assert "02:00:00:00:00:15" not in macs_on(wire, "tap1")
    received = frames_received(wire, "tap1")
    assert received == 0, "the destination sent frames before it owned the guest"
    migrate(source, destination)
    deadline = time.monotonic() + vm.PATIENCE
    while "02:00:00:00:00:15" not in macs_on(wire, "tap1") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "02:00:00:00:00:15" in macs_on(wire, "tap1"), "the bridge was not told where the guest is now"
    destination.finish()


def macs_on(wire, tap):
    import subprocess
    return subprocess.run(["bridge", "-n", wire.netns, "fdb", "show", "br", "br0", "brport", tap], capture_output=True,
                          text=True, check=True).stdout


def frames_received(wire, tap):
    import json
    import subprocess
    shown = subprocess.run(["ip", "-n", wire.netns, "-s", "-j", "link", "show", tap], capture_output=True, text=True,
                           check=True).stdout
    return json.loads(shown)[0]["stats64"]["rx"]["packets"]


def test_everything_at_once(scene, tcp_address, guest_tools):
    wire = scene.with_network()
    image = scene.disk()
    parts = {"cpus": 2, "disk": image}
    destination = scene.receive(address=tcp_address, tap="tap1", **parts)
    source = scene.run(f"prog=all mem.size=24M mem.rate=40M disk.span=8M net.ip={network.GUEST} heartbeat.mode=line",
                       tap="tap0", **parts)
    source.wait_line(r"^GT ready")
    probe = UdpProbe(wire)
    probe.wait_answers(20)
    migrate(source, destination)
    probe.wait_answers(20)
    result = probe.end()
    assert result["duplicated"] == 0
    destination.finish()
    for topic in ("mem", "disk", "net"):
        assert destination.report(topic)["errors"] == "0"
    check_image(guest_tools, image)
    assert_heartbeat_never_broke(source, destination)


@pytest.mark.ordinarily_on("pci")
def test_twenty_moves_back_and_forth(scene, guest_tools):
    """One guest, twenty moves: no byte of it suffers, and the twentieth host is as lean as the second."""
    wire = scene.with_network()
    image = scene.disk()
    at = scene.run(f"prog=all mem.size=8M mem.rate=20M disk.span=4M net.ip={network.GUEST} heartbeat.mode=line",
                   disk=image, tap="tap0")
    at.wait_line(r"^GT ready")
    chain = [at]
    lean = []
    for move in range(20):
        to = scene.receive(f"host{move}", disk=image, tap=f"tap{(move + 1) % 2}")
        migrate(at, to)
        at = to
        chain.append(at)
        at.cli("status")
        lean.append((at.descriptors(), vmm_resident_kib(at)))
    wire.ping(5)
    at.finish()
    for topic in ("mem", "disk", "net"):
        assert at.report(topic)["errors"] == "0"
    check_image(guest_tools, image)
    assert_heartbeat_never_broke(*chain)
    assert lean[-1][0] == lean[1][0], f"descriptors grew: {lean}"
    assert lean[-1][1] <= lean[1][1] * 1.25 + 512, f"resident memory grew: {lean}"


def vmm_resident_kib(process):
    """Resident memory of the process without the guest's RAM, which is its largest mapping."""
    sizes = []
    with open(f"/proc/{process.child.pid}/smaps") as smaps:
        for line in smaps:
            found = re.match(r"(Size|Rss):\s+(\d+) kB", line)
            if found and found[1] == "Size":
                sizes.append([int(found[2]), 0])
            elif found:
                sizes[-1][1] = int(found[2])
    largest = max(sizes)
    return sum(rss for _, rss in sizes) - largest[1]


@pytest.mark.machines("plain", "pci", "ccw")
def test_paused_guest_stays_paused(scene, tcp_address):
    destination = scene.receive(address=tcp_address)
    source = scene.run("prog=heartbeat heartbeat.mode=line heartbeat.period=10000")
    source.wait_line(r"GT heartbeat n=5\b")
    source.cli("pause")
    migrate(source, destination)
    assert "paused" in destination.cli("status").stdout
    assert not heartbeats(destination)
    destination.cli("resume")
    destination.wait_line(r"GT heartbeat")
    destination.finish()
    assert_heartbeat_never_broke(source, destination)


# ---- failures: the source runs on, and a second attempt succeeds

def goes_on(source):
    last = heartbeats(source)[-1]
    source.wait_line(rf"GT heartbeat n={last + 5}\b")
    assert "running" in source.status()


def second_attempt(scene, source, **parts):
    destination = scene.receive("second", **parts)
    migrate(source, destination)
    destination.finish()
    assert_heartbeat_never_broke(source, destination)
    return destination


@pytest.mark.machines("plain", "pci", "ccw")
def test_no_destination(scene, tcp_address):
    source = scene.run("prog=heartbeat heartbeat.mode=line heartbeat.period=10000")
    source.wait_line(r"GT heartbeat n=5\b")
    done = source.cli("migrate", tcp_address, check=False)
    assert done.returncode == 5
    assert tcp_address.removeprefix("tcp:") in done.stderr
    goes_on(source)
    second_attempt(scene, source)


@pytest.mark.machines("plain", "pci", "ccw")
def test_destination_killed_while_memory_moves(scene, tcp_address):
    destination = scene.receive(address=tcp_address, memory="512M")
    source = scene.run("prog=mem,heartbeat mem.static=384M mem.size=16M mem.rate=20M heartbeat.mode=line "
                       "heartbeat.period=10000", memory="512M")
    source.wait_line(r"GT heartbeat n=5\b")
    control = source.qmp()
    control.execute("migrate", uri=tcp_address)
    while control.execute("query-migrate").get("ram", {}).get("transferred", 0) < 1 << 20:
        assert destination.alive()
    destination.kill()
    event = control.wait_event("MIGRATION")
    while event["data"]["status"] not in ("failed", "completed"):
        event = control.wait_event("MIGRATION")
    assert event["data"]["status"] == "failed"
    assert control.execute("query-migrate")["error-desc"]
    control.close()
    goes_on(source)
    last = second_attempt(scene, source, memory="512M")
    assert last.report("mem")["errors"] == "0"


@pytest.mark.machines("plain", "pci", "ccw")
def test_destination_of_another_shape_says_every_difference(scene, tcp_address):
    image = scene.disk()
    destination = scene.receive(address=tcp_address, memory="96M", cpus=2)
    source = scene.run("prog=heartbeat heartbeat.mode=line heartbeat.period=10000", disk=image)
    source.wait_line(r"GT heartbeat n=5\b")
    done = source.cli("migrate", destination.address, check=False)
    assert done.returncode == 6
    for word in ("memory", "cpus", scene.disk_type):
        assert word in done.stderr, done.stderr
    destination.wait_stderr("memory")
    goes_on(source)
    assert destination.alive(), "a receiver survives a refused attempt"
    second_attempt(scene, source, disk=image)


@pytest.mark.machines("plain", "pci", "ccw")
def test_receiver_listens_again_after_a_failed_attempt(scene, tcp_address):
    destination = scene.receive(address=tcp_address, memory="512M")
    parts = {"memory": "512M"}
    first = scene.run("prog=mem,heartbeat mem.static=384M mem.size=4M mem.rate=1M heartbeat.mode=line", name="first",
                      **parts)
    first.wait_line(r"^GT ready")
    control = first.qmp()
    control.execute("migrate", uri=tcp_address)
    while control.execute("query-migrate").get("ram", {}).get("transferred", 0) < 1 << 20:
        assert destination.alive()
    first.kill()
    destination.wait_stderr("waiting for a migration again")
    source = scene.run("prog=mem,heartbeat mem.size=16M mem.rate=20M heartbeat.mode=line", name="other", **parts)
    source.wait_line(r"^GT ready")
    migrate(source, destination)
    destination.finish()
    assert destination.report("mem")["errors"] == "0"
