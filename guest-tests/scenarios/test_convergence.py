# SPDX-License-Identifier: Apache-2.0
"""A guest that writes faster than the link carries: declared, and dealt with as the operator wants. And the timeline of it."""
import json
import subprocess
import xml.etree.ElementTree

import pace
import pytest
import vm
from slow_link import SlowLink
from test_migration import assert_heartbeat_never_broke, goes_on, migrate

pytestmark = pytest.mark.machines("plain")

MB = 1_000_000
# More than a second of this link, and the writer does it in much less.
WRITER = "prog=mem,heartbeat mem.size=32M mem.rate=0 heartbeat.mode=line heartbeat.period=20000"
LINK = 40 * MB


def slower(scene, number):
    """A rate for the scene's machine: vCPUs may be slow ones."""
    return number if scene.transport == "plain" else number / pace.PACE


@pytest.fixture
def busy(scene):
    """A source whose guest writes all the time, a destination, and a slow link to it."""
    scene.destination = scene.receive()
    scene.source = scene.run(WRITER)
    scene.source.wait_line(r"GT heartbeat n=5\b")
    link = SlowLink(scene.destination.address.removeprefix("unix:"), slower(scene, LINK))
    scene.link = link
    yield scene
    link.close()


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_kind(kind, of):
    return [record for record in of if record["record"] == kind]


def picture(path):
    svg = path.with_suffix(".svg")
    done = subprocess.run([vm.GODWIT, "timeline", str(path), "-o", str(svg)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    root = xml.etree.ElementTree.parse(svg).getroot()
    return " ".join(text for text in root.itertext())


def check_moved(scene):
    scene.source.expect_exit(0)
    scene.destination.finish()
    assert scene.destination.report("mem")["errors"] == "0"
    assert_heartbeat_never_broke(scene.source, scene.destination)


def wait_for(control, condition):
    while True:
        status = control.execute("query-migrate")
        assert status["status"] in ("setup", "active", "device"), status
        if condition(status):
            return status


def test_a_guest_that_writes_too_fast_is_slowed_until_it_can_move(busy, tmp_path):
    # A plain machine that is slowed by 99 % still writes tens of megabytes a second: the link must be well above that. The limit
    # is nearly all that a guest has under its pen.
    link = LINK * (4 if busy.transport == "plain" else 1)
    busy.link.rate = slower(busy, link)
    file, limit = tmp_path / "move.jsonl", round(750 * LINK / busy.link.rate)
    done = busy.source.cli("migrate", "--timeline", str(file), "--on-stall=throttle", "--cpu-throttle-initial=50",
                           "--cpu-throttle-increment=49", f"--downtime-limit={limit}", busy.link.address)
    assert "no progress after round 3:" in done.stderr and "slowed by 50 %" in done.stderr
    check_moved(busy)
    lines = records(file)
    rounds = of_kind("round", lines)
    assert [r["cpu-throttle-percentage"] for r in rounds[:4]] == [0, 0, 0, 50]
    assert rounds[-1]["expected-downtime"] <= limit + 20  # what writing back takes is in it, and does not count
    stalls = of_kind("stall", lines)
    assert stalls[0]["round"] == 3 and stalls[0]["action"] == "throttle" and "the guest writes" in stalls[0]["why"]
    assert lines[-1]["record"] == "outcome" and lines[-1]["status"] == "completed"
    text = picture(file)
    assert "guest slowed by" in text and "no progress: throttle" in text and "completed after" in text


def test_a_stall_is_told_to_whoever_looks(busy):
    control = busy.source.qmp()
    control.execute("migrate", uri=busy.link.address, on_stall="throttle", cpu_throttle_initial=10)
    event = control.wait_event("MIGRATION_STALL")
    assert event["data"]["round"] <= 3 and event["data"]["cpu-throttle-percentage"] == 10
    assert "the channel moves" in event["data"]["why"]
    assert [e["data"]["pass"] for e in control.events if e["event"] == "MIGRATION_PASS"][:3] == [1, 2, 3]
    assert not any(e["event"] == "MIGRATION_TIMELINE" for e in control.events), "nobody asked for it"
    status = wait_for(control, lambda s: s["stalled"] and "cpu-throttle-percentage" in s)
    assert status["cpu-throttle-percentage"] >= 10
    control.execute("migrate_cancel")
    while control.wait_event("MIGRATION")["data"]["status"] != "cancelled":
        pass
    assert "cpu-throttle-percentage" not in control.execute("query-migrate")
    control.close()
    goes_on(busy.source)
    busy.destination.wait_stderr("waiting for a migration again")
    migrate(busy.source, busy.destination)
    busy.destination.finish()


def test_a_stall_may_leave_the_guest_where_it_is(busy, tmp_path):
    file = tmp_path / "move.jsonl"
    done = busy.source.cli("migrate", "--on-stall=cancel", "--timeline", str(file), busy.link.address, check=False)
    assert done.returncode == 5
    assert "not converging: after 3 rounds the guest writes" in done.stderr.splitlines()[-1]
    busy.destination.wait_stderr("not converging: after 3 rounds")
    goes_on(busy.source)
    outcome = records(file)[-1]
    assert outcome["record"] == "outcome" and outcome["status"] == "failed" and "not converging" in outcome["reason"]
    assert "not converging" in picture(file)
    busy.destination.wait_stderr("waiting for a migration again")
    migrate(busy.source, busy.destination)
    busy.destination.finish()


def test_a_stall_may_be_switched_over_beyond_the_limit(busy, tmp_path):
    file = tmp_path / "move.jsonl"
    done = busy.source.cli("migrate", "--on-stall=switch", "--timeline", str(file), busy.link.address)
    assert "beyond the limit" in done.stdout
    check_moved(busy)
    switchover, = of_kind("switchover", records(file))
    assert switchover["over-limit"] and switchover["stalled"]
    assert switchover["downtime"] > switchover["downtime-limit"] == 300
    assert switchover["expected-downtime"] > 300
    picture(file)


def test_a_time_limit_ends_a_migration_with_its_reason(busy):
    done = busy.source.cli("migrate", "--timeout=2", busy.link.address, check=False)
    assert done.returncode == 8
    assert "not done within its time limit of 2 s" in done.stderr.splitlines()[-1]
    # The destination hears the reason unless the source was in the middle of a frame.
    busy.destination.wait_stderr("the migration to here failed")
    goes_on(busy.source)
    busy.destination.wait_stderr("waiting for a migration again")
    migrate(busy.source, busy.destination)
    busy.destination.finish()


def test_limits_may_change_while_it_runs(busy):
    control = busy.source.qmp()
    control.execute("migrate", uri=busy.link.address, cpu_throttle_initial=1, timeout=3600)
    wait_for(control, lambda s: s["ram"]["transferred"] > MB)
    assert control.execute("query-migrate-parameters")["cpu-throttle-initial"] == 1
    refused = control.raw(b'{"execute": "migrate-set-parameters", "arguments": {"peer-timeout": 5}}\n')
    assert "peer-timeout" in refused["error"]["desc"] and "while a migration runs" in refused["error"]["desc"]
    busy.source.cli("tune", "downtime-limit=60000", "timeout=600")
    changed = control.execute("query-migrate-parameters")
    assert (changed["downtime-limit"], changed["timeout"], changed["cpu-throttle-initial"]) == (60000, 600, 1)
    event = control.wait_event("MIGRATION")
    while event["data"]["status"] not in ("completed", "failed", "cancelled"):
        event = control.wait_event("MIGRATION")
    assert event["data"]["status"] == "completed", event
    check_moved(busy)


@pytest.mark.machines("plain", "pci")
def test_both_sides_write_what_happened(scene, tmp_path):
    there = tmp_path / "there.jsonl"
    here = tmp_path / "here.jsonl"
    destination = scene.receive(extra=["--timeline", str(there)])
    source = scene.run("prog=heartbeat heartbeat.mode=line heartbeat.period=20000")
    source.wait_line(r"GT heartbeat n=5\b")
    # An attempt that never reaches the other side is a timeline too.
    done = source.cli("migrate", "--timeline", str(here), "unix:/nonexistent", check=False)
    assert done.returncode == 5 and records(here)[-1]["status"] == "failed"
    source.cli("migrate", "--timeline", str(here), destination.address)
    source.expect_exit(0)
    destination.finish()

    lines = records(here)
    assert lines[0]["record"] == "begin" and lines[0]["side"] == "source" and lines[0]["version"] == 1
    assert all(a["at"] <= b["at"] for a, b in zip(of_kind("round", lines), of_kind("round", lines)[1:]))
    assert [p["phase"] for p in of_kind("phase", lines)][:1] == ["active"]
    assert {"downtime-limit", "on-stall"} <= of_kind("parameters", lines)[0]["parameters"].keys()
    switchover, = of_kind("switchover", lines)
    parts = {side: {p["part"]: p["duration"] for p in switchover["parts"][side]} for side in ("source", "destination")}
    assert list(parts["source"]) == ["pause", "last round", "save", "send state", "wait until ready", "commit"]
    assert list(parts["destination"]) == ["load", "apply", "take over"]
    assert sum(parts["source"].values()) <= switchover["downtime"]
    # The destination may have all of the state before the source knows that it is sent.
    waited = parts["source"]["send state"] + parts["source"]["wait until ready"]
    assert parts["destination"]["load"] + parts["destination"]["apply"] <= waited
    order, = of_kind("order", lines)
    assert order["save"] and order["load"]

    arrived = records(there)
    assert arrived[0]["side"] == "destination" and arrived[-1]["status"] == "completed"
    assert of_kind("order", arrived)[0] == order | {"at": of_kind("order", arrived)[0]["at"]}
    assert of_kind("switchover", arrived)[0]["parts"]["destination"] == switchover["parts"]["destination"]
    for file in (here, there):
        assert "take over" in picture(file)


@pytest.mark.no_kvm
def test_a_timeline_that_is_damaged_is_refused_by_line(tmp_path):
    file = tmp_path / "move.jsonl"
    file.write_text('{"record":"begin","at":0,"version":1,"side":"source","time":"now","guest":"g","peer":"p",'
                    '"memory":1,"cpus":1}\n{"record":"round","at":5}\n')
    done = subprocess.run([vm.GODWIT, "timeline", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{file}:2: round: 'round' is missing" in done.stderr
    assert done.stdout == ""
