# SPDX-License-Identifier: Apache-2.0
"""One migration over the loopback, measured from outside; the same measure for every VMM.

Downtime: the guest sends one byte a millisecond on its serial line, and the longest gap between two bytes, over both
processes, is what somebody who talks to the guest would notice.
"""
import dataclasses
import json
import time

import host
import vm
from processes import longest_gap_ms
from vmms import connect

RAM = "1G"
PATIENCE = 30.0


@dataclasses.dataclass
class Load:
    name: str
    megabytes_per_second: int  # that the guest writes; 0: next to nothing

    def cmdline(self):
        """768 MiB of random data in all, of which a writer has a third under its pen."""
        if self.megabytes_per_second:
            memory = f"mem.static=512M mem.size=256M mem.rate={self.megabytes_per_second}M"
        else:
            memory = "mem.static=768M mem.size=64K mem.rate=4K"
        return f"prog=mem,heartbeat heartbeat.mode=bytes heartbeat.period=1000 mem.static.verify=0 {memory}"


IDLE = Load("idle", 0)


def loads(rates):
    return [IDLE] + [Load(f"writing {rate} MB/s", rate) for rate in rates]


@dataclasses.dataclass
class Moved:
    bytes: int
    downtime_ms: float  # as the VMM says


def measure(vmm, folder, load):
    """What one migration was, by name of the measure; {"failed": why} when the guest stayed."""
    address = f"tcp:127.0.0.1:{host.free_port()}"
    source = vmm.run(folder, load.cmdline(), RAM)
    destination = None
    try:
        source.wait(r"^GT ready")
        host.warm_memory(1536)
        destination = vmm.receive(folder, load.cmdline(), RAM, address)
        time.sleep(0.3)
        control = connect(folder, "source")
        vmm.prepare(control)
        cpu_source, cpu_destination = source.cpu_seconds(), destination.cpu_seconds()
        began = time.monotonic()
        control.execute("migrate", uri=address)
        outcome = follow(control, began, source)
        took = time.monotonic() - began
        if isinstance(outcome, str):
            return {"failed": outcome}
        cpu_destination = destination.cpu_seconds() - cpu_destination
        if source.child.args[0] == vm.GODWIT:
            source.wait_end()
        cpu_source = source.cpu_seconds() - cpu_source
        time.sleep(0.3)
        gibibytes = outcome.bytes / (1 << 30)
        return {
            "total, ms": took * 1e3,
            "throughput, MB/s": outcome.bytes / 1e6 / took,
            "downtime, ms": longest_gap_ms(source, destination),
            "downtime as the VMM says, ms": outcome.downtime_ms,
            "CPU at the source, s/GiB": cpu_source / gibibytes,
            "CPU at the destination, s/GiB": cpu_destination / gibibytes,
            "peak memory of the source, MiB": source.peak_mib(),
            "peak memory of the destination, MiB": destination.peak_mib(),
        }
    finally:
        source.kill()
        if destination is not None:
            destination.kill()


def follow(control, began, source):
    """What was moved, or why it failed."""
    moved, downtime = 0, 0.0
    while True:
        source.peak_mib()
        event = ended(control)
        answer = {}
        if event is None or "transferred" not in event:
            try:
                answer = control.execute("query-migrate")
            except (vm.Failed, OSError, json.JSONDecodeError):
                # A source that is done may be gone before it has answered.
                event = ended(control) or {}
                if event.get("status") != "completed" and not moved:
                    return "the source is gone"
                event["status"] = "completed"
        answer = event if event is not None and "status" not in answer else answer
        moved = answer.get("transferred", answer.get("ram", {}).get("transferred", moved))
        downtime = answer.get("downtime", downtime)
        if answer.get("status") == "completed":
            return Moved(moved, downtime)
        if answer.get("status") in ("failed", "cancelled"):
            return answer.get("error-desc", answer["status"])
        if time.monotonic() - began > PATIENCE:
            control.execute("migrate_cancel")
            return f"not done after {PATIENCE:.0f} s"
        control.wait_news(0.01)


def ended(control):
    """The event that says how the migration ended, if it is here."""
    return next((event["data"] for event in control.events if event["event"] == "MIGRATION" and
                 event["data"]["status"] in ("completed", "failed", "cancelled")), None)


def rounds_until_declared(vmm, folder, cap):
    """A guest that writes faster than the link, which is capped for that: after which round it was said so.

    None when it was not, which it must be: the migration would go on for ever.
    """
    address = f"tcp:127.0.0.1:{host.free_port()}"
    load = Load("a writer faster than the link", 2 * cap)
    source = vmm.run(folder, load.cmdline(), RAM)
    destination = None
    try:
        source.wait(r"^GT ready")
        destination = vmm.receive(folder, load.cmdline(), RAM, address)
        control = connect(folder, "source")
        vmm.prepare(control)
        control.execute("migrate-set-parameters", max_bandwidth=cap * 1_000_000, on_stall="cancel")
        began = time.monotonic()
        control.execute("migrate", uri=address)
        follow(control, began, source)
        return next((event["data"]["round"] for event in control.events if event["event"] == "MIGRATION_STALL"), None)
    finally:
        source.kill()
        if destination is not None:
            destination.kill()
