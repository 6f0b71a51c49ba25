# SPDX-License-Identifier: Apache-2.0
"""Sends numbered datagrams to the guest's echo port and accounts for every answer.

Usage: udp_probe.py HOST PORT INTERVAL_MS; tells how many were answered, by the ten, ends on end of standard input and prints one
JSON object:
sent, received, duplicated, foreign, the longest gap between two answers, and when (CLOCK_MONOTONIC) each datagram was sent
that was not answered.
"""
import json
import select
import socket
import struct
import sys
import time

MAGIC = 0x60D317


def main():
    host, port, interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.setblocking(False)
    seen = {}
    sent_at = []
    answered_at = []
    duplicated = foreign = sent = 0
    next_send = time.monotonic()
    ending_at = None
    while ending_at is None or time.monotonic() < ending_at:
        timeout = max(0.0, (next_send if ending_at is None else ending_at) - time.monotonic())
        ready, _, _ = select.select([link, sys.stdin] if ending_at is None else [link], [], [], timeout)
        if sys.stdin in ready and not sys.stdin.buffer.read1(4096):
            ending_at = time.monotonic() + 1  # late answers still count
        if link in ready:
            try:
                data = link.recv(2048)
                magic, number = struct.unpack("!II", data[:8])
                if magic != MAGIC or number >= sent or data[8:] != bytes([number & 0xFF]) * 56:
                    foreign += 1
                elif number in seen:
                    duplicated += 1
                else:
                    seen[number] = time.monotonic()
                    answered_at.append(seen[number])
                    if len(seen) % 10 == 0:
                        print("answered", len(seen), flush=True)
            except (BlockingIOError, ConnectionError):
                pass
        if ending_at is None and time.monotonic() >= next_send:
            try:
                link.sendto(struct.pack("!II", MAGIC, sent) + bytes([sent & 0xFF]) * 56, (host, port))
            except OSError:
                pass
            sent += 1
            sent_at.append(time.monotonic())
            next_send += interval
            # What this process slept through is not made up for: a burst could overflow a queue.
            next_send = max(next_send, time.monotonic())
    missing = [n for n in range(sent) if n not in seen]
    gap = max((b - a for a, b in zip(answered_at, answered_at[1:])), default=0.0)
    json.dump({"sent": sent, "received": len(seen), "duplicated": duplicated, "foreign": foreign,
               "missing_at": [sent_at[n] for n in missing], "longest_gap_ms": gap * 1000}, sys.stdout)


main()
