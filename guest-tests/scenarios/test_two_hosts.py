# SPDX-License-Identifier: Apache-2.0
"""What only two hosts can have: kernels, clocks, processors and a power switch of their own, and a LAN between them."""
import json
import re

import power_cuts
import pytest
import vm
from fault_cases import MOVED, STAYED
from fleet import Unavailable
from host import outer_tsc_khz
from lan_cuts import WAYS, LanCut
from test_migration import heartbeats
from test_preflight import check
from two_hosts import GUEST_IP, GUEST_MAC, WORK, Pair, beats_on, finish

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    try:
        made = Pair(tmp_path_factory.mktemp("storage"))
    except Unavailable as lack:
        pytest.skip(str(lack))
    yield made
    made.close()


@pytest.fixture
def beta_is():
    """How beta differs from an ordinary host (fields of HostSpec); tests give it by parametrize."""
    return {}


@pytest.fixture
def on():
    """The transport of the guest's devices."""
    return "pci"


@pytest.fixture
def stage(pair, beta_is, on):
    made = pair.ready(beta=beta_is).stage(on)
    yield made
    made.close()
    made.check_hosts()


def there_and_back(stage, tools, command_line=WORK, run=(), receive=("--insecure",), move=()):
    """The guest moves from alpha to beta and back, is pinged all the time, and verifies itself. Its processes."""
    first = stage.run("alpha", command_line, run)
    pings = stage.ping()
    there = stage.receive("beta", extra=receive)
    stage.migrate(first, there, *move)
    beats_on(there)
    pings.go_on(5)
    back = stage.receive("alpha", extra=receive)
    stage.migrate(there, back, *move)
    beats_on(back)
    pings.go_on(5)
    stage.never_two()
    finish(stage, back, tools, first, there)
    return first, there, back


@pytest.mark.parametrize("on", ["pci", "ccw"])
def test_there_and_back(stage, guest_tools):
    there_and_back(stage, guest_tools)
    assert stage.pings.answered > 10 and stage.pings.damaged == 0


def test_with_a_key_that_both_hosts_have(stage, guest_tools):
    key = stage.pair.storage / "psk.txt"
    key.write_text("godwit:0123456789abcdef0123456789abcdef\n")
    key.chmod(0o600)
    options = ["--tls-psk", str(key)]
    there_and_back(stage, guest_tools, receive=options, move=options)


def test_a_third_party_sees_where_the_address_is(stage, guest_tools):
    """It does not ask again: the announcements tell the switch, which sends to the new place from then on."""
    source = stage.run("alpha")
    stage.ping().stop()
    destination = stage.receive("beta")
    before = len(stage.station.announcements(GUEST_MAC))
    stage.migrate(source, destination)
    assert stage.station.wait_announcement("rarp", GUEST_MAC, before).ip == "0.0.0.0"  # godwit's
    assert stage.station.wait_announcement("arp", GUEST_MAC, before).ip == GUEST_IP  # the guest's own
    for way in (("alpha", "station"), ("station", "alpha")):
        stage.fleet.lan.cut(*way)
    stage.ping().go_on(10)
    stage.never_two()
    finish(stage, destination, guest_tools, source)
    assert int(destination.report("net")["announces"]) > 0


@pytest.mark.parametrize("case", [
    pytest.param(case, id=power_cuts.name(case), marks=[] if power_cuts.is_around_commit(case) else pytest.mark.thorough)
    for case in power_cuts.cases()])
def test_power_cut(stage, guest_tools, case):
    cut = power_cuts.PowerCut(stage, case)
    outcome = cut.outcome()
    assert outcome in case.outcomes, cut.source.transcript() + cut.destination.transcript()
    cut.judge(outcome, guest_tools)


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("message", ["ROUND_END", "FINAL_ROUND"])
def test_lan_cut_before_commit(stage, guest_tools, message, ways):
    cut = LanCut(stage, message, ways)
    cut.before_commit()
    stage.fleet.lan.heal()
    cut.move_on(STAYED, guest_tools)


@pytest.mark.parametrize("ways", WAYS)
def test_lan_cut_at_commit(stage, guest_tools, ways):
    cut = LanCut(stage, "COMMIT", ways)
    arrives = ways == "back"
    cut.in_doubt(arrives)
    outcome = cut.healed()
    assert outcome == (MOVED if arrives else STAYED), cut.source.transcript() + cut.destination.transcript()
    cut.move_on(outcome, guest_tools)


@pytest.mark.parametrize("ways", WAYS)
def test_lan_cut_at_commit_and_healed_while_the_source_asks(stage, guest_tools, ways):
    """The COMMIT and the question, both sent again, arrive in either order."""
    cut = LanCut(stage, "COMMIT", ways)
    cut.source.wait_stderr("did not say that it runs")
    outcome = cut.healed()
    assert outcome == MOVED or ways != "back"
    cut.move_on(outcome, guest_tools)


# ---- hosts that differ

LESS = {"cpu_flags": "-aes,-rdrand"}
LOOKS = f"{WORK.replace('heartbeat ', 'heartbeat,cpuid ', 1)}"


def dump(stage, where, *options):
    done = stage.fleet[where].run([vm.GODWIT, "cpu", "dump", *options], vm.PATIENCE)
    assert done.returncode == 0, done.stderr
    file = stage.pair.storage / f"{where}.json"
    file.write_text(done.stdout)
    return file


def refused(stage, source, destination, code):
    """By `check` and by `migrate`, before anything moves. What they say of that code."""
    status, _ = check(source, destination)
    assert status == 6
    listed = json.loads(source.cli("check", destination.address, "--json", check=False).stdout)["differences"]
    done = source.cli("migrate", destination.address, check=False)
    assert done.returncode == 6 and f"[{code}]" in done.stderr, done.stderr
    assert {one["code"] for one in listed} == {code}, listed
    assert "guest: here\n" in source.cli("status").stdout and "guest: not here yet\n" in destination.cli("status").stdout
    beats_on(source)
    return [one["text"] for one in listed], done.stderr


@pytest.mark.parametrize("beta_is", [LESS], ids=["less"])
def test_a_processor_that_lacks_something_is_refused_by_name(stage):
    source = stage.run("alpha", extra=["--cpu", "host"])
    texts, said = refused(stage, source, stage.receive("beta"), "cpu.feature-missing")
    for name in ("aes", "rdrand"):
        assert any(text.startswith(f"the guest was given {name} (") for text in texts), texts
        assert f"{name} (" in said


@pytest.mark.parametrize("beta_is", [LESS], ids=["less"])
def test_the_baseline_moves_between_different_processors(stage, guest_tools):
    there_and_back(stage, guest_tools, LOOKS, ["--cpu", "baseline"])


@pytest.mark.parametrize("beta_is", [LESS], ids=["less"])
def test_what_both_processors_have_moves(stage, guest_tools):
    files = [dump(stage, where) for where in ("alpha", "beta")]
    names = [{name for entry in json.loads(file.read_text())["cpuid"] for name in entry.get("names", [])} for file in files]
    assert names[0] - names[1] == {"aes", "rdrand"} and names[1] <= names[0]
    done = stage.fleet["alpha"].run([vm.GODWIT, "cpu", "intersect", *map(str, files)], vm.PATIENCE)
    assert done.returncode == 0, done.stderr
    both = stage.pair.storage / "both.json"
    both.write_text(done.stdout)
    there_and_back(stage, guest_tools, LOOKS, ["--cpu", str(both)])


# Farther from the true rate than a kernel corrects by itself (1 %).
@pytest.mark.parametrize("beta_is", [{"tsc_khz": round(outer_tsc_khz() * 1.05)}], ids=["faster"])
def test_a_clock_of_another_rate_is_refused_where_it_cannot_be_scaled(stage, beta_is):
    scales = stage.fleet["beta"].run(["cat", "/sys/module/kvm_amd/parameters/tsc_scaling"], check=True).stdout
    assert scales == "0\n", "an emulated host that scales a guest's TSC could take this guest"
    source = stage.run("alpha")
    texts, said = refused(stage, source, stage.receive("beta"), "cpu.tsc-rate")
    rates = [int(rate) for rate in re.findall(r"(\d+) kHz", texts[0])]
    assert rates[1] == beta_is["tsc_khz"] and rates[0] != rates[1] and "kHz" in said


@pytest.mark.parametrize("beta_is", [{"clock_offset": 3600}], ids=["ahead"])
def test_a_host_clock_that_is_an_hour_off_is_not_the_guests(stage, guest_tools):
    hours = [int(stage.fleet[name].run(["date", "+%s"], check=True).stdout) / 3600 for name in ("alpha", "beta")]
    assert hours[1] - hours[0] > 0.9
    processes = there_and_back(stage, guest_tools)
    hertz = int(processes[0].report("cpus")["tsc_hz"])
    text = b"".join(process.raw for process in processes).decode()
    beats = [int(tsc) for tsc in re.findall(r"^GT heartbeat n=\d+ tsc=(\d+)\s", text, re.M)]
    gaps = [(after - before) / hertz for before, after in zip(beats, beats[1:])]
    assert len(beats) == len(heartbeats(*processes)) and min(gaps) > 0 and max(gaps) < 1800, max(gaps)
    assert int(processes[-1].report("heartbeat")["longest_gap_us"]) < 1800e6
