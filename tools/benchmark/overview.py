# SPDX-License-Identifier: Apache-2.0
"""Start-up, memory beside the guest's, and two migrations: godwit and QEMU, as ratios."""
import statistics
import tempfile

import ceiling
import migration
import vmms
from processes import resident_kib
from report import Samples, compare

MEASURES = ("total, ms", "downtime, ms", "CPU at the source, s/GiB", "CPU at the destination, s/GiB")


def start_up(vmm, folder, runs):
    times = []
    for _ in range(runs):
        process = vmm.run(folder, "prog=hello", "256M")
        times.append(process.first_byte_ms())
        process.wait_end()
    return times


def overhead_mib(vmm, folder):
    process = vmm.run(folder, "prog=heartbeat heartbeat.mode=line", "256M")
    process.wait(r"^GT ready")
    everything, ram = resident_kib(process.child.pid)
    process.kill()
    return (everything - ram) / 1024


def run(runs):
    peers = [vmms.Godwit("godwit"), vmms.Qemu("QEMU")]
    samples = Samples()
    with tempfile.TemporaryDirectory() as folder:
        start_up(peers[0], folder, 2)
        for _ in range(5):  # interleaved, so that both see the same weather
            for vmm in peers:
                samples.add("first serial byte, ms", vmm.name, start_up(vmm, folder, 4))
        for vmm in peers:
            samples.add("resident beyond guest RAM, MiB", vmm.name, [overhead_mib(vmm, folder) for _ in range(3)])
        for load in migration.loads([200]):
            for _ in range(runs):
                for vmm in peers:
                    result = migration.measure(vmm, folder, load)
                    if "failed" in result:
                        raise SystemExit(f"{vmm.name}, {load.name}: {result['failed']}")
                    for measure in MEASURES:
                        samples.add(f"migration {load.name}: {measure}", vmm.name, [result[measure]])
    copies = [ceiling.plain_copy(ceiling.MIB).megabytes_per_second for _ in range(3)]
    print(ceiling.describe(vmms.QEMU))
    print(compare(samples, ["godwit", "QEMU"], "QEMU"))
    print(f"for scale: a plain TCP copy on this loopback moves {statistics.median(copies):.0f} MB/s")
    samples.by_measure["loopback copy, MB/s"] = copies
    return samples.by_measure
