# SPDX-License-Identifier: Apache-2.0
"""The table of docs/hosts.md: kind of host, what was run there, and what came of it. Rows of kinds that were not run stay."""
import collections
import datetime
import pathlib
import re

BEGIN, END = "<!-- made by guest-tests/runner --document -->\n", "<!-- end -->\n"
HEAD = "| kind of host | scenarios | passed | failed | skipped | hosts that failed meanwhile | when |\n| --- | --- | --- | --- | --- | --- | --- |\n"
EMULATED = "AMD-V, emulated by QEMU (tools/lab)"
PLAIN = "no vCPU: plain memory, natively"


def kvm_here():
    """What kind of KVM this machine has."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    vendor = {"svm": "KVM on SVM", "vmx": "KVM on VMX"}
    for flag, name in vendor.items():
        if re.search(rf"^flags\b.*\b{flag}\b", info, re.M):
            return name
    return "software KVM"


def rows(outcomes, items, failures):
    """One for each kind and file."""
    needs = {item["id"]: item for item in items}
    found = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        item = needs[outcome.name]
        if item["fleet"]:
            kind = f"two hosts on a LAN, {EMULATED}"
        elif outcome.place != "here":
            kind = EMULATED
        else:
            kind = kvm_here() if item["kvm"] else PLAIN
        found[kind, pathlib.PurePath(outcome.name.split("::")[0]).name][outcome.outcome] += 1
    today = datetime.date.today().isoformat()
    for (kind, file), count in sorted(found.items()):
        lost = len(failures) if kind == EMULATED else 0
        yield kind, f"| {kind} | {file} | {count['passed']} | {count['failed']} | {count['skipped']} | {lost} | {today} |\n"


def write(page, outcomes, items, failures):
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    new = list(rows(outcomes, items, failures))
    kinds = {kind for kind, _ in new}
    kept = [line + "\n" for line in old.splitlines()[2:] if line.split("|")[1].strip() not in kinds]
    page.write_text(before + BEGIN + HEAD + "".join(sorted([*kept, *(row for _, row in new)])) + END + after)
