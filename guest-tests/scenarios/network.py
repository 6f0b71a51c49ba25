# SPDX-License-Identifier: Apache-2.0
"""A network namespace with a bridge and taps: the wire between the guests and their clients."""
import itertools
import os
import re
import subprocess

HOST = "10.0.2.1"
GUEST = "10.0.2.15"

_numbers = itertools.count()


def available():
    """Why taps in a namespace cannot be had here, or None."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    return None


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Network:
    def __init__(self, taps=("tap0", "tap1")):
        self.netns = f"godwit-{os.getpid()}-{next(_numbers)}"
        ip("netns", "add", self.netns)
        self.inside("link", "set", "lo", "up")
        self.inside("link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.inside("addr", "add", f"{HOST}/24", "dev", "br0")
        for tap in taps:
            self.inside("tuntap", "add", tap, "mode", "tap", "vnet_hdr")
            self.inside("link", "set", tap, "master", "br0", "up")
        self.inside("link", "set", "br0", "up")

    def inside(self, *arguments):
        ip("-n", self.netns, *arguments)

    def run(self, argv, **options):
        return subprocess.run(["ip", "netns", "exec", self.netns, *argv], capture_output=True, text=True, check=False,
                              **options)

    def popen(self, argv, **options):
        return subprocess.Popen(["ip", "netns", "exec", self.netns, *argv], **options)

    def ping(self, count=5, size=1400, interval=0.02, address=GUEST):
        """The guest answers the first `count` echo requests, however late: ping's own end is two round trips later."""
        done = self.run(["ping", "-c", str(count), "-w", "60", "-i", str(interval), "-s", str(size), address])
        answered = {int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", done.stdout)}
        assert answered >= set(range(1, count + 1)), done.stdout + done.stderr

    def close(self):
        subprocess.run(["ip", "netns", "del", self.netns], capture_output=True, check=False)
