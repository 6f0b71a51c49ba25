# SPDX-License-Identifier: Apache-2.0
"""The states that releases wrote load in this one, with every value; what a release must not take is refused by name."""
import copy
import json
import pathlib
import re
import subprocess

import golden
import pytest
import vm

pytestmark = pytest.mark.machines("pci")

RELEASES = sorted((pathlib.Path(__file__).parent / "golden").glob("*.json"))
PARTS = {"cpus": 2, "memory": "64M"}
# Time goes on, and this guest is restored paused.
MOVES_ON = {("cpu", "env.tsc"), ("globalstate", "size"), ("globalstate", "runstate")}
# What only the host can say: how fast its time-stamp counter is.
OF_THE_HOST = "cpu/tsc_khz"


def inspected(file):
    shown = subprocess.run([vm.GODWIT, "inspect", "--json", str(file)], capture_output=True, check=True)
    return json.loads(shown.stdout)


def plain(sections):
    return [golden.kept({k: v for k, v in s.items() if k != "size"}) for s in sections]


ADDRESS_BITS = (1 << 40) - 1  # of the processor with the fewest
X87_IN_USE = 1  # a processor without XSAVE does not tell that it is as after a reset
MCG_SER_P = 1 << 24  # recovery by software: what the host's kind of processor has


def comparable(path, value):
    """Without what is the host's: a range's mask has ones above what its processor addresses, as QEMU's has."""
    if re.fullmatch(r"env\.mtrr_var\[\d+\]\.mask", path):
        return value & ADDRESS_BITS
    if path == "env.xstate_bv":
        return value | X87_IN_USE
    return value & ~MCG_SER_P if path == "env.mcg_cap" else value


def section(state, name, instance=0):
    return next(s for s in state["sections"] if (s["name"], s["instance"]) == (name, instance))


def blk(state):
    """The name of the disk's section: it tells the transport."""
    return next(s["name"] for s in state["sections"] if s["name"].endswith("/virtio-blk"))


@pytest.fixture
def release(scene, request):
    """A kept state, with this host's speed of the time-stamp counter."""
    state = json.loads(pathlib.Path(request.param).read_text())
    scene.transport = "ccw" if blk(state).startswith("fe.") else "pci"
    scene.with_network()
    scene.image = scene.disk()
    guest = scene.run("prog=heartbeat", name="of-this-host", cpus=1)
    guest.wait_line(r"GT ")
    guest.cli("save", str(scene.path / "host.state"), "--quit")
    guest.expect_exit(0)
    ours = golden.named(section(inspected(scene.path / "host.state"), "cpu"), OF_THE_HOST)
    for cpu in (s for s in state["sections"] if s["name"] == "cpu"):
        cpu["subsections"] = [s for s in cpu["subsections"] if s["name"] != OF_THE_HOST] + plain(ours)
        cpu["subsections"].sort(key=lambda s: s["name"] != OF_THE_HOST)
    return state


def restored(scene, state):
    file = scene.path / "release.state"
    file.write_bytes(golden.stream_of(state))
    rng = ["--rng", "source=getrandom"] if any(s["name"].endswith("/virtio-rng") for s in state["sections"]) else []
    return scene.restore(file, extra=["--paused", *rng], disk=scene.image, tap="tap0", **PARTS)


def refusal(scene, state, status):
    guest = restored(scene, state)
    guest.expect_exit(status)
    assert not guest.stdout()
    return guest.stderr()


for_each_release = pytest.mark.parametrize("release", RELEASES, indirect=True, ids=lambda p: p.stem)


def test_this_release_keeps_one():
    assert RELEASES


@for_each_release
def test_state_of_a_release_loads_and_saves_with_the_same_layout_and_values(scene, release):
    guest = restored(scene, release)
    guest.wait_stderr("restored; the guest is paused")
    again = scene.path / "again.state"
    guest.cli("save", str(again), "--quit")
    guest.expect_exit(0)
    now = {"sections": plain(inspected(again)["sections"])}
    for old in release["sections"]:
        new = section(now, old["name"], old["instance"])
        assert new["version"] >= old["version"]
        if new["version"] == old["version"]:  # a version is a layout
            assert golden.layout(new) == golden.layout(old), old["name"]
        values = dict(golden.leaves(new))
        for path, value in golden.leaves(old):
            if (old["name"], path) not in MOVES_ON:
                assert comparable(path, values.get(path)) == comparable(path, value), (old["name"], path)
    assert [s["name"] for s in release["sections"]] == [s["name"] for s in now["sections"]
                                                       if s["name"] in {o["name"] for o in release["sections"]}]


@for_each_release
def test_field_of_another_width_is_noticed(scene, release):
    other = copy.deepcopy(release)
    divider = section(other, "serial")["fields"][0]["fields"][0]
    assert divider["name"] == "divider"
    divider["size"] = 4
    assert "section 'serial'" in refusal(scene, other, 2)
    assert golden.layout(other["sections"]) != golden.layout(release["sections"])


UNKNOWN = {"name": "later", "type": "subsection", "version": 1,
           "fields": [{"name": "value", "type": "uint32", "size": 4, "value": 1}]}


@for_each_release
@pytest.mark.parametrize("device, name", [("serial", "serial/later"), ("cpu", "cpu/later"), ("kvmclock", "kvmclock/later"),
                                          ("virtio-blk", "virtio/later"), ("virtio-net", "virtio/later")])
def test_unknown_subsection_is_refused_by_name(scene, release, device, name):
    found = next(s for s in release["sections"] if s["record"] == device)
    found["subsections"].append({**UNKNOWN, "name": name})
    assert re.search(rf"{re.escape(found['name'])}.*{name}", refusal(scene, release, 6))


@for_each_release
def test_unknown_section_is_refused_by_name(scene, release):
    release["sections"].insert(3, {"name": "later", "instance": 0, "version": 1, "fields": UNKNOWN["fields"]})
    assert "section 'later' is in the stream, but this machine has none" in refusal(scene, release, 6)


@for_each_release
def test_newer_and_missing_sections_are_refused_by_name(scene, release):
    newer = copy.deepcopy(release)
    section(newer, "ioapic")["version"] += 1
    assert re.search(r"section 'ioapic' has version \d+, \d+ to \d+ are known here", refusal(scene, newer, 6))
    release["sections"].remove(section(release, "ioapic"))
    assert "section 'ioapic' is missing" in refusal(scene, release, 6)
