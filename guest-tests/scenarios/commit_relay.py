# SPDX-License-Identifier: Apache-2.0
"""A TCP relay in front of a receiver that reads frame headers and does as it is told at one type of message."""
import socket
import struct
import threading

COMMIT = 11
RUNNING = 12
READY = 10
STATE = 9


class Relay:
    """Passes bytes on until `stop_at` comes, then calls `then(relay)` and passes nothing on any more. With `deliver`,
    that one frame still arrives. Later connections pass untouched while `answers` is set, else they are refused."""

    def __init__(self, target_port, stop_at, deliver=False, then=None, answers=True):
        self.target_port = target_port
        self.stop_at = stop_at
        self.deliver = deliver
        self.then = then or (lambda relay: None)
        self.answers = answers
        self.stopped = threading.Event()
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        self.first = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.first and not self.answers:
                near.close()
                continue
            watched, self.first = self.first, False
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                near.close()
                continue
            self.sockets += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._frames if watched else self._bytes, args=(a, b), daemon=True).start()

    @staticmethod
    def _bytes(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _frames(self, source, sink):
        try:
            while True:
                header = self._exactly(source, 32)
                kind, = struct.unpack_from("<H", header, 4)
                length = sum(struct.unpack_from("<II", header, 12))
                if self.stopped.is_set():
                    return
                if kind == self.stop_at:
                    if self.deliver:
                        sink.sendall(header + self._exactly(source, length))
                    self.stopped.set()
                    self.then(self)
                    return
                sink.sendall(header)
                while length:
                    data = self._exactly(source, min(length, 1 << 16))
                    sink.sendall(data)
                    length -= len(data)
        except (OSError, EOFError):
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    @staticmethod
    def _exactly(source, count):
        parts = []
        while count:
            data = source.recv(min(count, 1 << 16))
            if not data:
                raise EOFError
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def cut(self):
        for end in self.sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        self.cut()
        for end in self.sockets:
            end.close()
