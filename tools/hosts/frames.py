# SPDX-License-Identifier: Apache-2.0
"""What goes over a host's command channel, in both directions. Read by the host's agent too, so it imports next to nothing.

A frame is a header (bytes that follow, number of the stream, kind) and its payload. A stream is one process or one
connection on the host; stream 0 is the host itself. Whoever opens a stream numbers it: only the outside does. Of each
direction of each stream at most WINDOW bytes are under way that the reader has not taken yet (CREDIT gives bytes back), so
that one that nobody reads does not hold up the others, and memory is bounded.
"""
import struct

HEADER = struct.Struct(">IIB")
MOST = 1 << 20  # bytes of one payload
WINDOW = 256 << 10
CHUNK = 64 << 10

HELLO = 0  # the agent is there
EXEC = 1  # JSON: argv, cwd, env, tty, merge (standard error into standard output)
CONNECT = 2  # JSON: unix (a path)
STARTED = 3  # JSON: pid
FAILED = 4  # text: it was not started, or not connected
DATA = 5  # standard input or output, or what a connection carries
ERRORS = 6  # standard error
END = 7  # no more DATA in this direction
END_ERRORS = 8
CREDIT = 9  # kind (DATA or ERRORS) and bytes that were taken
SIGNAL = 10  # number, and whether the whole process group is meant
SIZE = 11  # rows and columns of its terminal
EXIT = 12  # its status; below zero, the signal that ended it
PING = 13
PONG = 14
CLOSE = 15  # nobody is interested in the stream any more

CREDITED = struct.Struct(">BI")
SIGNALLED = struct.Struct(">BB")
SIZED = struct.Struct(">HH")
STATUS = struct.Struct(">i")


def frame(stream, kind, payload=b""):
    return HEADER.pack(len(payload), stream, kind) + payload


class Parser:
    """Takes bytes as they come and gives whole frames: (stream, kind, payload)."""

    def __init__(self):
        self._kept = bytearray()

    def feed(self, data):
        self._kept += data
        at = 0
        while len(self._kept) - at >= HEADER.size:
            length, stream, kind = HEADER.unpack_from(self._kept, at)
            if length > MOST:
                raise ValueError(f"a frame of {length} bytes: at most {MOST}")
            end = at + HEADER.size + length
            if len(self._kept) < end:
                break
            yield stream, kind, bytes(self._kept[at + HEADER.size:end])
            at = end
        del self._kept[:at]
