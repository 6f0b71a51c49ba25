# SPDX-License-Identifier: Apache-2.0
"""Disks that lose what was written to them."""
import contextlib
import fcntl
import os
import pathlib
import subprocess
import sys
import time

import pytest
import vm

ANY_MACHINE = pytest.mark.machines("plain", "pci", "ccw")
CHECK_DISK = pathlib.Path(__file__).resolve().parents[1] / "guest" / "check_disk.py"
DISCARDS = 11  # Documentation/block/stat.rst


@contextlib.contextmanager
def small_file_system(path, size):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", path], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=False)


@contextlib.contextmanager
def loop_device(image):
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no loop device can be had here: {made.stderr.strip()}")
    try:
        yield made.stdout.strip()
    finally:
        subprocess.run(["losetup", "--detach", made.stdout.strip()], check=False)


def make_image(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


@pytest.fixture
def short_disk(tmp_path):
    """A disk of 8 MiB with storage for 2: what is too much is taken into the page cache, and lost on its way from there."""
    with small_file_system(tmp_path, "2m"), loop_device(make_image(tmp_path / "disk.raw", 8 << 20)) as device:
        yield device


@pytest.fixture
def another_disk(tmp_path, short_disk):
    """A device like it."""
    with loop_device(make_image(tmp_path / "another.raw", 8 << 20)) as device:
        yield device


@pytest.fixture
def block_device(tmp_path):
    """A device of 8 MiB, and the file below it, which has all its blocks."""
    with small_file_system(tmp_path, "16m"):
        image = make_image(tmp_path / "disk.raw", 8 << 20)
        with open(image, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, 8 << 20)
        with loop_device(image) as device:
            yield device, image


@pytest.fixture
def guest_that_lost(scene, short_disk):
    """Its disk has lost something that nobody was told of so far: the kernel will tell whoever syncs next."""
    guest = scene.run("prog=heartbeat heartbeat.mode=line", disk=short_disk)
    guest.wait_line(r"^GT heartbeat")
    with open(short_disk, "r+b", buffering=0) as disk:
        assert disk.write(os.urandom(8 << 20)) == 8 << 20
        with pytest.raises(OSError):
            os.fsync(disk.fileno())
    return guest


@ANY_MACHINE
def test_what_a_disk_lost_ends_a_migration(scene, guest_that_lost, short_disk, another_disk):
    there = scene.receive("destination", disk=another_disk)
    done = guest_that_lost.cli("migrate", there.address, check=False)
    assert done.returncode != 0
    assert short_disk in done.stderr and "lost" in done.stderr, done.stderr
    assert "running" in guest_that_lost.status()
    assert guest_that_lost.cli("migrate", there.address, check=False).returncode != 0  # what was lost stays lost


@ANY_MACHINE
def test_what_a_disk_lost_ends_a_save(scene, guest_that_lost, short_disk):
    done = guest_that_lost.cli("save", scene.path / "state", check=False)
    assert done.returncode != 0 and not (scene.path / "state").exists()
    assert short_disk in done.stderr and "lost" in done.stderr, done.stderr
    assert "running" in guest_that_lost.status()
    assert guest_that_lost.cli("save", scene.path / "state", check=False).returncode != 0  # what was lost stays lost


@pytest.mark.machines("plain")
def test_a_lock_that_is_let_go_of_in_a_moment_is_waited_for(scene):
    """As the kernel lets go of a killed process's: a supervisor starts the guest again at once."""
    disk = scene.disk()
    with open(disk, "r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        guest = scene.run("prog=disk disk.span=1M", disk=disk)
        time.sleep(0.4)
        assert guest.alive(), guest.stderr()
    guest.wait_line(r"^GT ready")
    guest.finish()


def test_what_a_guest_discards_on_a_block_device_comes_back(scene, block_device):
    device, image = block_device
    before = image.stat().st_blocks
    guest = scene.run("prog=disk disk.span=4M time=3", disk=device)
    guest.expect_exit(0)
    assert guest.report("disk")["errors"] == "0" and int(guest.report("disk")["discards"]) > 0
    statistics = pathlib.Path("/sys/block", pathlib.Path(device).name, "stat").read_text().split()
    assert int(statistics[DISCARDS]) > 0
    assert image.stat().st_blocks < before


FULL = 256 << 10  # bytes of storage under a disk of 2 MiB


@pytest.fixture
def full_disk(tmp_path):
    """A sparse disk on a file system that is too small for it, and how to make room there."""
    folder = tmp_path / "small"
    folder.mkdir()
    with small_file_system(folder, FULL):
        yield make_image(folder / "disk.raw", 2 << 20), lambda: subprocess.run(
            ["mount", "-o", "remount,size=8m", folder], check=True)


@pytest.fixture
def guest_without_space(scene, full_disk):
    """It writes until there is no space, and stands still then."""
    guest = scene.run("prog=disk disk.span=2M", disk=full_disk[0], extra=["--paused"])
    control = guest.qmp()  # before anything happens: who comes later hears no event
    control.execute("cont")
    failure = control.wait_event("BLOCK_IO_ERROR")
    control.wait_event("STOP")
    return guest, control, failure


def check_whole(guest, image):
    guest.finish()
    assert guest.report("disk")["errors"] == "0", guest.transcript()
    checked = subprocess.run([sys.executable, CHECK_DISK, image], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_a_disk_without_space_stops_the_guest_until_there_is_room(guest_without_space, full_disk):
    guest, control, failure = guest_without_space
    assert failure["data"]["device"] == "disk0" and failure["data"]["operation"] == "write"
    assert failure["data"]["action"] == "stop" and failure["data"]["nospace"] is True
    assert "No space left on device" in failure["data"]["reason"]
    assert control.execute("query-status") == {"status": "io-error", "running": False, "singlestep": False}
    assert "io-error" in guest.status()
    control.execute("cont")  # nothing has changed
    control.wait_event("BLOCK_IO_ERROR")
    control.wait_event("STOP")
    full_disk[1]()
    control.execute("cont")
    assert control.execute("query-status")["status"] == "running"
    check_whole(guest, full_disk[0])


def test_a_guest_that_waits_for_space_moves_and_goes_on_there(scene, guest_without_space, full_disk):
    guest, _, _ = guest_without_space
    there = scene.receive(disk=full_disk[0])
    guest.cli("migrate", there.address)
    guest.expect_exit(0)
    control = there.qmp()
    assert control.execute("query-status")["status"] == "io-error"
    full_disk[1]()
    control.execute("cont")
    check_whole(there, full_disk[0])


def test_a_guest_that_waits_for_space_is_saved_and_restored_as_such(scene, guest_without_space, full_disk):
    guest, _, _ = guest_without_space
    guest.cli("save", "--quit", scene.path / "state")
    guest.expect_exit(0)
    again = scene.restore(scene.path / "state", disk=full_disk[0])
    control = again.qmp()
    again.wait_stderr("the guest is io-error")
    assert control.execute("query-status")["status"] == "io-error"
    full_disk[1]()
    control.execute("cont")
    check_whole(again, full_disk[0])


def test_an_error_that_is_reported_reaches_the_guest(scene, full_disk):
    guest = scene.start("run", "source", ["--kernel", vm.GUEST, "--cmdline", "prog=disk disk.span=2M", "--memory", "64M",
                                           "--disk", f"path={full_disk[0]},werror=report{scene._on('disk')}", "--paused"])
    control = guest.qmp()
    control.execute("cont")
    failure = control.wait_event("BLOCK_IO_ERROR")["data"]
    assert failure["action"] == "report" and failure["nospace"] is True
    guest.wait_line(r"\bio_error\b")
    assert control.execute("query-status")["status"] == "running"
