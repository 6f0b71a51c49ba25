# SPDX-License-Identifier: Apache-2.0
"""Distributes scenarios over workers: those that need a KVM to hosts that have one, the others to this machine.

What an emulated host was running when it failed is run again on a fresh one, and is shown; what a guest or godwit got wrong
never is.
"""
import collections
import dataclasses
import json
import queue
import subprocess
import threading
import time

from fleet import HostFailed
from worker_lines import lines_of

TRIES = 3  # of a test whose host fails each time
START_LIMIT = 600.0  # seconds until a worker has collected its tests
TEST_LIMIT = 900.0  # seconds for one test; each wait in it has a limit of its own


@dataclasses.dataclass
class Outcome:
    name: str
    outcome: str  # passed, failed or skipped
    seconds: float
    text: str
    place: str
    damage: bool = False  # a guest ran twice or lost something
    unsteady: bool = False  # passed at a second look only; the text says what it had failed of


class Batch(list):
    """Tests that one worker runs one after the other."""

    def __init__(self, tests):
        super().__init__(tests)
        self.tries = collections.Counter()


class Run:
    """What is to be done and what came of it; shared by the threads that serve workers."""

    def __init__(self, report):
        self._report = report  # is called with each outcome
        self._lock = threading.Condition()
        self._waiting = collections.deque()
        self._under_way = 0
        self.outcomes = []
        self.repeated = []  # (test, why)

    def add(self, batches):
        with self._lock:
            self._waiting.extend(batches)

    def take(self):
        """The next batch; None when nothing is left. Waits while a batch that is under way could come back."""
        with self._lock:
            while not self._waiting:
                if not self._under_way:
                    return None
                self._lock.wait()
            self._under_way += 1
            return self._waiting.popleft()

    def give_back(self, batch=None):
        """A batch is no longer under way; what is left of it goes first."""
        with self._lock:
            self._under_way -= 1
            if batch:
                self._waiting.appendleft(batch)
            self._lock.notify_all()

    def done(self, outcome):
        with self._lock:
            self.outcomes.append(outcome)
        self._report(outcome)

    def again(self, test, why):
        with self._lock:
            self.repeated.append((test, why))


class Ended(Exception):
    """A worker has ended, or says nothing."""


class Worker:
    """One worker process, as the thread that serves it sees it."""

    def __init__(self, place):
        self.place = place
        self.process = place.start()
        self._lines = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.noise = collections.deque(maxlen=40)
        first = self.read(START_LIMIT)
        if "items" not in first:
            raise Ended(f"the scenarios cannot be collected: {first.get('broken')}\n{first.get('text')}")
        self.items, self.pace = first["items"], first["pace"]

    def _read(self):
        for line in lines_of(self.process.stdout):
            self._lines.put(line)
        self._lines.put(None)

    def read(self, limit):
        deadline = time.monotonic() + limit
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise Ended(f"it was not done after {limit:.0f} s") from None
            if line is None:
                raise Ended("its worker has ended\n" + "\n".join(self.noise))
            if isinstance(line, dict):
                return line
            self.noise.append(line)

    def run(self, batch, run):
        """Runs the tests of the batch and takes each from it that is done; one whose own hosts failed stays in it."""
        self.process.stdin.write(json.dumps(batch).encode() + b"\n")
        self.process.stdin.flush()
        phases, again = [], []
        while "idle" not in (news := self.read(TEST_LIMIT)):
            if "begin" in news:
                phases = []
            elif "report" in news:
                phases.append(news)
                if news["when"] == "teardown":
                    outcome, test = self._outcome(phases), batch.pop(0)
                    batch.tries[test] += 1
                    if any(phase["host_failed"] for phase in phases) and batch.tries[test] < TRIES:
                        run.again(test, outcome.text)
                        again.append(test)
                    else:
                        run.done(outcome)
        batch.extend(again)

    def _outcome(self, phases):
        worst = max(phases, key=lambda phase: ("passed", "skipped", "failed").index(phase["outcome"]))
        return Outcome(worst["report"], worst["outcome"], sum(p["seconds"] for p in phases), worst["text"], self.place.name,
                       any(p["damage"] for p in phases))

    def close(self):
        try:
            self.process.kill()
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            pass


def serve(place, run):
    """Runs batches in that place until none is left. Returns then, and when the place cannot be had at all."""
    worker, bad_starts = None, 0
    try:
        while (batch := run.take()) is not None:
            try:
                worker = worker or Worker(place)
                bad_starts = 0
                worker.run(batch, run)
                run.give_back(batch if batch else None)
            except (Ended, HostFailed, OSError) as why:
                at_work = worker is not None
                if worker:
                    worker.close()
                    worker = None
                failure = place.failure() or (str(why) if isinstance(why, HostFailed) else None)
                if not at_work:
                    bad_starts += 1
                    print(f"{place.name}: no worker could be started there: {failure or why}", flush=True)
                _settle(batch, run, place, str(why), failure, at_work and bad_starts < TRIES)
                if bad_starts >= TRIES:
                    return
    finally:
        if worker:
            worker.close()


def _settle(batch, run, place, why, failure, at_work):
    """After the end of a worker: the test that it ran has failed, unless its host had."""
    test = batch[0]
    if at_work:
        batch.tries[test] += 1
        if failure and batch.tries[test] < TRIES:
            run.again(test, failure)
        else:
            run.done(Outcome(test, "failed", 0, failure or why, place.name))
            batch.pop(0)
    run.give_back(batch if batch else None)


def batches(items):
    """Those that belong together first: they take longest."""
    groups = collections.OrderedDict()
    for item in sorted(items, key=lambda item: item["together"] is None):
        groups.setdefault(item["together"] or item["id"], []).append(item["id"])
    return [Batch(group) for group in groups.values()]
