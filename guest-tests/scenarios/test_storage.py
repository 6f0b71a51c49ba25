# SPDX-License-Identifier: Apache-2.0
"""Disks that lose what was written to them."""
import contextlib
import os
import pathlib
import subprocess

import pytest

ANY_MACHINE = pytest.mark.machines("plain", "pci", "ccw")
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
def test_what_a_disk_lost_ends_a_migration(scene, guest_that_lost, short_disk):
    there = scene.receive("destination", disk=scene.disk(size=8 << 20))
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


def test_what_a_guest_discards_on_a_block_device_comes_back(scene, block_device):
    device, image = block_device
    before = image.stat().st_blocks
    guest = scene.run("prog=disk disk.span=4M time=3", disk=device)
    guest.expect_exit(0)
    assert guest.report("disk")["errors"] == "0" and int(guest.report("disk")["discards"]) > 0
    statistics = pathlib.Path("/sys/block", pathlib.Path(device).name, "stat").read_text().split()
    assert int(statistics[DISCARDS]) > 0
    assert image.stat().st_blocks < before
