# SPDX-License-Identifier: Apache-2.0
"""Measures godwit beside stock QEMU 7.2 microvm: same machine, same guest, same run. Everything is a ratio.

Downtime is measured from outside: the guest sends one byte a millisecond on its serial line, and the longest gap
between two bytes, over both processes, is what somebody who talks to the guest would notice.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "guest-tests/scenarios"))
sys.dont_write_bytecode = True
import vm  # noqa: E402

QEMU = "qemu-system-x86_64"
BOARD = "microvm,acpi=on,pcie=on,pit=off,pic=off,rtc=off,ioapic2=off,isa-serial=on"


class Recorder:
    """A process whose serial line is its standard output; keeps when each chunk arrived."""

    def __init__(self, argv):
        self.started = time.monotonic_ns()
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.chunks = []
        self.news = threading.Condition()
        self.errors = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._drain, daemon=True).start()

    def _read(self):
        fd = self.child.stdout.fileno()
        while data := os.read(fd, 65536):
            now = time.monotonic_ns()
            with self.news:
                self.chunks.append((now, data))
                self.news.notify_all()

    def _drain(self):
        for line in self.child.stderr:
            self.errors.append(line.decode(errors="replace"))

    def text(self):
        with self.news:
            return b"".join(data for _, data in self.chunks).decode(errors="replace")

    def wait(self, pattern, patience=120):
        deadline = time.monotonic() + patience
        with self.news:
            while not re.search(pattern, b"".join(d for _, d in self.chunks).decode(errors="replace"), re.M):
                left = deadline - time.monotonic()
                if left <= 0 or self.child.poll() is not None:
                    raise SystemExit(f"{self.child.args[0]}: no {pattern!r}; it says: {self.text()[-300:]} "
                                     f"{''.join(self.errors)[-2000:]}")
                self.news.wait(min(left, 0.2))

    def first_byte_ms(self):
        self.wait("(?s).")
        return (self.chunks[0][0] - self.started) / 1e6

    def kill(self):
        self.child.kill()
        self.child.wait()


@dataclasses.dataclass
class Vmm:
    name: str
    unlimited = {}  # what lifts its default limit of bandwidth

    def start(self, folder, cmdline, memory, receiver=False, tag="a"):
        raise NotImplementedError


class Godwit(Vmm):
    def start(self, folder, cmdline, memory, receiver=False, tag="a"):
        common = ["--memory", memory, "--cpus", "1", "--serial", "stdio", "--control", f"{folder}/{tag}.sock"]
        if receiver:
            return Recorder([vm.GODWIT, "receive", receiver, *common])
        return Recorder([vm.GODWIT, "run", "--kernel", vm.GUEST, "--cmdline", cmdline, *common])


class Qemu(Vmm):
    unlimited = {"max_bandwidth": 1 << 40}

    def start(self, folder, cmdline, memory, receiver=False, tag="a"):
        argv = [QEMU, "-M", BOARD, "-accel", "kvm", "-cpu", "host,-arch-capabilities", "-m", memory, "-smp", "1", "-nodefaults",
                "-no-user-config", "-display", "none", "-serial", "stdio", "-kernel", vm.GUEST, "-append", cmdline,
                "-qmp", f"unix:{folder}/{tag}.sock,server=on,wait=off"]
        if receiver:
            argv += ["-incoming", receiver]
        return Recorder(argv)


def start_up(vmm, folder, runs):
    times = []
    for _ in range(runs):
        process = vmm.start(folder, "prog=hello", "256M")
        times.append(process.first_byte_ms())
        process.child.wait()
    return times


def resident_kib(pid):
    """(everything, the guest's RAM), resident: the RAM is the largest mapping."""
    sizes = []
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as smaps:
        for line in smaps:
            found = re.match(r"(Size|Rss):\s+(\d+) kB", line)
            if found and found[1] == "Size":
                sizes.append([int(found[2]), 0])
            elif found:
                sizes[-1][1] = int(found[2])
    return sum(rss for _, rss in sizes), max(sizes)[1]


def overhead(vmm, folder):
    process = vmm.start(folder, "prog=heartbeat heartbeat.mode=line", "256M")
    process.wait(r"^GT ready")
    everything, ram = resident_kib(process.child.pid)
    process.kill()
    return (everything - ram) / 1024


def longest_gap_ms(*processes):
    """Between any two serial bytes since the guest was ready, both processes taken together."""
    stamps = []
    for index, process in enumerate(processes):
        ready = index > 0
        for at, data in process.chunks:
            if ready:
                stamps.append(at)
            ready = ready or b"GT ready" in data
    stamps.sort()
    return max((b - a for a, b in zip(stamps, stamps[1:])), default=0) / 1e6


def migration(vmm, folder, writer):
    port = free_port()
    cmdline = "prog=mem,heartbeat heartbeat.mode=bytes heartbeat.period=1000 mem.static=768M mem.static.verify=0 "
    cmdline += "mem.size=64M mem.rate=200M" if writer else "mem.size=64K mem.rate=4K"
    source = vmm.start(folder, cmdline, "1G", tag="source")
    source.wait(r"^GT ready")
    destination = vmm.start(folder, cmdline, "1G", receiver=f"tcp:127.0.0.1:{port}", tag="destination")
    time.sleep(0.5)
    cpu_before = cpu_seconds(source) + cpu_seconds(destination)
    control = vm.Qmp(f"{folder}/source.sock")
    control.execute("migrate-set-parameters", downtime_limit=300, **vmm.unlimited)
    began = time.monotonic()
    control.execute("migrate", uri=f"tcp:127.0.0.1:{port}")
    result = {}
    while True:
        try:
            event = next((e for e in control.events if e["event"] == "MIGRATION"
                          and e["data"]["status"] in ("completed", "failed")), None)
            if event:
                if event["data"]["status"] == "failed":
                    raise SystemExit(f"{vmm.name}: {''.join(source.errors)}{''.join(destination.errors)}")
                break
            answer = control.execute("query-migrate")
            if answer.get("status") in ("completed", "failed"):
                if answer["status"] == "failed":
                    raise SystemExit(f"{vmm.name}: {answer}")
                break
            time.sleep(0.01)
        except (vm.Failed, OSError, json.JSONDecodeError):
            break  # the source has gone because it was done
    result["total_ms"] = (time.monotonic() - began) * 1e3
    time.sleep(0.5)
    result["cpu_s"] = cpu_seconds(destination) + cpu_seconds(source) - cpu_before
    result["gap_ms"] = longest_gap_ms(source, destination)
    source.kill()
    destination.kill()
    return result


def cpu_seconds(process):
    try:
        fields = pathlib.Path(f"/proc/{process.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def copy_ceiling_mb_s():
    """Plain TCP from memory to memory on the loopback, for scale."""
    done = subprocess.run([str(vm.BUILD / "tools/loopback_copy"), "768"], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main():
    options = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    options.add_argument("--json", metavar="FILE", help="write all samples there")
    options.add_argument("--runs", type=int, default=5, help="migrations of each kind (default 5)")
    chosen = options.parse_args()
    peers = [Godwit("godwit"), Qemu("qemu")]
    samples = {}

    def record(what, vmm, values):
        samples.setdefault(what, {}).setdefault(vmm.name, []).extend(values)

    with tempfile.TemporaryDirectory() as folder:
        start_up(peers[0], folder, 2)
        for _ in range(5):  # interleaved, so that both see the same weather
            for vmm in peers:
                record("first serial byte, ms", vmm, start_up(vmm, folder, 4))
        for vmm in peers:
            record("resident beyond guest RAM, MiB", vmm, [overhead(vmm, folder) for _ in range(3)])
        for writer in (False, True):
            kind = "writing 200 MB/s" if writer else "idle"
            for _ in range(chosen.runs):
                for vmm in peers:
                    result = migration(vmm, folder, writer)
                    record(f"migration {kind}: total, ms", vmm, [result["total_ms"]])
                    record(f"migration {kind}: longest gap, ms", vmm, [result["gap_ms"]])
                    record(f"migration {kind}: CPU of both sides, s", vmm, [result["cpu_s"]])
    ceiling = [copy_ceiling_mb_s() for _ in range(3)]

    version = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; {version}")
    print(f"{'median (min to max)':42} {'godwit':>24} {'QEMU':>24} {'ratio':>7}")
    for what, by_vmm in samples.items():
        def cell(values):
            return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
        ratio = statistics.median(by_vmm["godwit"]) / statistics.median(by_vmm["qemu"])
        print(f"{what:42} {cell(by_vmm['godwit']):>24} {cell(by_vmm['qemu']):>24} {ratio:7.2f}")
    print(f"for scale: a plain TCP copy on this loopback moves {statistics.median(ceiling):.0f} MB/s")
    if chosen.json:
        samples["loopback copy, MB/s"] = ceiling
        pathlib.Path(chosen.json).write_text(json.dumps(samples, indent=2) + "\n")


main()
