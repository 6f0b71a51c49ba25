# SPDX-License-Identifier: Apache-2.0
"""The machine that measures: its name, its loopback's ceiling, and its memory made ready."""
import mmap
import os
import platform
import subprocess

import vm

MADV_POPULATE_WRITE = 23


def describe(qemu):
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; {version}"


def warm_memory(mib):
    """Touches free memory and gives it back, so that the next process gets pages that this machine has.

    A machine that is itself virtual may have given its free memory back to its own host. Whoever touches it first
    then waits for that host, for several times as long as a migration takes: chance, which would be all that is
    measured. Every run of every VMM, and of the plain copy, gets the same.
    """
    block = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    try:
        block.madvise(MADV_POPULATE_WRITE)
    except OSError:  # before Linux 5.14
        for at in range(0, mib << 20, mmap.PAGESIZE):
            block[at] = 1
    block.close()


def copy_ceiling_mb_s(mib, connections=1):
    """Plain TCP from memory to memory on the loopback: what a migration cannot beat."""
    warm_memory(2 * mib + 256)
    done = subprocess.run([str(vm.BUILD / "tools/loopback_copy"), str(mib), str(connections)], capture_output=True,
                          text=True, check=True)
    return float(done.stdout)


def free_port():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
