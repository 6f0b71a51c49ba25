# SPDX-License-Identifier: Apache-2.0
"""What only channel I/O has: legacy drivers of either byte order, ways of interrupting and of notifying, both transports in
one guest, device numbers. All that is true of every transport is in the other files, which run on this one too."""

import conftest
import network
import pytest
import vm
from probes import UdpProbe
from test_devices import check_image
from test_migration import assert_heartbeat_never_broke, migrate

SUBSECTION = b"virtio/device_endian"
WORK = f"prog=disk,net,heartbeat disk.span=8M net.ip={network.GUEST} heartbeat.mode=line heartbeat.period=20000"


@pytest.fixture
def ccw(tmp_path):
    made = conftest.Scene(tmp_path, "ccw")
    yield made
    made.close()


def wait_ready(guest, revision=None, irq=None, endian=None):
    guest.wait_line(r"^GT ready")
    report = guest.report("ccw")
    for key, wanted in (("rev", revision), ("irq", irq), ("endian", endian)):
        assert wanted is None or report[key] == wanted, report


def finish(guest, guest_tools, image):
    guest.finish()
    for topic in ("disk", "net"):
        assert guest.report(topic)["errors"] == "0", guest.transcript()
    check_image(guest_tools, image)


@pytest.mark.parametrize("options, expected", [
    ("ccw.rev=0", ("0", "adapter", "little")),
    ("ccw.rev=0 ccw.endian=big", ("0", "adapter", "big")),
    ("ccw.rev=0 ccw.endian=big net.mrg=0 ccw.irq=classic", ("0", "classic", "big")),
    ("ccw.rev=0 net.mrg=0 event_idx=0 indirect=0 ccw.irq=classic", ("0", "classic", "little")),
    ("ccw.rev=0 ccw.endian=big event_idx=0 indirect=0 ccw.irq=poll", ("0", "poll", "big")),
    ("ccw.rev=1", ("1", "adapter", "little")),
    ("ccw.rev=2 ccw.irq=classic ccw.bell=operation", ("2", "classic", "little")),
    ("ccw.rev=2 ccw.bell=area", ("2", "adapter", "little")),
])
def test_each_kind_of_driver(ccw, guest_tools, options, expected):
    wire = ccw.with_network()
    image = ccw.disk()
    guest = ccw.run(f"{WORK} {options}", disk=image, tap="tap0")
    wait_ready(guest, *expected)
    wire.ping()
    vm.let_work(0.5)
    finish(guest, guest_tools, image)
    report = guest.report("disk")
    assert int(report["writes"]) > 0 and int(report["reads"]) > 0 and int(report["flushes"]) > 0
    assert int(guest.report("net")["icmp"]) >= 5


@pytest.mark.parametrize("options", ["ccw.rev=0", "ccw.rev=0 ccw.endian=big"])
def test_legacy_driver_starts_over(ccw, guest_tools, options):
    image = ccw.disk()
    guest = ccw.run(f"prog=disk disk.span=4M reinit=5 time=5 {options}", disk=image)
    guest.expect_exit(0)
    report = guest.report("disk")
    assert report["errors"] == "0" and report["reinits"] == "5"
    check_image(guest_tools, image)


# ---- moves

@pytest.mark.parametrize("options, in_stream", [
    ("ccw.rev=2", False),
    ("ccw.rev=0", False),
    ("ccw.rev=0 ccw.endian=big", True),
])
def test_byte_order_is_in_the_stream_only_when_it_is_not_little(ccw, guest_tools, options, in_stream):
    wire = ccw.with_network()
    image = ccw.disk()
    state = ccw.path / "guest.state"
    first = ccw.run(f"{WORK} {options}", disk=image, tap="tap0")
    first.wait_line(r"GT heartbeat n=10\b")
    first.cli("save", str(state), "--quit")
    first.expect_exit(0)
    assert (SUBSECTION in state.read_bytes()) == in_stream
    second = ccw.restore(state, disk=image, tap="tap1")
    second.wait_line(r"GT heartbeat n=\d+\s")
    wire.ping()
    finish(second, guest_tools, image)
    assert_heartbeat_never_broke(first, second)


@pytest.mark.parametrize("options", ["ccw.irq=adapter", "ccw.rev=0 ccw.endian=big ccw.irq=classic net.mrg=0", *(
    pytest.param(options, marks=pytest.mark.thorough)
    for options in ("ccw.irq=classic", "ccw.irq=poll", "ccw.rev=1 ccw.bell=operation", "ccw.bell=area"))])
def test_each_kind_of_driver_moves_there_and_back(ccw, guest_tools, options):
    wire = ccw.with_network()
    image = ccw.disk()
    chain = [ccw.run(f"{WORK} disk.depth=16 {options}", disk=image, tap="tap0")]
    wait_ready(chain[0])
    probe = UdpProbe(wire, interval_ms=2)
    for name, tap in (("there", "tap1"), ("back", "tap0")):
        probe.wait_answers(20)
        destination = ccw.receive(name, disk=image, tap=tap)
        migrate(chain[-1], destination)
        destination.wait_line(r"GT heartbeat n=\d+\s")
        chain.append(destination)
    probe.wait_answers(20)
    result = probe.end()
    assert result["duplicated"] == 0 and result["foreign"] == 0 and result["received"] > len(result["missing_at"]), result
    wire.ping()
    finish(chain[-1], guest_tools, image)
    assert_heartbeat_never_broke(*chain)


@pytest.mark.parametrize("phase", ["suspended", "quiet", "running", "pending", "halted", "checked"])
def test_channel_program_moves_halfway_through(ccw, phase):
    """The guest judges every condition code and status word; it stays in the phase nearly all the time."""
    image = ccw.disk()
    chain = [ccw.run(f"prog=channel,heartbeat channel.phase={phase} channel.hold=150000 heartbeat.mode=line "
                     "heartbeat.period=20000", disk=image)]
    chain[0].wait_line(r"GT heartbeat n=5\b")
    for name in ("second", "third", "fourth"):
        destination = ccw.receive(name, disk=image)
        migrate(chain[-1], destination)
        chain.append(destination)
        destination.wait_line(r"GT heartbeat n=\d+\s", after=15)
    chain[-1].finish()
    report = chain[-1].report("channel")
    assert report["errors"] == "0" and int(report["rounds"]) >= 3
    assert_heartbeat_never_broke(*chain)


def test_channel_programs_of_every_kind_beside_the_drivers(ccw, guest_tools):
    """The disk's subchannel works while that of the network card is taken through everything, saved and restored."""
    ccw.with_network()
    image = ccw.disk()
    state = ccw.path / "guest.state"
    first = ccw.run("prog=disk,channel,heartbeat disk.span=4M channel.hold=3000 heartbeat.mode=line heartbeat.period=20000",
                    disk=image, tap="tap0")
    for number in range(4):
        first.wait_line(r"GT heartbeat n=\d+\s", after=len(first.stdout()))
        first.cli("save", str(state), *(["--quit"] if number == 3 else []))
    first.expect_exit(0)
    second = ccw.restore(state, disk=image, tap="tap1")
    rounds = 0
    while rounds < 20:  # every kind several times
        seen = len(second.stdout())
        second.send(b"s")
        rounds = int(second.wait_line(r"^GT channel rounds=(\d+)", after=seen)[1])
    second.finish()
    assert second.report("channel")["errors"] == "0"
    assert second.report("disk")["errors"] == "0"
    check_image(guest_tools, image)


@pytest.mark.parametrize("disk, net", [("ccw", "pci"), ("pci", "ccw")])
def test_both_transports_in_one_guest(ccw, guest_tools, disk, net):
    ccw.transports = {"disk": disk, "net": net}
    wire = ccw.with_network()
    image = ccw.disk()
    source = ccw.run(WORK, disk=image, tap="tap0")
    source.wait_line(r"^GT ready")
    wire.ping()
    destination = ccw.receive(disk=image, tap="tap1")
    migrate(source, destination)
    destination.wait_line(r"GT heartbeat n=\d+\s")
    wire.ping()
    finish(destination, guest_tools, image)


@pytest.mark.parametrize("place", ["transport=pci", "transport=ccw,devno=0.0.0002"])
def test_a_device_does_not_change_its_place_on_the_way(ccw, place):
    image = ccw.disk()
    source = ccw.run("prog=disk,heartbeat disk.span=4M heartbeat.mode=line heartbeat.period=20000", disk=image)
    source.wait_line(r"^GT ready")
    destination = ccw.receive(extra=["--disk", f"path={image},{place}"])
    done = source.cli("migrate", destination.address, check=False)
    assert done.returncode != 0 and "virtio-blk" in done.stderr + destination.stderr(), done.stderr + destination.stderr()
    source.wait_line(r"GT heartbeat n=\d+\s", after=len(source.stdout()) + 5)
    source.finish()


# ---- device numbers

def test_device_number_is_what_was_asked_for(ccw):
    image = ccw.disk()
    guest = ccw.start("run", "source", ["--kernel", vm.GUEST, "--cmdline", "prog=disk disk.span=4M time=1", "--memory", "64M",
                                        "--disk", f"path={image},transport=ccw,devno=0.0.12aB"])
    guest.expect_exit(0)
    assert int(guest.report("ccw")["devno"], 16) == 0x12ab


@pytest.mark.parametrize("option, complaint", [
    ("transport=ccw,devno=0.0.10000", "devno"),
    ("transport=ccw,devno=1.0.0001", "devno"),
    ("transport=ccw,devno=0.4.0001", "devno"),
    ("transport=ccw,devno=", "devno"),
    ("transport=ccw,devno=0001", "devno"),
    ("transport=ccw,devno=0.0.xyz", "devno"),
    ("devno=0.0.0001", "devno"),
    ("transport=isa", "transport"),
    ("transport=ccw,slot=3", "slot"),
])
def test_what_a_device_number_may_not_be(ccw, option, complaint):
    image = ccw.disk()
    guest = ccw.start("run", "source", ["--kernel", vm.GUEST, "--memory", "64M", "--disk", f"path={image},{option}"])
    assert guest.wait_exit() not in (0, None)
    assert complaint in guest.stderr(), guest.stderr()


def test_two_devices_with_one_number(ccw):
    first, second = ccw.disk("first.raw"), ccw.disk("second.raw")
    guest = ccw.start("run", "source", ["--kernel", vm.GUEST, "--memory", "64M",
                                        "--disk", f"path={first},transport=ccw,devno=0.0.0007",
                                        "--disk", f"path={second},transport=ccw,devno=0.0.0007"])
    assert guest.wait_exit() not in (0, None)
    assert "0.0.0007" in guest.stderr(), guest.stderr()
