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
PATIENCE = 60.0


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
        gibibytes = outcome / (1 << 30)
        return {
            "total, ms": took * 1e3,
            "throughput, MB/s": outcome / 1e6 / took,
            "downtime, ms": longest_gap_ms(source, destination),
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
    """Bytes that were moved, or why it failed."""
    moved = 0
    while True:
        source.peak_mib()
        try:
            for event in control.events:
                if event["event"] == "MIGRATION" and event["data"]["status"] == "completed":
                    return event["data"].get("transferred", moved)
            answer = control.execute("query-migrate")
        except (vm.Failed, OSError, json.JSONDecodeError):
            # A source that is done may be gone before it has answered.
            for event in control.events:
                if event["event"] == "MIGRATION" and event["data"]["status"] == "completed":
                    return event["data"].get("transferred", moved)
            return moved if moved else "the source is gone"
        moved = answer.get("ram", {}).get("transferred", moved)
        if answer.get("status") == "completed":
            return moved
        if answer.get("status") in ("failed", "cancelled"):
            return answer.get("error-desc", answer["status"])
        if time.monotonic() - began > PATIENCE:
            control.execute("migrate_cancel")
            return f"not done after {PATIENCE:.0f} s"
        time.sleep(0.01)
