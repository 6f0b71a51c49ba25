# SPDX-License-Identifier: Apache-2.0
"""A lab that is up, as other commands of the same user reach it: an abstract unix socket, which ends with its process.

A request is one line of JSON, with three descriptors beside it when it is a command; what comes then is lines of JSON too.
"""
import contextlib
import json
import os
import signal
import socket
import struct
import threading

import terminal


def address():
    return f"\0godwit-lab-{os.getuid()}"


class Service:
    """Serves a fleet until `end` is called. Whoever is another user is refused."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.over = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address())
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            end, _ = self._listener.accept()
            uid = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            if uid == os.getuid():
                threading.Thread(target=self._serve, args=(end,), daemon=True).start()
            else:
                end.close()

    def _serve(self, end):
        with end, contextlib.suppress(OSError):
            data, fds, _, _ = socket.recv_fds(end, 1 << 20, 3)
            try:
                answer = self._obey(json.loads(data), fds, end)
            except (KeyError, OSError, ValueError) as fault:
                answer = {"error": f"there is no host {fault}" if isinstance(fault, KeyError) else str(fault)}
            finally:
                for fd in fds:
                    os.close(fd)
            end.sendall(json.dumps(answer).encode() + b"\n")

    def _obey(self, what, fds, end):
        do = what["do"]
        if do == "exec":
            return {"status": self._run(what, fds, end)}
        if do == "power-off":
            self.fleet[what["host"]].power_off()
        elif do == "boot":
            self.fleet.boot(what["host"]).wait_ready()
        elif do == "cut":
            self.fleet.lan.cut(what["from"], what["to"])
        elif do == "shape":
            self.fleet.lan.shape(what["from"], what["to"], what["delay"], what["rate"])
        elif do == "heal":
            self.fleet.lan.heal()
        elif do == "status":
            return {"hosts": [{"name": h.name, "address": h.address, "on": h.on(), "failure": h.failure} for h in self.fleet]}
        elif do == "down":
            self.over.set()
        else:
            raise ValueError(f"it does not know {do!r}")
        return {}

    def _run(self, what, fds, end):
        host = self.fleet[what["host"]] if what["host"] else next(iter(self.fleet))
        process = host.popen(what["argv"], cwd=what["cwd"], tty=bool(what["size"]), env=what["env"])
        if what["size"]:
            process.resize(*what["size"])
        gone = threading.Event()

        def news():
            with contextlib.suppress(OSError, ValueError), end.makefile("r") as lines:
                for line in lines:
                    said = json.loads(line)
                    if "signal" in said:
                        process.send_signal(said["signal"], group=True)
                    if "size" in said:
                        process.resize(*said["size"])
            gone.set()
            process.send_signal(signal.SIGKILL, group=True)

        threading.Thread(target=news, daemon=True).start()
        return terminal.carry(process, fds, gone.is_set)


def reach():
    """A connection to the lab of this user that is up; None when there is none."""
    end = socket.socket(socket.AF_UNIX)
    try:
        end.connect(address())
    except ConnectionRefusedError:
        end.close()
        return None
    return end


def ask(end, what, fds=(), news=None):
    """Its answer. `news` is called with the connection, to say more while it works."""
    socket.send_fds(end, [json.dumps(what).encode()], fds)
    if news:
        news(end)
    with end.makefile("r") as lines:
        line = lines.readline()
    return json.loads(line) if line else {"error": "the lab has ended"}
