# SPDX-License-Identifier: Apache-2.0
"""What only two hosts can have: kernels, clocks, processors and a power switch of their own, and a LAN between them."""
import pytest
from fleet import Unavailable
from test_devices import check_image
from test_migration import assert_heartbeat_never_broke, heartbeats
from two_hosts import GUEST_IP, GUEST_MAC, Pair, patiently

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


def beats_on(process):
    """Three heartbeats more than it has had."""
    had = len(heartbeats(process))
    patiently("three heartbeats", lambda: len(heartbeats(process)) >= had + 3)


def finish(stage, guest, tools, *former):
    """The guest verifies its memory and disk, and ends; nothing of it was lost on the way."""
    guest.finish()
    for topic in ("mem", "disk", "net"):
        assert guest.report(topic)["errors"] == "0"
    check_image(tools, stage.image)
    assert_heartbeat_never_broke(*former, guest)


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
