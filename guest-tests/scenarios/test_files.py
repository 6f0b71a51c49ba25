# SPDX-License-Identifier: Apache-2.0
"""A guest is saved to a file and goes on from it; files of a stock QEMU too, damaged files not at all."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import network
import pytest
import vm
from conftest import Scene
from test_devices import check_image
from test_migration import assert_heartbeat_never_broke, goes_on, heartbeats
from test_state import QEMU_BOARD

HEARTBEAT = "heartbeat.mode=line heartbeat.period=20000"


@pytest.mark.parametrize("cpus", [1, 2])
def test_working_guest_goes_on_from_its_file(scene, guest_tools, cpus):
    wire = scene.with_network()
    image = scene.disk()
    state = scene.path / "guest.state"
    parts = {"cpus": cpus, "disk": image}
    first = scene.run(f"prog=all mem.size=24M mem.rate=40M disk.span=8M net.ip={network.GUEST} {HEARTBEAT}", tap="tap0",
                      **parts)
    first.wait_line(r"GT heartbeat n=10\b")
    first.cli("save", str(state), "--quit")
    first.expect_exit(0)
    assert not (scene.path / "guest.state.partial").exists()

    second = scene.restore(state, tap="tap1", **parts)
    second.wait_line(rf"GT heartbeat n={heartbeats(first)[-1] + 10}\b")
    wire.ping(3)
    second.finish()
    for topic in ("mem", "disk", "net"):
        assert second.report(topic)["errors"] == "0"
    check_image(guest_tools, image)
    assert_heartbeat_never_broke(first, second)


@pytest.mark.machines("plain", "pci", "ccw")
def test_saving_leaves_the_guest_running_and_the_file_is_of_that_moment(scene):
    state = scene.path / "guest.state"
    guest = scene.run(f"prog=mem,heartbeat mem.size=16M mem.rate=20M {HEARTBEAT}")
    guest.wait_line(r"GT heartbeat n=5\b")
    guest.cli("save", str(state))
    saved_at = heartbeats(guest)[-1]
    goes_on(guest)
    guest.finish()
    for attempt in range(2):  # a file is not used up
        copy = scene.restore(state, name=f"copy{attempt}")
        copy.wait_line(r"GT heartbeat n=\d+\s")
        copy.finish()
        assert copy.report("mem")["errors"] == "0"
        assert heartbeats(copy)[0] <= saved_at + 1


@pytest.mark.machines("plain", "pci", "ccw")
def test_paused_guest_stays_paused(scene):
    state = scene.path / "guest.state"
    first = scene.run(f"prog=heartbeat {HEARTBEAT}")
    first.wait_line(r"GT heartbeat n=5\b")
    first.cli("pause")
    first.cli("save", str(state))
    assert "paused" in first.cli("status").stdout
    first.cli("quit")
    first.expect_exit(0)
    second = scene.restore(state)
    second.wait_stderr(r"restored; the guest is paused")
    assert "paused" in second.cli("status").stdout
    assert not heartbeats(second)
    second.cli("resume")
    second.wait_line(r"GT heartbeat")
    second.finish()
    assert_heartbeat_never_broke(first, second)


@pytest.mark.machines("plain")
def test_running_guest_is_restored_paused_when_asked(scene):
    state = saved(scene)
    second = scene.restore(state, extra=["--paused"])
    second.wait_stderr(r"restored; the guest is paused")
    assert "paused" in second.cli("status").stdout
    second.cli("resume")
    second.finish()


def saved(scene, **parts):
    state = scene.path / "guest.state"
    guest = scene.run(f"prog=mem,heartbeat mem.size=8M mem.rate=20M {HEARTBEAT}", **parts)
    guest.wait_line(r"GT heartbeat n=5\b")
    guest.cli("save", str(state), "--quit")
    guest.expect_exit(0)
    return state


# ---- disks that were written since

def saved_with_disk(scene):
    image = scene.disk()
    state = scene.path / "guest.state"
    guest = scene.run(f"prog=disk,heartbeat disk.span=2M {HEARTBEAT}", disk=image)
    guest.wait_line(r"GT heartbeat n=5\b")
    guest.cli("save", str(state), "--quit")
    guest.expect_exit(0)
    return state, image


@pytest.mark.machines("plain", "pci")
def test_a_disk_that_was_written_since_is_refused_by_name(scene, guest_tools):
    state, image = saved_with_disk(scene)
    pristine = scene.path / "pristine.raw"
    shutil.copy2(image, pristine)
    first = scene.restore(state, name="first", disk=image)
    first.wait_line(r"GT heartbeat")
    first.finish()  # it has gone on, and the disk with it

    again = scene.restore(state, name="again", disk=image)
    again.expect_exit(6)
    assert "'disk0' was last written at" in again.stderr() and "--disks-changed" in again.stderr()
    assert not heartbeats(again)
    with open(pristine, "ab") as file:
        file.write(bytes(512))
    longer = scene.restore(state, name="longer", disk=pristine)
    longer.expect_exit(6)
    # A virtio device refuses another size by itself.
    words = "'disk0' had 33554432 bytes, and has 33554944" if scene.transport == "plain" else "has 65537 sectors here, 65536 at the source"
    assert words in longer.stderr()


@pytest.mark.machines("plain")
def test_who_knows_better_goes_on_with_a_disk_of_another_time(scene, guest_tools):
    state, image = saved_with_disk(scene)
    os.utime(image, ns=(5, 5))  # the content is the same
    scene.restore(state, name="refused", disk=image).expect_exit(6)
    guest = scene.restore(state, name="told", disk=image, extra=["--disks-changed"])
    guest.wait_stderr(r"warning: .*'disk0' was last written at .*, its file says 0\.000000005")
    guest.finish()
    check_image(guest_tools, image)


# ---- refusals

@pytest.mark.machines("plain")
@pytest.mark.parametrize("target, status, reason", [("missing/guest.state", 2, "No such file"), ("/dev/full", 1, "No space left"),
                                                    ("fifo", 2, "nobody reads"), ("unix:none", 1, "No such file")])
def test_what_cannot_be_written_does_not_stop_the_guest(scene, target, status, reason):
    os.mkfifo(scene.path / "fifo")
    guest = scene.run(f"prog=heartbeat {HEARTBEAT}")
    guest.wait_line(r"GT heartbeat n=5\b")
    done = guest.cli("save", target.replace("unix:", f"unix:{scene.path}/") if ":" in target else str(scene.path / target), check=False)
    assert done.returncode == status and reason in done.stderr and target.removeprefix("unix:") in done.stderr, done.stderr
    goes_on(guest)
    assert not list(scene.path.glob("*.partial"))
    guest.finish()


@pytest.mark.machines("plain")
def test_file_system_that_fills_up_does_not_stop_the_guest(scene):
    full = scene.path / "full"
    full.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", full], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        guest = scene.run(f"prog=mem,heartbeat mem.size=8M mem.rate=20M {HEARTBEAT}")
        guest.wait_line(r"GT heartbeat n=5\b")
        (full / "guest.state").write_text("older")
        done = guest.cli("save", str(full / "guest.state"), check=False)
        assert done.returncode == 1 and "No space left" in done.stderr and "guest.state" in done.stderr, done.stderr
        assert [file.name for file in full.iterdir()] == ["guest.state"]
        assert (full / "guest.state").read_text() == "older"
        goes_on(guest)
        guest.finish()
    finally:
        subprocess.run(["umount", full], check=True)


@pytest.mark.machines("plain", "pci")
def test_fifo_takes_the_stream(scene):
    fifo = scene.path / "fifo"
    os.mkfifo(fifo)
    state = scene.path / "guest.state"
    with open(state, "wb") as out, subprocess.Popen(["cat", fifo], stdout=out) as reader:
        guest = scene.run(f"prog=mem,heartbeat mem.size=8M mem.rate=20M {HEARTBEAT}")
        guest.wait_line(r"GT heartbeat n=5\b")
        guest.cli("save", str(fifo), "--quit")
        guest.expect_exit(0)
        assert reader.wait(vm.PATIENCE) == 0
    scene.restore(state).finish()


@pytest.mark.machines("plain")
def test_stream_goes_through_programs_and_fifos(scene):
    first = scene.run(f"prog=mem,heartbeat mem.size=8M mem.rate=20M {HEARTBEAT}")
    first.wait_line(r"GT heartbeat n=5\b")
    out, into, packed = (scene.path / name for name in ("out", "in", "guest.state.gz"))
    os.mkfifo(out)
    os.mkfifo(into)
    with open(packed, "wb") as file, subprocess.Popen(f"gzip -1 < {out}", shell=True, stdout=file) as gzip:
        first.cli("save", str(out), "--quit")
        first.expect_exit(0)
        assert gzip.wait(vm.PATIENCE) == 0
    second = scene.restore(into)
    subprocess.run(f"gzip -dc {packed} > {into}", shell=True, check=True, timeout=vm.PATIENCE)
    second.wait_line(r"GT heartbeat n=\d+\s")
    second.finish()
    assert second.report("mem")["errors"] == "0"
    assert_heartbeat_never_broke(first, second)


@pytest.mark.machines("plain", "pci", "ccw")
def test_one_process_restores_what_the_other_saves(scene, guest_tools):
    image = scene.disk()
    place = f"unix:{scene.path}/stream"
    first = scene.run(f"prog=disk,mem,heartbeat disk.span=4M mem.size=8M mem.rate=20M {HEARTBEAT}", disk=image)
    first.wait_line(r"GT heartbeat n=5\b")
    second = scene.restore(place, disk=image)
    second.wait_stderr("waiting for a stream")
    assert second.qmp().execute("query-status")["status"] == "restore-vm"
    first.cli("save", place, "--quit")
    first.expect_exit(0)
    second.wait_line(r"GT heartbeat n=\d+\s")
    assert not (scene.path / "stream").exists()
    second.finish()
    for topic in ("mem", "disk"):
        assert second.report(topic)["errors"] == "0"
    check_image(guest_tools, image)
    assert_heartbeat_never_broke(first, second)


@pytest.mark.machines("plain")
@pytest.mark.parametrize("place", ["fifo", "unix:stream"])
def test_waiting_for_a_stream_can_be_ended(scene, place):
    os.mkfifo(scene.path / "fifo")
    place = place.replace("unix:", f"unix:{scene.path}/") if ":" in place else str(scene.path / place)
    waiting = scene.restore(place)
    waiting.wait_control()
    waiting.cli("quit")
    waiting.expect_exit(0)
    assert not (scene.path / "stream").exists()


@pytest.mark.machines("plain", "pci")
def test_damaged_stream_in_a_socket_is_refused_by_place(scene, pristine):
    state, image = pristine
    data = bytearray(state.read_bytes())
    flip(data, "serial", 7)
    guest = scene.restore(f"unix:{scene.path}/stream", disk=image)
    guest.wait_stderr("waiting for a stream")
    with socket.socket(socket.AF_UNIX) as sender, contextlib.suppress(ConnectionError):  # it may be closed at the fault
        sender.connect(f"{scene.path}/stream")
        sender.sendall(data)
    guest.expect_exit(2)
    assert re.search(r"stream: byte \d+: section 'serial': serial", guest.stderr()), guest.stderr()
    assert not guest.stdout(), "a part of the guest ran"


@pytest.mark.machines("plain")
def test_reader_that_rests_keeps_nobody_from_ending_the_process(scene):
    guest = scene.run(f"prog=mem,heartbeat mem.size=8M mem.rate=20M {HEARTBEAT}")
    guest.wait_line(r"GT heartbeat n=5\b")
    with socket.socket(socket.AF_UNIX) as reader:
        reader.bind(f"{scene.path}/stream")
        reader.listen()
        saving = vm.Process([vm.GODWIT, "save", "--control", str(guest.control), f"unix:{scene.path}/stream"])
        scene.processes.append(saving)
        connection, _ = reader.accept()
        assert connection.recv(4) == b"QEVM"
        guest.cli("quit")
        guest.expect_exit(0)
        saving.expect_exit(8)


def section_at(data, name):
    """Offset of the header of a full section, which is its type byte."""
    text = name.encode()
    return data.rindex(bytes([len(text)]) + text + b"\0\0\0\0") - 5


def flip(data, name, distance):
    """Inverts a byte of a section's body."""
    data[section_at(data, name) + 5 + 1 + len(name) + 8 + distance] ^= 0xff


# What is done to a file, and what is said of it: on every machine, and on one kind of them.
ANYWHERE = {
    "magic": (lambda data: data.__setitem__(0, 0), r"byte \d+: .*magic"),
    "first RAM page": (lambda data: data.__setitem__(slice(70, 78), b"\xff" * 8), r"byte \d+: ram"),
    "serial": (lambda data: flip(data, "serial", 7), r"byte \d+: section 'serial': serial"),
    "run state": (lambda data: flip(data, "globalstate", 4), r"byte \d+: section 'globalstate': .*run state"),
    "RAM page": (lambda data: data.__setitem__(len(data) // 2, data[len(data) // 2] ^ 0x10),
                 r"byte \d+: bytes \d+ to \d+ are damaged \(RAM from page ram:0x[0-9a-f]+ to ram:0x[0-9a-f]+\)"),
    "RAM size": (lambda data: data.__setitem__(62, data[62] ^ 0x40), r"byte \d+: ram: RAM .*; bytes 0 to 65535 are damaged"),
    "section's name": (lambda data: flip(data, "serial", -9),
                       r"byte \d+: section 'seria\?' is in the stream, but .*; bytes \d+ to \d+ are damaged"),
    "a feature": (lambda data: flip(data, "globalstate", -30), r"byte \d+: .*bytes \d+ to \d+ are damaged"),
    "empty": (lambda data: data.clear(), r"byte 0: the stream ends at byte 0"),
    "cut in RAM": (lambda data: data.__delitem__(slice(len(data) // 2, None)), r"byte \d+: ram: the stream ends"),
    "cut before a section": (lambda data: data.__delitem__(slice(section_at(data, "serial"), None)),
                             r"byte \d+: the stream ends"),
    "cut in the description": (lambda data: data.__delitem__(slice(len(data) - 10, None)), r"byte \d+: the stream ends"),
}
ON_VCPUS = {
    # (a plain machine's is too short to be damaged without what is before it)
    "description": (lambda data: data.__setitem__(-5000, data[-5000] ^ 1), r"byte \d+: the description is damaged"),
    "CPU": (lambda data: flip(data, "cpu", 154), r"byte \d+: section 'cpu': cpu: x87 register format"),
    "timer's footer": (lambda data: flip(data, "timer", 24), r"byte \d+: section 'timer'"),
    "virtio-blk": (lambda data: flip(data, "0000:00:01.0/virtio-blk", 272),
                   r"byte \d+: section '0000:00:01.0/virtio-blk': virtio-blk\.pci_device"),
    "section's version": (lambda data: flip(data, "serial", -1),
                          r"byte \d+: section 'serial' has version \d+, .*; bytes \d+ to \d+ are damaged \(.*section 'cpu'"),
    "cut in the CPU": (lambda data: data.__delitem__(slice(section_at(data, "cpu") + 900, None)),
                       r"byte \d+: section 'cpu': cpu\.\w+.*truncated"),
}
ON_PLAIN = {
    "CPU": (lambda data: flip(data, "plain-cpu", 11), r"byte \d+: section 'plain-cpu': cursors \d+ and"),
    "clock's footer": (lambda data: flip(data, "plain-clock", 8), r"byte \d+: section 'plain-clock'"),
    "disk": (lambda data: flip(data, "disk0/plain-disk", 25), r"byte \d+: section 'disk0/plain-disk': block \d+ of 1024"),
    "section's version": (lambda data: flip(data, "serial", -1),
                          r"byte \d+: section 'serial' has version \d+, .*; bytes \d+ to \d+ are damaged"),
    "cut in the CPU": (lambda data: data.__delitem__(slice(section_at(data, "plain-cpu") + 40, None)),
                       r"byte \d+: section 'plain-cpu': plain-cpu\.\w+.*truncated"),
}
DAMAGES = {"pci": {**ANYWHERE, **ON_VCPUS}, "plain": {**ANYWHERE, **ON_PLAIN}}


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory):
    """On one kind of machine: a saved guest with a disk, and that disk."""
    scenes = {}

    def saved_on(transport):
        if transport not in scenes:
            scene = scenes[transport] = Scene(tmp_path_factory.mktemp("pristine"), transport)
            guest = scene.run(f"prog=disk,mem,heartbeat disk.span=4M mem.size=8M mem.rate=20M {HEARTBEAT}", disk=scene.disk())
            guest.wait_line(r"GT heartbeat n=5\b")
            guest.cli("save", str(scene.path / "guest.state"), "--quit")
            guest.expect_exit(0)
        return scenes[transport].path / "guest.state", scenes[transport].path / "disk.raw"
    yield saved_on
    for scene in scenes.values():
        scene.close()


@pytest.fixture
def pristine(saved_once, transport):
    return saved_once(transport)


@pytest.mark.parametrize("transport, damage", [(kind, name) for kind, damages in DAMAGES.items() for name in damages])
def test_damaged_file_is_refused_by_name_and_place(scene, pristine, transport, damage):
    state, image = pristine
    damaging, said = DAMAGES[transport][damage]
    data = bytearray(state.read_bytes())
    damaging(data)
    broken = scene.path / "broken.state"
    broken.write_bytes(data)
    before = image.read_bytes()
    guest = scene.restore(broken, disk=image)
    guest.expect_exit(2)
    assert re.search(f"{re.escape(str(broken))}: {said}", guest.stderr()), guest.stderr()
    assert not guest.stdout(), "a part of the guest ran"
    assert image.read_bytes() == before


@pytest.mark.machines("plain", "pci")
def test_pristine_file_is_restored_after_all_that(scene, pristine, guest_tools):
    state, image = pristine
    copy = scene.path / "disk.raw"
    shutil.copy2(image, copy)
    guest = scene.restore(state, disk=copy)
    guest.wait_line(r"GT heartbeat n=\d+\s")
    guest.finish()
    check_image(guest_tools, copy)


@pytest.mark.machines("plain", "pci")
@pytest.mark.parametrize("parts, reason", [({"memory": "96M"}, "RAM of"), ({"cpus": 2}, r"section 'cpu.*#1' is missing|plain-programs\.cpus"),
                                           ({"disk": None}, "virtio-blk|plain-disk")])
def test_other_machine_is_refused(scene, pristine, parts, reason):
    state, image = pristine
    guest = scene.restore(state, **{"disk": image, **parts})
    guest.expect_exit(6)
    assert re.search(reason, guest.stderr()), guest.stderr()
    assert not guest.stdout()


@pytest.mark.machines("plain")
def test_missing_file_is_named(scene):
    guest = scene.restore(scene.path / "none.state")
    guest.expect_exit(2)
    assert "none.state" in guest.stderr()


# ---- from a stock QEMU

def qemu_guest(scene, command_line, cpus, image, save_to):
    """Runs the test guest in a stock QEMU and lets it save the guest while it works."""
    control_path = scene.path / "qemu.sock"
    qemu = vm.Process(["qemu-system-x86_64", "-M", QEMU_BOARD, "-accel", "kvm", "-cpu", "host,-arch-capabilities",
                       "-m", "128M", "-smp", str(cpus), "-nodefaults", "-no-user-config", "-display", "none",
                       "-serial", "stdio", "-kernel", vm.GUEST, "-append", command_line,
                       "-drive", f"if=none,id=d0,file={image},format=raw,discard=unmap",
                       "-device", "virtio-blk-pci,drive=d0,addr=1,num-queues=1,disable-legacy=on,serial=disk0",
                       "-qmp", f"unix:{control_path},server=on,wait=off"])
    scene.processes.append(qemu)
    qemu.wait_line(r"GT heartbeat n=10\b")
    control = vm.Qmp(control_path)
    control.execute("migrate-set-parameters", max_bandwidth=1 << 33)
    control.execute("migrate", uri=f"exec:cat > {save_to}")
    deadline = time.monotonic() + vm.PATIENCE
    while (status := control.execute("query-migrate")["status"]) != "completed":
        assert status != "failed" and time.monotonic() < deadline, qemu.transcript()
        time.sleep(0.02)
    control.execute("quit")
    control.close()
    qemu.expect_exit(0)
    return qemu


@pytest.mark.machines("pci")
@pytest.mark.parametrize("cpus", [1, 2])
def test_guest_of_a_stock_qemu_goes_on_here(scene, guest_tools, cpus):
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("there is no QEMU here")
    image = scene.disk()
    state = scene.path / "qemu.state"
    qemu = qemu_guest(scene, f"prog=disk,mem,heartbeat disk.span=4M mem.size=8M mem.rate=10M {HEARTBEAT}", cpus,
                      image, state)
    guest = scene.restore(state, cpus=cpus, disk=image)
    guest.wait_line(rf"GT heartbeat n={heartbeats(qemu)[-1] + 10}\b")
    guest.finish()
    for topic in ("mem", "disk"):
        assert guest.report(topic)["errors"] == "0"
    check_image(guest_tools, image)
    assert_heartbeat_never_broke(qemu, guest)
