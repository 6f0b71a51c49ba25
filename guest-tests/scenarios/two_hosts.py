# SPDX-License-Identifier: Apache-2.0
"""Two hosts of the lab with a bridge on each, on which the guest's tap is; a third party on their LAN; storage that both see.

    with the_pair(folder) as pair:             # kept between tests: boots only what was switched off or is to be another
        with pair.stage() as stage:            # one test's processes
            source = stage.run("alpha", WORK)
            destination = stage.receive("beta")
            stage.migrate(source, destination)
"""
import itertools
import time

import vm
from fleet import NET, Fleet, HostSpec
from station import Station
from test_devices import check_image
from test_migration import assert_heartbeat_never_broke, heartbeats

NAMES = ("alpha", "beta")
MEMORY = 1024  # MiB of a host
GUEST_MEMORY = "64M"
GUEST_IP, GUEST_MAC = f"{NET}.100", "02:00:00:00:00:15"
STATION_IP, STATION_MAC = f"{NET}.77", "02:00:00:00:00:77"
PORT = 7070  # on which receivers listen
WORK = (f"prog=mem,disk,net,heartbeat mem.size=4M mem.rate=400K disk.span=2M disk.depth=4 disk.rate=100K heartbeat.mode=line "
        f"net.ip={GUEST_IP}")
LIMIT = 20_000  # ms of downtime that are accepted: a host that waits for a processor is slow at everything
FOLDER = "/run/vm"  # on each host, for sockets

# The bridge has the host's address, so that its port is one of the bridge's. A tap with small frames would make all small.
BRIDGE = """link add br0 address {mac} type bridge forward_delay 0
link set eth0 master br0
addr flush dev eth0
addr add {address}/24 dev br0
tuntap add tap0 mode tap vnet_hdr
link set tap0 mtu 9000 master br0 up
link set br0 up
"""


def patiently(what, look, patience=vm.PATIENCE):
    """The first true value of `look`."""
    deadline = time.monotonic() + patience
    while not (value := look()):
        if time.monotonic() > deadline:
            raise vm.Failed(f"{what}: not within {patience} s")
        time.sleep(0.1)
    return value


def beats_on(process):
    """Three heartbeats more than it has had."""
    had = len(heartbeats(process))
    patiently("three heartbeats", lambda: len(heartbeats(process)) >= had + 3)


def finish(stage, guest, tools, *former):
    """The guest verifies its memory and disk, and ends; nothing of it was lost on the way."""
    guest.finish()
    for topic in ("mem", "disk", "net"):
        assert guest.report(topic)["errors"] == "0"
    check_image(tools, stage.image)
    assert_heartbeat_never_broke(*former, guest)


class Pair:
    def __init__(self, folder):
        self.storage = folder  # the same here and on both hosts
        self._numbers = itertools.count(1)
        self._bridged = {}  # name -> the host, booted as it is now, that has its bridge
        self.fleet = Fleet([HostSpec(name, memory=MEMORY) for name in NAMES], shares=[folder])
        self.station = Station(self.fleet.lan, "station", STATION_MAC, STATION_IP)

    def ready(self, **specs):
        """Both hosts are on, and `specs` (name -> what differs from an ordinary host) hold."""
        self.fleet.check()
        self.fleet.lan.heal()
        for name in NAMES:
            wanted = HostSpec(name, memory=MEMORY, **specs.get(name, {}))
            if not self.fleet[name].on() or self.fleet.specs[name] != wanted:
                self.fleet.specs[name] = wanted
                self.fleet.boot(name)
        self.fleet.wait_ready()
        for host in self.fleet:
            if self._bridged.get(host.name) is not host:
                commands = BRIDGE.format(mac=f"52:54:00:00:00:{host.address.rsplit('.', 1)[1]:0>2}", address=host.address)
                host.run(["ip", "-batch", "-"], stdin=commands.encode(), check=True)
                host.run(["mkdir", "-p", FOLDER], check=True)
                self._bridged[host.name] = host
        return self

    def lose_power(self, name):
        """That host says nothing any more. It boots again at once, since that takes long, but without a LAN until `ready`."""
        self.fleet[name].power_off()
        for way in ((name, "*"), ("*", name)):
            self.fleet.lan.cut(*way)
        self.fleet.boot(name)

    def stage(self, transport="pci"):
        return Stage(self, transport, next(self._numbers))

    def close(self):
        self.station.close()
        self.fleet.close()


class Stage:
    """The processes of one test, and its disk."""

    def __init__(self, pair, transport, number):
        self.pair, self.fleet, self.station = pair, pair.fleet, pair.station
        self.path = _Folder(f"{FOLDER}/{number}-")
        self.image = pair.storage / f"disk-{number}.raw"
        with open(self.image, "wb") as file:
            file.truncate(4 << 20)
        self._on = "" if transport == "pci" else f",transport={transport}"
        self.program = vm.GODWIT
        self.processes = []
        self.pings = None

    # ---- processes

    def options(self):
        return ["--memory", GUEST_MEMORY, "--serial", "stdio", "--disk", f"path={self.image}{self._on}",
                "--net", f"tap=tap0,mac={GUEST_MAC}{self._on}"]

    def run(self, where, command_line=WORK, extra=(), name="source"):
        """A guest that beats."""
        guest = self.start(where, "run", name, ["--kernel", vm.GUEST, "--cmdline", command_line, *self.options(), *extra])
        guest.wait_line(r"^GT heartbeat n=2\b")
        return guest

    def receive(self, where, address=None, extra=("--insecure",), name="destination"):
        """A receiver that listens; its address, as the other host sees it, is in .address."""
        address = address or f"tcp:{self.fleet[where].address}:{PORT}"
        process = self.start(where, "receive", name, [address, *self.options(), *extra])
        process.address = address
        process.wait_stderr("waiting for a migration")
        return process

    def start(self, where, verb, name, options):
        process = vm.Vm(self, verb, f"{name}-{len(self.processes)}", options, host=self.fleet[where])
        self.processes.append(process)
        return process

    def start_program(self, where, argv):
        process = vm.Process(argv, host=self.fleet[where])
        self.processes.append(process)
        return process

    def migrate(self, source, destination, *options):
        done = source.cli("migrate", "--downtime-limit", str(LIMIT), *options, destination.address)
        source.expect_exit(0)
        return done

    def never_two(self):
        """Also by who answers: a request that two guests answer is answered twice."""
        if sum(isinstance(process, vm.Vm) and process.running() for process in self.processes) > 1:
            raise vm.Damage("two hosts run the guest")
        if self.pings and self.pings.duplicated:
            raise vm.Damage("two guests answer")

    # ---- the third party

    def ping(self):
        """From now on, and the guest answers now."""
        self.pings = self.station.ping(GUEST_IP, every=0.2)
        self.pings.go_on(3)
        return self.pings

    # ---- the end

    def check_hosts(self):
        """Raises HostFailed when a host has failed: by then nothing says anything of godwit (conftest.py)."""
        self.fleet.check()

    def close(self):
        for process in self.processes:
            process.kill()
        if self.pings:
            self.pings.stop(0)
        self.image.unlink()


class _Folder(str):
    """Names of files that begin with this."""

    def __truediv__(self, name):
        return self + name
