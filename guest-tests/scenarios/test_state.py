# SPDX-License-Identifier: Apache-2.0
"""A complete stream of a working guest, judged by QEMU's own analyzer."""
import json
import subprocess
import sys
import time

import debian
import network
import pytest
import vm

DEVICES = {"pci": ("0000:00:01.0/virtio-blk", "0000:00:02.0/virtio-net"),
           "ccw": ("fe.0.0001/virtio-blk", "fe.0.0002/virtio-net")}
VIRTIO_STATUS_DRIVER_OK = 0x0f  # ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK


@pytest.fixture(scope="module")
def analyzer():
    try:
        return debian.qemu_source() / "scripts/analyze-migration.py"
    except debian.Unavailable as why:
        pytest.skip(str(why))


def analyze(analyzer, stream):
    done = subprocess.run([sys.executable, analyzer, "-f", stream, "-d", "state"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(done.stdout)


def number(value):
    return int(value, 16) if isinstance(value, str) else value


def find(tree, name):
    """The first value under a field called `name`, wherever it is nested."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == name:
                return value
            found = find(value, name)
            if found is not None:
                return found
    if isinstance(tree, list):
        for value in tree:
            found = find(value, name)
            if found is not None:
                return found
    return None


def test_qemus_analyzer_reads_our_stream(scene, analyzer):
    scene.with_network()
    stream = scene.path / "machine.stream"
    guest = scene.run(f"prog=disk,net,heartbeat disk.span=4M net.ip={network.GUEST} heartbeat.mode=line", cpus=2,
                      memory="64M", disk=scene.disk(), tap="tap0")
    guest.wait_line(r"GT heartbeat n=5\b")
    negotiated = {"blk": int(guest_features(guest, "disk"), 16), "net": int(guest_features(guest, "net"), 16)}
    control = guest.qmp()
    control.execute("save", path=str(stream))
    control.close()

    state = analyze(analyzer, stream)
    names = [name.rsplit(" (", 1)[0] for name in state]
    for wanted in ("timer", "cpu_common", "cpu", "apic", "ioapic", "kvmclock", "acpi-ged", "0000:00:00.0/gpex_root",
                   "PCIHost", "PCIBUS", "serial", *DEVICES[scene.transport], "globalstate"):
        assert wanted in names, names
    assert names.count("cpu") == 2

    blk, net = (next(v for k, v in state.items() if k.startswith(name)) for name in DEVICES[scene.transport])
    for device, features in ((blk, negotiated["blk"]), (net, negotiated["net"])):
        assert number(find(device, "status")) == VIRTIO_STATUS_DRIVER_OK
        assert number(find(device, "guest_features")) in (features, features & 0xffffffff)
    assert [number(byte) for byte in find(net, "mac")] == [0x02, 0, 0, 0, 0, 0x15]
    guest.finish()


def guest_features(guest, topic):
    import re
    return re.search(rf"^GT {topic} .*features=(\S+)", "\n".join(guest.stdout()), re.M)[1]


QEMU_BOARD = "microvm,acpi=on,pcie=on,pit=off,pic=off,rtc=off,ioapic2=off,isa-serial=on"


@pytest.mark.machines("pci")
@pytest.mark.parametrize("cpus", [1, 2])
def test_stock_qemu_goes_on_with_our_guest(scene, guest_tools, cpus):
    """The hardest judge of every field: QEMU loads the stream and runs the guest, which then verifies everything."""
    image = scene.disk()
    stream = scene.path / "machine.stream"
    guest = scene.run("prog=disk,mem,heartbeat disk.span=4M mem.size=8M mem.rate=10M heartbeat.mode=line "
                            "heartbeat.period=20000", cpus=cpus, disk=image)
    guest.wait_line(r"GT heartbeat n=10\b")
    control = guest.qmp()
    control.execute("stop")
    control.execute("save", path=str(stream))
    control.execute("quit")
    control.close()
    guest.expect_exit(0)

    qemu_control = scene.path / "qemu.sock"
    qemu = vm.Process(["qemu-system-x86_64", "-M", QEMU_BOARD, "-accel", "kvm", "-cpu", "host,-arch-capabilities",
                       "-m", "128M", "-smp", str(cpus), "-nodefaults", "-no-user-config", "-display", "none",
                       "-serial", "stdio", "-drive", f"if=none,id=d0,file={image},format=raw,discard=unmap",
                       "-device", "virtio-blk-pci,drive=d0,addr=1,num-queues=1,disable-legacy=on,serial=disk0",
                       "-incoming", f"exec:cat {stream}", "-qmp", f"unix:{qemu_control},server=on,wait=off"])
    scene.processes.append(qemu)
    while not qemu_control.exists():
        assert qemu.alive(), qemu.transcript()
        time.sleep(0.01)
    control = vm.Qmp(qemu_control)
    while control.execute("query-status")["status"] == "inmigrate":
        time.sleep(0.01)
    control.execute("cont")
    qemu.wait_line(r"GT heartbeat n=\d+")
    qemu.send(b"q")
    qemu.wait_line(r"GT exit status=0\b")
    subprocess.run([sys.executable, guest_tools / "check_disk.py", image], check=True)
    control.close()
