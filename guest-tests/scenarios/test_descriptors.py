# SPDX-License-Identifier: Apache-2.0
"""Descriptors and paths belong to whoever gave them: what a client hands over, and what a saved guest is written to."""
import contextlib
import os
import pathlib
import resource
import socket
import subprocess

import pytest
import vm

pytestmark = pytest.mark.machines("plain")
GUEST = "prog=heartbeat,mem mem.size=2M mem.rate=1M"


def running(scene, command_line=GUEST, **parts):
    guest = scene.run(command_line, **parts)
    guest.wait_line(r"^GT ready")
    return guest


def connected(receiver):
    ours = socket.socket(socket.AF_UNIX)
    ours.connect(receiver.address.removeprefix("unix:"))
    return ours


def ends_well(guest):
    guest.finish()
    assert guest.report("mem")["errors"] == "0"


@pytest.mark.parametrize("command", ["migrate", "check"])
def test_a_number_is_none_of_the_machines_descriptors(scene, command):
    guest = running(scene)
    control = guest.qmp()
    before = guest.descriptors()
    for number in range(before + 3):
        with pytest.raises(vm.Failed, match=f"fd:{number}'.*getfd"):
            control.execute(command, uri=f"fd:{number}")
    assert guest.descriptors() == before
    assert control.execute("query-status")["running"]
    guest.cli("quit")


def test_a_guest_moves_over_a_socket_that_a_client_has_handed_over(scene):
    guest, there = running(scene), scene.receive()
    control = guest.qmp()
    with connected(there) as ours:
        control.hand_over(ours, "there")
        control.execute("closefd", fdname="there")
        with pytest.raises(vm.Failed, match="'there'"):
            control.execute("migrate", uri="fd:there")
        control.hand_over(ours, "there")
        assert control.execute("check", uri="fd:there")["fits"]
    with connected(there) as ours:
        control.hand_over(ours, "there")
    control.execute("migrate", uri="fd:there")
    guest.expect_exit(0)
    ends_well(there)


def test_what_is_no_socket_is_refused_and_the_guest_goes_on(scene):
    guest = running(scene)
    control = guest.qmp()
    with open("/dev/null", "rb") as other:
        control.hand_over(other, "there")
    control.execute("migrate", uri="fd:there")
    failed = control.wait_event("MIGRATION")
    assert failed["data"]["status"] in ("setup", "failed")
    with pytest.raises(vm.Failed, match="getfd: no descriptor came"):
        control.execute("getfd", fdname="there")
    assert control.execute("query-status")["running"]
    guest.cli("quit")


@pytest.mark.parametrize("command", ["check", "migrate"])
def test_the_command_line_hands_its_own_descriptor_over(scene, command):
    guest, there = running(scene), scene.receive()
    with connected(there) as ours:
        done = subprocess.run([vm.PLAIN, command, "--control", guest.control, f"fd:{ours.fileno()}"], pass_fds=[ours.fileno()],
                              capture_output=True, text=True, timeout=vm.PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    if command == "check":
        assert guest.qmp().execute("query-status")["running"]
        guest.cli("quit")
        there.cli("quit")
        return
    guest.expect_exit(0)
    ends_well(there)


def test_a_receiver_takes_a_socket_that_it_inherits(scene):
    guest = running(scene)
    ours, its = socket.socketpair(socket.AF_UNIX)
    with subprocess.Popen([vm.PLAIN, "receive", "--control", scene.path / "there.sock", f"fd:{its.fileno()}", *scene.options(serial="null")],
                          pass_fds=[its.fileno()]) as there:
        its.close()
        control = guest.qmp()
        control.hand_over(ours, "there")
        ours.close()
        control.execute("migrate", uri="fd:there")
        guest.expect_exit(0)
        subprocess.run([vm.PLAIN, "quit", "--control", scene.path / "there.sock"], check=True)
        assert there.wait(vm.PATIENCE) == 0


def test_a_receiver_takes_no_descriptor_of_its_own(scene):
    done = subprocess.run([vm.PLAIN, "receive", "fd:5", *scene.options(serial="null")], capture_output=True, text=True,
                          timeout=vm.PATIENCE, check=False)
    assert done.returncode == 2 and "descriptor 5 was not inherited" in done.stderr


# ---- saved guests

def test_save_to_a_link_replaces_what_it_leads_to(scene):
    guest = running(scene)
    (scene.path / "disks").mkdir()
    link = scene.path / "latest"
    link.symlink_to("disks/state")
    for _ in range(2):
        guest.cli("save", link)
        assert link.is_symlink() and (scene.path / "disks/state").stat().st_size > 0
    guest.cli("save", "--quit", link)
    guest.expect_exit(0)
    restored = scene.restore(link)
    restored.wait_line(r"^GT heartbeat")
    ends_well(restored)


def test_save_replaces_nothing_that_the_machine_has_open(scene):
    guest = running(scene)  # its standard output is a pipe, and its standard error a file or a pipe
    said = guest.cli("save", "/proc/self/exe", check=False)
    assert said.returncode == 2 and "/proc/self/exe" in said.stderr
    assert pathlib.Path("/dev/stdout").is_symlink()
    guest.cli("quit")


def test_nobodys_disk_is_replaced_by_mistake(scene):
    """Neither the guest's own, by any of its names, nor another machine's; and neither is emptied for a log or a timeline."""
    image, other = scene.disk(size=4 << 20), scene.disk("other.raw", size=4 << 20)
    guest = running(scene, "prog=heartbeat,disk disk.span=1M", disk=image)
    owner = scene.run("prog=heartbeat", name="owner", disk=other)
    owner.wait_line(r"^GT heartbeat")
    link, before = scene.path / "link", image.stat()
    link.symlink_to(image)
    for place, says in ((image, "is in use"), (link, "is in use"), (other, "is in use"), (scene.path / "dir", "Is a directory"),
                        (scene.path / "none/state", "No such file")):
        (scene.path / "dir").mkdir(exist_ok=True)
        said = guest.cli("save", place, check=False)
        assert said.returncode == 2 and says in said.stderr, said.stderr
    beside = scene.path / "state.partial"  # where a save to "state" writes first
    image.rename(beside)
    said = guest.cli("save", scene.path / "state", check=False)
    assert said.returncode == 2 and "state.partial' is in use" in said.stderr
    beside.rename(image)
    said = guest.cli("migrate", "--timeline", image, "unix:/nonexistent", check=False)
    assert said.returncode == 2 and "is in use" in said.stderr
    third = scene.start("run", "third", ["--kernel", "built-in", "--serial", f"file={other},truncate"])
    third.expect_exit(2)
    assert "is in use" in third.stderr()
    assert image.stat().st_ino == before.st_ino and image.stat().st_size == other.stat().st_size == 4 << 20
    owner.finish()
    guest.finish()
    assert guest.report("disk")["errors"] == "0"


def test_a_limit_on_the_size_of_files_ends_a_save_and_not_the_guest(scene):
    with limited_files(64 << 10):
        guest = running(scene)
    said = guest.cli("save", scene.path / "state", check=False)
    assert said.returncode == 1 and "File too large" in said.stderr, said.stderr
    assert not list(scene.path.glob("state*"))
    ends_well(guest)


@contextlib.contextmanager
def limited_files(size):
    """Processes that are started meanwhile write no file beyond that."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_save_and_restore_through_a_pipe(scene):
    """As `godwit save - | ssh host godwit restore -`."""
    guest = running(scene)
    with subprocess.Popen([vm.PLAIN, "save", "--control", guest.control, "--quit", "-"], stdout=subprocess.PIPE) as saved:
        there = scene.start("restore", "restored", ["-", *scene.options()], stdin=saved.stdout)
        assert saved.wait(vm.PATIENCE) == 0
    guest.expect_exit(0)
    there.wait_line(r"^GT heartbeat")
    assert "running" in there.status()
    there.cli("quit")


def test_save_to_a_file_that_is_standard_output(scene):
    guest = running(scene)
    with open(scene.path / "state", "wb") as file:
        subprocess.run([vm.PLAIN, "save", "--control", guest.control, "--quit", "-"], stdout=file, timeout=vm.PATIENCE, check=True)
    guest.expect_exit(0)
    ends_well(scene.restore(scene.path / "state"))


def test_restore_from_a_socket_that_is_standard_input(scene):
    guest = running(scene)
    guest.cli("save", "--quit", scene.path / "state")
    guest.expect_exit(0)
    ours, its = socket.socketpair()
    there = scene.start("restore", "restored", ["/dev/stdin", *scene.options()], stdin=its)
    its.close()
    with ours, open(scene.path / "state", "rb") as file:
        ours.sendfile(file)
    there.wait_line(r"^GT heartbeat")
    assert os.path.exists("/dev/stdin") and "running" in there.status()
    there.cli("quit")
