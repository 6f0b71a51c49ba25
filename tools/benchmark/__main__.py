# SPDX-License-Identifier: Apache-2.0
"""Measures godwit beside stock QEMU 7.2 microvm: same machine, same guest, same run.

Without a word: start-up, memory and two migrations, as ratios. `migration`: migrations in depth.
"""
import argparse
import json
import pathlib
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True
import vmms  # noqa: E402  (makes the scenarios' modules known)
import host  # noqa: E402
import migration  # noqa: E402
import overview  # noqa: E402
from report import Samples, migration_table  # noqa: E402


def in_depth(chosen):
    several = chosen.connections
    peers = [vmms.Godwit("godwit"), vmms.Qemu("QEMU")]
    if several > 1:
        peers[1:1] = [vmms.Godwit(f"godwit x{several}", several)]
        peers.append(vmms.Qemu(f"QEMU multifd x{several}", several))
    names = [peer.name for peer in peers]
    print(host.describe(vmms.QEMU))
    results = {}
    ceiling = {n: [host.copy_ceiling_mb_s(768, n) for _ in range(3)] for n in sorted({1, several})}
    for load in migration.loads(chosen.rates):
        samples, failures = Samples(), {}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(chosen.runs):
                for peer in peers:  # interleaved, so that all see the same weather
                    result = migration.measure(peer, folder, load)
                    if "failed" in result:
                        failures.setdefault(peer.name, []).append(result["failed"])
                        continue
                    for measure, value in result.items():
                        samples.add(measure, peer.name, [value])
                for n, rates in ceiling.items():
                    rates.append(host.copy_ceiling_mb_s(768, n))
        results[load.name] = {"samples": samples.by_measure, "failures": failures}
        print(migration_table(load.name, samples, failures, names, chosen.runs), flush=True)
    for n, rates in ceiling.items():
        print(f"ceiling: a plain TCP copy over {n} connection{'s' if n > 1 else ''} moves "
              f"{statistics.median(rates):.0f} MB/s ({min(rates):.0f} to {max(rates):.0f})")
    best = results["idle"]["samples"].get("throughput, MB/s", {})
    for name in names:
        if best.get(name) and best.get("QEMU"):
            rate = statistics.median(best[name])
            print(f"idle guest, {name}: {rate / statistics.median(ceiling[1]):.2f} of the ceiling, "
                  f"{rate / statistics.median(best['QEMU']):.2f} x QEMU")
    results["ceiling, MB/s"] = {str(n): rates for n, rates in ceiling.items()}
    return results


def main():
    options = argparse.ArgumentParser(prog="tools/bench", description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", nargs="?", choices=("all", "migration"), default="all")
    options.add_argument("--json", metavar="FILE", help="write all samples there")
    options.add_argument("--runs", type=int, help="migrations of each kind (default 5; 20 in depth)")
    options.add_argument("--connections", type=int, default=2, metavar="N",
                         help="in depth: also with so many connections, QEMU's with multifd (default 2)")
    options.add_argument("--rates", type=lambda text: [int(r) for r in text.split(",") if r], default=[100, 400, 1600],
                         metavar="MB/S,...", help="in depth: what the guest writes meanwhile (default 100,400,1600)")
    chosen = options.parse_args()
    if chosen.what == "migration":
        chosen.runs = chosen.runs or 20
        results = in_depth(chosen)
    else:
        results = overview.run(chosen.runs or 5)
    if chosen.json:
        pathlib.Path(chosen.json).write_text(json.dumps(results, indent=2) + "\n")


main()
