# SPDX-License-Identifier: Apache-2.0
"""The network between two godwits, with one fault in it: a relay that reads the frames and acts at the n-th of a kind.

A frame is a header of 32 bytes, a body and data (migration/protocol/message.h). The relay looks at headers only; what
passes is otherwise the very bytes that came. Several connections may pass at once (RAM connections, a source that asks
again): the fault strikes once, at the first frame that it is about, whichever connection that is on.
"""
import dataclasses
import enum
import pathlib
import re
import socket
import struct
import threading
import time

HEADER = struct.Struct("<4sHHIIII")
HEADER_BYTES = 32


def protocol_messages():
    """{number: name}, read from where the protocol is written down."""
    text = (pathlib.Path(__file__).resolve().parents[2] / "migration/protocol/message.h").read_text()
    numbers = {name: int(number) for name, number in re.findall(r"^    (\w+) = (\d+),", text, re.M)}
    names = dict(re.findall(r'MessageTraits\{Message::(\w+), "(\w+)"', text))
    assert numbers.keys() == names.keys() and numbers
    return {numbers[name]: names[name] for name in numbers}


MESSAGES = protocol_messages()


class Action(enum.Enum):
    KILL_SOURCE = "kill source"
    KILL_DESTINATION = "kill destination"
    CUT = "cut"
    BLACK_HOLE = "black hole"
    DELAY = "delay"
    CORRUPT = "corrupt"


class When(enum.Enum):
    BEFORE = "before it arrives"
    AFTER = "after it arrived"


@dataclasses.dataclass
class Fault:
    action: Action
    message: str
    when: When = When.BEFORE
    nth: int = 1  # of this kind
    paused: bool = False  # count only those that follow FINAL_ROUND

    def __str__(self):
        return f"{self.action.value} {self.when.value}: {self.message}{' (paused)' if self.paused else ''}"


class _Closed(Exception):
    pass


class FaultProxy:
    """Relays connections from `here` to `target` ("unix:PATH" or "tcp:HOST:PORT") and brings the faults about. `kill` maps
    KILL_* actions to functions; `at` maps a message to a function that is called when the first of it is here and before
    it goes on."""

    DELAY_SECONDS = 0.4

    def __init__(self, here, target, faults=(), kill=None, at=None):
        self._target = target
        self._waiting = list(faults)  # strike in this order
        self._kill = kill or {}
        self._at = dict(at or {})
        self._lock = threading.Lock()
        self._counts = {}
        self._paused = False
        self._healed = threading.Event()
        self._calm = threading.Event()  # no fault is coming about
        self._calm.set()
        self.struck = []  # faults that came about
        self.seen = []  # (direction, message) in the order of arrival here
        self.passed = []  # the same of those that went on
        self._hole = False
        self._silent_since = 0.0
        self._sockets = []
        self._listener, self.address = self._listen(here)
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- what a scenario asks

    def heal(self):
        """What a black hole swallowed stays lost; connections made from now on work."""
        self._hole = False
        self._healed.set()

    def silent_for(self):
        """Seconds for which a black hole has been swallowing; 0 without one."""
        return time.monotonic() - self._silent_since if self._hole else 0

    def close(self):
        self.heal()
        self._listener.close()
        self._shut(self._take_sockets())

    # ---- connections

    @staticmethod
    def _listen(here):
        if here.startswith("unix:"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(here.removeprefix("unix:"))
            listener.listen(32)
            return listener, here
        host, port = here.removeprefix("tcp:").rsplit(":", 1)
        listener = socket.create_server((host, int(port)), backlog=32)
        return listener, f"tcp:{host}:{listener.getsockname()[1]}"

    def _connect(self):
        if self._target.startswith("unix:"):
            out = socket.socket(socket.AF_UNIX)
            out.connect(self._target.removeprefix("unix:"))
            return out
        return socket.create_connection(self._tcp(self._target))

    @staticmethod
    def _tcp(address):
        host, port = address.removeprefix("tcp:").rsplit(":", 1)
        return host, int(port)

    def _accept(self):
        while True:
            try:
                source, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(source,), daemon=True).start()

    def _serve(self, source):
        if self._hole:
            self._healed.wait()
            source.close()
            return
        try:
            destination = self._connect()
        except OSError:
            source.close()
            return
        with self._lock:
            self._sockets += [source, destination]
        threading.Thread(target=self._relay, args=(source, destination, "to destination"), daemon=True).start()
        self._relay(destination, source, "to source")

    def _take_sockets(self):
        with self._lock:
            taken, self._sockets = self._sockets, []
        return taken

    @staticmethod
    def _shut(sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # ---- frames

    def _relay(self, reader, writer, direction):
        try:
            while True:
                header = bytearray(HEADER_BYTES)
                self._fill(reader, memoryview(header))
                magic, kind, _, _, body, data, _ = HEADER.unpack_from(header)
                if magic != b"GDWT":
                    raise _Closed(f"not a frame: {bytes(header)!r}")
                frame = bytearray(HEADER_BYTES + body + data)
                frame[:HEADER_BYTES] = header
                self._fill(reader, memoryview(frame)[HEADER_BYTES:])
                self._pass(frame, MESSAGES.get(kind, f"message {kind}"), body, writer, direction)
        except (_Closed, OSError):
            pass
        # One direction that ends ends for its reader alone: the other may still carry a last word.
        try:
            writer.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    @staticmethod
    def _fill(reader, room):
        while room:
            count = reader.recv_into(room)
            if count == 0:
                raise _Closed
            room = room[count:]

    def _pass(self, frame, message, body, writer, direction):
        fault = self._strikes(message, direction)
        call = self._at.pop(message, None)
        if call:
            call()
        if self._hole:
            self._swallow()
        if fault is None:
            self._calm.wait()
            self._send(frame, message, writer, direction)
        elif fault.action in (Action.DELAY, Action.CORRUPT):
            if fault.action is Action.DELAY:
                self._healed.wait(self.DELAY_SECONDS)
            else:
                frame = self._with_a_flipped_bit(frame, body)
            self._send(frame, message, writer, direction)
        elif fault.action is Action.BLACK_HOLE:
            self._silent_since = time.monotonic()
            self._hole = True
            self._swallow()
        else:
            self._break(fault, frame, message, writer, direction)

    def _send(self, frame, message, writer, direction):
        writer.sendall(frame)
        self.passed.append((direction, message))

    def _break(self, fault, frame, message, writer, direction):
        """With this frame, before it or after it; an answer to it does not pass."""
        self._calm.clear()
        try:
            if fault.when is When.AFTER:
                self._send(frame, message, writer, direction)
            broken = self._take_sockets()
            if fault.action is not Action.CUT:
                self._kill[fault.action]()
            self._shut(broken)
        finally:
            self._calm.set()
        raise _Closed

    def _swallow(self):
        self._healed.wait()
        raise _Closed

    def _strikes(self, message, direction):
        with self._lock:
            self.seen.append((direction, message))
            if message == "FINAL_ROUND":
                self._paused = True
            if not self._waiting:
                return None
            fault = self._waiting[0]
            if message != fault.message or (fault.paused and not self._paused):
                return None
            self._counts[message] = self._counts.get(message, 0) + 1
            if self._counts[message] < fault.nth:
                return None
            self._counts.clear()
            self.struck.append(fault)
            return self._waiting.pop(0)

    @staticmethod
    def _with_a_flipped_bit(frame, body):
        # In the middle of what the frame carries; of an empty one, in the header's sequence number.
        at = HEADER_BYTES + (len(frame) - HEADER_BYTES) // 2 if len(frame) > HEADER_BYTES else 8
        frame[at] ^= 0x10
        return frame
