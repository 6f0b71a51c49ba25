# SPDX-License-Identifier: Apache-2.0
"""Measures godwit beside stock QEMU 7.2 microvm: same machine, same guest, same run.

Without a word: start-up, memory and two migrations, as ratios. `migration`: migrations in depth. `build`: what compiling
this tree costs, beside another commit if wanted.
"""
import argparse
import json
import pathlib
import sys

sys.dont_write_bytecode = True
import build  # noqa: E402
import vmms  # noqa: E402,F401  (makes the scenarios' modules known)
import depth  # noqa: E402
import overview  # noqa: E402
import placed  # noqa: E402


def main():
    options = argparse.ArgumentParser(prog="tools/bench", description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", nargs="?", choices=("all", "migration", "build"), default="all")
    options.add_argument("--json", metavar="FILE", help="write all samples there")
    options.add_argument("--runs", type=int, help="migrations of each kind (default 5; 20 in depth)")
    options.add_argument("--connections", type=int, default=2, metavar="N",
                         help="in depth: also with so many connections, QEMU's with multifd (default 2)")
    options.add_argument("--rates", type=lambda text: [int(r) for r in text.split(",") if r], default=[100, 400, 1600],
                         metavar="MB/S,...", help="in depth: what the guest writes meanwhile (default 100,400,1600)")
    options.add_argument("--against", metavar="COMMIT", help="build: beside this commit")
    options.add_argument("--targets", choices=("demo", "all"), default="all", help="build: what tools/demo needs, or everything (default)")
    options.add_argument("--jobs", type=int, metavar="N", help="build: so many compilers at a time (default: one a CPU)")
    chosen = options.parse_args()
    if chosen.what != "build" and (status := placed.elsewhere(pathlib.Path(__file__).resolve().parent, chosen.json)) is not None:
        sys.exit(status)
    if chosen.what == "build":
        results = build.measure(chosen.against, chosen.targets, chosen.jobs)
    elif chosen.what == "migration":
        chosen.runs = chosen.runs or 20
        results = depth.run(chosen.runs, chosen.connections, chosen.rates)
    else:
        results = overview.run(chosen.runs or 5)
    if chosen.json:
        pathlib.Path(chosen.json).write_text(json.dumps(results, indent=2) + "\n")


main()
