# SPDX-License-Identifier: Apache-2.0
"""--cpu: what the guest was told about its processor travels with it, and what a host cannot give is refused by name."""
import functools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading

import pytest
import vm
from test_migration import migrate
from test_preflight import check

pytestmark = pytest.mark.machines("pci")


PROGRAMS = "prog=cpuid,heartbeat heartbeat.mode=line heartbeat.period=10000"


def godwit(*arguments):
    return subprocess.run([vm.GODWIT, *arguments], capture_output=True, text=True, check=False)


def dump(path, *options):
    done = godwit("cpu", "dump", *options)
    assert done.returncode == 0, done.stderr
    path.write_text(done.stdout)
    return json.loads(done.stdout)


def leaf(model, function, subleaf=0):
    for entry in model["cpuid"]:
        if int(entry["leaf"], 16) == function and int(entry.get("subleaf", "0x0"), 16) == subleaf:
            return {k: int(v, 16) for k, v in entry.items() if k in ("eax", "ebx", "ecx", "edx")}
    return None


def seen_by(process):
    """What the guest reports of CPUID, asked anew."""
    lines = len(process.stdout())
    process.send(b"s")
    process.wait_line(r"^GT cpuid .*all=", after=lines)
    report = process.report("cpuid")
    report.pop("times")
    return report


def run_with(scene, cpu, name="source", **parts):
    source = scene.run(PROGRAMS, name=name, extra=["--cpu", str(cpu)], **parts)
    source.wait_line(r"^GT heartbeat n=3\b")
    return source


def given(path, *options, revision):
    """A model in a file, with a revision of the microcode that no host has: what promises nothing may be anything."""
    model = dump(path, *options)
    for register in model["msrs"]:
        if register["name"] == "IA32_BIOS_SIGN_ID":
            register["value"] = hex(revision)
    path.write_text(json.dumps(model))
    return model


@functools.cache
def features_are_hidden():
    """Whether guests do not see features that they are not given. A KVM that cannot intercept CPUID may tell them all the same."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "model.json")
        dump(file, "--cpu", "baseline")
        done = godwit("run", "--kernel", vm.GUEST, "--cmdline", "prog=cpuid time=1", "--cpu", str(file))
        assert done.returncode == 0, done.stderr
        return " ebx7=0x0 " in done.stdout


def test_what_the_guest_saw_travels_with_it(scene, tmp_path):
    """Little here, a receiver that could give everything, and back to one that was started with the baseline."""
    model = given(tmp_path / "model.json", "--cpu", "baseline", revision=0x1234_0000_0000)
    source = run_with(scene, tmp_path / "model.json", cpus=2)
    seen = seen_by(source)
    assert seen["revision"] == "0x123400000000" and seen["platform"] == "0x0"
    assert int(seen["physical_bits"]) == leaf(model, 0x80000008)["eax"] & 0xff
    if features_are_hidden():
        assert int(seen["ebx7"], 16) == 0 and int(seen["edx1"], 16) == leaf(model, 1)["edx"] | 1 << 28
    middle = scene.receive("middle", cpus=2, extra=["--cpu", "host"])
    migrate(source, middle)
    assert seen_by(middle) == seen
    last = scene.receive("last", cpus=2, extra=["--cpu", "baseline"])
    migrate(middle, last)
    assert seen_by(last) == seen
    last.finish()


def test_the_baseline_is_less_than_the_host(scene, tmp_path):
    host, baseline = dump(tmp_path / "host.json"), dump(tmp_path / "baseline.json", "--cpu", "baseline")
    assert leaf(baseline, 7)["ebx"] == 0 and leaf(baseline, 0x80000008)["eax"] & 0xff <= 40
    assert leaf(baseline, 0xd) is None or leaf(baseline, 0xd)["eax"] == leaf(host, 0xd)["eax"] & 3  # none without XSAVE
    for function, register in ((1, "edx"), (1, "ecx"), (0x80000001, "edx")):
        assert leaf(baseline, function)[register] & ~leaf(host, function)[register] == 0
    seen = seen_by(run_with(scene, "baseline"))
    assert int(seen["physical_bits"]) == leaf(baseline, 0x80000008)["eax"] & 0xff
    if features_are_hidden():
        assert int(seen["ebx7"], 16) == 0


def test_a_receiver_that_gives_less_names_what_is_missing(scene, tmp_path):
    host, baseline = dump(tmp_path / "host.json"), dump(tmp_path / "baseline.json", "--cpu", "baseline")
    extra = leaf(host, 1)["edx"] & ~leaf(baseline, 1)["edx"] | leaf(host, 7)["ebx"] & ~leaf(baseline, 7)["ebx"]
    if not extra:
        pytest.skip("this host gives no more than the baseline")
    destination = scene.receive(extra=["--cpu", "baseline"])
    source = run_with(scene, "host")
    before = seen_by(source)
    status, _ = check(source, destination)
    assert status == 6
    answer = json.loads(source.cli("check", destination.address, "--json", check=False).stdout)
    missing = [one["text"] for one in answer["differences"] if one["code"] == "cpu.feature-missing"]
    names = [name for entry in host["cpuid"] for name in entry.get("names", [])]
    told = [name for name in names if any(text.startswith(f"the guest was given {name} (") for text in missing)]
    assert told, answer
    done = source.cli("migrate", destination.address, check=False)
    assert done.returncode == 6 and "[cpu.feature-missing]" in done.stderr
    assert seen_by(source) == before
    fitting = scene.receive("fitting", extra=["--cpu", "host"])
    migrate(source, fitting)
    assert seen_by(fitting) == before
    fitting.finish()


def test_a_guest_that_did_not_come_leaves_no_trace(scene, tmp_path):
    given(tmp_path / "model.json", "--cpu", "baseline", revision=0x1234_0000_0000)
    destination = scene.receive(extra=["--cpu", "host"], memory="256M")
    first = scene.run("prog=cpuid,mem mem.static=64M mem.size=64K mem.rate=4K", name="first",
                            extra=["--cpu", str(tmp_path / "model.json")], memory="256M")
    first.wait_line(r"^GT ready")
    control = first.qmp()
    control.execute("migrate-set-parameters", **{"max-bandwidth": 4 << 20})
    control.execute("migrate", uri=destination.address)
    while control.execute("query-migrate").get("ram", {}).get("transferred", 0) < 1 << 20:
        assert destination.alive()
    first.kill()
    destination.wait_stderr("waiting for a migration again")
    source = run_with(scene, "host", name="second", memory="256M")
    seen = seen_by(source)
    assert seen["revision"] != "0x123400000000"
    migrate(source, destination)
    assert seen_by(destination) == seen
    destination.finish()


def test_a_model_from_a_file(scene, tmp_path):
    mine = tmp_path / "mine.json"
    model = given(mine, revision=0x5678_0000_0000)
    other = json.loads(json.dumps(model))
    for entry in other["cpuid"]:
        if int(entry["leaf"], 16) == 7 and int(entry.get("subleaf", "0x0"), 16) == 0:
            entry["ebx"] = "0x0"
    (tmp_path / "other.json").write_text(json.dumps(other))
    both = tmp_path / "both.json"
    done = godwit("cpu", "intersect", str(mine), str(tmp_path / "other.json"))
    assert done.returncode == 0, done.stderr
    both.write_text(done.stdout)
    assert leaf(json.loads(done.stdout), 7)["ebx"] == 0
    source = run_with(scene, both)
    seen = seen_by(source)
    assert seen["revision"] == "0x567800000000"
    if features_are_hidden():
        assert int(seen["ebx7"], 16) == 0
    destination = scene.receive(extra=["--cpu", str(mine)])
    migrate(source, destination)
    assert seen_by(destination) == seen
    destination.finish()


def through_fifo(scene, file):
    fifo = scene.path / "fifo"
    os.mkfifo(fifo)
    threading.Thread(target=lambda: fifo.write_bytes(file.read_bytes()), daemon=True).start()
    return fifo


@pytest.mark.parametrize("way", [lambda _, file: file, through_fifo], ids=["file", "fifo"])
def test_a_saved_guest_brings_its_processor(scene, tmp_path, way):
    model = given(tmp_path / "model.json", "--cpu", "baseline", revision=0x1234_0000_0000)
    source = run_with(scene, tmp_path / "model.json", cpus=2)
    seen = seen_by(source)
    state = scene.path / "guest.state"
    source.cli("save", str(state), "--quit")
    source.expect_exit(0)
    note = json.loads(state.read_bytes()[state.read_bytes().rindex(b'{"page_size"'):])["godwit"]["cpu"]
    assert note["format"] == model["format"] and leaf(note, 0x80000008)["eax"] == leaf(model, 0x80000008)["eax"]
    restored = scene.restore(way(scene, state), cpus=2)
    assert seen_by(restored) == seen
    restored.finish()


@pytest.mark.parametrize("way", [lambda _, file: file, through_fifo], ids=["file", "fifo"])
def test_a_saved_guest_is_refused_by_name_where_its_processor_cannot_be_had(scene, tmp_path, way):
    dump(tmp_path / "host.json")
    source = run_with(scene, "host")
    seen = seen_by(source)
    state = scene.path / "guest.state"
    source.cli("save", str(state), "--quit")
    source.expect_exit(0)
    refused = scene.restore(way(scene, state), name="refused", extra=["--cpu", "baseline"])
    refused.expect_exit(6)
    assert re.search(r"the guest was given \w+ \(leaf 0x\w+ .*\[cpu.feature-missing\]", refused.stderr())
    assert not refused.stdout(), "a part of the guest ran"
    fitting = scene.restore(state, name="fitting", extra=["--cpu", str(tmp_path / "host.json")])
    assert seen_by(fitting) == seen
    fitting.finish()


def test_a_model_that_this_host_cannot_give(scene, tmp_path):
    model = dump(tmp_path / "host.json")
    for entry in model["cpuid"]:
        if int(entry["leaf"], 16) == 7 and int(entry.get("subleaf", "0x0"), 16) == 0:
            entry["ebx"] = hex(int(entry["ebx"], 16) | 1 << 25)  # processor trace, which no guest gets
    file = tmp_path / "more.json"
    file.write_text(json.dumps(model))
    process = scene.run(PROGRAMS, extra=["--cpu", str(file)])
    process.expect_exit(6)
    assert "intel_pt (leaf 0x7 ebx bit 25)" in process.stderr()
    file.write_text("{}")
    damaged = scene.run(PROGRAMS, name="damaged", extra=["--cpu", str(file)])
    damaged.expect_exit(2)
    assert "not a processor model" in damaged.stderr()


@pytest.mark.no_kvm
def test_words_of_the_command(tmp_path):
    assert godwit("cpu").returncode == 2
    assert godwit("cpu", "intersect", "/nonexistent", "/nonexistent").returncode == 2
