# SPDX-License-Identifier: Apache-2.0
"""The entropy device, on each transport: what a driver gets, that it goes on after a move, and that QEMU's is the same."""
import json
import subprocess
import time

import pytest
import test_state
import vm
from test_migration import assert_heartbeat_never_broke, migrate
from test_preflight import check

WORK = "prog=rng,heartbeat heartbeat.mode=line heartbeat.period=20000"


def rng(scene, source="getrandom"):
    return ["--rng", f"source={source}{scene._on('rng')}"]


def requests(guest):
    """How many the guest has had answered, asked now."""
    seen = len(guest.stdout())
    guest.send(b"s")
    return int(guest.wait_line(r"^GT rng requests=(\d+)", after=seen)[1])


def wait_more(guest, count=20):
    before, deadline = requests(guest), time.monotonic() + vm.PATIENCE
    while requests(guest) < before + count:
        if time.monotonic() > deadline:
            raise vm.Failed(guest.transcript())


@pytest.mark.parametrize("options", ["irq=msix", "irq=intx", "irq=poll", "irq=msix reinit=3 rng.depth=8 rng.size=4096",
                                     "irq=msix event_idx=0 indirect=0"])
def test_driver_gets_random_bytes(scene, options):
    guest = scene.run(f"{WORK} {options}", extra=rng(scene))
    guest.wait_line(r"^GT ready")
    wait_more(guest)
    guest.finish()
    assert guest.report("rng")["errors"] == "0"


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.machines("ccw")  # the other one has no legacy drivers
def test_legacy_driver_gets_them_too(scene, endian):
    guest = scene.run(f"{WORK} ccw.rev=0 ccw.endian={endian}", extra=rng(scene))
    guest.wait_line(r"^GT ready")
    wait_more(guest)
    guest.finish()


def test_guest_notices_a_source_without_entropy(scene):
    """So that the others say something."""
    guest = scene.run(WORK, extra=rng(scene, "/dev/zero"))
    guest.wait_line(r"^GT fail prog=rng what=constant")
    guest.wait_line(r"^GT exit status=1")
    guest.expect_exit(0)


def test_moves_at_work_and_back(scene, tcp_address):
    chain = [scene.run(f"{WORK} rng.depth=8 rng.size=512 rng.pause=1000", extra=rng(scene))]
    chain[0].wait_line(r"^GT ready")
    wait_more(chain[0])
    for name, source in (("there", "/dev/urandom"), ("back", "getrandom")):
        destination = scene.receive(name, extra=rng(scene, source))
        assert check(chain[-1], destination) == (0, {})
        migrate(chain[-1], destination)
        wait_more(destination)
        chain.append(destination)
    chain[-1].finish()
    assert chain[-1].report("rng")["errors"] == "0"
    assert_heartbeat_never_broke(*chain)


def test_without_a_counterpart_it_does_not_move(scene):
    source = scene.run(WORK, extra=rng(scene))
    source.wait_line(r"^GT ready")
    destination = scene.receive()
    status, found = check(source, destination)
    assert status == 6 and found["device.missing"]["subject"] == "virtio-rng 'rng0'"
    wait_more(source)
    source.finish()


def test_its_state_is_the_common_one_alone(scene):
    state = scene.path / "guest.state"
    guest = scene.run(WORK, extra=rng(scene))
    guest.wait_line(r"^GT ready")
    wait_more(guest)
    guest.cli("save", str(state), "--quit")
    guest.expect_exit(0)
    shown = subprocess.run([vm.GODWIT, "inspect", "--json", str(state)], capture_output=True, check=True)
    name = {"pci": "0000:00:01.0", "ccw": "fe.0.0001"}[scene.transport] + "/virtio-rng"
    section = next(s for s in json.loads(shown.stdout)["sections"] if s["name"] == name)
    assert section["version"] == 1
    assert section["fields"][-1]["name"] == "vq", section["fields"]
    assert {"virtio/64bit_features", "virtio/virtqueues", "virtio/started"} <= {s["name"] for s in section["subsections"]}
    restored = scene.restore(state, extra=rng(scene))
    wait_more(restored)
    restored.finish()


@pytest.mark.machines("pci")
@pytest.mark.parametrize("option, status, complaint", [
    ("id=seed", 2, "--rng: source= is missing"),
    ("source=getrandom,rate=7", 2, "--rng: unknown key 'rate'"),
    ("source=/proc/version", 2, "is no character device"),
    ("source=/dev/does-not-exist", 3, "rng0: open '/dev/does-not-exist'"),
    ("source=getrandom,id=disk0", 2, "--rng: id 'disk0' is used twice"),
])
def test_what_is_no_source(scene, option, status, complaint):
    guest = scene.run("prog=hello", disk=scene.disk(), extra=["--rng", option])
    guest.expect_exit(status)
    assert complaint in guest.stderr(), guest.stderr()


# ---- QEMU's device

def qemu(scene, name, extra):
    control = scene.path / f"{name}.sock"
    process = vm.Process(["qemu-system-x86_64", "-M", test_state.QEMU_BOARD, "-accel", "kvm", "-cpu", "host,-arch-capabilities",
                          "-m", "128M", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
                          "-object", "rng-builtin,id=r0", "-device", "virtio-rng-pci,rng=r0,addr=1,disable-legacy=on",
                          "-qmp", f"unix:{control},server=on,wait=off", *extra])
    scene.processes.append(process)
    while not control.exists():
        assert process.alive(), process.transcript()
        time.sleep(0.01)
    return process, vm.Qmp(control)


@pytest.mark.machines("pci")
def test_goes_to_qemu_and_comes_back(scene):
    ours, theirs = scene.path / "ours.state", scene.path / "theirs.state"
    first = scene.run(WORK, extra=rng(scene))
    first.wait_line(r"^GT ready")
    wait_more(first)
    first.cli("save", str(ours), "--quit")
    first.expect_exit(0)

    second, control = qemu(scene, "qemu", ["-incoming", f"exec:cat {ours}"])
    while control.execute("query-status")["status"] == "inmigrate":
        time.sleep(0.01)
    control.execute("cont")
    wait_more(second)
    control.execute("migrate", uri=f"exec:cat > {theirs}")
    while (status := control.execute("query-migrate")["status"]) != "completed":
        assert status != "failed", second.transcript()
        time.sleep(0.01)
    control.execute("quit")
    control.close()
    second.expect_exit(0)

    third = scene.restore(theirs, extra=rng(scene))
    wait_more(third)
    third.finish()
    assert third.report("rng")["errors"] == "0"
