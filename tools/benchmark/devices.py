# SPDX-License-Identifier: Apache-2.0
"""Measures disk and network on each transport: same machine, same guest, runs taken in turn. Everything is a ratio.

    tools/bench_devices [--runs N] [--seconds N] [--together] [--json FILE]

Disk: requests of 4 KiB of the guest's disk program, image in memory. Network: datagrams that the guest echoes, several on
their way at a time; it needs root, for a tap in a network namespace. For both: how many in a second, and what CPU time
each costs in godwit's process, guest included. On a machine with other load take --together: both transports then see the
same of it.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import select
import socket
import statistics
import struct
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "guest-tests/scenarios"))
sys.dont_write_bytecode = True
import network  # noqa: E402
import vm  # noqa: E402
import vmms  # noqa: E402,F401  (makes the modules of hosts known)
import placed  # noqa: E402

TRANSPORTS = ["pci", "ccw"]
DEPTH = 16


def client(seconds, size):
    """In the namespace: keeps DEPTH datagrams on their way, prints how many came back, in all and in a second."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.connect((network.GUEST, 7))
    number = answered = 0
    outstanding = set()
    now = began = time.monotonic()
    while now < began + seconds:
        while len(outstanding) < DEPTH:
            outstanding.add(number)
            link.send(struct.pack("!Q", number).ljust(size, b"x"))
            number += 1
        if select.select([link], [], [], 0.05)[0]:
            back = struct.unpack("!Q", link.recv(4096)[:8])[0]
            answered += back in outstanding
            outstanding.discard(back)
        else:
            outstanding.clear()  # lost
        now = time.monotonic()
    print(answered, answered / (now - began))


class Folder:
    """Stands for a scene of the scenarios."""

    def __init__(self, path):
        self.path = path


def start(path, transport, name, command_line, options, netns=None):
    suffix = "" if transport == "pci" else f",transport={transport}"
    guest = vm.Vm(Folder(path), "run", name, ["--kernel", vm.GUEST, "--memory", "128M", "--serial", "stdio",
                                              "--cmdline", command_line, *(option + suffix if option.startswith(
                                                  ("path=", "tap=")) else option for option in options)], netns)
    guest.wait_line(r"^GT ready")
    return guest


def cpu_seconds(guest):
    fields = pathlib.Path(f"/proc/{guest.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def requests(guest):
    """Finished so far, and when that was said."""
    seen = len(guest.lines)
    guest.send(b"s")
    guest.wait_line(r"^GT disk writes=", after=seen)
    line = next(line for line in reversed(guest.lines) if line.text.startswith("GT disk writes="))
    counts = dict(re.findall(r"(\w+)=(\d+)", line.text))
    return line.at, sum(int(counts[key]) for key in ("writes", "reads", "flushes", "discards", "zeroes"))


def measure_disk(path, transport, seconds):
    image = path / "disk.raw"
    with open(image, "wb") as file:
        file.truncate(32 << 20)
    guest = start(path, transport, "disk", f"prog=disk disk.span=16M disk.depth={DEPTH}", ["--disk", f"path={image}"])
    try:
        time.sleep(0.5)
        began, before = requests(guest)
        cpu = cpu_seconds(guest)
        time.sleep(seconds)
        ended, after = requests(guest)
        cpu = cpu_seconds(guest) - cpu
        guest.finish()
        return (after - before) / (ended - began), cpu / (after - before)
    finally:
        guest.kill()


def measure_net(path, transport, seconds, size):
    wire = network.Network(("tap0",))
    try:
        guest = start(path, transport, "net", f"prog=net net.ip={network.GUEST}",
                      ["--net", "tap=tap0,mac=02:00:00:00:00:15"], wire.netns)
        try:
            cpu = cpu_seconds(guest)
            done = wire.run([sys.executable, __file__, "--client", str(size), "--seconds", str(seconds)])
            cpu = cpu_seconds(guest) - cpu
            if done.returncode != 0:
                raise SystemExit(done.stderr)
            guest.finish()
            answered, rate = map(float, done.stdout.split())
            return rate, cpu / answered
        finally:
            guest.kill()
    finally:
        wire.close()


def table(results, runs):
    print(f"| median of {runs} runs | " + " | ".join(TRANSPORTS) + " | ccw / pci |")
    print("| --- |" + " ---: |" * (len(TRANSPORTS) + 1))
    for name, by_transport in results.items():
        for at, (what, unit) in enumerate((("in a second", 1), ("CPU time each, in microseconds", 1e6))):
            medians = [statistics.median(run[at] for run in by_transport[t]) * unit for t in TRANSPORTS]
            print(f"| {name}, {what} | " + " | ".join(f"{m:.{at}f}" for m in medians) + f" | {medians[1] / medians[0]:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--together", action="store_true", help="both transports at the same time")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--client", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.client and (status := placed.elsewhere(pathlib.Path(__file__).resolve(), options.json)) is not None:
        sys.exit(status)
    if options.client:
        client(options.seconds, options.client)
        return
    measures = {"disk requests of 4 KiB": lambda path, t: measure_disk(path, t, options.seconds)}
    if reason := network.available():
        print(f"without the network: {reason}", file=sys.stderr)
    else:
        measures["datagrams of 64 bytes"] = lambda path, t: measure_net(path, t, options.seconds, 64)
        measures["datagrams of 1400 bytes"] = lambda path, t: measure_net(path, t, options.seconds, 1400)
    results = {name: {t: [] for t in TRANSPORTS} for name in measures}
    for run in range(options.runs):
        in_turn = TRANSPORTS if run % 2 == 0 else TRANSPORTS[::-1]
        for name, measure in measures.items():
            with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, \
                    concurrent.futures.ThreadPoolExecutor(len(TRANSPORTS) if options.together else 1) as pool:
                paths = [pathlib.Path(folder) / transport for transport in in_turn]
                for path in paths:
                    path.mkdir()
                for transport, result in zip(in_turn, pool.map(measure, paths, in_turn)):
                    results[name][transport].append(result)
    table(results, options.runs)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
