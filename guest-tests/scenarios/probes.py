# SPDX-License-Identifier: Apache-2.0
"""Traffic from a scene's namespace to the guest, as a scenario starts and judges it."""
import json
import pathlib
import re
import sys

import network
import pace
import vm

SCRIPT = pathlib.Path(__file__).with_name("udp_probe.py")


class UdpProbe:
    """Numbered datagrams to the guest's echo port, until end(); less often where the host is slow."""

    def __init__(self, wire, interval_ms=5):
        interval = interval_ms * max(1.0, pace.PACE / 2)
        self.process = vm.Process([sys.executable, "-B", str(SCRIPT), network.GUEST, "7", str(interval)], wire.netns)

    def _answered(self):
        counts = re.findall(r"^answered (\d+)$", "\n".join(self.process.stdout()), re.M)
        return int(counts[-1]) if counts else 0

    def wait_answers(self, count):
        """Until so many more have been answered; the probe tells it by the ten."""
        wanted = self._answered() + count
        while (before := self._answered()) < wanted:
            self.process.wait_line(rf"^answered (?!{before}$)\d+$", after=len(self.process.stdout()))

    def end(self):
        self.process.child.stdin.close()
        self.process.expect_exit(0)
        return json.loads(self.process.stdout()[-1])
