# SPDX-License-Identifier: Apache-2.0
"""What is compared: godwit and stock QEMU 7.2 microvm, each with one or several migration connections."""
import dataclasses
import pathlib
import select
import sys
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
for part in ("guest-tests/scenarios", "guest-tests/runner", "tools/hosts"):
    sys.path.insert(0, str(TREE / part))
import vm  # noqa: E402

from processes import Recorder  # noqa: E402

QEMU = "qemu-system-x86_64"
LIMIT_MS = 300  # of the downtime
BOARD = "microvm,acpi=on,pcie=on,pit=off,pic=off,rtc=off,ioapic2=off,isa-serial=on"


@dataclasses.dataclass
class Vmm:
    name: str
    connections: int = 1

    def run(self, folder, cmdline, memory, tag="source"):
        """A guest that boots."""
        raise NotImplementedError

    def receive(self, folder, cmdline, memory, address, tag="destination"):
        """A process that waits for one."""
        raise NotImplementedError

    def prepare(self, control):
        """Sets what a migration from here needs: as fast as it can, pausing for LIMIT_MS at most."""
        raise NotImplementedError


class Godwit(Vmm):
    @staticmethod
    def _common(folder, memory, tag):
        return ["--memory", memory, "--cpus", "1", "--serial", "stdio", "--control", f"{folder}/{tag}.sock"]

    def run(self, folder, cmdline, memory, tag="source"):
        return Recorder([vm.GODWIT, "run", "--kernel", vm.GUEST, "--cmdline", cmdline,
                         *self._common(folder, memory, tag)])

    def receive(self, folder, cmdline, memory, address, tag="destination"):
        return Recorder([vm.GODWIT, "receive", address, *self._common(folder, memory, tag)])

    def prepare(self, control):
        control.execute("migrate-set-parameters", downtime_limit=LIMIT_MS, multifd_channels=self.connections)


class Qemu(Vmm):
    @staticmethod
    def _argv(folder, cmdline, memory, tag):
        return [QEMU, "-M", BOARD, "-accel", "kvm", "-cpu", "host,-arch-capabilities", "-m", memory, "-smp", "1",
                "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-kernel", vm.GUEST, "-append",
                cmdline, "-qmp", f"unix:{folder}/{tag}.sock,server=on,wait=off"]

    def run(self, folder, cmdline, memory, tag="source"):
        return Recorder(self._argv(folder, cmdline, memory, tag))

    def receive(self, folder, cmdline, memory, address, tag="destination"):
        process = Recorder([*self._argv(folder, cmdline, memory, tag), "-incoming", "defer"])
        control = connect(folder, tag)
        if self.connections > 1:
            self._multifd(control)
        control.execute("migrate-incoming", uri=address)
        control.close()
        return process

    def prepare(self, control):
        control.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        control.execute("migrate-set-parameters", downtime_limit=LIMIT_MS, max_bandwidth=1 << 40)
        if self.connections > 1:
            self._multifd(control)

    def _multifd(self, control):
        control.execute("migrate-set-capabilities", capabilities=[{"capability": "multifd", "state": True}])
        control.execute("migrate-set-parameters", multifd_channels=self.connections)


class Control(vm.Qmp):
    def wait_news(self, patience):
        """Until the VMM says something unasked, or `patience` seconds."""
        if select.select([self.socket], [], [], patience)[0]:
            try:
                self.events.append(self._read())
            except (vm.Failed, OSError):
                pass  # gone: who asks next hears of it


def connect(folder, tag, patience=30):
    """QMP to a process that may not have made its socket yet."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return Control(f"{folder}/{tag}.sock")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
