# SPDX-License-Identifier: Apache-2.0
"""Where a benchmark of guests runs: on this machine, or, where that has no KVM, on a host that QEMU emulates."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import sites
import vmms

MEMORY, CPUS = 4096, 1  # of an emulated host; one CPU is the most trustworthy (docs/hosts.md)


def elsewhere(program, result=None):
    """Runs `program` with this command line on an emulated host, and gives its exit status; None when this machine will do.
    `result`: the file that --json names."""
    if sites.usable_kvm() or os.environ.get("GODWIT_LAB_HOST"):
        return None
    print(f"Note: {sites.WHY_HOSTS}. Ratios between VMMs still tell something; times do not.", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        words = [os.path.join(folder, "result") if result and word == str(result) else word for word in sys.argv[1:]]
        status = subprocess.run([vmms.TREE / "tools/lab", "run", "--memory", str(MEMORY), "--cpus", str(CPUS), "--share", folder,
                                 "--", "env", "GODWIT_LAB_HOST=1", f"GODWIT_BUILD={vmms.vm.BUILD}", "/usr/bin/python3", "-B",
                                 program, *words], check=False).returncode
        if result and status == 0:
            shutil.copy(pathlib.Path(folder) / "result", result)
    return status
