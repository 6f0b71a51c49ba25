# SPDX-License-Identifier: Apache-2.0
"""The lab's LAN, judged by two stations on it: what is cut, delayed, limited and plugged. Needs no host."""
import socket
import threading

import pytest
import station
from pings import WINDOW, Pings
from station import LENGTH, Announcement, Station, checksum
from switch import Lan

pytestmark = pytest.mark.no_kvm
LEFT, RIGHT = "10.99.0.71", "10.99.0.72"
LEFT_MAC, RIGHT_MAC = "02:00:00:00:00:71", "02:00:00:00:00:72"
SHORT = 1.5  # seconds for which something that must not come is waited for


@pytest.fixture
def lan():
    made = Lan()
    yield made
    made.close()


@pytest.fixture
def left(lan):
    with Station(lan, "left", LEFT_MAC, LEFT) as made:
        yield made


@pytest.fixture
def right(lan):
    with Station(lan, "right", RIGHT_MAC, RIGHT) as made:
        yield made


def test_stations_find_and_ping_each_other(left, right):
    assert left.resolve(RIGHT) == RIGHT_MAC and right.resolve(LEFT) == LEFT_MAC
    there, back = left.ping(RIGHT, every=0.01), right.ping(LEFT, every=0.01, size=1400)
    for pings in (there, back):
        pings.go_on(10)
        assert left.resolve(RIGHT) == RIGHT_MAC  # which the pings need not wait for
        pings.go_on(10)
        pings.stop()
        assert pings.sent >= 20 and (pings.lost, pings.duplicated, pings.late, pings.damaged) == (0, 0, 0, 0)
        assert pings.missing() == []


def test_nobody_has_the_address(left):
    with pytest.raises(TimeoutError, match=RIGHT):
        left.resolve(RIGHT, SHORT)


@pytest.mark.parametrize("ways", [[("*", "*")], [("left", "right")], [("right", "left")], [("*", "right")]], ids=str)
def test_a_cut_in_either_direction_loses_every_ping(lan, left, right, ways):
    pings = left.ping(RIGHT, every=0.02)
    pings.go_on(3)
    for way in ways:
        lan.cut(*way)
    with pytest.raises(TimeoutError):
        pings.go_on(1, SHORT)
    lan.heal()
    pings.go_on(3)
    pings.stop()
    # What was swallowed stays lost, and nothing else is.
    assert pings.lost > 0 and pings.missing() == list(range(pings.missing()[0], pings.missing()[-1] + 1))
    assert pings.duplicated == pings.late == 0


def test_a_cut_is_of_one_direction(lan):
    with lan.plug("left") as one, lan.plug("right") as other:
        lan.cut("left", "right")
        frame = station.ETHERNET.pack(station.TO_ALL, b"\2" * 6, 0x88b5).ljust(60, b"\0")
        for end in (one, other):
            end.settimeout(SHORT)
            send(end, frame)
        assert one.recv(1 << 16)[LENGTH.size:] == frame
        with pytest.raises(TimeoutError):
            other.recv(1 << 16)


def test_a_cut_between_two_ports_is_none_for_a_third(lan, left, right):
    with Station(lan, "third", "02:00:00:00:00:73", "10.99.0.73") as third:
        lan.cut("left", "right")
        with pytest.raises(TimeoutError):
            left.resolve(RIGHT, SHORT)
        third.ping(RIGHT).go_on(2)
        third.ping(LEFT).go_on(2)


def test_what_is_delayed_arrives(lan, left, right):
    pings = left.ping(RIGHT, every=0.02)
    pings.go_on(1)
    lan.shape("left", "right", delay=0.3)
    pings.go_on(5)
    waiting = len(pings.missing())
    assert waiting >= 5, "requests are answered at once"  # 0.3 s hold fifteen of them
    pings.stop(60)
    assert (pings.lost, pings.duplicated, pings.late) == (0, 0, 0)


def test_what_is_limited_queues_up_and_then_overflows(lan, left, right, monkeypatch):
    pings = left.ping(RIGHT, every=0.002, size=8000)
    pings.go_on(1)
    lan.shape("left", "right", rate=100_000)  # of 4 MB/s
    with pytest.raises(TimeoutError):
        pings.go_on(1000, SHORT)
    assert 0 < len(pings.missing()) and pings.answered > 1
    lan.heal()  # what waited is not there any more
    pings.go_on(5)
    pings.stop()
    assert pings.lost > 0 and pings.duplicated == 0


def test_another_cable_in_the_same_port(lan, left, right):
    pings = left.ping(RIGHT, every=0.02)
    pings.go_on(2)
    with Station(lan, "right", "02:00:00:00:00:74", RIGHT) as successor:
        with pytest.raises(TimeoutError):
            pings.go_on(1, SHORT)  # its Ethernet address is nobody's any more
        assert left.resolve(RIGHT) == successor.mac
        left.ping(RIGHT).go_on(2)


def send(end, frame):
    end.sendall(LENGTH.pack(len(frame)) + frame)


def arp(kind, operation, sender, target_mac, ip, target_ip):
    return (station.ETHERNET.pack(station.TO_ALL, sender, kind) +
            station.ARP.pack(1, station.TYPE_IP, 6, 4, operation, sender, ip, target_mac, target_ip)).ljust(60, b"\0")


def test_the_switch_learns_from_an_announcement_and_a_station_sees_it(lan, left, right):
    """As when a guest moves: its address is announced at another port."""
    pings = left.ping(RIGHT, every=0.05)
    pings.go_on(2)
    mac = bytes.fromhex(RIGHT_MAC.replace(":", ""))
    with lan.plug("elsewhere") as elsewhere:
        send(elsewhere, arp(station.TYPE_RARP, station.RARP_REQUEST, mac, mac, bytes(4), bytes(4)))
        assert left.wait_announcement("rarp", RIGHT_MAC) == Announcement("rarp", RIGHT_MAC, "0.0.0.0")
        elsewhere.settimeout(60)
        while elsewhere.recv(1 << 16).find(socket.inet_aton(RIGHT)) < 0:  # the requests come here now
            pass
        with pytest.raises(TimeoutError):
            pings.go_on(1, SHORT)  # and nowhere else
        address = socket.inet_aton(RIGHT)
        send(elsewhere, arp(station.TYPE_ARP, station.ARP_REQUEST, mac, bytes(6), address, address))
        assert left.wait_announcement("arp", RIGHT_MAC, after=1).ip == RIGHT
    assert [one.kind for one in left.announcements(RIGHT_MAC)] == ["rarp", "arp"]
    assert left.announcements(LEFT_MAC) == []


def test_answers_that_come_twice_or_overtaken_are_counted():
    pings = Pings(threading.Condition(), RIGHT, 0, 56, 1)
    first, second, third = (pings.next_request(float(now)) for now in (1e9, 2e9, 3e9))
    pings.take_answer(second)
    assert (pings.answered, pings.lost, pings.late, pings.missing()) == (1, 2, 0, [0, 2])
    pings.take_answer(first)
    assert (pings.answered, pings.lost, pings.late, pings.duplicated) == (2, 1, 1, 0)
    pings.take_answer(first)
    pings.take_answer(third[:-1] + b"?")
    assert (pings.answered, pings.lost, pings.duplicated, pings.damaged) == (2, 1, 1, 1)


def test_memory_of_pings_is_bounded():
    pings = Pings(threading.Condition(), RIGHT, 0, 56, 1)
    requests = [pings.next_request(float(now)) for now in range(10 ** 9, 10 ** 9 + WINDOW + 10)]
    assert (pings.lost, len(pings.missing())) == (WINDOW + 10, WINDOW)
    pings.take_answer(requests[0])  # too old to know whether it is the first answer
    assert (pings.answered, pings.duplicated) == (0, 0)


def test_damage_is_no_answer(lan, left):
    with lan.plug("liar") as liar:
        target = left.ip
        mac = bytes.fromhex("020000000075")
        message = bytes([station.ECHO_REQUEST, 0, 0, 0, 0, 0, 0, 1]) + bytes(48)
        assert checksum(message) != 0
        packet = station.IP.pack(0x45, 0, 20 + len(message), 0, 0, 64, 1, 0, socket.inet_aton(RIGHT), socket.inet_aton(target))
        send(liar, station.ETHERNET.pack(bytes.fromhex(LEFT_MAC.replace(":", "")), mac, station.TYPE_IP) + packet + message)
        liar.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            liar.recv(1 << 16)
