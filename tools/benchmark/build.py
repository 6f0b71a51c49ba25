# SPDX-License-Identifier: Apache-2.0
"""Compiles this tree, and another commit beside it, from nothing and without ccache: CPU seconds and wall time by group of targets."""
import contextlib
import dataclasses
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
# In this order: what one group needs of another is compiled, and counted, with the one that comes first.
GUEST, GODWIT, REST = "test guest", "godwit and its libraries", "unit tests, benchmarks"
TARGETS = {GUEST: ["guest-tests/guest/guest.elf"], GODWIT: ["vmm/cli/godwit"], REST: ["all"]}
DEMO, ALL = "demo: guest and godwit", "all"
SUMS = {DEMO: (GUEST, GODWIT), ALL: (GUEST, GODWIT, REST)}


@dataclasses.dataclass
class Cost:
    cpu: float = 0  # seconds, user and system, of everything that the compilation started
    wall: float = 0  # seconds

    def __add__(self, other):
        return Cost(self.cpu + other.cpu, self.wall + other.wall)


def run(argv, **options):
    """Runs to the end, and takes everything that was started along when this process is ended before."""
    child = subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             start_new_session=True, **options)
    try:
        output = child.communicate()[0]
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    if child.returncode != 0:
        sys.exit(f"{output[-3000:]}\n{argv[0]} failed with status {child.returncode}")


def measured(argv, environment):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run(argv, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - began)


class Compilation:
    """A tree with a build folder that has nothing in it yet."""

    def __init__(self, name, tree, folder):
        # Meson puts ccache in front of the compiler unless it is told which one to take.
        self.environment = {**os.environ, "CCACHE_DISABLE": "1", "CXX": os.environ.get("CXX", "c++")}
        self.name, self.folder = name, folder
        self.costs = {}
        run(["meson", "setup", folder, tree], env=self.environment)

    def compile(self, group, jobs):
        argv = ["ninja", "-C", self.folder, f"-j{jobs}", *TARGETS[group]]
        self.costs[group] = cost = measured(argv, self.environment)
        print(f"{self.name}: {group}: {cost.cpu:.0f} CPU seconds in {cost.wall:.0f} s", file=sys.stderr, flush=True)

    def cost(self, row):
        return sum((self.costs[group] for group in SUMS.get(row, (row,))), Cost())


def unpack(commit, folder):
    """The files of a commit, without a trace in the repository."""
    found = subprocess.run(["git", "-C", TREE, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"], capture_output=True,
                           text=True, check=False)
    if found.returncode != 0:
        print(f"bench: there is no commit '{commit}' here", file=sys.stderr)
        sys.exit(2)
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    run(["git", "-C", TREE, "archive", "-o", archive, found.stdout.strip()])
    run(["tar", "-xf", archive, "-C", folder])
    archive.unlink()


def table(rows, compilations):
    lines = [f"{'CPU seconds (wall time)':28}" + "".join(f"{c.name:>22}" for c in compilations)
             + ("   ratio" if len(compilations) > 1 else "")]
    for row in rows:
        costs = [c.cost(row) for c in compilations]
        cells = "".join(f"{f'{cost.cpu:.1f} ({cost.wall:.0f} s)':>22}" for cost in costs)
        ratio = f"{costs[0].cpu / costs[1].cpu:8.2f}" if len(costs) > 1 else ""
        lines.append(f"{row:28}{cells}{ratio}")
    if len(compilations) > 1 and ALL in rows:
        here, there = compilations
        lines.append(f"what the demo needs here, of all of {there.name}: {here.cost(DEMO).cpu / there.cost(ALL).cpu:.2f}")
    return "\n".join(lines)


def ended(*_):
    sys.exit(1)


def measure(against=None, targets="all", jobs=None):
    """Prints the table and gives the same as a value, for --json. What was compiled is removed again, whatever happens."""
    signal.signal(signal.SIGTERM, ended)
    jobs = jobs or os.cpu_count()
    groups = [GUEST, GODWIT] + ([REST] if targets == "all" else [])
    rows = groups[:2] + [DEMO] + (groups[2:] + [ALL] if targets == "all" else [])
    with contextlib.ExitStack() as cleanup:
        scratch = pathlib.Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="godwit-bench-")))
        compilations = []
        if against:
            unpack(against, scratch / "other")
        compilations.append(Compilation("this tree", TREE, scratch / "here"))
        if against:
            compilations.append(Compilation(against, scratch / "other", scratch / "there"))
        for group in groups:  # in turn, so that both see the same weather
            for compilation in compilations:
                compilation.compile(group, jobs)
        print(table(rows, compilations))
    return {c.name: {row: dataclasses.asdict(c.cost(row)) for row in rows} for c in compilations}
