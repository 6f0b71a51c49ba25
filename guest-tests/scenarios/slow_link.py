# SPDX-License-Identifier: Apache-2.0
"""A relay between two addresses that lets so many bytes a second through, over all of its connections together."""
import socket
import threading
import time


class SlowLink:
    """Listens on a TCP port of its own; `address` is what the source is told, `to` a unix socket's path or a TCP port."""

    CHUNK = 256 << 10

    def __init__(self, to, bytes_per_second):
        self.to = to
        self.rate = bytes_per_second
        self._lock = threading.Lock()
        self._next = time.monotonic()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:127.0.0.1:{self._door.getsockname()[1]}"
        self._sockets = [self._door]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                inner, _ = self._door.accept()
            except OSError:
                return
            # Small buffers: what the sender believes to be sent is not far from what has arrived.
            inner.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 512 << 10)
            if isinstance(self.to, int):
                outer = socket.create_connection(("127.0.0.1", self.to))
            else:
                outer = socket.socket(socket.AF_UNIX)
                outer.connect(self.to)
            self._sockets += [inner, outer]
            for source, sink, slow in ((inner, outer, True), (outer, inner, False)):
                threading.Thread(target=self._pump, args=(source, sink, slow), daemon=True).start()

    def _pump(self, source, sink, slow):
        try:
            while data := source.recv(self.CHUNK):
                if slow:
                    self._wait_for(len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _wait_for(self, count):
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now) + count / self.rate
            wait = self._next - now
        if wait > 0:
            time.sleep(wait)

    def close(self):
        for end in self._sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
