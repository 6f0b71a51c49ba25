# SPDX-License-Identifier: Apache-2.0
"""Somebody else on the LAN, in a thread of this process: asks for addresses, pings, and sees what a third party sees of a
guest that moves. It speaks as much of ARP (RFC 826), RARP (RFC 903), IPv4 and ICMP echo (RFC 792) as that takes.

    station = Station(lan, "station", "02:00:00:00:00:77", "10.99.0.77")
    station.resolve("10.99.0.100")                 # its Ethernet address
    pings = station.ping("10.99.0.100", every=0.1)
    pings.go_on(5)                                 # five requests from now on were answered
    pings.stop().lost

Memory is bounded however long it is there.
"""
import collections
import dataclasses
import select
import socket
import struct
import threading
import time

from pings import Pings

LENGTH = struct.Struct(">I")  # before each frame on a LAN's free end
ETHERNET = struct.Struct(">6s6sH")
ARP = struct.Struct(">HHBBH6s4s6s4s")
IP = struct.Struct(">BBHHHBBH4s4s")
ICMP = struct.Struct(">BBHHH")

TYPE_IP, TYPE_ARP, TYPE_RARP = 0x0800, 0x0806, 0x8035
ARP_REQUEST, ARP_REPLY, RARP_REQUEST = 1, 2, 3
ECHO_REPLY, ECHO_REQUEST = 0, 8
PROTOCOL_ICMP = 1
TO_ALL = b"\xff" * 6
SHORTEST = 60  # bytes of a frame without its check sequence

ASK_AGAIN = 0.5  # seconds until an address is asked for again
KEPT = 1024  # announcements


def checksum(data):
    """RFC 1071."""
    data = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def _mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def _mac_text(data):
    return data.hex(":")


@dataclasses.dataclass(frozen=True)
class Announcement:
    """A frame to all by which switches and neighbours learn where an address is."""
    kind: str  # "rarp", or "arp" for a gratuitous one
    mac: str
    ip: str  # of a gratuitous ARP; "0.0.0.0" otherwise


class Station:
    """A host with one address. Methods are for any thread."""

    def __init__(self, lan, name, mac, ip):
        self.mac, self.ip = mac, ip
        self._mac, self._ip = _mac_bytes(mac), socket.inet_aton(ip)
        self.news = threading.Condition()
        self._known = {}  # IP address -> Ethernet address, of those that were asked for
        self._wanted = {}  # IP address that is asked for -> when again
        self._pings = {}  # IP address -> Pings
        self._identifier = 0  # of the newest of them
        self._announcements = collections.deque(maxlen=KEPT)
        self._end = lan.plug(name)
        self._wake, self._woken = socket.socketpair()
        self._closing = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def resolve(self, ip, patience=60.0):
        """Asks anew until somebody answers; TimeoutError when nobody does."""
        with self.news:
            self._wanted[ip] = 0.0
            self._stir()
            if not self.news.wait_for(lambda: ip not in self._wanted, patience):
                self._wanted.pop(ip)
                raise TimeoutError(f"nobody has {ip}, for {patience:.0f} s")
            return _mac_text(self._known[ip])

    def ping(self, ip, every=0.1, size=56):
        """Begins to ping an address, which it asks for when it does not know it. Only one Pings for an address at a time."""
        if ip not in self._known:
            self.resolve(ip)
        with self.news:
            self._identifier = self._identifier + 1 & 0xffff
            pings = self._pings[ip] = Pings(self.news, ip, every, size, self._identifier)
            self._stir()
            return pings

    def announcements(self, mac):
        """Those of an Ethernet address, in the order in which they came."""
        with self.news:
            return [one for one in self._announcements if one.mac == mac]

    def wait_announcement(self, kind, mac, after=0, patience=60.0):
        """The announcement of that kind and address that comes after the first `after` of the address."""
        def found():
            return next((one for one in self.announcements(mac)[after:] if one.kind == kind), None)
        with self.news:
            if not self.news.wait_for(found, patience):
                raise TimeoutError(f"{mac} was not announced by {kind} within {patience:.0f} s")
            return found()

    def close(self):
        """Pulls its plug. Idempotent."""
        with self.news:
            self._closing = True
            self._stir()
        self._thread.join()
        for end in (self._end, self._wake, self._woken):
            end.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- its thread

    def _stir(self):
        if self._thread.is_alive():
            self._wake.send(b"x")

    def _work(self):
        received = bytearray()
        poll = select.poll()
        for end in (self._end, self._woken):
            poll.register(end, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll(self._act() * 1000)]
            if self._woken.fileno() in ready:
                self._woken.recv(4096)
            with self.news:
                if self._closing:
                    return
            if self._end.fileno() in ready:
                data = self._end.recv(1 << 18)
                if not data:  # the LAN is gone
                    return
                received += data
                self._take_all(received)

    def _act(self):
        """Sends what is due. Gives the seconds until something is due again."""
        with self.news:
            now = time.monotonic()
            wait = 3600.0
            for ip in self._wanted:
                if self._wanted[ip] <= now:
                    self._send(TO_ALL, TYPE_ARP, self._arp(ARP_REQUEST, bytes(6), socket.inet_aton(ip)))
                    self._wanted[ip] = now + ASK_AGAIN
                wait = min(wait, self._wanted[ip] - now)
            for ip, pings in self._pings.items():
                payload = pings.next_request(now)
                if payload is not None:
                    self._send_echo(self._known[ip], socket.inet_aton(ip), ECHO_REQUEST, pings.identifier, pings.sent & 0xffff,
                                    payload)
                wait = min(wait, pings.due - now)
            return wait

    def _take_all(self, received):
        at = 0
        with self.news:
            while len(received) - at >= LENGTH.size:
                length, = LENGTH.unpack_from(received, at)
                if len(received) - at < LENGTH.size + length:
                    break
                self._take(bytes(received[at + LENGTH.size:at + LENGTH.size + length]))
                at += LENGTH.size + length
            self.news.notify_all()
        del received[:at]

    def _take(self, frame):
        to, _, kind = ETHERNET.unpack_from(frame)
        if to not in (self._mac, TO_ALL):
            return
        body = frame[ETHERNET.size:]
        if kind in (TYPE_ARP, TYPE_RARP) and len(body) >= ARP.size:
            self._take_arp(kind, *ARP.unpack_from(body)[4:])
        elif kind == TYPE_IP and len(body) >= IP.size:
            self._take_ip(frame[6:12], body)

    def _take_arp(self, kind, operation, sender_mac, sender_ip, target_mac, target_ip):
        gratuitous = kind == TYPE_ARP and sender_ip == target_ip
        if gratuitous or kind == TYPE_RARP and operation == RARP_REQUEST:
            mac, ip = (sender_mac, sender_ip) if gratuitous else (target_mac, bytes(4))
            self._announcements.append(Announcement("arp" if gratuitous else "rarp", _mac_text(mac), socket.inet_ntoa(ip)))
        elif kind == TYPE_ARP and operation == ARP_REQUEST and target_ip == self._ip:
            self._send(sender_mac, TYPE_ARP, self._arp(ARP_REPLY, sender_mac, sender_ip))
        elif kind == TYPE_ARP and operation == ARP_REPLY and socket.inet_ntoa(sender_ip) in self._wanted:
            self._known[socket.inet_ntoa(sender_ip)] = sender_mac
            self._wanted.pop(socket.inet_ntoa(sender_ip))

    def _take_ip(self, sender_mac, packet):
        first, _, length, _, fragment, _, protocol, _, source, target = IP.unpack_from(packet)
        header = (first & 15) * 4
        message = packet[header:length]
        if target != self._ip or protocol != PROTOCOL_ICMP or fragment & 0x3fff or len(message) < ICMP.size:
            return
        kind, _, _, identifier, sequence = ICMP.unpack_from(message)
        if checksum(message) != 0:
            return
        payload = message[ICMP.size:]
        if kind == ECHO_REQUEST:
            self._send_echo(sender_mac, source, ECHO_REPLY, identifier, sequence, payload)
        elif kind == ECHO_REPLY:
            pings = self._pings.get(socket.inet_ntoa(source))
            if pings and pings.identifier == identifier:
                pings.take_answer(payload)

    # ---- frames

    def _arp(self, operation, target_mac, target_ip):
        return ARP.pack(1, TYPE_IP, 6, 4, operation, self._mac, self._ip, target_mac, target_ip)

    def _send_echo(self, mac, ip, kind, identifier, sequence, payload):
        message = ICMP.pack(kind, 0, 0, identifier, sequence) + payload
        message = ICMP.pack(kind, 0, checksum(message), identifier, sequence) + payload
        header = [0x45, 0, IP.size + len(message), 0, 0, 64, PROTOCOL_ICMP, 0, self._ip, ip]
        header[7] = checksum(IP.pack(*header))
        self._send(mac, TYPE_IP, IP.pack(*header) + message)

    def _send(self, to, kind, body):
        frame = (ETHERNET.pack(to, self._mac, kind) + body).ljust(SHORTEST, b"\0")
        try:
            self._end.sendall(LENGTH.pack(len(frame)) + frame)
        except OSError:  # the LAN is gone: as if the cable were pulled
            pass
