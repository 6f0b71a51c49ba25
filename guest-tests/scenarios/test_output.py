# SPDX-License-Identifier: Apache-2.0
"""Standard streams as callers leave them: closed, full, or a pipe whose reader has left. No subcommand dies of that, and none
that could not print says that all is well."""
import os
import subprocess

import pytest
import vm
from conftest import Scene

pytestmark = [pytest.mark.machines("plain"), pytest.mark.no_kvm]
FULL, BROKEN, CLOSED = "standard output: No space left on device", "", "standard output: Bad file descriptor"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """What the table's {names} stand for: a running guest, a waiting one, and a saved one."""
    scene = Scene(tmp_path_factory.mktemp("output"), "plain")
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    there = scene.receive()
    guest.cli("save", scene.path / "state")
    yield {"control": guest.control, "there": there.address, "state": scene.path / "state", "none": scene.path / "none"}
    scene.close()


# What prints a result.
PRINTS = ["--help", "--version", "run --help", "receive --help", "restore --help", "migrate --help", "save --help",
          "cpu --help", "status --control {control}", "tune --control {control}", "check --control {control} {there}",
          "check --control {control} {there} --json", "inspect {state}", "inspect --json {state}", "inspect --order {state}",
          "inspect --diff {state} {state}", "inspect --diff --json {state} {state}"]
# What prints complaints only, and its status.
COMPLAINS = {"status --control {none}": 1, "inspect {none}": 2, "no-such-verb": 2, "run": 2, "migrate --control {none} nowhere": 2,
             "cancel --control {control}": 2, "resolve --control {control}": 2, "timeline {none}": 2}


def argv(command, words):
    return [vm.PLAIN, *command.format(**words).split()]


def with_streams(argv, redirections):
    """As a shell starts it."""
    return subprocess.run(["sh", "-c", f'exec "$@" {redirections}', "sh", *map(str, argv)], capture_output=True, text=True,
                          timeout=vm.PATIENCE, check=False)


def with_a_reader_that_left(argv):
    left, right = os.pipe()
    os.close(left)
    try:
        return subprocess.run(list(map(str, argv)), stdout=right, stderr=subprocess.PIPE, text=True, timeout=vm.PATIENCE, check=False)
    finally:
        os.close(right)


@pytest.mark.parametrize("command", PRINTS)
def test_what_cannot_be_printed_is_a_failure(words, command):
    line = argv(command, words)
    assert with_streams(line, "").returncode == 0
    for done, said in ((with_streams(line, "> /dev/full"), FULL), (with_streams(line, ">&-"), CLOSED),
                       (with_a_reader_that_left(line), BROKEN)):
        assert done.returncode == 1 and done.stderr.removeprefix("godwit: ").strip() == said, done


@pytest.mark.parametrize("command", PRINTS)
def test_nobody_needs_standard_error(words, command):
    line = argv(command, words)
    as_ever = with_streams(line, "").stdout
    for redirection in ("2>&-", "2> /dev/full", "<&- 2>&-"):
        done = with_streams(line, redirection)
        assert done.returncode == 0 and len(done.stdout) == len(as_ever), done


@pytest.mark.parametrize("command", COMPLAINS)
def test_a_status_says_what_a_complaint_cannot(words, command):
    line = argv(command, words)
    for redirection in ("", "2>&-", "2> /dev/full", ">&- 2>&-", ">&- 2>&- <&-"):
        assert with_streams(line, redirection).returncode == COMPLAINS[command], redirection


def test_a_guest_runs_and_moves_without_any_standard_stream(scene):
    """Its first files must not take the places of the streams: what is printed would go into them."""
    image = scene.disk(size=2 << 20)
    options = [*map(str, ["--kernel", "built-in", "--cmdline", "prog=disk,heartbeat disk.span=1M", *scene.options(disk=image, serial="null")])]
    control = str(scene.path / "streams.sock")
    with subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", str(vm.PLAIN), "run", "--control", control, *options]) as source:
        try:
            there = scene.receive(disk=image)
            while not os.path.exists(control):
                assert source.poll() is None
            done = with_streams([vm.PLAIN, "migrate", "--control", control, there.address], ">&- 2>&- <&-")
            assert done.returncode == 1  # it could not say that it is done
            assert source.wait(vm.PATIENCE) == 0
        finally:
            source.kill()
    there.finish()
    assert there.report("disk")["errors"] == "0"


def test_a_migration_does_not_end_with_who_watches_it(scene):
    source = scene.run("prog=heartbeat,mem mem.size=16M mem.rate=1M")
    source.wait_line(r"^GT ready")
    there = scene.receive()
    done = with_streams([vm.PLAIN, "migrate", "--control", source.control, there.address], "> /dev/full 2> /dev/full")
    assert done.returncode == 1
    source.expect_exit(0)
    there.wait_line(r"^GT heartbeat")
    there.cli("quit")


def test_a_log_that_nobody_reads_holds_nothing_up(scene):
    """More lines than its pipe holds, from every thread that writes them; then somebody reads on."""
    left, right = os.pipe()
    control = str(scene.path / "log.sock")
    with subprocess.Popen([str(vm.PLAIN), "--verbose", "run", "--control", control, "--kernel", "built-in", "--cmdline", "prog=heartbeat",
                           *scene.options(serial="null")], stderr=right) as guest:
        os.close(right)
        try:
            while not os.path.exists(control):
                assert guest.poll() is None
            operator = vm.Qmp(control)
            for _ in range(3000):  # each fails, and is logged at the source
                operator.execute("migrate", uri=f"unix:{scene.path}/nobody")
                while operator.wait_event("MIGRATION")["data"]["status"] != "failed":
                    pass
            operator.execute("quit")
            with os.fdopen(left, "r") as log:
                text = log.read()
            assert guest.wait(vm.PATIENCE) == 0
        finally:
            guest.kill()
    assert "older lines were dropped" in text
