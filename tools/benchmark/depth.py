# SPDX-License-Identifier: Apache-2.0
"""Migrations in depth: every VMM idle and with writers, the ceilings, and what was aimed at: reached or not."""
import collections
import statistics
import tempfile

import ceiling
import migration
import vmms
from report import Samples, migration_table

GIVE_UP = 3  # runs in a row that came to no end: what follows would not either
CAP_MB_S = 400  # of the link that a writer outruns
OF_CEILING, OF_QEMU, WITHIN_LIMIT, DECLARED_BY = 0.70, 2.0, 0.99, 3


class Ceilings:
    """Plain copies and bare RAM transfers, taken between the runs so that all see the same weather."""

    def __init__(self, connections):
        self.connections = connections
        self.samples = collections.defaultdict(list)  # by (what, connections)

    def take(self):
        for n in self.connections:
            self.samples["plain copy", n].append(ceiling.plain_copy(ceiling.MIB, n))
            self.samples["plain copy, warm", n].append(ceiling.plain_copy(ceiling.MIB, n, warm=True))
            self.samples["RAM transfer", n].append(ceiling.ram_transfer(ceiling.MIB, n))

    def rate(self, what, n):
        return statistics.median(copy.megabytes_per_second for copy in self.samples[what, n])

    def print(self):
        print(f"memory to memory, {ceiling.MIB} MiB over the loopback, median (min to max); CPU seconds per GiB of both sides")
        for (what, n), copies in sorted(self.samples.items()):
            rates = [copy.megabytes_per_second for copy in copies]
            cpu = [statistics.median(copy.source_cpu for copy in copies),
                   statistics.median(copy.destination_cpu for copy in copies)]
            print(f"  {f'{what} x{n}':22}{statistics.median(rates):6.0f} MB/s ({min(rates):.0f} to {max(rates):.0f})"
                  f"{cpu[0]:8.2f}{cpu[1]:6.2f}")
        print("  (plain copy: TCP into memory that was never touched, as a migration's is; warm: that was;")
        print("   RAM transfer: godwit's, without a guest)")

    def json(self):
        return {f"{what} x{n}": [vars(copy) for copy in copies] for (what, n), copies in self.samples.items()}


def peers_for(several):
    peers = [vmms.Godwit("godwit"), vmms.Qemu("QEMU")]
    if several > 1:
        peers[1:1] = [vmms.Godwit(f"godwit x{several}", several)]
        peers.append(vmms.Qemu(f"QEMU multifd x{several}", several))
    return peers


def run_load(load, peers, runs, ceilings):
    samples, failures, tried = Samples(), collections.defaultdict(list), collections.Counter()
    in_a_row = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            for peer in peers:
                if in_a_row[peer.name] == GIVE_UP:
                    continue
                tried[peer.name] += 1
                result = migration.measure(peer, folder, load)
                if "failed" in result:
                    in_a_row[peer.name] += 1
                    failures[peer.name].append(result["failed"])
                    continue
                in_a_row[peer.name] = 0
                for measure, value in result.items():
                    samples.add(measure, peer.name, [value])
            ceilings.take()
    print(migration_table(load.name, samples, failures, [peer.name for peer in peers], tried), flush=True)
    return samples, failures


def verdict(reached):
    return "reached" if reached else "NOT reached"


def judge_throughput(peers, idle, ceilings):
    rates = {name: statistics.median(values) for name, values in idle.by_measure.get("throughput, MB/s", {}).items()}
    for peer in peers:
        if peer.name not in rates:
            continue
        rate, aims = rates[peer.name], isinstance(peer, vmms.Godwit)
        of_ceiling = rate / ceilings.rate("plain copy", peer.connections)
        of_warm = rate / ceilings.rate("plain copy, warm", peer.connections)
        line = f"  idle guest, {peer.name}: {of_ceiling:.2f} of the plain copy over as many connections"
        line += f" (aim {OF_CEILING:.2f}: {verdict(of_ceiling >= OF_CEILING)})" if aims else ""
        line += f", {of_warm:.2f} of the warm one"
        if "QEMU" in rates and peer.name != "QEMU":
            of_qemu = rate / rates["QEMU"]
            line += f"; {of_qemu:.2f} x QEMU" + (f" (aim {OF_QEMU:.1f}: {verdict(of_qemu >= OF_QEMU)})" if aims else "")
        print(line)


def judge_downtime(peers, by_load):
    for peer in peers:
        gaps = [gap for samples in by_load.values() for gap in samples.get("downtime, ms", peer.name)]
        if not gaps:
            continue
        within = sum(gap <= vmms.LIMIT_MS for gap in gaps)
        aim = f" (aim {WITHIN_LIMIT:.2f}: {verdict(within >= WITHIN_LIMIT * len(gaps))})"
        print(f"  {peer.name}: {within} of the {len(gaps)} runs that converged stood still for at most {vmms.LIMIT_MS} ms: "
              f"{within / len(gaps):.3f}{aim if isinstance(peer, vmms.Godwit) else ''}")


def judge_declaration(peer, runs):
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            rounds.append(migration.rounds_until_declared(peer, folder, CAP_MB_S))
    in_time = sum(number is not None and number <= DECLARED_BY for number in rounds)
    counts = ", ".join(f"{n} x {'never' if number is None else f'after round {number}'}"
                       for number, n in collections.Counter(rounds).most_common())
    print(f"  a writer of {2 * CAP_MB_S} MB/s on a link of {CAP_MB_S} MB/s was declared within {DECLARED_BY} rounds in "
          f"{in_time} of {runs} runs ({counts}): {verdict(in_time == runs)}")
    return rounds


def run(runs, several, rates):
    print(ceiling.describe(vmms.QEMU), flush=True)
    peers = peers_for(several)
    ceilings = Ceilings(sorted({1, several}))
    by_load, results = {}, {}
    for load in migration.loads(rates):
        by_load[load.name], failures = run_load(load, peers, runs, ceilings)
        results[load.name] = {"samples": by_load[load.name].by_measure, "failures": failures}
    ceilings.print()
    print("aims")
    judge_throughput(peers, by_load[migration.IDLE.name], ceilings)
    judge_downtime(peers, by_load)
    results["declared after round"] = judge_declaration(peers[0], runs)
    results["ceilings"] = ceilings.json()
    return results
