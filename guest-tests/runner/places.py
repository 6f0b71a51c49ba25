# SPDX-License-Identifier: Apache-2.0
"""Where a worker runs: on this machine, or on an emulated host that is booted anew when it has failed."""
import os
import pathlib
import subprocess
import sys
import threading

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tools/hosts"))
import fleet  # noqa: E402

WORKER = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
          "-p", "worker", "guest-tests/scenarios"]


def environment(build):
    """Of a worker, beside what it has anyway. The first one, which is here, compiles for all: on an emulated host that takes half a minute."""
    return {"GODWIT_BUILD": str(build), "PYTHONPATH": str(TREE / "guest-tests/runner"),
            "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(build / "pycache")}


class Here:
    name = "here"

    def __init__(self, build):
        self._environment = {**os.environ, **environment(build)}

    def start(self):
        return subprocess.Popen(WORKER, cwd=TREE, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def failure(self):
        return None

    def close(self):
        pass


class OnHost:
    """An emulated host, which several workers may share."""

    def __init__(self, name, build, memory):
        self.name = name
        self._environment = environment(build) | {"GODWIT_LAB_HOST": name}
        self._fleet = fleet.Fleet([fleet.HostSpec(name, memory=memory)], lan=False)
        self._lock = threading.Lock()
        self.failures = []  # in words

    def start(self):
        """A worker on it; the host is booted anew when it is not there any more."""
        with self._lock:
            host = self._fleet[self.name]
            if not host.on():
                host = self._fleet.boot(self.name)
            try:
                host.wait_ready()
                host.load("loop")
            except fleet.HostFailed as why:
                self.failures.append(str(why))
                raise
        return host.popen(WORKER, cwd=TREE, env=self._environment, merge=True)

    def failure(self):
        """Why the host is gone, if it is. Called after a worker there has ended."""
        host = self._fleet[self.name]
        if host.failure and host.failure not in self.failures:
            self.failures.append(host.failure)
        return host.failure

    def close(self):
        self._fleet.close()
