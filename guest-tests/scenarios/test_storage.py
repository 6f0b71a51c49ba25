# SPDX-License-Identifier: Apache-2.0
"""Disks that lose what was written to them."""
import os
import subprocess

import pytest

pytestmark = pytest.mark.machines("plain", "pci", "ccw")


@pytest.fixture
def short_disk(tmp_path):
    """A disk of 8 MiB with storage for 2: what is too much is taken into the page cache, and lost on its way from there."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "short", tmp_path], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    loop = None
    try:
        with open(tmp_path / "disk.raw", "wb") as file:
            file.truncate(8 << 20)
        made = subprocess.run(["losetup", "--find", "--show", tmp_path / "disk.raw"], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"no loop device can be had here: {made.stderr.strip()}")
        loop = made.stdout.strip()
        yield loop
    finally:
        if loop:
            subprocess.run(["losetup", "--detach", loop], check=False)
        subprocess.run(["umount", "--lazy", tmp_path], check=False)


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


def test_what_a_disk_lost_ends_a_migration(scene, guest_that_lost, short_disk):
    there = scene.receive("destination", disk=scene.disk(size=8 << 20))
    done = guest_that_lost.cli("migrate", there.address, check=False)
    assert done.returncode != 0
    assert short_disk in done.stderr and "lost" in done.stderr, done.stderr
    assert "running" in guest_that_lost.status()
    assert guest_that_lost.cli("migrate", there.address, check=False).returncode != 0  # what was lost stays lost


def test_what_a_disk_lost_ends_a_save(scene, guest_that_lost, short_disk):
    done = guest_that_lost.cli("save", scene.path / "state", check=False)
    assert done.returncode != 0 and not (scene.path / "state").exists()
    assert short_disk in done.stderr and "lost" in done.stderr, done.stderr
    assert "running" in guest_that_lost.status()
    assert guest_that_lost.cli("save", scene.path / "state", check=False).returncode != 0  # what was lost stays lost
