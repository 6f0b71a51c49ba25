# SPDX-License-Identifier: Apache-2.0
"""The steps behind tools/test: runs them all, also after one has failed, and counts their results."""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "tools/hosts"))
sys.dont_write_bytecode = True
import fleet  # noqa: E402

MOST_UNSTEADY = 3  # unit tests that fail only beside others; where there are more the machine is not the reason
NOT_HERE = 77  # exit status of a test that says why it cannot run
BUILD = TREE / "build"
SANITIZED = TREE / "build-sanitized"


@dataclasses.dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def run(argv, **options):
    return subprocess.run([str(a) for a in argv], cwd=TREE, check=False, **options).returncode


def check(argv):
    ok = run(argv) == 0
    return Count(passed=int(ok), failed=int(not ok))


def build(folder, *options, nice=0):
    argv = ["nice", "-n", str(nice)] if nice else []
    if not (folder / "build.ninja").exists() and run([*argv, "meson", "setup", folder, *options]) != 0:
        return False
    return run([*argv, "ninja", "-C", folder, "--quiet"]) == 0


def build_sanitized():
    """Not optimised: these tests take long to compile. Behind whatever else runs."""
    return build(SANITIZED, "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Doptimization=0", "-Ddebug=false",
                 "-Dcpp_args=-g1", "-Dbenchmarks=false", nice=19)


def meson_test(folder, *which):
    return run(["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", "--timeout-multiplier", "4", *which])


def unit_tests(folder, prefix, emulated=True):
    """Runs the unit tests; an executable of Catch2 counts once for every test case in it that ran, another one, as a fuzz target, once. Those
    that want a KVM, where there is none, run on an emulated host if `emulated`, and are left out otherwise."""
    log = folder / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    status = meson_test(folder, "--suite", "unit", "--num-processes", "2")
    count, failed, elsewhere = Count(), [], []
    if not log.exists():
        return Count(failed=1)
    for line in log.read_text().splitlines():
        test = json.loads(line)
        cases = test_cases(test["command"][0])
        if test["result"] == "OK":
            count.passed += cases
        elif test["result"] == "SKIP":
            elsewhere.append(test["command"][0])
        else:
            print(f"FAILED: {prefix}{test['name']}")
            failed.append((test["name"], cases))
    for name, cases in failed:
        # As the scenarios have it (guest-tests/runner/second_look.py): what passes twice when nothing runs beside it counts.
        if len(failed) <= MOST_UNSTEADY and all(meson_test(folder, name) == 0 for _ in range(2)):
            print(f"unsteady: {prefix}{name}: failed when the machine was busy (above), and passed twice alone")
            count.passed += cases
        else:
            count.failed += 1
    if status != 0 and not failed:
        count.failed = 1
    if elsewhere and not emulated:
        print(f"left out: {len(elsewhere)} programs that want a KVM: they ran on an emulated host without sanitizers")
    elif elsewhere:
        count.add(on_host(elsewhere, prefix))
    return count


def on_host(executables, prefix):
    """Runs tests that found no KVM here on an emulated host that has one; on a fresh one when that fails."""
    count, left, failures = Count(), list(executables), 0
    while left:
        try:
            with fleet.Fleet([fleet.HostSpec("host", memory=2048)], lan=False).wait_ready() as hosts:
                while left:
                    count.add(host_test(hosts["host"], left[0], prefix))
                    left.pop(0)
        except fleet.Unavailable as why:
            print(f"FAILED: {prefix}{len(left)} unit tests that want a KVM: {why}")
            return Count(count.passed, count.failed + len(left), count.skipped)
        except fleet.HostFailed as why:
            failures += 1
            print(f"repeated, since its host failed: {prefix}{pathlib.Path(left[0]).name}\n{why}")
            if failures == 3:
                return Count(count.passed, count.failed + len(left), count.skipped)
    return count


def host_test(host, executable, prefix):
    try:
        done = host.run([executable], timeout=1200)
    except subprocess.TimeoutExpired:
        host.check()
        print(f"FAILED: {prefix}{pathlib.Path(executable).name}: not done after 20 minutes")
        return Count(failed=1)
    if done.returncode == 0:
        return Count(passed=test_cases(executable))
    said = done.stdout + done.stderr
    if done.returncode == NOT_HERE:
        print(f"skipped: {prefix}{pathlib.Path(executable).name}: {said.strip().splitlines()[-1]}")
        return Count(skipped=1)
    print(f"FAILED: {prefix}{pathlib.Path(executable).name} on an emulated host\n{said[-8000:]}")
    return Count(failed=1)


def test_cases(executable):
    listed = subprocess.run([executable, "--list-test-names-only"], capture_output=True, text=True, check=False)
    return max(1, len(listed.stdout.splitlines()))


def scenarios(words, scope, *where):
    """Those that run there. The runner's last line counts them."""
    argv = ["/usr/bin/python3", "-B", "guest-tests/runner", "--build", BUILD, "--scope", scope, "-k", words,
            "--junit", BUILD / f"scenarios-{where[0]}.xml", *(f"--only={place}" for place in where)]
    last = ""
    with subprocess.Popen([str(a) for a in argv], cwd=TREE, stdout=subprocess.PIPE, text=True) as runner:
        for line in runner.stdout:
            if last:
                print(last, flush=True)
            last = line.rstrip("\n")
    try:
        return Count(**json.loads(last))
    except (TypeError, ValueError):
        print(last)
        return Count(failed=1)


class SmallLinux:
    """The build of guest-tests/linux, beside godwit's own: it takes minutes when its cache is empty."""

    def __init__(self):
        self.log = tempfile.TemporaryFile()
        self.child = subprocess.Popen([TREE / "guest-tests/linux/build"], stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=subprocess.STDOUT)

    def wait(self):
        status = self.child.wait()
        self.log.seek(0)
        text = self.log.read().decode(errors="replace").strip()
        if status == 0:
            return Count(passed=1)
        if status == 77:
            print(f"skipped: small Linux: {text.splitlines()[-1]}")
            return Count(skipped=1)
        print(text)
        return Count(failed=1)


def main():
    options = argparse.ArgumentParser(prog="tools/test")
    scope = options.add_mutually_exclusive_group()
    scope.add_argument("--quick", action="store_true", help="leave out the sanitizer build and what is slow")
    scope.add_argument("--all", action="store_true", help="everything everywhere: takes hours where hosts are emulated")
    options.add_argument("-k", metavar="WORDS", default="", help="only scenarios in whose name all these words are")
    chosen = options.parse_args()

    total = Count()

    def step(title, work):
        print(f"== {title}", flush=True)
        began = time.monotonic()
        count = work()
        total.add(count)
        print(f"   {count.passed} passed, {count.failed} failed, {count.skipped} skipped "
              f"({time.monotonic() - began:.0f} s)", flush=True)
        return count.failed == 0

    small_linux = SmallLinux()
    step("layers", lambda: check(["tools/check_layers"]))
    step("format", lambda: check(["tools/check_format"]))
    built = step("build, warnings as errors", lambda: Count(passed=1) if build(BUILD) else Count(failed=1))
    if built:
        step("hardening", lambda: check(["tools/check_hardening"]))
    step("small Linux", small_linux.wait)
    if built:
        step("unit tests", lambda: unit_tests(BUILD, ""))
        size = "quick" if chosen.quick else "all" if chosen.all else "ordinary"
        step("scenarios", lambda: scenarios(chosen.k, size, "here", "host"))
        if not chosen.quick:
            with concurrent.futures.ThreadPoolExecutor(1) as beside:
                sanitized = beside.submit(build_sanitized)  # with what two hosts leave of the machine: they wait most of the time
                step("scenarios on hosts with a LAN", lambda: scenarios(chosen.k, size, "fleet"))
                built = step("build with ASan and UBSan", lambda: Count(passed=1) if sanitized.result() else Count(failed=1))
            if built:
                os.environ.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
                step("unit tests under ASan and UBSan", lambda: unit_tests(SANITIZED, "sanitized ", emulated=False))

    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {total.failed} failed{skipped}", flush=True)
    return 1 if total.failed else 0


sys.exit(main())
