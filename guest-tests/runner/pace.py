# SPDX-License-Identifier: Apache-2.0
"""How slow this host is: one figure, measured when it is first asked for, from which patience and rates of scenarios follow.

1 is an ordinary machine; an emulated one has 10 to 40. It is the time of some work of a processor, of system calls and of
copies, which is what godwit and its guests do, over the time that it takes on an ordinary machine.
"""
import os
import time

ORDINARY = 0.020  # seconds, on a server's core of 2024
MOST = 64.0


def _work():
    pipe_out, pipe_in = os.pipe()
    block = bytes(4096)
    total = 0
    for n in range(3000):
        os.write(pipe_in, block)
        total += len(os.read(pipe_out, 4096)) + n * n % 7
    os.close(pipe_out)
    os.close(pipe_in)
    for n in range(60_000):
        total += n ^ total & 0xff
    return total


def measure():
    best = None
    for _ in range(3):
        began = time.perf_counter()
        _work()
        took = time.perf_counter() - began
        best = took if best is None else min(best, took)
    return min(MOST, max(1.0, best / ORDINARY))


PACE = float(os.environ.get("GODWIT_PACE") or measure())
