# SPDX-License-Identifier: Apache-2.0
"""The machine that measures: its name, its loopback's ceiling, and its memory made ready."""
import dataclasses
import mmap
import os
import pathlib
import platform
import re
import subprocess
import time

import pace
import vm

MADV_POPULATE_WRITE = 23
# Memory, rates and beats of what is measured are for an ordinary host; a slow one gets less of each, which its name tells.
MIB = max(48, round(768 / pace.PACE))  # of written memory


def scaled(rate):
    """A rate in MB/s, for this host."""
    return max(1, round(rate / pace.PACE))


def describe(qemu):
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    slow = f", {pace.PACE:.0f} times slower than an ordinary host: {MIB} MiB instead of 768" if pace.PACE > 2 else ""
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}{slow}; {version}"


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


@dataclasses.dataclass
class Copy:
    """What moved memory from one process or thread to another, and what it cost."""
    megabytes_per_second: float
    source_cpu: float  # seconds per GiB
    destination_cpu: float


def plain_copy(mib, connections=1, warm=False):
    """Plain TCP from memory to memory on the loopback: what a migration cannot beat.

    A migration writes to memory that was never touched, and so does this; `warm` is the copy into memory that was.
    """
    return _copy("tools/loopback_copy", mib, connections, warm)


def ram_transfer(mib, connections=1, warm=False):
    """A migration of as much written memory, without a guest and a machine."""
    return _copy("migration/transfer_speed", mib, connections, warm)


def _copy(program, mib, connections, warm):
    warm_memory(2 * mib + 256)
    done = subprocess.run([str(vm.BUILD / program), str(mib), str(connections), *(["warm"] if warm else [])],
                          capture_output=True, text=True, check=True)
    return Copy(*map(float, done.stdout.split()))


def free_port():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_listening(port, patience=30.0):
    """Until somebody listens there. Looked up, not tried: a receiver may take the first connection for its migration."""
    deadline = time.monotonic() + patience
    listens = re.compile(rf"^ *\d+: [0-9A-F]+:{port:04X} \S+ 0A ", re.M)
    while not any(listens.search(pathlib.Path(f"/proc/net/{table}").read_text()) for table in ("tcp", "tcp6")):
        if time.monotonic() > deadline:
            raise vm.Failed(f"nobody listens on port {port} after {patience:.0f} s")
        time.sleep(0.02)
