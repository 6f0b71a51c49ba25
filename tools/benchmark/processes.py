# SPDX-License-Identifier: Apache-2.0
"""A VMM's process as the benchmarks see it: when each serial byte arrived, what it cost in CPU and memory."""
import os
import pathlib
import re
import subprocess
import threading
import time


class Recorder:
    """A process whose serial line is its standard output; keeps when each chunk arrived."""

    def __init__(self, argv):
        self.started = time.monotonic_ns()
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.chunks = []
        self.news = threading.Condition()
        self.errors = []
        self._used = None
        self._peak = 0.0
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._drain, daemon=True).start()

    def _read(self):
        fd = self.child.stdout.fileno()
        while data := os.read(fd, 65536):
            now = time.monotonic_ns()
            with self.news:
                self.chunks.append((now, data))
                self.news.notify_all()

    def _drain(self):
        for line in self.child.stderr:
            self.errors.append(line.decode(errors="replace"))

    def text(self):
        with self.news:
            return b"".join(data for _, data in self.chunks).decode(errors="replace")

    def wait(self, pattern, patience=120):
        deadline = time.monotonic() + patience
        with self.news:
            while not re.search(pattern, b"".join(d for _, d in self.chunks).decode(errors="replace"), re.M):
                left = deadline - time.monotonic()
                if left <= 0 or self._gone():
                    raise SystemExit(f"{self.child.args[0]}: no {pattern!r}; it says: {self.text()[-300:]} "
                                     f"{''.join(self.errors)[-2000:]}")
                self.news.wait(min(left, 0.2))

    def first_byte_ms(self):
        self.wait("(?s).")
        return (self.chunks[0][0] - self.started) / 1e6

    def _gone(self):
        """Reaps the child if it has ended, and keeps what it used."""
        if self._used is None:
            pid, status, used = os.wait4(self.child.pid, os.WNOHANG)
            if pid:
                self._used = used
                self.child.returncode = os.waitstatus_to_exitcode(status)
        return self._used is not None

    def cpu_seconds(self):
        """Of all its threads so far; also when it has ended."""
        if self._gone():
            return self._used.ru_utime + self._used.ru_stime
        try:
            fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return self.cpu_seconds()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self):
        """The most memory that was resident at once, guest RAM included, as of the last call while it lived.

        What wait4(2) tells afterwards counts this program's own memory too: that of the moment of fork(2).
        """
        if not self._gone():
            found = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.child.pid}/status").read_text())
            if found:
                self._peak = int(found[1]) / 1024
        return self._peak

    def wait_end(self, patience=30):
        deadline = time.monotonic() + patience
        while not self._gone() and time.monotonic() < deadline:
            time.sleep(0.005)

    def kill(self):
        if not self._gone():
            self.child.kill()
            self.wait_end()


def longest_gap_ms(since, *processes):
    """Between any two serial bytes since then (time.monotonic_ns()), all processes taken together."""
    stamps = sorted(at for process in processes for at, _ in process.chunks if at >= since)
    return max((b - a for a, b in zip(stamps, stamps[1:])), default=0) / 1e6


def resident_kib(pid):
    """(everything, the guest's RAM), resident: the RAM is the largest mapping."""
    sizes = []
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as smaps:
        for line in smaps:
            found = re.match(r"(Size|Rss):\s+(\d+) kB", line)
            if found and found[1] == "Size":
                sizes.append([int(found[2]), 0])
            elif found:
                sizes[-1][1] = int(found[2])
    return sum(rss for _, rss in sizes), max(sizes)[1]
