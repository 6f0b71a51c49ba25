# SPDX-License-Identifier: Apache-2.0
"""tools/smoke, with the test guest as the image: what it tries, and what it says when that fails."""
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET

import pace
import pytest
import vm

pytestmark = pytest.mark.machines("pci")

SMOKE = pathlib.Path(__file__).resolve().parents[2] / "tools/smoke"
GUEST = ["--kernel", vm.GUEST, "--memory", "128M", "--ready", "^GT ready", "--poke", "s", "--answer", "^GT (?!ready)", "--end", "q",
         "--downtime-limit", str(vm.DOWNTIME_LIMIT)]


def smoke(path, *words):
    """Exit status, the steps as name to outcome, and the console as it was logged."""
    report, log = path / "smoke.xml", path / "console.log"
    done = subprocess.run([sys.executable, SMOKE, "--godwit", vm.GODWIT, "--junit", report, "--log", log, *words],
                          capture_output=True, text=True, check=False)
    if not report.exists():
        return done.returncode, {}, done.stderr
    suite = ET.parse(report).getroot().find("testsuite")
    steps = {case.get("name"): case[0].tag if len(case) else "passed" for case in suite.iter("testcase")}
    outcomes = list(steps.values())
    assert [suite.get(key) for key in ("tests", "failures", "skipped")] == \
        [str(n) for n in (len(steps), outcomes.count("failure"), outcomes.count("skipped"))]
    return done.returncode, steps, f"{log.read_text()}\n--- what tools/smoke said\n{done.stdout}{done.stderr}"


@pytest.mark.machines("pci", "ccw")
def test_image_that_works(scene):
    scene.with_network()  # or skip
    status, steps, console = smoke(scene.path, *GUEST, "--cmdline", "prog=all disk.span=4M mem.size=8M net.ip=10.0.2.15",
                                   "--transport", scene.transport, "--disk", scene.disk(), "--net", "--ping", "10.0.2.15")
    assert set(steps.values()) == {"passed"} and status == 0, (steps, console)
    assert list(steps) == ["boot", "answer", "ping", "move 1", "move 2", "end", "console"]
    assert "GT exit status=0" in console


def test_image_that_never_comes_up(scene):
    status, steps, console = smoke(scene.path, *GUEST, "--cmdline", "prog=heartbeat", "--ready", "login:", "--timeout", "2")
    assert status == 1 and steps["boot"] == "failure"
    assert steps["move 1"] == steps["end"] == "skipped" and steps["console"] == "passed"
    assert "GT ready" in console


def test_image_that_ends_at_once(scene):
    status, steps, _ = smoke(scene.path, *GUEST, "--cmdline", "prog=hello", "--ready", "login:")
    assert status == 1 and steps["boot"] == "failure"


def test_image_that_complains(scene):
    status, steps, _ = smoke(scene.path, *GUEST, "--cmdline", "prog=heartbeat", "--moves", "0", "--complaint", "^GT ready")
    assert status == 1 and steps == {"boot": "passed", "answer": "passed", "end": "passed", "console": "failure"}


def test_image_that_does_not_end(scene):
    status, steps, _ = smoke(scene.path, *GUEST, "--cmdline", "prog=heartbeat", "--moves", "1", "--end", "s", "--timeout",
                             str(round(3 + 2 * pace.PACE)))
    assert status == 1 and steps["move 1"] == "passed" and steps["end"] == "failure"


@pytest.mark.parametrize("words, expected", [(["--kernel", "/nowhere"], 1), ([], 2), (["--kernel", "x", "--ping", "10.0.2.15"], 2),
                                             (["--kernel", "x", "--godwit", "/nowhere"], 3)])
def test_exit_status_says_what_kind_of_failure(scene, words, expected):
    assert smoke(scene.path, *words)[0] == expected
