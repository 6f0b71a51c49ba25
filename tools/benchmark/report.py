# SPDX-License-Identifier: Apache-2.0
"""Samples by measure and VMM, and the tables made of them."""
import math
import statistics


def percentile(values, part):
    """The smallest value that is not below `part` of all of them."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


class Samples:
    def __init__(self):
        self.by_measure = {}

    def add(self, measure, vmm, values):
        self.by_measure.setdefault(measure, {}).setdefault(vmm, []).extend(values)

    def get(self, measure, vmm):
        return self.by_measure.get(measure, {}).get(vmm, [])


def spread(values):
    if not values:
        return "-"
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def compare(samples, names, base):
    """One row a measure: median and spread of each, and the ratio of the first to `base`."""
    lines = [f"{'median (min to max)':44}" + "".join(f"{name:>28}" for name in names) + f"{'ratio':>8}"]
    for measure, by_vmm in samples.by_measure.items():
        first, other = by_vmm.get(names[0]), by_vmm.get(base)
        ratio = f"{statistics.median(first) / statistics.median(other):.2f}" if first and other else "-"
        lines.append(f"{measure:44}" + "".join(f"{spread(by_vmm.get(name, [])):>28}" for name in names) + f"{ratio:>8}")
    return "\n".join(lines)


def migration_table(load, samples, failures, names, tried):
    """One column a VMM. Downtime as p50 and p99: its median hides what an operator remembers."""
    lines = [f"{load}, median (min to max)", f"  {'':36}" + "".join(f"{name:>26}" for name in names)]
    lines.append(f"  {'runs that moved, of':36}" + "".join(
        f"{f'{tried[name] - len(failures.get(name, []))} of {tried[name]}':>26}" for name in names))
    for measure, by_vmm in samples.by_measure.items():
        if measure.startswith("downtime"):
            for label, part in (("p50", 0.5), ("p99", 0.99)):
                cells = [f"{percentile(by_vmm[n], part):.1f}" if by_vmm.get(n) else "-" for n in names]
                lines.append(f"  {measure + ' ' + label:36}" + "".join(f"{cell:>26}" for cell in cells))
            continue
        lines.append(f"  {measure:36}" + "".join(f"{spread(by_vmm.get(name, [])):>26}" for name in names))
    for name in names:
        for why in sorted(set(failures.get(name, []))):
            lines.append(f"  {name}: {failures[name].count(why)} of {tried[name]} did not move: {why}")
    return "\n".join(lines)
