# SPDX-License-Identifier: Apache-2.0
"""Runs the scenarios of guest-tests/scenarios, each where it can be run. tools/test calls this.

    python3 guest-tests/runner [--build FOLDER] [-k WORDS] [--scope quick|ordinary|all] [--list]

Scenarios that need a KVM run here when there is /dev/kvm, and on emulated hosts (tools/lab) otherwise; all others run here.
Exit status: 0 nothing failed, 1 something did, 3 the hosts cannot be had.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import sys
import threading
import time

sys.dont_write_bytecode = True
import places  # noqa: E402  (makes tools/hosts known)
import debian  # noqa: E402
import document  # noqa: E402
import junit  # noqa: E402
import schedule  # noqa: E402
import second_look  # noqa: E402
from fleet import Unavailable  # noqa: E402

TREE = places.TREE
HOST_MEMORY = 3072  # MiB
WORKERS_ON_HOST = 3  # scenarios wait most of the time; what an emulated processor can do bounds it
PROGRESS_EVERY = 30.0


class Progress:
    """A line for what failed, at once, and one now and then for how far it is."""

    def __init__(self, total):
        self._total, self._lock = total, threading.Lock()
        self._counts = collections.Counter()
        self._began = self._said = time.monotonic()

    def __call__(self, outcome):
        with self._lock:
            self._counts[outcome.outcome] += 1
            if outcome.outcome == "failed":
                print(f"FAILED {outcome.name} ({outcome.place})\n{outcome.text}\n", flush=True)
            now = time.monotonic()
            if now - self._said > PROGRESS_EVERY:
                self._said = now
                print(f"   {sum(self._counts.values())} of {self._total} after {now - self._began:.0f} s, "
                      f"{self._counts['failed']} failed", flush=True)


def matches(item, words):
    return all(word in item["id"] for word in words.split())


def chosen(items, options):
    """What belongs to the scope: quick leaves out what is slow, ordinary what is thorough, all nothing."""
    left_out = {"quick": ("thorough", "fleet"), "ordinary": ("thorough",), "all": ()}[options.scope]
    return [item for item in items if matches(item, options.k) and not any(item[mark] for mark in left_out)]


def where(item, kvm):
    return "host" if item["kvm"] and not kvm else "fleet" if item["fleet"] else "here"


def fetch():
    """What scenarios want from Debian, while there is a network: an emulated host has none to the outside."""
    for get, what in ((debian.kernel, ["generic"]), (debian.kernel, ["cloud"]), (debian.qemu_source, [])):
        try:
            get(*what)
        except debian.Unavailable as why:
            print(f"scenarios: {why}")


def collect(build):
    place = places.Here(build)
    worker = schedule.Worker(place)
    worker.close()
    return worker.items


def run(items, build, kvm):
    """The outcomes; (test, why) of what was repeated since its host had failed; and why hosts failed."""
    runs, hosts = [], []
    progress = Progress(len(items))
    here = places.Here(build)

    def together(*crews):
        """Pairs of tests and of the places of those who run them, at the same time; then a second look, with nothing beside it."""
        began, threads, place_of = [], [], {}
        for members, workers in crews:
            one = schedule.Run(progress)
            one.add(schedule.batches(members))
            began.append(one)
            place_of |= {item["id"]: workers[0] for item in members}
            threads += [threading.Thread(target=schedule.serve, args=(place, one)) for place in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        runs.extend(began)
        return second_look.judge([outcome for one in began for outcome in one.outcomes], place_of.__getitem__)

    on_hosts, on_fleets, others = ([item for item in items if where(item, kvm) == place] for place in ("host", "fleet", "here"))
    try:
        crews = []
        if on_hosts:
            hosts = [places.OnHost(f"host{n}", build, HOST_MEMORY) for n in range(1, min(2, os.cpu_count() or 1) + 1)]
            crews.append((on_hosts, hosts * WORKERS_ON_HOST))
        if others:
            crews.append((others, [here] * (3 if kvm else 2)))
        outcomes = together(*crews)
    finally:
        for host in hosts:
            host.close()
    if on_fleets:  # two hosts of their own
        outcomes += together((on_fleets, [here]))
    ran = {outcome.name for outcome in outcomes}
    outcomes += [schedule.Outcome(item["id"], "failed", 0, "no worker could be had for it", "-") for item in items if item["id"] not in ran]
    return outcomes, [again for one in runs for again in one.repeated], [why for host in hosts for why in host.failures]


def main():
    options = argparse.ArgumentParser(prog="guest-tests/runner", description=__doc__.splitlines()[0])
    options.add_argument("--build", type=pathlib.Path, default=TREE / "build")
    options.add_argument("-k", metavar="WORDS", default="", help="only those in whose name all these words are")
    options.add_argument("--scope", choices=("quick", "ordinary", "all"), default="ordinary")
    options.add_argument("--junit", metavar="FILE", type=pathlib.Path)
    options.add_argument("--document", action="store_true", help="write what came of it into docs/hosts.md")
    options.add_argument("--emulated", action="store_true", help="on emulated hosts although there is /dev/kvm")
    options.add_argument("--only", choices=("here", "host", "fleet"), action="append", help="only those that run there; may be given again")
    options.add_argument("--list", action="store_true", help="only say what would be run, and where")
    options = options.parse_args()
    kvm = os.access("/dev/kvm", os.R_OK | os.W_OK) and not options.emulated
    began = time.monotonic()
    items = [item for item in chosen(collect(options.build.resolve()), options) if not options.only or where(item, kvm) in options.only]
    if options.list:
        for item in items:
            print(item["id"], where(item, kvm))
        return 0
    fetch()
    try:
        outcomes, repeated, failures = run(items, options.build.resolve(), kvm)
    except Unavailable as why:
        print(f"scenarios: {why}", file=sys.stderr)
        return 3
    for test, why in repeated:
        print(f"repeated, since its host failed: {test}\n{why}")
    unsteady = [outcome for outcome in outcomes if outcome.unsteady]
    for outcome in unsteady:
        print(f"unsteady: {outcome.name}: failed when the machine was busy (above), and passed {second_look.TIMES} times alone")
    skipped = collections.Counter(re.sub(r"^Skipped: ", "", o.text) for o in outcomes if o.outcome == "skipped")
    for reason, count in skipped.items():
        print(f"skipped: {count} x {reason}")
    if options.junit:
        junit.write(options.junit, outcomes)
    if options.document:
        document.write(TREE / "docs/hosts.md", outcomes, items, failures)
    count = collections.Counter(o.outcome for o in outcomes)
    by_place = collections.Counter(o.place for o in outcomes)
    print(f"scenarios: {', '.join(f'{n} on {place}' for place, n in sorted(by_place.items()))}; {len(failures)} failures of hosts, "
          f"{len(repeated)} tests repeated; {len(unsteady)} unsteady; {time.monotonic() - began:.0f} s")
    print(json.dumps({outcome: count[outcome] for outcome in ("passed", "failed", "skipped")}))
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
