# SPDX-License-Identifier: Apache-2.0
"""One migration over the loopback, measured from outside; the same measure for every VMM.

Downtime: the guest sends one byte a millisecond on its serial line (less often on a slow host), and the longest gap between two bytes, over both
processes, is what somebody who talks to the guest would notice.
"""
import contextlib
import dataclasses
import json
import time

import ceiling
import pace
import vm
from processes import Recorder, longest_gap_ms
from vmms import connect

RAM = f"{max(128, ceiling.MIB * 4 // 3)}M"
PATIENCE = 30.0 * max(1.0, pace.PACE / 2)
BEAT = round(1000 * max(1.0, pace.PACE / 4))  # microseconds


@dataclasses.dataclass
class Load:
    name: str
    megabytes_per_second: int  # that the guest writes; 0: next to nothing

    def cmdline(self):
        """ceiling.MIB of random data in all, of which a writer has a third under its pen."""
        if self.megabytes_per_second:
            third = ceiling.MIB // 3
            memory = f"mem.static={ceiling.MIB - third}M mem.size={third}M mem.rate={ceiling.scaled(self.megabytes_per_second)}M"
        else:
            memory = f"mem.static={ceiling.MIB}M mem.size=64K mem.rate=4K"
        return f"prog=mem,heartbeat heartbeat.mode=bytes heartbeat.period={BEAT} mem.static.verify=0 {memory}"


IDLE = Load("idle", 0)


def loads(rates):
    return [IDLE] + [Load(f"writing {rate} MB/s", rate) for rate in rates]


@dataclasses.dataclass
class Pair:
    source: Recorder
    destination: Recorder
    control: vm.Qmp  # of the source
    address: str


@contextlib.contextmanager
def pair(vmm, folder, load):
    """A guest under `load` that can move, and where it can move to."""
    port = ceiling.free_port()
    address = f"tcp:127.0.0.1:{port}"
    source = vmm.run(folder, load.cmdline(), RAM)
    destination = None
    try:
        source.wait(r"^GT ready")
        ceiling.warm_memory(2 * ceiling.MIB)
        destination = vmm.receive(folder, load.cmdline(), RAM, address)
        ceiling.wait_listening(port)
        control = connect(folder, "source")
        vmm.prepare(control)
        yield Pair(source, destination, control, address)
    finally:
        source.kill()
        if destination is not None:
            destination.kill()


def measure(vmm, folder, load):
    """What one migration was, by name of the measure; {"failed": why} when the guest stayed."""
    with pair(vmm, folder, load) as both:
        source, destination = both.source, both.destination
        cpu_source, cpu_destination = source.cpu_seconds(), destination.cpu_seconds()
        began = time.monotonic_ns()
        both.control.execute("migrate", uri=both.address)
        moved = follow(both)
        took = (time.monotonic_ns() - began) / 1e9
        if isinstance(moved, str):
            return {"failed": moved}
        cpu_destination = destination.cpu_seconds() - cpu_destination
        cpu_source = source.cpu_seconds() - cpu_source
        time.sleep(0.3)
        gibibytes = moved / (1 << 30)
        return {
            "total, ms": took * 1e3,
            "throughput, MB/s": moved / 1e6 / took,
            "downtime, ms": longest_gap_ms(began, source, destination),
            "CPU at the source, s/GiB": cpu_source / gibibytes,
            "CPU at the destination, s/GiB": cpu_destination / gibibytes,
            "peak memory of the source, MiB": source.peak_mib(),
            "peak memory of the destination, MiB": destination.peak_mib(),
        }


def rounds_until_declared(vmm, folder, cap):
    """A guest that writes twice as fast as a link of `cap` MB/s carries: after which round that was said.

    None when it was not.
    """
    with pair(vmm, folder, Load("a writer faster than the link", 2 * cap)) as both:
        both.control.execute("migrate-set-parameters", max_bandwidth=ceiling.scaled(cap) * 1_000_000, on_stall="cancel")
        both.control.execute("migrate", uri=both.address)
        follow(both)
        return next((event["data"]["round"] for event in both.control.events if event["event"] == "MIGRATION_STALL"),
                    None)


def follow(both):
    """How many bytes were moved, or why the guest stayed."""
    control, moved = both.control, 0
    deadline = time.monotonic() + PATIENCE
    while True:
        both.source.peak_mib()
        answer = ended(control)
        if answer is None or answer == {"status": "completed"}:  # QEMU's event says no more
            try:
                answer = control.execute("query-migrate")
            except (vm.Failed, OSError, json.JSONDecodeError):
                # A source that is done may be gone before it has answered.
                answer = ended(control) or {"status": "completed" if moved else "failed",
                                            "error-desc": "the source is gone"}
        moved = answer.get("transferred", answer.get("ram", {}).get("transferred", moved))
        if answer.get("status") == "completed":
            return moved
        if answer.get("status") in ("failed", "cancelled"):
            return answer.get("error-desc", answer["status"])
        if time.monotonic() > deadline:
            control.execute("migrate_cancel")
            return f"not done after {PATIENCE:.0f} s"
        control.wait_news(0.01)


def ended(control):
    """The event that says how the migration ended, if it is here."""
    return next((event["data"] for event in control.events if event["event"] == "MIGRATION" and
                 event["data"]["status"] in ("completed", "failed", "cancelled")), None)
