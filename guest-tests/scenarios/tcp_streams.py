# SPDX-License-Identifier: Apache-2.0
"""Two TCP connections to the small Linux, whose every byte is checked: one is echoed, one only brings numbers.

Usage: tcp_streams.py HOST ECHO_PORT SOURCE_PORT. Writes a line "streams echoed=N brought=N" five times a second. On end of
standard input it waits for the rest of the echo as long as bytes come, closes, and writes one JSON object: bytes of each stream and its faults.
"""
import json
import select
import socket
import struct
import sys
import time

MASK = (1 << 64) - 1
SENT_AHEAD = 16 << 10
STALL = 180  # seconds without a byte that end the wait for the rest


def word(i):
    z = (i * 0x9E3779B97F4A7C15 + 0xD1342543DE82EF95) & MASK
    return z ^ (z >> 29)


class Words:
    """A stream of 64-bit words by position, of which any bytes can be had in order."""

    def __init__(self, make):
        self.make = make
        self.next = 0
        self.buffer = b""

    def take(self, length):
        while len(self.buffer) < length:
            self.buffer += struct.pack("<256Q", *(self.make(i) for i in range(self.next, self.next + 256)))
            self.next += 256
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken


class Stream:
    def __init__(self, host, port, expected):
        self.socket = socket.create_connection((host, port), timeout=120)
        self.socket.setblocking(False)
        self.expected = expected
        self.received = 0
        self.faults = []

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as fault:
            self.faults.append(f"receive: {fault}")
            return
        if not data:
            self.faults.append("closed by the guest")
        elif data != self.expected.take(len(data)):
            self.faults.append(f"wrong bytes after {self.received}")
        self.received += len(data)


def main():
    host, echo_port, source_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    echo, source = Stream(host, echo_port, Words(word)), Stream(host, source_port, Words(lambda i: i))
    to_send = Words(word)
    sent, pending = 0, b""
    report_at = 0.0
    ending = False
    progress_at = received = 0
    while not (echo.faults or source.faults):
        if ending and not pending and echo.received == sent:
            break
        if echo.received > received or not ending:
            received, progress_at = echo.received, time.monotonic()
        if time.monotonic() > progress_at + STALL:
            echo.faults.append(f"{sent - echo.received} bytes never came back")
            break
        if not pending and not ending and sent - echo.received < SENT_AHEAD:
            pending = to_send.take(4096)
        readable, writable, _ = select.select([echo.socket] if ending else [echo.socket, source.socket, sys.stdin],
                                              [echo.socket] if pending else [], [], 0.1)
        if sys.stdin in readable and not sys.stdin.buffer.read1(4096):
            ending = True
        if echo.socket in readable:
            echo.receive()
        if source.socket in readable:
            source.receive()
        if writable:
            try:
                count = echo.socket.send(pending)
                sent, pending = sent + count, pending[count:]
            except BlockingIOError:
                pass
            except OSError as fault:
                echo.faults.append(f"send: {fault}")
        if time.monotonic() >= report_at:
            print(f"streams echoed={echo.received} brought={source.received}", flush=True)
            report_at = time.monotonic() + 0.2
    print(json.dumps({"sent": sent, "echoed": echo.received, "brought": source.received,
                      "faults": echo.faults + source.faults}), flush=True)


main()
