# SPDX-License-Identifier: Apache-2.0
"""A fleet in a box: emulated hosts on one LAN, and storage that all of them see.

    with Fleet([HostSpec("alpha"), HostSpec("beta")], shares=["/tmp/storage"]) as fleet:
        fleet["alpha"].run(["uname", "-r"]).stdout
        fleet.lan.cut("alpha", "beta")
        fleet["beta"].power_off()

Nothing of it is left when the process ends, however it ends: no process, no file, no socket.
"""
import debian
import host
from host import Host, HostFailed, HostSpec
from switch import Lan

NET = "10.99.0"  # the hosts are .1, .2, ...; guests and stations take others


class Unavailable(Exception):
    """This machine cannot have hosts, and why, in one sentence."""


class Fleet:
    def __init__(self, specs, shares=(), lan=True):
        """Boots all hosts at once, and returns while they boot. With one host and no `lan` there is no network."""
        specs = list(specs)
        if len({spec.name for spec in specs}) != len(specs):
            raise ValueError("two hosts of one fleet have the same name")
        if lack := host.lacks() or host.memory_lack(specs):
            raise Unavailable(lack)
        try:
            debian.kernel("generic")
        except debian.Unavailable as why:
            raise Unavailable(str(why)) from None
        self.specs = {spec.name: spec for spec in specs}
        self._addresses = {spec.name: f"{NET}.{number}" for number, spec in enumerate(specs, 1)}
        self._shares = list(shares)
        self.lan = Lan() if lan else None
        self.hosts = {}
        try:
            for name in self.specs:
                self.boot(name)
        except BaseException:
            self.close()
            raise

    def boot(self, name):
        """Boots that host, anew when it was there before: nothing of it is kept but what is shared."""
        if name in self.hosts:
            self.hosts[name].power_off()
        names = "127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in self._addresses.items())
        self.hosts[name] = Host(self.specs[name], self._addresses[name], self.lan and self.lan.plug(name), self._shares, names)
        return self.hosts[name]

    def wait_ready(self, limit=host.BOOT_LIMIT):
        for one in self.hosts.values():
            one.wait_ready(limit)
        return self

    def __getitem__(self, name):
        return self.hosts[name]

    def __iter__(self):
        return iter(self.hosts.values())

    def check(self):
        """Raises HostFailed when a host is gone that nobody has switched off."""
        for one in self.hosts.values():
            one.check()

    def close(self):
        for one in self.hosts.values():
            one.power_off()
        if self.lan:
            self.lan.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


__all__ = ["Fleet", "Host", "HostFailed", "HostSpec", "Lan", "Unavailable", "NET"]
