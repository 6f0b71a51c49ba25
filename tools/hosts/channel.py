# SPDX-License-Identifier: Apache-2.0
"""The outer end of a host's command channel: processes and connections there, used like those here."""
import collections
import io
import json
import select
import socket
import subprocess
import threading
import time

import frames

LOST = -9  # the status of a process whose host is gone: as if it had been killed


class Lost(OSError):
    """The host is gone, or does not answer."""


class _Reader(io.RawIOBase):
    """What comes from a stream. Blocks until something is there; gives credit back for what was taken."""

    def __init__(self, channel, stream, kind):
        super().__init__()
        self._channel, self._stream, self._kind = channel, stream, kind
        self._parts = collections.deque()
        self._ended = False
        self._news = threading.Condition()

    def put(self, data):
        with self._news:
            self._parts.append(data)
            self._news.notify_all()

    def end(self):
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def ended(self):
        return self._ended

    def readable(self):
        return True

    def readinto(self, buffer):
        with self._news:
            self._news.wait_for(lambda: self._parts or self._ended)
            if not self._parts:
                return 0
            part = self._parts.popleft()
            if len(part) > len(buffer):
                self._parts.appendleft(part[len(buffer):])
                part = part[:len(buffer)]
        buffer[:len(part)] = part
        self._channel.send(self._stream, frames.CREDIT, frames.CREDITED.pack(self._kind, len(part)), lenient=True)
        return len(part)


class _Writer(io.RawIOBase):
    """Standard input of a process there, or what goes into a connection."""

    def __init__(self, channel, stream):
        super().__init__()
        self._channel, self._stream = channel, stream
        self._room = frames.WINDOW
        self._news = threading.Condition()

    def credit(self, count):
        with self._news:
            self._room += count
            self._news.notify_all()

    def writable(self):
        return True

    def write(self, data):
        left = memoryview(data)
        while left:
            with self._news:
                while self._room == 0:
                    self._channel.check()
                    self._news.wait(1)
                part = left[:min(frames.CHUNK, self._room)]
                self._room -= len(part)
            self._channel.send(self._stream, frames.DATA, bytes(part))
            left = left[len(part):]
        return len(data)

    def close(self):
        if not self.closed:
            self._channel.send(self._stream, frames.END, lenient=True)
        super().close()


class _Stream:
    """A process or connection there, until it has started."""

    def __init__(self, channel, number, errors):
        self.channel, self.number = channel, number
        self.stdin = _Writer(channel, number)
        self.raw = {frames.DATA: _Reader(channel, number, frames.DATA)}
        if errors:
            self.raw[frames.ERRORS] = _Reader(channel, number, frames.ERRORS)
        self.news = threading.Condition()
        self.started = None
        self.fault = None
        self.status = None

    def handle(self, kind, payload):
        if kind in (frames.DATA, frames.ERRORS):
            self.raw[kind].put(payload)
        elif kind in (frames.END, frames.END_ERRORS):
            self.raw[frames.DATA if kind == frames.END else frames.ERRORS].end()
        elif kind == frames.CREDIT:
            self.stdin.credit(frames.CREDITED.unpack(payload)[1])
        else:
            with self.news:
                if kind == frames.STARTED:
                    self.started = json.loads(payload)
                elif kind == frames.FAILED:
                    self.fault = payload.decode(errors="replace")
                elif kind == frames.EXIT:
                    self.status = frames.STATUS.unpack(payload)[0]
                self.news.notify_all()

    def over(self):
        """Nothing comes from it any more."""
        return self.fault is not None or self.status is not None and all(reader.ended for reader in self.raw.values())

    def lost(self):
        with self.news:
            self.status = LOST if self.status is None else self.status
            if not self.started:
                self.fault = "the host is gone"
            self.news.notify_all()
        for reader in self.raw.values():
            reader.end()

    def wait_started(self):
        with self.news:
            self.news.wait_for(lambda: self.started is not None or self.fault is not None)
        if self.fault is not None:
            self.channel.check()
            raise OSError(self.fault)
        return self.started


class RemoteProcess:
    """Like subprocess.Popen, of a process on a host. When its host is gone it has been killed."""

    def __init__(self, stream, argv):
        self._stream = stream
        self.args = argv
        self.pid = stream.wait_started()["pid"]
        self.stdin = stream.stdin
        self.stdout = io.BufferedReader(stream.raw[frames.DATA])
        self.stderr = io.BufferedReader(stream.raw[frames.ERRORS]) if frames.ERRORS in stream.raw else None

    @property
    def returncode(self):
        return self._stream.status

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        with self._stream.news:
            if not self._stream.news.wait_for(lambda: self._stream.status is not None, timeout):
                raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number, group=False):
        """To it alone, or also to those that it has started."""
        if self.returncode is None or group:
            self._stream.channel.send(self._stream.number, frames.SIGNAL, frames.SIGNALLED.pack(number, group), lenient=True)

    def kill(self):
        self.send_signal(9)

    def terminate(self):
        self.send_signal(15)

    def resize(self, rows, columns):
        """The size of the terminal that it was started with."""
        self._stream.channel.send(self._stream.number, frames.SIZE, frames.SIZED.pack(rows, columns), lenient=True)


class Channel:
    """One for each host. `on_hello` is called when the agent is there, `on_loss` once when it is not any more."""

    SILENCE = 90.0  # seconds without an answer after which a host counts as hung
    PING_EVERY = 5.0

    def __init__(self, end, on_hello, on_loss):
        self._socket = end
        self._on_hello, self._on_loss = on_hello, on_loss
        self._streams = {}
        self._next = 1
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._gone = None
        self._over = threading.Event()  # every process there counts as killed
        self._heard = None  # when, once it has begun
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def check(self):
        if self._gone:
            raise Lost(self._gone)

    def send(self, stream, kind, payload=b"", lenient=False):
        """Frames of one sender go in order. `lenient`: it is no matter when the host is gone."""
        try:
            self.check()
            with self._sending:
                self._socket.sendall(frames.frame(stream, kind, payload))
        except OSError as fault:
            self.lose(f"its command channel broke: {fault}")
            if not lenient:
                raise Lost(self._gone) from None

    def popen(self, argv, cwd=None, env=None, tty=False, merge=False):
        argv = [str(word) for word in argv]
        wanted = {"argv": argv, "cwd": cwd and str(cwd), "env": env, "tty": tty, "merge": merge}
        return RemoteProcess(self._open(frames.EXEC, wanted, errors=not (tty or merge)), argv)

    def connect(self, path):
        """A socket here, connected to the unix socket `path` there."""
        stream = self._open(frames.CONNECT, {"unix": str(path)}, errors=False)
        try:
            stream.wait_started()
        except OSError as fault:
            raise ConnectionRefusedError(str(fault)) from None
        near, far = socket.socketpair()
        threading.Thread(target=self._carry_out, args=(far, stream), daemon=True).start()
        threading.Thread(target=self._carry_in, args=(far, stream), daemon=True).start()
        return near

    def _open(self, kind, wanted, errors):
        with self._lock:
            number, self._next = self._next, self._next + 1
            stream = self._streams[number] = _Stream(self, number, errors)
        self.send(number, kind, json.dumps(wanted).encode())
        return stream

    @staticmethod
    def _carry_in(far, stream):
        reader = io.BufferedReader(stream.raw[frames.DATA])
        try:
            while data := reader.read1(frames.CHUNK):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _carry_out(self, far, stream):
        try:
            while data := far.recv(frames.CHUNK):
                stream.stdin.write(data)
            stream.stdin.close()
            over = select.poll()
            over.register(far, 0)  # hung up: closed here in both directions
            over.poll()
        except OSError:
            pass
        self.send(stream.number, frames.CLOSE, lenient=True)
        with self._lock:
            self._streams.pop(stream.number, None)
        for reader in stream.raw.values():
            reader.end()

    # ---- threads

    def _read(self):
        parser = frames.Parser()
        try:
            while data := self._socket.recv(1 << 18):
                self._heard = time.monotonic()
                for number, kind, payload in parser.feed(data):
                    if kind == frames.HELLO:
                        self._on_hello()
                    stream = self._streams.get(number)
                    if stream:
                        stream.handle(kind, payload)
                        if stream.over():
                            with self._lock:
                                self._streams.pop(number, None)
            self.lose("it is off")
        except (OSError, ValueError) as fault:
            self.lose(f"its command channel broke: {fault}")

    def _watch(self):
        while not self._gone:
            time.sleep(self.PING_EVERY)
            if self._heard is None:
                continue
            if time.monotonic() - self._heard > self.SILENCE:
                self.lose(f"it has not answered for {self.SILENCE:.0f} s")
            else:
                self.send(0, frames.PING, lenient=True)

    def lose(self, why):
        with self._lock:
            if self._gone:
                return
            self._gone = why
            streams = list(self._streams.values())
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        for stream in streams:
            stream.lost()
        self._over.set()
        self._on_loss(why)

    def gone(self):
        """Why the host is not there any more, or None."""
        return self._gone

    def wait_lost(self):
        """Until everybody knows that the host is gone, which it is."""
        self._over.wait()
