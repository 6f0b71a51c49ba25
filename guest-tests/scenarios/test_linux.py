# SPDX-License-Identifier: Apache-2.0
"""A real Linux, with drivers that nobody here wrote, works its disk and its network and moves while it does.

It is booted once for each transport and saved; every scenario goes on from that file."""
import json
import pathlib
import re
import subprocess
import time

import linux_guest
import network
import pace
import pytest
import vm
from linux_guest import Booted, clock, finish, serial_text, wait_beats

STREAMS = pathlib.Path(__file__).with_name("tcp_streams.py")
PING_INTERVAL = 0.2
_booted = {}


@pytest.fixture
def booted(transport, tmp_path_factory) -> Booted:
    if transport not in _booted:
        reason = network.available()
        if reason:
            pytest.skip(reason)
        _booted[transport] = linux_guest.boot(tmp_path_factory.mktemp(f"linux-{transport}"), transport)
    return _booted[transport]


class Traffic:
    """TCP streams and a ping from the namespace, and what became of them."""

    def __init__(self, scene):
        netns = scene.network.netns
        self.streams = vm.Process(["/usr/bin/python3", str(STREAMS), network.GUEST, "5000", "5001"], netns)
        self.ping = vm.Process(["ping", "-n", "-D", "-O", "-i", str(PING_INTERVAL), network.GUEST], netns)
        scene.processes += [self.streams, self.ping]
        self.moves = []  # when the guest may have been nowhere, wall clock

    def _counts(self):
        found = re.findall(r"streams echoed=(\d+) brought=(\d+)", "\n".join(self.streams.stdout()))
        return tuple(map(int, found[-1])) if found else (0, 0)

    def wait_progress(self, count=16 << 10):
        """Both streams bring count more bytes."""
        begin = self._counts()
        deadline = time.monotonic() + linux_guest.PATIENCE
        while any(now < before + count for now, before in zip(self._counts(), begin)):
            if time.monotonic() > deadline or not self.streams.alive():
                raise vm.Failed(f"the streams stand still\n{self.streams.transcript()}")
            time.sleep(0.02)

    def move(self, source, destination):
        begin = time.time()
        source.cli("migrate", destination.address)
        source.expect_exit(0)
        self.moves.append((begin, time.time()))

    def end(self):
        self.streams.child.stdin.close()
        self.streams.expect_exit(0, linux_guest.PATIENCE)
        result = json.loads(self.streams.stdout()[-1])
        assert not result["faults"], result
        assert result["echoed"] == result["sent"] > 0 and result["brought"] > 0
        self.ping.child.send_signal(2)
        self.ping.wait_exit()
        text = "\n".join(self.ping.stdout())
        answered = set(re.findall(r"bytes from .* icmp_seq=(\d+) ", text))
        assert len(answered) > 5 and "DUP" not in text, text
        last = max(map(int, answered))  # those behind it may still be on their way: an emulated kernel takes its time
        # What was on its way when the guest moved is lost with the card it was on its way to.
        way = max(map(float, re.findall(r"icmp_seq=\d+ .*time=([\d.]+) ms", text))) / 1000
        # Never sent: the guest took longer to tell its hardware address than this host waits for it.
        unsent = set(re.findall(r"icmp_seq=(\d+) Destination Host Unreachable", text))
        for stamp, number in re.findall(r"\[([\d.]+)\] no answer yet for icmp_seq=(\d+)", text):
            explained = any(begin - way - PING_INTERVAL <= float(stamp) <= end + 2 * PING_INTERVAL
                            for begin, end in self.moves)
            assert number in answered | unsent or int(number) > last or explained, f"echo request {number} was lost\n{text}"
        return result


def assert_clock_went_on(*processes):
    """Every beat came once, time never went back, and the guest's clock stays with the host's over all moves."""
    beats = clock(*processes)
    assert [b.number for b in beats] == list(range(beats[0].number, beats[0].number + len(beats)))
    assert all(a.monotonic < b.monotonic and a.real < b.real for a, b in zip(beats, beats[1:]))
    # The guest asks for the real time second, and may be held up before: the smallest difference is the nearest to the truth.
    # Of a line that a move cuts in two, one process has a part only, whose last number may be cut.
    by_process = [[b for b in clock(p) if b in beats] for p in processes]
    apart = [min(b.real - b.monotonic for b in seen) for seen in by_process if seen]
    assert all(abs(each - apart[0]) < 1e-3 for each in apart), apart
    # The host's time of a line is when it was read here. The guest's clock stands still while it is paused, and no longer.
    lines = [line for p in processes for line in p.lines]
    at = {int(m[1]): line.at for line in lines if (m := re.match(r"GT linux clock n=(\d+) ", line.text))}
    ends = [b for b in beats if b.number in at]
    drift = (ends[-1].monotonic - ends[0].monotonic) - (at[ends[-1].number] - at[ends[0].number])
    assert abs(drift) < 2 * max(1.0, pace.PACE / 2), f"the guest's clock is {drift:.3f} s ahead of the host's over {len(ends)} beats"


def assert_no_complaint(*processes):
    text = serial_text(*processes)
    assert not re.search(r"GT linux fail|BUG|WARNING|Call Trace|I/O error|EXT4-fs error|soft lockup", text), text


def test_goes_on_from_its_file_and_powers_off(scene, booted):
    scene.with_network()
    guest = booted.restore(scene)
    wait_beats(guest, 3)
    finish(guest)
    assert_no_complaint(guest)
    assert guest.report("linux disk")["errors"] == "0"
    linux_guest.check_disk(scene.path / "disk.raw")


@pytest.mark.ordinarily_on("pci")
@pytest.mark.parametrize("clock_option", ["host", "vm"])
def test_time_that_passes_while_it_is_a_file(scene, booted, clock_option):
    """By default the guest's clock follows the host's; with --clock vm it goes on where it stood."""
    scene.with_network()
    first = booted.restore(scene)
    wait_beats(first, 1)
    first.cli("save", str(scene.path / "state"), "--quit")
    first.expect_exit(0)
    time.sleep(3)
    begin = time.time()
    second = scene.restore(scene.path / "state", name="second", disk=scene.path / "disk.raw", tap="tap0", rng=True,
                           extra=["--clock", clock_option])
    wait_beats(second, 3)  # the first may have been on its way to the serial port when the guest was saved
    before, after = clock(first)[-1], clock(second)[-1]
    assert after.monotonic > before.monotonic
    assert (after.real >= begin - 0.5) == (clock_option == "host"), (before, after, begin)
    finish(second)
    assert_no_complaint(second)


def test_each_restore_is_a_generation_of_its_own_and_a_move_is_none(scene, booted):
    """Two guests that go on from one file must not draw the same random numbers: Linux reseeds when it is told."""
    scene.with_network()
    first = booted.restore(scene)
    destination = scene.receive(disk=scene.path / "disk.raw", tap="tap1", rng=True)
    first.cli("migrate", destination.address)
    first.expect_exit(0)
    finish(destination)
    assert re.findall(r"GT linux vm-forks=(\d+)", serial_text(destination)) == ["1"]
    assert_no_complaint(first, destination)


def test_moves_there_and_back_at_work(scene, booted):
    scene.with_network()
    first = booted.restore(scene)
    traffic = Traffic(scene)
    traffic.wait_progress()
    chain = [first]
    for name, tap in (("there", "tap1"), ("back", "tap0")):
        destination = scene.receive(name, disk=scene.path / "disk.raw", tap=tap, rng=True)
        traffic.move(chain[-1], destination)
        chain.append(destination)
        traffic.wait_progress()
        wait_beats(destination, 4)
    traffic.end()
    last = chain[-1]
    finish(last)
    assert_clock_went_on(*chain)
    assert_no_complaint(*chain)
    assert last.report("linux disk")["errors"] == "0" and int(last.report("linux disk")["files"]) > 0
    assert last.report("linux tcp")["connections"] == "2" and last.report("linux tcp")["errors"] == "0"
    linux_guest.check_disk(scene.path / "disk.raw")


def test_acpi_tables_are_clean(scene, booted):
    """As the kernel shows them: ACPICA takes every table apart, and what it has taken apart compiles without a remark."""
    scene.with_network()
    guest = booted.restore(scene)
    guest.send(b"a")
    count = int(guest.wait_line(r"GT linux acpi tables=(\d+) errors=0", linux_guest.PATIENCE)[1])
    finish(guest)
    tables = scene.path / "tables"
    tables.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump /acpi {tables}", scene.path / "disk.raw"], capture_output=True, check=True)
    files = sorted((tables / "acpi").iterdir())
    assert len(files) == count and {"APIC", "DSDT", "FACP", "MCFG"} <= {file.name for file in files}
    for file in files:
        apart = iasl("-d", file)
        assert not re.search("warning|error|invalid", apart, re.I), apart
        back = iasl(file.with_suffix(".dsl"))
        assert "0 Errors, 0 Warnings, 0 Remarks" in back, back


def iasl(*arguments):
    done = subprocess.run(["iasl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_power_button(scene, booted):
    scene.with_network()
    guest = booted.restore(scene)
    guest.cli("powerdown")
    guest.wait_line(r"GT linux finish why=power_button", linux_guest.PATIENCE)
    guest.wait_line(r"GT linux exit status=0\b", linux_guest.PATIENCE)
    guest.expect_exit(0, linux_guest.PATIENCE)


def test_entropy_comes_from_the_device_before_and_after_a_move(scene, booted):
    scene.with_network()
    chain = [booted.restore(scene)]
    chain.append(scene.receive("there", disk=scene.path / "disk.raw", tap="tap1", rng=True))
    for number, guest in enumerate(chain):
        if number:
            chain[0].cli("migrate", guest.address)
            chain[0].expect_exit(0)
        guest.send(b"e")
        guest.wait_line(r"GT linux entropy current=virtio_rng\.0 bytes=64 changes=1", linux_guest.PATIENCE)
    finish(chain[-1])
    assert_no_complaint(*chain)


def test_a_reboot_after_a_restore_and_a_move(scene, booted):
    """With the kernel, the initramfs and the command line that came along."""
    scene.with_network()
    source = booted.restore(scene)
    there = scene.receive("there", disk=scene.path / "disk.raw", tap="tap1", rng=True)
    source.cli("migrate", there.address)
    source.expect_exit(0)
    wait_beats(there, 2)
    said = len(there.lines)
    there.send(b"ra")
    there.wait_line(r"GT linux reset type=acpi", linux_guest.PATIENCE)
    for line in (r"GT linux disk ready", r"GT linux tcp ready", r"GT linux clock n=2 "):
        there.wait_line(line, linux_guest.PATIENCE, after=said)
    finish(there)


@pytest.mark.ordinarily_on("pci")
@pytest.mark.parametrize("way", ["acpi", "bios", "efi", "kbd", "pci"])
def test_reset_by(scene, booted, way):
    """Whichever way a kernel believes in; one with CONFIG_EFI, as those of distributions, takes efi here, and then bios."""
    scene.with_network()
    guest = booted.restore(scene, extra=["--no-reboot"])
    guest.send(b"r" + way[0].encode())
    guest.wait_line(rf"GT linux reset type={way}", linux_guest.PATIENCE)
    guest.expect_exit(0, linux_guest.PATIENCE)
    before = serial_text(guest).partition("GT linux reset type=")[0]  # then the kernel takes the disk away from a program that writes
    assert "fail" not in before
