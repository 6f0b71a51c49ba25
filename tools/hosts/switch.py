# SPDX-License-Identifier: Apache-2.0
"""The LAN: an Ethernet switch in a process of its own, and what `Lan` tells it.

It learns where addresses are as switches do, by the senders of frames. Between two ports, in either direction, frames can be
cut off, delayed, or limited to a rate, behind which a queue fills up and then overflows. A port is a stream socket on which
each frame follows its length (4 bytes, big endian), as QEMU's `-netdev stream` does it.
"""
import collections
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import time

LENGTH = struct.Struct(">I")
LARGEST = 1 << 17  # bytes of a frame
QUEUE = 4 << 20  # bytes that wait at a port, or behind a limit; what comes then is dropped, as on every switch
GROUP = 1  # of a destination address's first byte: to all


class Lan:
    """The switch as its owner sees it. It ends with its owner, however that ends."""

    def __init__(self):
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._child = subprocess.Popen([sys.executable, "-B", "-S", __file__, str(far.fileno())], pass_fds=[far.fileno()],
                                           stdin=subprocess.DEVNULL)

    def plug(self, name):
        """A new cable to the port `name`, and its free end; whatever was plugged there before is not any more."""
        near, far = socket.socketpair()
        with near:
            self._say({"do": "plug", "port": name}, near)
        return far

    def cut(self, source="*", target="*"):
        """Nothing passes from `source` to `target` any more; * is every port. The other direction is a call of its own."""
        self._say({"do": "rule", "from": source, "to": target, "cut": True})

    def shape(self, source="*", target="*", delay=0.0, rate=None):
        """Every frame takes `delay` seconds longer; at most `rate` bytes pass in a second."""
        self._say({"do": "rule", "from": source, "to": target, "delay": delay, "rate": rate})

    def heal(self):
        """As if nothing had been cut or shaped."""
        self._say({"do": "heal"})

    def _say(self, what, file=None):
        socket.send_fds(self._control, [json.dumps(what).encode()], [file.fileno()] if file else [])
        self._control.recv(64)  # it is done

    def close(self):
        self._control.close()
        self._child.wait()


class _Port:
    def __init__(self, name, end):
        self.name, self.end = name, end
        self.received = bytearray()
        self.waiting = bytearray()  # frames that the other end has not taken yet


class _Rule:
    """What happens to frames from one port to another."""

    def __init__(self, cut=False, delay=0.0, rate=None):
        self.cut, self.delay, self.rate = cut, delay, rate
        self.free_at = 0.0  # when the frames before have passed
        self.queue = collections.deque()  # (when, frame)
        self.queued = 0

    def pass_on(self, frame, now):
        """Whether the frame may go at once; otherwise it was queued or dropped."""
        if self.cut:
            return False
        if not self.delay and not self.rate:
            return True
        if self.queued + len(frame) <= QUEUE:
            begin = max(now, self.free_at)
            self.free_at = begin + (len(frame) / self.rate if self.rate else 0)
            self.queue.append((self.free_at + self.delay, frame))
            self.queued += len(frame)
        return False


class Switch:
    def __init__(self, control):
        self.control = control
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)
        self.ports = {}
        self.rules = {}  # (from, to) -> rule, as it was said
        self.links = {}  # (from, to) of two ports -> the rule that holds, with its queue
        self.where = {}  # address -> port

    def run(self):
        while True:
            now = time.monotonic()
            due = min((link.queue[0][0] for link in self.links.values() if link.queue), default=None)
            for key, events in self.selector.select(None if due is None else max(0, due - now)):
                if key.fileobj is self.control:
                    if not self.obey():
                        return
                else:
                    self.serve(key.data, events)
            self.release(time.monotonic())

    def obey(self):
        data, fds, _, _ = socket.recv_fds(self.control, 4096, 1)
        if not data:
            return False
        what = json.loads(data)
        if what["do"] == "plug":
            self.unplug(what["port"])
            port = self.ports[what["port"]] = _Port(what["port"], socket.socket(fileno=fds[0]))
            port.end.setblocking(False)
            self.selector.register(port.end, selectors.EVENT_READ, port)
        elif what["do"] == "heal":
            self.rules.clear()
        else:
            self.rules[what["from"], what["to"]] = {key: what[key] for key in ("cut", "delay", "rate") if key in what}
        self.links.clear()
        self.control.send(b"done")
        return True

    def unplug(self, name):
        port = self.ports.pop(name, None)
        if port:
            self.selector.unregister(port.end)
            port.end.close()
            self.where = {address: at for address, at in self.where.items() if at is not port}

    def serve(self, port, events):
        if self.ports.get(port.name) is not port:
            return
        try:
            if events & selectors.EVENT_WRITE:
                self.flush(port)
            if events & selectors.EVENT_READ:
                data = port.end.recv(1 << 18)
                if not data:
                    raise ConnectionError
                self.take(port, data)
        except BlockingIOError:
            pass
        except OSError:  # its host is off
            self.unplug(port.name)

    def take(self, port, data):
        port.received += data
        at, end, now = 0, len(port.received), time.monotonic()
        touched = set()
        while end - at >= LENGTH.size:
            length = LENGTH.unpack_from(port.received, at)[0]
            if not 14 <= length <= LARGEST:
                raise ConnectionError
            if end - at < LENGTH.size + length:
                break
            self.route(port, bytes(port.received[at:at + LENGTH.size + length]), now, touched)
            at += LENGTH.size + length
        del port.received[:at]
        for target in touched:
            self.flush(target)

    def route(self, port, frame, now, touched):
        to, sender = frame[4:10], frame[10:16]
        self.where[sender] = port
        known = None if to[0] & GROUP else self.where.get(to)
        for target in [known] if known else self.ports.values():
            if target is not port and self.link(port.name, target.name).pass_on(frame, now):
                self.enqueue(target, frame, touched)

    def link(self, source, target):
        link = self.links.get((source, target))
        if link is None:
            for key in ((source, target), (source, "*"), ("*", target), ("*", "*")):
                if key in self.rules:
                    break
            link = self.links[source, target] = _Rule(**self.rules.get(key, {}))
        return link

    @staticmethod
    def enqueue(target, frame, touched):
        if len(target.waiting) + len(frame) <= QUEUE:
            target.waiting += frame
            touched.add(target)

    def release(self, now):
        touched = set()
        for (_, name), link in self.links.items():
            while link.queue and link.queue[0][0] <= now:
                frame = link.queue.popleft()[1]
                link.queued -= len(frame)
                if name in self.ports:
                    self.enqueue(self.ports[name], frame, touched)
        for target in touched:
            self.flush(target)

    def flush(self, port):
        """A host that takes its frames slowly makes its own queue longer, and nobody else's."""
        try:
            while port.waiting:
                del port.waiting[:port.end.send(port.waiting)]
        except BlockingIOError:
            pass
        except OSError:
            port.waiting.clear()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if port.waiting else 0)
        if self.ports.get(port.name) is port and self.selector.get_key(port.end).events != events:
            self.selector.modify(port.end, events, port)


if __name__ == "__main__":
    os.setsid()  # an interrupt at the terminal is its owner's business
    Switch(socket.socket(fileno=int(sys.argv[1]))).run()
