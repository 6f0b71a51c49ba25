# SPDX-License-Identifier: Apache-2.0
"""Runs on an emulated host: starts processes and connects to sockets for whoever is at the other end of the channel.

    agent.py /dev/vport0p1

One thread. Everything here runs on an emulated processor, so it does little and imports little.
"""
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios

import frames

READ, WRITE, LOST = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR


class Flow:
    """What one descriptor gives, into the channel, as far as its reader has room."""

    def __init__(self, agent, stream, kind, fd):
        self.agent, self.stream, self.kind, self.fd = agent, stream, kind, fd
        self.room = frames.WINDOW
        self.open = True
        os.set_blocking(fd, False)
        agent.watch(fd, READ, self.ready)

    def ready(self, _events):
        try:
            data = os.read(self.fd, min(frames.CHUNK, self.room))
        except BlockingIOError:
            return
        except OSError:  # a terminal whose processes are gone; a connection that broke
            data = b""
        if not data:
            self.close()
            return
        self.agent.send(self.stream, self.kind, data)
        self.room -= len(data)
        if self.room == 0:
            self.agent.unwatch(self.fd, READ)

    def credit(self, count):
        if self.open and self.room == 0:
            self.agent.watch(self.fd, READ, self.ready)
        self.room += count

    def close(self):
        if self.open:
            self.open = False
            self.agent.unwatch(self.fd, READ)
            self.agent.send(self.stream, frames.END if self.kind == frames.DATA else frames.END_ERRORS)
            self.agent.tidy(self.stream)


class Drain:
    """What came for one descriptor, written as it takes it."""

    def __init__(self, agent, stream, fd, at_end):
        self.agent, self.stream, self.fd, self.at_end = agent, stream, fd, at_end
        self.kept = bytearray()
        self.ends = False
        os.set_blocking(fd, False)

    def put(self, data):
        self.kept += data
        self.ready(0)

    def end(self):
        self.ends = True
        self.ready(0)

    def ready(self, _events):
        taken = len(self.kept)
        try:
            while self.kept:
                del self.kept[:os.write(self.fd, self.kept)]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads any more: what is left goes nowhere
            self.kept.clear()
        taken -= len(self.kept)
        if taken:
            self.agent.send(self.stream, frames.CREDIT, frames.CREDITED.pack(frames.DATA, taken))
        if self.kept:
            self.agent.watch(self.fd, WRITE, self.ready)
        else:
            self.agent.unwatch(self.fd, WRITE)
            if self.ends:
                self.ends = False
                self.at_end()


class Child:
    def __init__(self, agent, stream, wanted):
        self.agent, self.stream = agent, stream
        self.terminal = None
        options = {"cwd": wanted.get("cwd"), "env": wanted.get("env"), "start_new_session": True}
        if wanted.get("tty"):
            self.terminal, end = os.openpty()
            self.process = subprocess.Popen(wanted["argv"], stdin=end, stdout=end, stderr=end,
                                            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **options)
            os.close(end)
            self.flows = {frames.DATA: Flow(agent, stream, frames.DATA, self.terminal)}
            self.drain = Drain(agent, stream, self.terminal, lambda: None)
        else:
            self.process = subprocess.Popen(wanted["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                                            stderr=subprocess.STDOUT if wanted.get("merge") else subprocess.PIPE, **options)
            outputs = {frames.DATA: self.process.stdout}
            if self.process.stderr:
                outputs[frames.ERRORS] = self.process.stderr
            self.flows = {kind: Flow(agent, stream, kind, pipe.fileno()) for kind, pipe in outputs.items()}
            self.drain = Drain(agent, stream, self.process.stdin.fileno(), self.process.stdin.close)
        self.pidfd = os.pidfd_open(self.process.pid)
        agent.watch(self.pidfd, READ, self.ended)
        agent.send(stream, frames.STARTED, json.dumps({"pid": self.process.pid}).encode())

    def ended(self, _events):
        status = self.process.wait()
        self.agent.unwatch(self.pidfd, READ)
        os.close(self.pidfd)
        for flow in self.flows.values():  # what it said last is there already
            while flow.open and flow.room and select.select([flow.fd], [], [], 0)[0]:
                flow.ready(READ)
        self.agent.send(self.stream, frames.EXIT, frames.STATUS.pack(status))
        self.agent.tidy(self.stream)

    def over(self):
        return self.process.returncode is not None and not any(flow.open for flow in self.flows.values())

    def close(self):
        if self.terminal is not None:
            os.close(self.terminal)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe and not pipe.closed:
                pipe.close()

    def signal(self, number, group):
        if self.process.returncode is None:
            (os.killpg if group else os.kill)(self.process.pid, number)
        elif group:
            try:
                os.killpg(self.process.pid, number)  # what it left behind
            except OSError:
                pass

    def size(self, rows, columns):
        if self.terminal is not None:
            termios.tcsetwinsize(self.terminal, (rows, columns))


class Connection:
    def __init__(self, agent, stream, wanted):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(wanted["unix"])
        fd = self.socket.fileno()
        self.flows = {frames.DATA: Flow(agent, stream, frames.DATA, fd)}
        self.drain = Drain(agent, stream, fd, lambda: self.socket.shutdown(socket.SHUT_WR))
        agent.send(stream, frames.STARTED, b"{}")

    def over(self):
        return False  # its other end says so

    def close(self):
        self.socket.close()


class Agent:
    def __init__(self, path):
        self.port = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.epoll = select.epoll()
        self.calls = {}  # descriptor -> {event: call}
        self.out = bytearray()
        self.streams = {}
        self.parser = frames.Parser()
        self.watch(self.port, READ, self.receive)
        self.send(0, frames.HELLO)

    # ---- descriptors

    def watch(self, fd, event, call):
        calls = self.calls.setdefault(fd, {})
        known = bool(calls)
        calls[event] = call
        (self.epoll.modify if known else self.epoll.register)(fd, sum(calls))

    def unwatch(self, fd, event):
        calls = self.calls.get(fd, {})
        if calls.pop(event, None) is None:
            return
        if calls:
            self.epoll.modify(fd, sum(calls))
        else:
            del self.calls[fd]
            self.epoll.unregister(fd)

    def run(self):
        while True:
            for fd, events in self.epoll.poll():
                for event, call in list(self.calls.get(fd, {}).items()):
                    if events & (event | LOST):
                        call(events)

    def tidy(self, stream):
        """Forgets a stream from which nothing comes any more."""
        if stream in self.streams and self.streams[stream].over():
            self.forget(stream)

    def forget(self, stream):
        one = self.streams.pop(stream)
        for flow in one.flows.values():
            if flow.open:
                flow.open = False
                self.unwatch(flow.fd, READ)
        self.unwatch(one.drain.fd, WRITE)
        one.close()

    # ---- the channel

    def send(self, stream, kind, payload=b""):
        self.out += frames.frame(stream, kind, payload)
        self.flush(WRITE)

    def flush(self, _events):
        try:
            while self.out:
                del self.out[:os.write(self.port, self.out[:frames.CHUNK])]
        except BlockingIOError:
            self.watch(self.port, WRITE, self.flush)
            return
        self.unwatch(self.port, WRITE)

    def receive(self, _events):
        try:
            data = os.read(self.port, frames.CHUNK)
        except BlockingIOError:
            return
        if not data:  # nobody is outside any more
            sys.exit(0)
        for stream, kind, payload in self.parser.feed(data):
            self.handle(stream, kind, payload)

    def handle(self, stream, kind, payload):
        if kind == frames.PING:
            self.send(0, frames.PONG, payload)
        elif kind in (frames.EXEC, frames.CONNECT):
            try:
                self.streams[stream] = (Child if kind == frames.EXEC else Connection)(self, stream, json.loads(payload))
            except (OSError, ValueError) as fault:
                self.send(stream, frames.FAILED, str(fault).encode())
        elif stream in self.streams:
            one = self.streams[stream]
            if kind == frames.DATA:
                one.drain.put(payload)
            elif kind == frames.END:
                one.drain.end()
            elif kind == frames.CREDIT:
                flow, count = frames.CREDITED.unpack(payload)
                one.flows[flow].credit(count)
            elif kind == frames.SIGNAL:
                one.signal(*frames.SIGNALLED.unpack(payload))
            elif kind == frames.SIZE:
                one.size(*frames.SIZED.unpack(payload))
            elif kind == frames.CLOSE:
                self.forget(stream)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Agent(sys.argv[1]).run()
