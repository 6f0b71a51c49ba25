# SPDX-License-Identifier: Apache-2.0
"""A client that is not ours drives a guest's whole life over QMP: the library that QEMU's own tools and tests use."""
import asyncio
import importlib
import sys

import debian
import pytest
import vm


@pytest.fixture(scope="module")
def qmp():
    try:
        folder = debian.qemu_source()
    except debian.Unavailable as why:
        pytest.skip(str(why))
    sys.path.insert(0, str(folder / "python"))
    yield importlib.import_module("qemu.qmp")
    sys.path.remove(str(folder / "python"))


async def listen(client, name, wanted=lambda data: True):
    """The data of the next event of that name for which `wanted` is true."""
    async def look():
        async for event in client.events:
            if event["event"] == name and wanted(event["data"]):
                return event["data"]
    return await asyncio.wait_for(look(), vm.PATIENCE)


async def connected(qmp, process):
    process.wait_control()
    client = qmp.QMPClient("whoever manages it")
    await client.connect(str(process.control))
    return client


async def set_up(qmp, client):
    """What management software asks before anything else."""
    assert (await client.execute("query-version"))["qemu"].keys() >= {"major", "minor", "micro"}
    commands = {command["name"] for command in await client.execute("query-commands")}
    assert {"migrate", "query-migrate", "quit", "system_powerdown"} <= commands
    assert (await client.execute("query-chardev"))[0].keys() >= {"label", "filename"}
    offered = await client.execute("query-migrate-capabilities")
    await client.execute("migrate-set-capabilities", {"capabilities": [
        {"capability": one["capability"], "state": one["capability"] == "events"} for one in offered]})
    with pytest.raises(qmp.ExecuteError, match="no-such"):
        await client.execute("no-such")


async def stop_and_go_on(client):
    for command, event, status in (("stop", "STOP", "paused"), ("cont", "RESUME", "running")):
        await client.execute(command)
        await listen(client, event)
        assert (await client.execute("query-status"))["status"] == status


async def move(client, address):
    """As who polls does it; at the same time the events say the same."""
    await client.execute("migrate-set-parameters", {"downtime-limit": 60000})
    await client.execute("migrate", {"uri": address})
    while (seen := await client.execute("query-migrate")).get("status") not in ("completed", "failed"):
        await asyncio.sleep(0.05)
    assert seen["status"] == "completed" and seen["ram"]["transferred"] > 0, seen
    await listen(client, "MIGRATION", lambda data: data["status"] == "completed")
    assert (await client.execute("query-status"))["status"] == "postmigrate"


async def end(client, command):
    """The client hears the end before the connection closes, and takes it for no fault."""
    await client.execute(command)
    if command == "system_powerdown":
        await listen(client, "SHUTDOWN")
    while client.runstate.name == "RUNNING":
        await asyncio.sleep(0.01)
    try:
        await asyncio.wait_for(client.disconnect(), vm.PATIENCE)
    except EOFError:
        pass  # the server closed the connection, which this library always tells


async def life(qmp, source, destination):
    first = await connected(qmp, source)
    await set_up(qmp, first)
    await stop_and_go_on(first)
    await move(first, destination.address)
    await end(first, "quit")
    source.expect_exit(0)
    second = await connected(qmp, destination)
    assert (await second.execute("query-status"))["status"] == "running"
    await stop_and_go_on(second)
    await second.execute("system_reset")
    assert await listen(second, "RESET") == {"guest": False, "reason": "host-qmp-system-reset"}
    await asyncio.to_thread(destination.wait_line, r"^GT boot\b")
    await end(second, "system_powerdown")
    destination.expect_exit(0)


@pytest.mark.machines("plain", "pci")
def test_qemus_library_drives_a_whole_life(scene, qmp):
    source = scene.run("prog=heartbeat heartbeat.mode=line")
    source.wait_line(r"^GT heartbeat n=2\b")
    asyncio.run(life(qmp, source, scene.receive()))
