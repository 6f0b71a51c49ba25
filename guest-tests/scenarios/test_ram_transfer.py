# SPDX-License-Identifier: Apache-2.0
"""How guest memory travels: connections, compression, verification, a cap on the bandwidth, a cancel."""
import re
import socket
import struct

import pytest
import vm

pytestmark = pytest.mark.machines("plain")

WRITER = "prog=mem,heartbeat mem.size=48M mem.rate=100M heartbeat.mode=line"


def move(source, destination, *options):
    done = source.cli("migrate", *options, destination.address)
    source.expect_exit(0)
    return done


def check_guest(destination):
    destination.wait_line(r"^GT heartbeat n=")
    destination.finish()
    assert destination.report("mem")["errors"] == "0"


@pytest.mark.machines("plain", "pci")
@pytest.mark.parametrize("connections", [2, 16])
def test_several_connections(scene, tcp_address, connections):
    destination = scene.receive(address=tcp_address)
    source = scene.run(WRITER)
    source.wait_line(r"^GT ready")
    move(source, destination, "--connections", str(connections))
    check_guest(destination)


def test_several_connections_over_a_unix_socket(scene):
    destination = scene.receive()
    source = scene.run(WRITER)
    source.wait_line(r"^GT ready")
    move(source, destination, "--connections", "3", "--verify")
    check_guest(destination)


@pytest.mark.parametrize("method", ["zstd", "lz4"])
def test_compressed(scene, tcp_address, method):
    destination = scene.receive(address=tcp_address)
    source = scene.run(WRITER.replace("100M", "4M") + " mem.fill=pattern")
    source.wait_line(r"^GT ready")
    done = move(source, destination, "--compress", method, "--connections", "2", "--verify")
    sent = re.search(r"migrated: ([\d.]+) MB", done.stdout)
    assert sent and float(sent[1]) < 24, done.stdout  # of 48 MiB and the kernel
    check_guest(destination)


def test_the_cap_holds(scene, tcp_address):
    destination = scene.receive(address=tcp_address)
    source = scene.run("prog=mem,heartbeat mem.static=64M mem.size=64K mem.rate=4K heartbeat.mode=line")
    source.wait_line(r"^GT ready")
    done = move(source, destination, "--max-bandwidth", "40M", "--connections", "2")
    megabytes, milliseconds = re.search(r"migrated: ([\d.]+) MB in (\d+) ms", done.stdout).groups()
    # Slow machines move less; none may move more.
    assert float(megabytes) * 1e6 / (int(milliseconds) / 1e3) <= 1.1 * (40 << 20), done.stdout
    destination.wait_line(r"^GT heartbeat n=")
    destination.finish()


def test_a_cap_is_raised_while_it_runs(scene, tcp_address):
    destination = scene.receive(address=tcp_address)
    source = scene.run("prog=mem,heartbeat mem.static=64M mem.size=64K mem.rate=4K heartbeat.mode=line")
    source.wait_line(r"^GT ready")
    qmp = source.qmp()
    qmp.execute("migrate-set-parameters", max_bandwidth=100 << 10)  # would take ten minutes
    qmp.execute("migrate", uri=destination.address)
    while qmp.execute("query-migrate").get("ram", {}).get("transferred", 0) == 0:
        pass
    qmp.execute("migrate-set-parameters", max_bandwidth=0)
    source.expect_exit(0)
    destination.wait_line(r"^GT heartbeat n=")
    destination.finish()


def test_a_cancel_stops_every_connection(scene, tcp_address):
    destination = scene.receive(address=tcp_address)
    source = scene.run("prog=mem,heartbeat mem.static=64M mem.size=64K mem.rate=4K heartbeat.mode=line")
    source.wait_line(r"^GT ready")
    qmp = source.qmp()
    qmp.execute("migrate-set-parameters", max_bandwidth=1 << 20, multifd_channels=4)
    qmp.execute("migrate", uri=destination.address)
    while qmp.execute("query-migrate").get("ram", {}).get("transferred", 0) == 0:
        pass
    qmp.execute("migrate_cancel")
    while qmp.execute("query-migrate")["status"] != "cancelled":
        pass
    # And a second one, over several connections again, works.
    qmp.execute("migrate-set-parameters", max_bandwidth=0)
    move(source, destination)
    destination.wait_line(r"^GT heartbeat n=")
    destination.finish()


def test_a_connection_for_another_migration_is_refused(scene, tcp_address):
    destination = scene.receive(address=tcp_address)
    _, host, port = destination.address.split(":")
    body = bytes(16) + struct.pack("<I", 1)
    head = struct.pack("<IHHIIIII", 0x54574447, 18, 0, 1, len(body), 0, crc32c(body), 0)
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(head + struct.pack("<I", crc32c(head)) + body)
        stranger.settimeout(vm.PATIENCE)
        answer = stranger.recv(4096)
    assert b"a connection for a migration that is not under way here" in answer
    source = scene.run(WRITER)
    source.wait_line(r"^GT ready")
    move(source, destination)
    check_guest(destination)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
