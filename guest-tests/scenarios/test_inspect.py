# SPDX-License-Identifier: Apache-2.0
"""`godwit inspect` on files of godwit and of a stock QEMU: sections, fields, differences, damage."""
import json
import re
import shutil
import subprocess

import network
import pytest
import vm
from test_files import HEARTBEAT, qemu_guest, section_at

BOARD = ["timer", "cpu_common", "cpu", "apic", "ioapic", "kvmclock", "acpi-ged", "0000:00:00.0/gpex_root", "PCIHost",
         "PCIBUS", "serial"]
SECTIONS = {"pci": [*BOARD, "0000:00:01.0/virtio-blk"], "ccw": [*BOARD, "fe.0.0001/virtio-blk", "css"],
            "plain": ["plain-clock", "plain-programs", "plain-cpu", "plain-heartbeat", "serial", "disk0/plain-disk"]}
VIRTIO = ("vq[0].last_avail_idx", "virtio/64bit_features.guest_features", "env.eip", "VIRTIO_F_VERSION_1",
          "ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK")
FIELDS = {"pci": VIRTIO, "ccw": VIRTIO, "plain": ("check_cursor", "beats", "pace.since", "sequence")}
CLOCKS = {"timer", "kvmclock", "cpu", "apic"}  # what goes on while a guest on vCPUs stands still


def inspect(*arguments, status=0, **options):
    done = subprocess.run([vm.GODWIT, "inspect", *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=vm.PATIENCE, **options)
    assert done.returncode == status, done.stdout[-2000:] + done.stderr
    return done


def field(section, *path):
    """A field by its names, from the JSON form; numbers pick elements of an array of structs."""
    for name in path:
        if isinstance(name, int):
            section = next(f for f in section if f.get("index", 0) == name)
        else:
            found = [f for f in section["fields"] + section.get("subsections", []) if f["name"] == name]
            section = found if len(found) > 1 or "index" in found[0] else found[0]
    return section["value"]


def by_name(state, name):
    return next(s for s in state["sections"] if s["name"] == name)


def save_thrice(scene):
    image = scene.disk()
    guest = scene.run(f"prog=disk,mem,heartbeat disk.span=4M mem.size=8M mem.rate=10M {HEARTBEAT}", disk=image)
    guest.wait_line(r"GT heartbeat n=5\b")
    guest.cli("pause")
    guest.cli("save", str(scene.path / "one.state"))
    guest.cli("save", str(scene.path / "again.state"))
    guest.cli("resume")
    guest.wait_line(r"GT heartbeat n=10\b")
    guest.cli("save", str(scene.path / "later.state"), "--quit")
    guest.expect_exit(0)
    return scene.path


@pytest.fixture
def saved(scene):
    return save_thrice(scene)


@pytest.mark.machines("pci")
def test_the_processor_that_the_guest_saw_is_shown_and_compared(scene):
    files = []
    for name, options in (("all", []), ("small", ["--cpu", "baseline"])):
        guest = scene.run("prog=heartbeat", name=name, extra=options)
        guest.wait_line(r"^GT ready")
        files.append(scene.path / f"{name}.state")
        guest.cli("save", str(files[-1]), "--quit")
        guest.expect_exit(0)
    shown = json.loads(inspect(files[0], "--json").stdout)["processor"]
    dumped = json.loads(subprocess.run([vm.GODWIT, "cpu", "dump"], capture_output=True, check=True).stdout)
    same = {"0x0", "0x80000002", "0x80000003", "0x80000004"}  # vendor and brand: nothing of this guest's is in them
    for leaf in (leaf for leaf in dumped["cpuid"] if leaf["leaf"] in same):
        same.remove(leaf["leaf"])
        for register in ("eax", "ebx", "ecx", "edx"):
            assert shown[f"cpuid.{leaf['leaf']}.{register}"] == leaf[register]
    assert "0x0" not in same
    text = inspect(files[0], "--only", "processor").stdout
    assert "cpuid.0x1.ecx" in text and "serial" not in text
    compared = inspect("--diff", *files, status=1).stdout
    other = json.loads(inspect(files[1], "--json").stdout)["processor"]
    differing = {name for name in shown.keys() | other.keys() if shown.get(name) != other.get(name)}
    assert differing and "cpuid.0x0.ebx" not in differing
    assert set(re.findall(r"^  ((?:cpuid|msrs)\S+)", compared, re.M)) == {n for n in differing if n.startswith(("cpuid", "msrs"))}


@pytest.mark.machines("plain", "pci", "ccw")
def test_every_section_and_field_is_shown(saved, transport):
    text = inspect(saved / "one.state").stdout
    for name in (*FIELDS[transport], "state.divider", '"paused"'):
        assert name in text, text
    assert "problems     none" in text and ", all match" in text

    state = json.loads(inspect("--json", saved / "one.state").stdout)
    assert [s["name"] for s in state["sections"]] == [*SECTIONS[transport], "globalstate"]
    assert all(s["decoded"] for s in state["sections"]) and not state["problems"]
    at = state["ram"]["offset"] + state["ram"]["size"]
    for section in state["sections"]:  # they lie side by side
        assert section["offset"] == at
        at += section["size"]
    assert at + 1 == state["description"]["offset"]
    assert state["description"]["offset"] + state["description"]["size"] == state["size"]
    block, = state["ram"]["blocks"]
    assert (block["data_pages"] + block["zero_pages"]) * 4096 == block["size"] == 128 << 20


def test_order_of_saving_is_recorded(saved):
    steps = inspect("--order", saved / "one.state").stdout.splitlines()
    blk = [s.split(": ")[1] for s in steps if "virtio-blk: " in s]
    assert blk[:7] == ["save", "core.start", "transport.save_config", "core.common", "core.queues", "transport.save_queue",
                       "device.save_device"]
    assert blk[7] == "core.subsections" and "virtio/virtqueues" in blk


@pytest.mark.machines("plain", "pci", "ccw")
def test_files_are_compared(saved, transport):
    same = inspect("--diff", saved / "one.state", saved / "again.state", "--json", status=0 if transport == "plain" else 1)
    differences = json.loads(same.stdout)
    # The guest stood still in between; only the clocks went on.
    assert not differences["ram"]
    assert {d["section"] for d in differences["differences"]} <= (set() if transport == "plain" else CLOCKS), same.stdout
    assert "the same" in inspect("--diff", saved / "one.state", saved / "one.state").stdout
    later = inspect("--diff", saved / "one.state", saved / "later.state", status=1).stdout
    assert ("beats" if transport == "plain" else "env.tsc") in later and "pages differ" in later and '"paused"' not in later


@pytest.mark.machines("plain")
def test_pipe_is_read(saved, scene):
    with open(saved / "one.state", "rb") as file:
        piped = subprocess.run(["cat"], stdin=file, capture_output=True, check=True).stdout
    done = subprocess.run([vm.GODWIT, "inspect", "--sections", "-"], input=piped, capture_output=True, check=False)
    assert done.returncode == 0 and scene.disk_type.encode() in done.stdout and b"beats" not in done.stdout


@pytest.mark.machines("plain")
def test_damaged_file_is_shown_as_far_as_it_goes(saved):
    data = bytearray((saved / "one.state").read_bytes())
    data[section_at(data, "serial") + 5 + 1 + 6 + 8 + 11] ^= 0xff  # its footer
    (saved / "broken.state").write_bytes(data)
    done = inspect(saved / "broken.state", status=2)
    assert "globalstate" in done.stdout and "serial" in done.stderr and "byte" in done.stderr
    assert "1 places differ" in done.stdout
    data = bytearray((saved / "one.state").read_bytes())
    data[len(data) // 2] ^= 1
    (saved / "broken.state").write_bytes(data)
    assert "check sum" in inspect("--sections", saved / "broken.state", status=2).stderr
    del data[len(data) // 2:]
    (saved / "broken.state").write_bytes(data)
    done = inspect(saved / "broken.state", status=2)
    assert "the stream ends" in done.stderr
    (saved / "broken.state").write_bytes(b"not a stream at all")
    assert "magic" in inspect(saved / "broken.state", status=2).stderr
    assert "No such file" in inspect(saved / "none.state", status=2).stderr
    inspect(saved / "one.state", saved / "later.state", status=2)


# QEMU resets this register to a value of its own; here it has what KVM resets it to, which differs on some hosts.
KVM_S_OWN = {"cpu/msr_ia32_misc_enable"}
SUBSECTION_SIZE = 38


@pytest.mark.machines("pci")
def test_file_of_a_stock_qemu_has_the_same_fields(scene):
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("there is no QEMU here")
    saved = save_thrice(scene)
    theirs = scene.path / "qemu.state"
    qemu_guest(scene, f"prog=disk,mem,heartbeat disk.span=4M mem.size=8M mem.rate=10M {HEARTBEAT}", 1,
               scene.disk("other.raw"), theirs)
    state = json.loads(inspect("--json", theirs).stdout)
    assert all(s["decoded"] for s in state["sections"]) and not state["problems"]
    blk = by_name(state, "0000:00:01.0/virtio-blk")
    assert field(blk, "status") == 0x0f
    assert field(blk, "vq", 0, "num") == 256
    assert field(blk, "virtio/64bit_features", "guest_features") >> 32 & 1
    ours = json.loads(inspect("--json", saved / "one.state").stdout)
    for section in ours["sections"]:
        other = by_name(state, section["name"])
        size = section["body_size"] - sum(SUBSECTION_SIZE for name in KVM_S_OWN if name in str(section) and name not in str(other))
        assert (other["version"], other["body_size"]) == (section["version"], size)
    compared = json.loads(inspect("--diff", "--json", theirs, saved / "one.state", status=1).stdout)
    lacking = [d for d in compared["differences"] if d["field"] and (d["first"] is None or d["second"] is None)]
    assert {d["section"] for d in lacking if not any(name in str(d) for name in KVM_S_OWN)} <= {"ram"}, lacking
    only = {d["section"] for d in compared["differences"] if not d["field"]}
    assert only <= {"fw_cfg", "kvm-tpr-opt", "mc146818rtc"}, only


def test_network_device_is_shown(scene):
    scene.with_network()
    guest = scene.run(f"prog=net,heartbeat net.ip={network.GUEST} {HEARTBEAT}", tap="tap0")
    guest.wait_line(r"GT heartbeat n=5\b")
    state = scene.path / "net.state"
    guest.cli("save", str(state), "--quit")
    guest.expect_exit(0)
    assert "02:00:00:00:00:15" in inspect("--only", "virtio-net", state).stdout
