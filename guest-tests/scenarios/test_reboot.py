# SPDX-License-Identifier: Apache-2.0
"""A guest reboots wherever it is: what it is booted with moves with it, and is in its file."""
import json
import os
import re
import subprocess
import time

import pytest
import test_migration
import vm
from test_control import LIMIT
from test_files import HEARTBEAT

MEMORY = "64M"
LINE = f"prog=mem,heartbeat,reset mem.size=4M {HEARTBEAT}"
PAGE = 4096


def goes_on(guest):
    guest.wait_line(r"GT heartbeat n=\d+\b")
    test_migration.goes_on(guest)


def boots(guest, after=0):
    """The command line of the next boot; for a plain machine also what its kernel and its initrd were."""
    line = guest.wait_line(r'^GT boot .*cmdline="(.*)"', after=after)[1]
    images = ()
    if guest.program == vm.PLAIN:
        images = guest.wait_line(r"^GT booted (.*)", after=after)[1]
    guest.wait_line(r"^GT ready\b", after=after)
    return line, images


def reboots(guest):
    """The guest verifies what it has, resets itself, and boots."""
    said = len(guest.lines)
    guest.send(b"q")
    guest.wait_line(r"GT exit status=0\b", after=said)
    guest.wait_line(r"^GT reset\b", after=said)
    return boots(guest, said)


def moves(guest, scene, name, extra=(), **parts):
    there = scene.receive(name, extra=extra, memory=MEMORY, **parts)
    guest.cli("migrate", there.address)
    guest.expect_exit(0)
    goes_on(there)
    return there


def files(scene, kernel=100_000, initrd=3_000_000):
    """For a plain machine, to which any bytes are a kernel."""
    made = [scene.path / "kernel", scene.path / "initrd"]
    for file, size in zip(made, (kernel, initrd)):
        file.write_bytes(os.urandom(size))
    return made


def run_with(scene, kernel, initrd, line=LINE, **parts):
    return scene.start("run", "source", ["--kernel", str(kernel), "--initrd", str(initrd), "--cmdline", line,
                                         *scene.options(memory=MEMORY, **parts)])


@pytest.mark.machines("plain", "pci", "ccw")
@pytest.mark.ordinarily_on("plain", "pci")
def test_ten_moves_and_ten_reboots_in_turn(scene):
    image = scene.disk(size=2 << 20)
    guest = scene.run(f"prog=mem,disk,heartbeat,reset mem.size=4M mem.rate=10M disk.span=1M {HEARTBEAT}", disk=image,
                      memory=MEMORY)
    first = boots(guest)
    for turn in range(10):
        guest = moves(guest, scene, f"host{turn}", disk=image)
        assert reboots(guest) == first
        goes_on(guest)
        assert guest.report("exit") == {"status": "0"}
    guest.cli("quit")
    guest.expect_exit(0)


@pytest.mark.machines("plain")
def test_what_becomes_of_the_files_changes_nothing(scene):
    kernel, initrd = files(scene, initrd=40 << 20)
    guest = run_with(scene, kernel, initrd)
    first = boots(guest)
    assert f"kernel={100_000} " in first[1] and f"initrd={40 << 20} " in first[1]
    kernel.write_bytes(os.urandom(1000))
    initrd.unlink()
    assert reboots(guest) == first
    assert reboots(moves(guest, scene, "there")) == first


@pytest.mark.machines("plain", "pci", "ccw")
def test_saved_and_moved_in_turn_it_reboots(scene):
    guest = scene.run(LINE, memory=MEMORY)
    first = boots(guest)
    for turn in range(2):
        state = scene.path / f"{turn}.state"
        guest.cli("save", str(state), "--quit")
        guest.expect_exit(0)
        guest = scene.restore(state, name=f"restored{turn}", memory=MEMORY)
        goes_on(guest)
        if turn:
            assert reboots(guest) == first
        guest = moves(guest, scene, f"there{turn}")
        assert reboots(guest) == first


@pytest.mark.machines("plain")
def test_inspect_tells_what_a_saved_guest_boots_with(scene):
    kernel, initrd = files(scene)
    guest = run_with(scene, kernel, initrd)
    boots(guest)
    state = scene.path / "guest.state"
    guest.cli("save", str(state), "--quit")
    shown = subprocess.run([vm.GODWIT, "inspect", "--sections", state], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"boots with +kernel of \S+ \S+, initrd of \S+ \S+, command line of {len(LINE)} B\n", shown), shown
    told = json.loads(subprocess.run([vm.GODWIT, "inspect", "--json", state], capture_output=True, check=True).stdout)
    sizes = {part: one["size"] for part, one in told["ram"]["boots_with"].items()}
    assert sizes == {"kernel": 100_000, "initrd": 3_000_000, "command line": len(LINE)}
    pages = told["ram"]["blocks"][0]
    assert pages["data_pages"] + pages["zero_pages"] == (64 << 20) // PAGE
    assert not told["problems"]


@pytest.mark.machines("plain", "pci")
def test_a_kernel_that_the_receiver_was_given_wins(scene):
    guest = scene.run(LINE, memory=MEMORY)
    boots(guest)
    other = LINE + " other"
    kernel = "built-in" if scene.program == vm.PLAIN else vm.GUEST
    there = moves(guest, scene, "there", extra=["--kernel", kernel, "--cmdline", other])
    assert f"the guest will reboot with the kernel '{kernel}' that was given here" in there.stderr()
    assert reboots(there)[0] == other
    last = moves(there, scene, "last")
    assert "was given here" not in last.stderr()
    assert reboots(last)[0] == other
    state = scene.path / "guest.state"
    last.cli("save", str(state), "--quit")
    restored = scene.restore(state, extra=["--kernel", kernel, "--cmdline", LINE], memory=MEMORY)
    goes_on(restored)
    assert reboots(restored)[0] == LINE


@pytest.mark.machines("plain")
@pytest.mark.parametrize("options, reason", [
    (["--kernel", "/nonexistent/kernel"], "kernel: open '/nonexistent/kernel': No such file"),
    (["--kernel", "built-in", "--initrd", "/nonexistent/initrd"], "initrd: open '/nonexistent/initrd'"),
    (["--initrd", "/nonexistent/initrd"], "--initrd requires --kernel"),
    (["--cmdline", "quiet"], "--cmdline requires --kernel")])
def test_what_cannot_be_booted_is_told_at_once(scene, options, reason):
    for verb, where in (("receive", f"unix:{scene.path}/migrate"), ("restore", f"{scene.path}/none.state")):
        process = scene.start(verb, verb, [where, *scene.options(), *options])
        process.expect_exit(2)
        assert reason in process.stderr() + "\n".join(process.stdout())


def of_an_earlier_godwit(state):
    """The saved guest without what it is booted with: a stream that has neither that nor a description."""
    data = state.read_bytes()
    header = data.index(b"GDWTBOOT")
    records = re.compile(rb"\x02.{4}.{8}\x0bmicrovm\.ram\x00(?:.{8}\x00){7}.{8}", re.S)
    begin = records.search(data[:header], header - 200).start()
    sizes = [int.from_bytes(data[header + 12 + 8 * i:header + 20 + 8 * i], "big") for i in range(3)]
    pages = 1 + sum(-(-size // PAGE) for size in sizes)
    end = header + pages * (8 + PAGE) + 5  # with the end of the section's part
    # What follows is a part whose first page belongs to the block of the page before it.
    word = int.from_bytes(data[end + 5:end + 13], "big") & ~0x20
    rest = data[end:end + 5] + word.to_bytes(8, "big") + b"\x0bmicrovm.ram" + data[end + 13:]
    description = rest.index(b'{"page_size"') - 5
    state.write_bytes(data[:begin] + rest[:description])


@pytest.mark.machines("plain", "pci")
def test_a_guest_of_which_nobody_knows_what_it_boots_with_goes_on_until_it_reboots(scene):
    guest = scene.run(LINE, memory=MEMORY)
    boots(guest)
    state = scene.path / "guest.state"
    guest.cli("save", str(state), "--quit")
    of_an_earlier_godwit(state)
    guest = scene.restore(state, memory=MEMORY)
    goes_on(guest)
    there = moves(guest, scene, "there")
    assert "what the guest is booted with is not known here" in guest.stderr()
    with pytest.raises(vm.Failed, match="nothing to start it again with"):
        there.qmp().execute("system_reset")
    goes_on(there)
    there.send(b"q")
    there.expect_exit(2)
    assert "no kernel was given here" in there.stderr()


@pytest.mark.machines("plain")
def test_a_reset_while_what_the_guest_boots_with_is_sent(scene):
    kernel, initrd = files(scene)
    guest = run_with(scene, kernel, initrd)
    first = boots(guest)
    there = scene.receive("there", memory=MEMORY)
    control = guest.qmp()
    control.execute("migrate-set-parameters", max_bandwidth=64 << 10)
    with subprocess.Popen([guest.program, "migrate", "--control", guest.control, *LIMIT, there.address],
                          stdout=subprocess.PIPE, text=True) as client:
        while control.execute("query-migrate").get("status") != "setup":
            time.sleep(0.01)
        for _ in range(2):
            said = len(guest.lines)
            control.execute("system_reset")
            assert boots(guest, said) == first
            assert control.execute("query-migrate")["status"] == "setup"
        control.execute("migrate-set-parameters", max_bandwidth=0)
        assert client.wait(vm.PATIENCE) == 0
    guest.expect_exit(0)
    assert guest.stderr().count("its migration begins again") == 2
    goes_on(there)
    assert reboots(there) == first


@pytest.mark.machines("plain")
def test_a_receiver_that_waits_has_nothing_to_reset(scene):
    there = scene.receive(extra=["--kernel", "built-in", "--cmdline", LINE])
    with pytest.raises(vm.Failed, match="has not arrived yet"):
        there.qmp().execute("system_reset")
    assert "GT boot" not in "\n".join(there.stdout())
