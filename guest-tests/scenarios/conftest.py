# SPDX-License-Identifier: Apache-2.0
"""What scenarios share: a scene with a temporary folder, processes that end with it, and the transports to run on."""
import itertools
import os
import pathlib
import re
import signal
import socket
import sys

for part in ("tools/hosts", "guest-tests/runner"):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / part))

import network  # noqa: E402
import pace  # noqa: E402
import pytest  # noqa: E402
import vm  # noqa: E402

# What a machine's devices are on. A plain machine (guest-tests/plain) has no vCPUs and needs no /dev/kvm.
PLAIN = "plain"
TRANSPORTS = ["pci", "ccw"]
LINUX = {"booted"}  # fixtures that boot a Linux once for many tests


def pytest_configure(config):
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:  # children would inherit it, and godwit respects it
            signal.signal(number, signal.SIG_DFL)
    for marker in ("machines(kind, ...): runs on these, \"plain\", \"pci\" or \"ccw\"; without it on each transport",
                   "no_kvm: runs without /dev/kvm",
                   "needs_kvm: runs a real guest; every test that is not on a plain machine, nor no_kvm or fleet",
                   "fleet: boots emulated hosts of its own",
                   "thorough: one of many like it; only in `tools/test --all`",
                   "ordinarily_on(kind, ...): thorough on other machines: it takes minutes there and tells little that is new",
                   "together(name): tests that one worker runs, one after the other"):
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc):
    if "transport" not in metafunc.fixturenames:
        return
    if any("transport" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")):
        return
    machines = metafunc.definition.get_closest_marker("machines")
    metafunc.parametrize("transport", machines.args if machines else TRANSPORTS)


def needs_kvm(item):
    on = item.callspec.params.get("transport") if hasattr(item, "callspec") else None
    return on != PLAIN and not {"no_kvm", "fleet"}.intersection(item.keywords)


def pytest_collection_modifyitems(items):
    here = os.path.exists("/dev/kvm")
    for item in items:
        if LINUX.intersection(item.fixturenames):
            item.add_marker(pytest.mark.together(f"linux-{item.callspec.params['transport']}"))
        ordinary = item.get_closest_marker("ordinarily_on")
        if ordinary and item.callspec.params["transport"] not in ordinary.args:
            item.add_marker(pytest.mark.thorough)
        if needs_kvm(item):
            item.add_marker(pytest.mark.needs_kvm)
            if not here:
                item.add_marker(pytest.mark.skip(reason="there is no /dev/kvm; tools/test brings one"))


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """What fails on a host that has failed is the host's failure (HostFailed), whatever it looked like."""
    yield
    for used in pyfuncitem.funcargs.values():
        if hasattr(used, "check_hosts"):
            used.check_hosts()


def at_this_pace(command_line):
    """A guest's rates are for an ordinary host: what it writes in a second must follow from what its host can move."""
    def slower(found):
        number = int(found[2]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[3]]
        return f"{found[1]}={max(4096, round(number / pace.PACE))}" if number else found[0]  # 0: as fast as it can
    return re.sub(r"\b((?:mem|disk)\.rate)=(\d+)([KMG]?)\b", slower, command_line)


class Scene:
    def __init__(self, path, transport):
        self.path = path
        self.transport = transport
        self.program = vm.PLAIN if transport == PLAIN else vm.GODWIT
        self.disk_type = "plain-disk" if transport == PLAIN else "virtio-blk"
        self.transports = {}  # of "disk" or "net", where it is another one
        self.processes = []
        self.network = None

    # ---- parts of a machine

    def disk(self, name="disk.raw", size=32 << 20):
        image = self.path / name
        with open(image, "wb") as file:
            file.truncate(size)
        return image

    def with_network(self, taps=("tap0", "tap1")):
        reason = network.available()
        if reason:
            pytest.skip(reason)
        self.network = network.Network(taps)
        return self.network

    def options(self, memory="128M", cpus=1, disk=None, readonly=False, tap=None,
                serial="stdio", rng=False):
        options = ["--memory", memory, "--cpus", str(cpus), "--serial", serial]
        if disk:
            options += ["--disk", f"path={disk},readonly={'on' if readonly else 'off'}{self._on('disk')}"]
        if tap:
            options += ["--net", f"tap={tap},mac=02:00:00:00:00:15{self._on('net')}"]
        if rng:
            options += ["--rng", f"source=getrandom{self._on('rng')}"]
        return options

    def _on(self, device):
        transport = self.transports.get(device, self.transport)
        return f",transport={transport}" if transport == "ccw" else ""

    # ---- processes

    def run(self, command_line, name="source", extra=(), **parts):
        kernel = "built-in" if self.transport == PLAIN else vm.GUEST
        return self.start("run", name, ["--kernel", kernel, "--cmdline", at_this_pace(command_line), *self.options(**parts), *extra])

    def receive(self, name="destination", address=None, extra=(), **parts):
        """A receiver that listens; its address is in .address."""
        address = address or f"unix:{self.path}/{name}.migrate"
        process = self.start("receive", name, [address, *self.options(**parts), *extra])
        process.address = address
        process.wait_stderr("waiting for a migration")
        return process

    def restore(self, file, name="restored", extra=(), **parts):
        return self.start("restore", name, [str(file), *self.options(**parts), *extra])

    def start(self, verb, name, options, **streams):
        process = vm.Vm(self, verb, name, options, self.network and self.network.netns, **streams)
        self.processes.append(process)
        return process

    def close(self):
        for process in self.processes:
            process.kill()
        if self.network:
            self.network.close()


@pytest.fixture
def scene(tmp_path, transport):
    made = Scene(tmp_path, transport)
    yield made
    made.close()


# Below those that the kernel gives to connections (net.ipv4.ip_local_port_range): what is free now is so a moment later. Each
# worker begins somewhere else.
_ports = itertools.cycle(range(15000, 32000))
_ports = itertools.islice(_ports, os.getpid() * 997 % 17000, None)


def free_port():
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


@pytest.fixture
def tcp_address():
    return f"tcp:127.0.0.1:{free_port()}"


@pytest.fixture
def guest_tools():
    return pathlib.Path(__file__).resolve().parents[1] / "guest"
