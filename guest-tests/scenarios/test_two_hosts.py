# SPDX-License-Identifier: Apache-2.0
"""What only two hosts can have: kernels, clocks, processors and a power switch of their own, and a LAN between them."""
import power_cuts
import pytest
from fleet import Unavailable
from two_hosts import GUEST_IP, GUEST_MAC, Pair, beats_on, finish

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
def stage(pair):
    made = pair.ready().stage()
    yield made
    made.close()
    made.check_hosts()


@pytest.fixture
def any_stage(pair, transport):
    made = pair.ready().stage(transport)
    yield made
    made.close()
    made.check_hosts()


def test_there_and_back(any_stage, guest_tools):
    stage = any_stage
    first = stage.run("alpha")
    pings = stage.ping()
    there = stage.receive("beta")
    stage.migrate(first, there)
    beats_on(there)
    pings.go_on(5)
    back = stage.receive("alpha")
    stage.migrate(there, back)
    beats_on(back)
    pings.go_on(5)
    stage.never_two()
    assert stage.station.resolve(GUEST_IP) == GUEST_MAC
    finish(stage, back, guest_tools, first, there)


@pytest.mark.parametrize("case", [
    pytest.param(case, id=power_cuts.name(case), marks=[] if power_cuts.is_around_commit(case) else pytest.mark.thorough)
    for case in power_cuts.cases()])
def test_power_cut(stage, guest_tools, case):
    cut = power_cuts.PowerCut(stage, case)
    outcome = cut.outcome()
    assert outcome in case.outcomes, cut.source.transcript() + cut.destination.transcript()
    cut.judge(outcome, guest_tools)
