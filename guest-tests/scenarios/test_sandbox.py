# SPDX-License-Identifier: Apache-2.0
"""What a godwit process has given up when its guest runs, as the kernel tells it (docs/sandbox.md)."""
import os
import pathlib
import socket
import subprocess
import time

import pytest
import vm

pytestmark = pytest.mark.machines("plain")
TREE = pathlib.Path(__file__).resolve().parents[2]
GUEST = "prog=heartbeat,mem mem.size=2M mem.rate=1M"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user or change its root folder")
NOBODY = 65534


def threads(process):
    """Its threads by name, each with the fields of its /proc/PID/task/TID/status."""
    found = {}
    for task in pathlib.Path(f"/proc/{process.child.pid}/task").iterdir():
        try:
            status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        found[f"{status['Name']} {task.name}"] = status
    return found


def running(scene, command_line=GUEST, **parts):
    guest = scene.run(command_line, **parts)
    guest.wait_line(r"^GT ready")
    return guest


def assert_confined(process, *roles):
    found = threads(process)
    names = {name.split()[0] for name in found}
    assert names >= set(roles), f"no thread of some role: {names}"
    for name, status in found.items():
        have = {key: status[key] for key in ("Seccomp", "NoNewPrivs", "CapEff", "CapPrm")}
        assert have == {"Seccomp": "2", "NoNewPrivs": "1", "CapEff": "0" * 16, "CapPrm": "0" * 16}, f"{name}: {have}"


@pytest.mark.machines("plain", "pci", "ccw")
def test_every_thread_is_confined_also_of_a_guest_that_came(scene):
    source, there = running(scene, disk=scene.disk()), scene.receive(disk=scene.disk())
    assert_confined(source, "vcpu0", "loop", "signals")
    assert_confined(there, "vcpu0", "loop", "signals", "destination")
    source.cli("migrate", there.address)
    source.expect_exit(0)
    assert_confined(there, "vcpu0", "loop")
    there.finish()


def test_a_restored_guest_is_confined_too(scene):
    source = running(scene)
    source.cli("save", "--quit", str(scene.path / "state"))
    source.expect_exit(0)
    restored = scene.restore(scene.path / "state")
    restored.wait_line("^GT heartbeat")
    assert_confined(restored, "vcpu0", "loop")
    restored.finish()


def test_a_sandbox_that_is_off_is_none(scene):
    guest = running(scene, extra=["--sandbox", "off"])
    assert {status["Seccomp"] for status in threads(guest).values()} == {"0"}
    guest.finish()


def test_a_denied_call_ends_its_process_with_one_line_and_nothing_else(scene):
    disk = scene.disk()
    guest, other = running(scene, disk=disk), running(scene, name="other")
    there = scene.receive(disk=disk)
    guest.send(b"t")  # the plain machine's CPU makes a socket, which no vCPU's thread may
    guest.expect_exit(10)
    said = [line for line in guest.stderr().splitlines() if "sandbox" in line]
    assert said == ["godwit: sandbox: the thread 'vcpu' made the system call socket (41), which it may not; the process ends"]
    other.finish()
    again = running(scene, name="again", disk=disk)  # its lock on the disk has gone with it
    again.cli("migrate", there.address)
    again.expect_exit(0)
    there.finish()


def test_a_sandbox_that_logs_lets_it_pass(scene):
    guest = running(scene, extra=["--sandbox", "log"])
    guest.send(b"t")
    after = len(guest.stdout())
    guest.wait_line("^GT heartbeat", after=after)
    guest.finish()


def test_what_was_inherited_and_not_taken_is_closed(scene):
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    process = subprocess.Popen([vm.PLAIN, "run", "--kernel", "built-in", "--cmdline", "prog=heartbeat"], close_fds=False,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        theirs.close()
        while not process.stdout.readline().startswith("GT ready"):
            assert process.poll() is None
        ours.settimeout(vm.PATIENCE)
        assert ours.recv(1) == b"", "the other end is still open"
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        ours.close()


def test_no_memory_can_be_both_written_and_executed(scene):
    guest = running(scene)
    maps = pathlib.Path(f"/proc/{guest.child.pid}/maps").read_text().splitlines()
    assert len(maps) > 10 and not [line for line in maps if "wx" in line.split()[1]]
    guest.finish()


def test_a_guest_is_saved_where_operators_may_name_files(scene):
    allowed = scene.path / "allowed"
    allowed.mkdir()
    guest = running(scene, extra=["--sandbox-path", str(allowed)])
    refused = guest.cli("save", str(scene.path / "elsewhere"), check=False)
    assert refused.returncode == 2 and "Permission denied" in refused.stderr and "elsewhere" in refused.stderr
    assert not (scene.path / "elsewhere").exists() and not (scene.path / "elsewhere.partial").exists()
    guest.cli("save", str(allowed / "state"))
    guest.finish()
    restored = scene.restore(allowed / "state")
    restored.wait_line("^GT heartbeat")
    restored.finish()


@needs_root
def test_a_guest_of_another_user_in_another_root_folder(scene, tcp_address):
    root = scene.path / "root"
    root.mkdir()
    os.chown(root, NOBODY, NOBODY)
    guest = running(scene, disk=scene.disk(), extra=["--user", "nobody", "--chroot", str(root)])
    for name, status in threads(guest).items():
        assert set(status["Uid"].split()) == {str(NOBODY)}, name
        assert not status["Groups"].split(), name
    assert os.readlink(f"/proc/{guest.child.pid}/root") == str(root)
    guest.cli("save", "/state")
    assert (root / "state").stat().st_uid == NOBODY
    there = scene.receive(address=tcp_address, disk=scene.disk(), extra=["--user", "nobody"])
    guest.cli("migrate", there.address)
    guest.expect_exit(0)
    for name, status in threads(there).items():
        assert set(status["Uid"].split()) == {str(NOBODY)}, name
    there.finish()


@pytest.mark.parametrize("options, words", [
    (["--user", "no-such-user"], "no user 'no-such-user'"),
    (["--user", "nobody:no-such-group"], "no group 'no-such-group'"),
    (["--chroot", "/no/such/folder"], "--chroot: /no/such/folder"),
    (["--sandbox-path", "/no/such/folder"], "--sandbox-path '/no/such/folder'"),
    (["--sandbox", "off", "--sandbox-path", "/tmp"], "--sandbox-path needs --sandbox on"),
    (["--sandbox", "maybe"], "--sandbox"),
])
@needs_root
def test_wrong_options_are_named(scene, options, words):
    guest = scene.run(GUEST, extra=options)
    assert guest.wait_exit() in (1, 2)
    assert words in guest.stderr()


def test_the_document_has_the_rules_that_are_built_in():
    table = subprocess.run([vm.BUILD / "vmm/sandbox/write_filters", "--table"], capture_output=True, text=True, check=True).stdout
    assert table.count("\n") > 50 and table in (TREE / "docs/sandbox.md").read_text()


def test_a_file_is_inspected_by_a_process_that_can_open_nothing(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen([vm.PLAIN, "inspect", fifo], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        with open(fifo, "wb") as writer:
            status = pathlib.Path(f"/proc/{process.pid}/status")
            deadline = time.monotonic() + vm.PATIENCE
            while "Seccomp:\t2" not in status.read_text():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.01)
            assert "CapEff:\t" + "0" * 16 in status.read_text()
            writer.write(b"no saved state")
        assert process.wait(vm.PATIENCE) == 2
