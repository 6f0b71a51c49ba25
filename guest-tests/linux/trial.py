# SPDX-License-Identifier: Apache-2.0
"""One kernel under one VMM, on this host: what of a machine's life works. guest-tests/linux/table makes a row of it."""
import json
import os
import pathlib
import re
import sys
import tempfile
import threading
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(TREE / "guest-tests/scenarios"))
import linux_guest  # noqa: E402
import network  # noqa: E402
import vm  # noqa: E402
from test_state import QEMU_BOARD  # noqa: E402

COLUMNS = ["boots to init", "disk", "network", "entropy", "SMP", "migrates", "reboot", "power-off"]
PATIENCE = 1200  # this is about whether, not when: hosts that emulate are slow


class Godwit:
    def __init__(self, path, wire, trial):
        self.path, self.wire, self.trial = path, wire, trial

    def _machine(self, tap):
        suffix = "" if self.trial["transport"] == "pci" else f",transport={self.trial['transport']}"
        return ["--memory", self.trial["memory"], "--cpus", str(self.trial["cpus"]),
                "--disk", f"path={self.path}/disk.raw{suffix}", "--net", f"tap={tap},mac=02:00:00:00:00:15{suffix}",
                "--rng", f"source=getrandom{suffix}", *self.trial["options"]]

    def start(self, name, words, may_reset=False):
        return vm.Vm(self, "run", name, ["--kernel", self.trial["kernel"], "--initrd", self.trial["initrd"], "--cmdline", words,
                                         *self._machine("tap0"), *([] if may_reset else ["--no-reboot"])], self.wire.netns)

    def move(self, source):
        address = f"unix:{self.path}/migrate"
        destination = vm.Vm(self, "receive", "destination", [address, *self._machine("tap1")], self.wire.netns)
        destination.wait_stderr("waiting for a migration", PATIENCE)
        source.cli("migrate", address)
        source.expect_exit(0)
        return destination


class Qemu:
    def __init__(self, path, wire, trial):
        self.path, self.wire, self.trial = path, wire, trial

    def _run(self, name, tap, more):
        control = f"{self.path}/{name}.qmp"
        process = vm.Process(["qemu-system-x86_64", "-M", QEMU_BOARD, "-accel", "kvm", "-cpu", "host,-arch-capabilities",
                              "-m", self.trial["memory"], "-smp", str(self.trial["cpus"]), "-nodefaults", "-no-user-config",
                              "-display", "none", "-serial", "stdio",
                              "-drive", f"if=none,id=d0,file={self.path}/disk.raw,format=raw,file.locking=off",
                              "-device", "virtio-blk-pci,drive=d0,addr=1,disable-legacy=on",
                              "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no",
                              "-device", "virtio-net-pci,netdev=n0,addr=2,disable-legacy=on,romfile=,mac=02:00:00:00:00:15",
                              "-object", "rng-builtin,id=r0", "-device", "virtio-rng-pci,rng=r0,addr=3,disable-legacy=on",
                              "-qmp", f"unix:{control},server=on,wait=off", *more], self.wire.netns)
        process.control = control
        threading.Thread(target=self._end_with_error, args=(process,), daemon=True).start()
        return process

    @staticmethod
    def _end_with_error(process):
        """Where KVM gives up, QEMU shows the registers and then waits."""
        try:
            process.wait_stderr(r"RIP=\w+", 4 * PATIENCE)
            process.kill()
        except vm.Failed:
            pass  # it ended by itself

    def start(self, name, words, may_reset=False):
        return self._run(name, "tap0", ["-kernel", self.trial["kernel"], "-initrd", self.trial["initrd"], "-append", words,
                                        *([] if may_reset else ["-no-reboot"])])

    def move(self, source):
        destination = self._run("destination", "tap1", ["-incoming", f"unix:{self.path}/migrate"])
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(f"{self.path}/migrate") and time.monotonic() < deadline:
            time.sleep(0.05)
        control = vm.Qmp(source.control)
        control.execute("migrate", uri=f"unix:{self.path}/migrate")
        while (status := control.execute("query-migrate")["status"]) != "completed":
            if status == "failed" or time.monotonic() > deadline:
                raise vm.Failed(f"migration: {status}")
            time.sleep(0.05)
        control.execute("quit")
        source.expect_exit(0)
        return destination


def how_far(process):
    """What the kernel died of, or the last that it said; and what the VMM said of the end."""
    said = [text for text in process.stdout() if text.strip()]
    said = [text for text in said if "Kernel panic" in text] or said
    error = re.findall(r"godwit\[\d+\] error: (.*)", process.stderr())
    # QEMU, when KVM gives up, shows the registers on standard error; RIP is among them.
    error += re.findall(r"KVM internal error[^;\n]*|RIP=\w+", process.stderr())
    if process.alive():
        error.append(f"it ran on, and had not got further after {PATIENCE} s")
    return {"last line": said[-1].strip() if said else "nothing", "error": "; ".join(error)}


def work(vmm, trial, result, processes):
    guest = vmm.start("first", f"console=ttyS0 gt=work gt.ip={network.GUEST}/24 gt.clock=500 panic=-1 {trial['words']}".strip())
    processes.append(guest)
    try:
        booted = guest.wait_line(r"GT linux boot kernel=(\S+) cpus=(\d+)", PATIENCE)
    except vm.Failed:
        result["boots to init"] = "no"
        result["how far"] = how_far(guest)
        return
    result["boots to init"] = "yes"
    if trial["cpus"] > 1:
        result["SMP"] = "yes" if int(booted[2]) == trial["cpus"] else f"{booted[2]} of {trial['cpus']}"
    disk = attempt(lambda: guest.wait_line(r"GT linux disk ready", PATIENCE))
    net = attempt(lambda: ping(vmm.wire, guest))
    entropy = attempt(lambda: takes_entropy(guest))
    moved = attempt(lambda: move(vmm, guest, processes))
    guest = processes[-1]
    net = net and attempt(lambda: ping(vmm.wire, guest))
    entropy = entropy and attempt(lambda: takes_entropy(guest))
    result["migrates"] = "yes" if moved else "no"
    off = attempt(lambda: power_off(guest))
    report = re.findall(r"GT linux disk files=(\d+) .* errors=(\d+)", linux_guest.serial_text(*processes))
    disk = disk and off and report and int(report[-1][0]) > 0 and report[-1][1] == "0"
    disk = disk and attempt(lambda: linux_guest.check_disk(vmm.path / "disk.raw"))
    result.update({"disk": yes(disk), "network": yes(net), "entropy": yes(entropy), "power-off": yes(off)})
    result["complaints"] = re.findall(r"GT linux (?:dmesg-problem|fail) .*", linux_guest.serial_text(*processes))


def power_off(guest):
    guest.send(b"q")
    guest.wait_line(r"GT linux exit status=", PATIENCE)
    guest.expect_exit(0, PATIENCE)


def takes_entropy(guest):
    seen = len(guest.lines)
    guest.send(b"e")
    guest.wait_line(r"GT linux entropy current=virtio_rng\.\d+ bytes=64 changes=1", PATIENCE, after=seen)


def ping(wire, guest):
    guest.wait_line(r"GT linux (net ip|clock)", PATIENCE)
    done = wire.run(["ping", "-c", "3", "-W", "30", network.GUEST])
    if " 0% packet loss" not in done.stdout:
        raise vm.Failed(done.stdout)


def move(vmm, guest, processes):
    guest.wait_line(r"GT linux clock n=", PATIENCE)
    processes.append(vmm.move(guest))
    linux_guest.wait_beats(processes[-1], 3, PATIENCE)


def reboot(vmm, trial, result):
    """The guest resets itself, and comes up again in the same process."""
    guest = vmm.start("again", f"console=ttyS0 loglevel=4 gt=reboot {trial['words']}".strip(), may_reset=True)
    try:
        for _ in range(2):
            guest.wait_line(r"GT linux boot ", PATIENCE, after=len(guest.lines))
        result["reboot"] = "yes"
    except vm.Failed:
        result["reboot"] = "no"
    finally:
        guest.kill()


def attempt(action):
    try:
        action()
        return True
    except (vm.Failed, AssertionError, OSError) as fault:
        print(f"trial: {fault}", file=sys.stderr)
        return False


def yes(value):
    return "yes" if value else "no"


def run(trial, out):
    """Fills out/result.json and out/console.log."""
    result = {column: "-" for column in COLUMNS}
    wire, processes = network.Network(), []
    with tempfile.TemporaryDirectory() as scratch:
        vmm = (Godwit if trial["vmm"] == "godwit" else Qemu)(pathlib.Path(scratch), wire, trial)
        try:
            linux_guest.make_disk(vmm.path / "disk.raw")
            work(vmm, trial, result, processes)
            (out / "console.log").write_text(linux_guest.serial_text(*processes))
            if result["boots to init"] == "yes":
                reboot(vmm, trial, result)
        finally:
            for process in processes:
                process.kill()
            wire.close()
    (out / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    run(json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]))
