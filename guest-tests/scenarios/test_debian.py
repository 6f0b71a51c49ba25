# SPDX-License-Identifier: Apache-2.0
"""Debian's own kernel, as it is, moves between two ordinary KVM hosts: AMD-V, which QEMU's TCG emulates."""
import re
import subprocess

import debian
import fleet
import linux_guest
import network
import pytest
import vm

pytestmark = pytest.mark.machines("pci")

TOOLS = linux_guest.LINUX.parents[1] / "tools"
EMULATED_HOST_FAILED = 4  # exit status of tools/smoke


@pytest.mark.fleet
def test_debians_kernel_works_and_moves_on_an_ordinary_host(scene):
    debian_kernel = debian.kernel("cloud")
    path = scene.path
    (path / "initrd").write_bytes((linux_guest.folder() / "initramfs.cpio").read_bytes() +
                                  (debian_kernel / "modules.cpio").read_bytes())
    linux_guest.make_disk(path / "disk.raw")
    done = subprocess.run([TOOLS / "smoke", "--host", "emulated", "--godwit", vm.GODWIT, "--kernel", debian_kernel / "vmlinuz", "--initrd", path / "initrd",
                           "--cmdline", f"console=ttyS0 gt=work gt.ip={network.GUEST}/24", "--memory", "256M", "--cpus", "2",
                           "--disk", path / "disk.raw", "--net", "--ping", network.GUEST, "--ready", "GT linux disk ready",
                           "--poke", "se", "--answer", "^GT linux entropy current=virtio_rng.0 bytes=64 changes=1",
                           "--godwit-option=--rng", "--godwit-option=source=getrandom", "--timeout", "600", "--downtime-limit", "60000", "--log", path / "console.log"],
                          capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode == EMULATED_HOST_FAILED:
        raise fleet.HostFailed(done.stdout)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    console = (path / "console.log").read_text()
    assert re.search(r"GT linux boot kernel=\S+-cloud-amd64 cpus=2 ", console), console
    assert "GT linux finish why=power_button" in console
    assert "GT linux exit status=0" in console, console  # checksums, clock and kernel messages are in order
    linux_guest.check_disk(path / "disk.raw")
