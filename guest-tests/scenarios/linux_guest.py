# SPDX-License-Identifier: Apache-2.0
"""The small Linux as scenarios use it: built once, booted once for each transport, and then taken from a file."""
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys
import time

import conftest
import network
import pytest
import vm

LINUX = pathlib.Path(__file__).resolve().parents[1] / "linux"
UNAVAILABLE = 77  # build's exit status when its sources cannot be fetched
WORK = f"console=ttyS0 loglevel=4 gt=work gt.ip={network.GUEST}/24 gt.clock=250"
PATIENCE = 480  # the guest's kernel may be emulated


def folder():
    """The folder with the kernel and its initramfs, which are built when they are not there."""
    done = subprocess.run([sys.executable, LINUX / "build"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


def make_disk(image):
    """An empty ext4, without checksums of metadata: they are slow where the kernel is emulated."""
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^metadata_csum", image], check=True)


def check_disk(image):
    done = subprocess.run([sys.executable, LINUX / "check_disk", image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def kernel_options(transport):
    """What makes godwit boot it, and on this transport."""
    built = folder()
    return ["--kernel", str(built / "vmlinux"), "--initrd", str(built / "initramfs.cpio"), "--cmdline", WORK]


@dataclasses.dataclass
class Booted:
    """A guest at work, in a file, and its disk of that moment."""
    state: pathlib.Path
    image: pathlib.Path
    boot_lines: list

    def restore(self, scene, tap="tap0", extra=()):
        """Goes on with a copy in the scene; the disk is scene.path/disk.raw."""
        shutil.copy2(self.image, scene.path / "disk.raw")
        guest = scene.restore(self.state, name="source", disk=scene.path / "disk.raw", tap=tap, rng=True, extra=extra)
        guest.wait_line(r"GT linux clock n=\d+ ", PATIENCE)
        return guest


def boot(path, transport):
    scene = conftest.Scene(path, transport)
    try:
        scene.with_network()
        image = path / "disk.raw"
        make_disk(image)
        guest = scene.start("run", "boot", [*kernel_options(transport), *scene.options(disk=image, tap="tap0", rng=True)])
        for line in (r"GT linux disk ready", r"GT linux tcp ready", r"GT linux clock n=2 "):
            guest.wait_line(line, PATIENCE)
        guest.cli("save", str(path / "guest.state"), "--quit")
        guest.expect_exit(0)
        return Booted(path / "guest.state", image, guest.stdout())
    finally:
        scene.close()


def serial_text(*processes):
    """What the guest said, as one text: a move may fall into the middle of a line."""
    return b"".join(p.raw for p in processes).decode(errors="replace").replace("\r", "")


@dataclasses.dataclass
class Beat:
    number: int
    monotonic: float  # seconds, the guest's
    real: float


def clock(*processes):
    return [Beat(int(n), int(mono) / 1e9, int(real) / 1e9) for n, mono, real in
            re.findall(r"^GT linux clock n=(\d+) mono=(\d+) real=(\d+)$", serial_text(*processes), re.M)]


def wait_beats(guest, count, patience=PATIENCE):
    """Waits until the guest has reported its clock count more times."""
    seen = len(clock(guest))
    deadline = time.monotonic() + patience
    while len(clock(guest)) < seen + count:
        if time.monotonic() > deadline or not guest.alive():
            raise vm.Failed(f"the guest's clock is not reported\n{guest.transcript()}")
        time.sleep(0.02)


def finish(guest, status=0):
    """Asks the programs to verify everything and to power off."""
    guest.send(b"q")
    guest.wait_line(rf"GT linux exit status={status}\b", PATIENCE)
    guest.expect_exit(0, PATIENCE)
