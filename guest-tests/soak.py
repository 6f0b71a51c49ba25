# SPDX-License-Identifier: Apache-2.0
"""How long an emulated host can be trusted: guests work and move on it, and all that goes wrong is counted by whose fault it is.

    python3 guest-tests/soak.py [--minutes 5] [--cpus 1] [--lanes 2] [--guest-cpus 1] [--control]

Each lane has one guest at a time (memory, disk, heartbeat): it moves from process to process up to 20 times, then checks all that it has. With
--control QEMU's own `-accel kvm` runs the guests, without moving: what fails then is not godwit's. Prints a row for docs/hosts.md.
"""
import argparse
import collections
import json
import pathlib
import sys
import threading
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
for part in ("tools/hosts", "guest-tests/scenarios"):
    sys.path.insert(0, str(TREE / part))
sys.dont_write_bytecode = True
import fleet  # noqa: E402
import vm  # noqa: E402

PROGRAMS = "prog=mem,disk,heartbeat heartbeat.mode=line mem.size=16M mem.rate=4M disk.span=8M disk.rate=1M"
MOVES = 20
BOARD = "microvm,acpi=on,pcie=on,pit=off,pic=off,rtc=off,ioapic2=off,isa-serial=on"


class Lane(threading.Thread):
    def __init__(self, number, host, options, ends):
        super().__init__()
        self.path = pathlib.Path(f"/dev/shm/lane{number}")  # on the host
        self.host, self.options, self.ends = host, options, ends
        self.count = collections.Counter()
        self.faults = []

    def run(self):
        while time.monotonic() < self.ends and self.host.on():
            self.host.run(["sh", "-ec", f"rm -rf {self.path}; mkdir {self.path}; truncate -s 32M {self.path}/disk.raw"])
            processes = []
            try:
                self.count["guests"] += 1
                (self._control if self.options.control else self._godwit)(processes)
            except (vm.Failed, OSError) as fault:
                if self.host.on():
                    self.count["guest failures"] += 1
                    self.faults.append(str(fault))
            finally:
                for process in processes:
                    process.kill()

    def _godwit(self, processes):
        parts = ["--memory", "128M", "--cpus", str(self.options.guest_cpus), "--serial", "stdio", "--disk", f"path={self.path}/disk.raw"]

        def start(verb, name, *words):
            processes.append(vm.Vm(self, verb, name, [*words, *parts], host=self.host))
            return processes[-1]

        now = start("run", "host0", "--kernel", vm.GUEST, "--cmdline", PROGRAMS)
        now.wait_line("^GT ready")
        for move in range(1, MOVES + 1):
            if time.monotonic() > self.ends:
                break
            address = f"unix:{self.path}/move{move}"
            there = start("receive", f"host{move}", address)
            there.wait_stderr("waiting for a migration")
            now.cli("migrate", "--downtime-limit", "5000", "--on-stall", "switch", address)
            now.expect_exit(0)
            there.wait_line("^GT heartbeat n=")
            self.count["moves"] += 1
            now = there
        now.finish()

    def _control(self, processes):
        seconds = max(2, min(15, round(self.ends - time.monotonic())))
        process = vm.Process(["qemu-system-x86_64", "-M", BOARD, "-accel", "kvm", "-cpu", "host", "-m", "128M", "-smp",
                              str(self.options.guest_cpus), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
                              "-kernel", vm.GUEST, "-append", f"{PROGRAMS} time={seconds}",
                              "-drive", f"if=none,id=d0,file={self.path}/disk.raw,format=raw",
                              "-device", "virtio-blk-pci,drive=d0,addr=1,num-queues=1"], host=self.host)
        processes.append(process)
        process.wait_line(r"^GT exit status=0\b")
        process.expect_exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--cpus", type=int, default=1, help="of the host")
    parser.add_argument("--guest-cpus", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2, help="guests at a time")
    parser.add_argument("--control", action="store_true", help="run the guests by QEMU instead of godwit")
    parser.add_argument("--json", action="store_true", help="print an object instead of a row")
    options = parser.parse_args()
    with fleet.Fleet([fleet.HostSpec("soaked", cpus=options.cpus, memory=2048)], lan=False).wait_ready() as hosts:
        host, began = hosts["soaked"], time.monotonic()
        lanes = [Lane(n, host, options, began + options.minutes * 60) for n in range(options.lanes)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        minutes = (time.monotonic() - began) / 60
        total = sum((lane.count for lane in lanes), collections.Counter())
        for fault in (fault for lane in lanes for fault in lane.faults):
            print(fault, file=sys.stderr)
        result = {"host CPUs": options.cpus, "guest CPUs": options.guest_cpus, "guests at a time": options.lanes,
                  "run by": "QEMU" if options.control else "godwit", "minutes": round(minutes, 1), "guests": total["guests"],
                  "moves": total["moves"], "failures of guests": total["guest failures"],
                  "failures of the host": int(host.failure is not None)}
        print(json.dumps(result) if options.json else "| " + " | ".join(map(str, result.values())) + " |")
        if host.failure:
            print(host.failure, file=sys.stderr)


if __name__ == "__main__":
    main()
