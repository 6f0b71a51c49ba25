# SPDX-License-Identifier: Apache-2.0
"""Two places between which a guest moves: two processes on this machine, or two emulated hosts on a LAN.

Both have the same surface, so that tools/demo and tools/smoke tell one story in either. `say` is called with what a person
wants to read meanwhile.
"""
import os
import pathlib
import subprocess

import fleet
import network
import vm
from station import Station

MAC = "02:00:00:00:00:15"
WHY_HOSTS = ("there is no /dev/kvm here that can be used: two KVM hosts that QEMU emulates take its place (tools/lab), "
             "and what runs on them takes 10 to 30 times as long")


def command_line(argv):
    return "$ " + " ".join(str(word).replace(f"{vm.BUILD.parent}/", "") for word in argv)


def usable_kvm():
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


class Here:
    """Two processes side by side; the network is a namespace with a bridge and taps."""

    guest_address, station_address = network.GUEST, network.HOST

    def __init__(self, path, say, net=True):
        self.path, self._say = path, say
        self._wire = network.Network() if net else None
        self._processes = []
        self._pinging = None

    def prepare(self):
        pass

    def start(self, number, verb, name, words):
        process = vm.Vm(self, verb, name, words, self._wire and self._wire.netns)
        self._processes.append(process)
        self._say(command_line(process.argv))
        return process

    def net(self, number, mac=MAC):
        """Options for a card; `number` is the place: 0 or 1."""
        return ["--net", f"tap=tap{number},mac={mac}"]

    def receive_at(self, number):
        """Where a receiver there listens, with its options, and how the other place reaches it. It does so as long as the
        guest is there."""
        address = f"unix:{self.path}/move-{number}"
        return [address], address

    def migrate(self, source, _number, *words):
        argv = [vm.GODWIT, "migrate", "--control", str(source.control), *words]
        self._say(command_line(argv))
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def ping(self, address):
        """Raises AssertionError with what was seen when one of five requests is not answered."""
        self._wire.ping(interval=0.3, address=address)

    def begin_pings(self, address):
        self._pinging = self._wire.popen(["ping", "-i", "0.01", "-q", address], stdout=subprocess.PIPE, text=True)

    def end_pings(self):
        self._pinging.send_signal(2)
        said = self._pinging.communicate(timeout=10)[0].splitlines()
        return "; ".join(line for line in said if "packets" in line or "rtt" in line)

    def check(self):
        """Raises HostFailed when a host has failed."""

    def close(self):
        for process in self._processes:
            process.kill()
        if self._wire:
            self._wire.close()


class OnHosts:
    """Two emulated hosts; the guest's card is on their LAN, where a third station pings it."""

    NAMES = ("alpha", "beta")
    station_address = f"{fleet.NET}.200"
    guest_address = f"{fleet.NET}.100"

    def __init__(self, say, shares, cpus=1, memory=1024, station=station_address):
        """`shares`: folders that both hosts see and write to."""
        self._say = say
        self._fleet = fleet.Fleet([fleet.HostSpec(name, cpus=cpus, memory=memory) for name in self.NAMES], shares=shares)
        self._station_at = station
        self._station = self._pings = None
        self._port = 7070
        self.path = pathlib.Path("/run/godwit")  # of control sockets, on either host

    def prepare(self):
        for name in self.NAMES:
            self._say(f"host {name} boots ...")
            host = self._fleet[name]
            took = host.wait_ready()
            put_on_bridge(host)
            host.run(["mkdir", self.path], check=True)
            self._say(f"host {name} is up after {took:.0f} s: {host.run(['uname', '-sr']).stdout.strip()}, {host.address}")
        self._station = Station(self._fleet.lan, "station", "02:00:00:00:00:01", self._station_at)

    def start(self, number, verb, name, words):
        host = self._fleet[self.NAMES[number]]
        process = vm.Vm(self, verb, name, words, host=host)
        self._say(f"{host.name} {command_line(process.argv)}")
        return process

    def net(self, _number, mac=MAC):
        return ["--net", f"tap=tap0,mac={mac}"]

    def receive_at(self, number):
        self._port += 1
        return [f"tcp:[::]:{self._port}", "--insecure"], f"tcp:{self._fleet[self.NAMES[number]].address}:{self._port}"

    def migrate(self, source, number, *words):
        host = self._fleet[self.NAMES[number]]
        argv = [vm.GODWIT, "migrate", "--control", str(source.control), *words]
        self._say(f"{host.name} {command_line(argv)}")
        done = host.run(argv)
        return subprocess.CompletedProcess(argv, done.returncode, done.stdout + done.stderr)

    def ping(self, address):
        try:
            pings = self._station.ping(address, every=0.3)
            pings.go_on(5)
            pings.stop()
        except TimeoutError as fault:
            raise AssertionError(str(fault)) from None

    def begin_pings(self, address):
        self._pings = self._station.ping(address, every=0.2)

    def end_pings(self):
        pings = self._pings.stop()
        return f"{pings.sent} echo requests sent by a third station, {pings.answered} answered, {pings.duplicated} twice"

    def check(self):
        self._fleet.check()

    def close(self):
        if self._station:
            self._station.close()
        self._fleet.close()


def put_on_bridge(host):
    """br0 with the host's card, where its address is then, and tap0 for a guest."""
    host.run(["sh", "-ec", "ip link add br0 type bridge forward_delay 0; ip link set eth0 master br0; ip addr flush dev eth0; "
              f"ip link set br0 up; ip addr add {host.address}/24 dev br0; "
              "ip tuntap add tap0 mode tap vnet_hdr; ip link set tap0 master br0 up"], check=True, timeout=120)
