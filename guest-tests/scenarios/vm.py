# SPDX-License-Identifier: Apache-2.0
"""A godwit process with the test guest in it, as a scenario drives it: serial lines in, lines and exit status out."""
import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "runner"))
import pace  # noqa: E402

BUILD = pathlib.Path(os.environ.get("GODWIT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
GODWIT = str(BUILD / "vmm/cli/godwit")
PLAIN = str(BUILD / "guest-tests/plain/godwit-plain")  # the same, with machines that need no /dev/kvm
GUEST = str(BUILD / "guest-tests/guest/guest.elf")

# Generous: machines are noisy, some are emulated, and nothing here measures time.
PATIENCE = 30.0 * max(2.0, pace.PACE)


# Milliseconds that a guest may stand still where a scenario does not say: saving, sending and loading take longer on a slow host.
DOWNTIME_LIMIT = round(300 * pace.PACE)


def let_work(seconds):
    """Gives a guest what it does in so many seconds on an ordinary host."""
    time.sleep(seconds * pace.PACE)


@dataclasses.dataclass
class Line:
    at: float
    text: str


class Failed(AssertionError):
    pass


class Damage(Failed):
    """A guest that ran twice, or lost or changed something: no busy machine excuses it (guest-tests/runner/second_look.py)."""


def connect(path, host=None):
    """A socket that is connected to the unix socket `path`, here or on a host of the lab."""
    if host:
        return host.connect(path)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(str(path))
    except OSError:
        made.close()
        raise
    return made


class Process:
    """A child whose standard output is read line by line and kept, together with what it says on standard error. It
    runs here, or on `host`, one of the lab's (tools/hosts)."""

    def __init__(self, argv, netns=None, host=None, stdin=subprocess.PIPE):
        if netns:
            argv = ["ip", "netns", "exec", netns, *argv]
        self.argv = argv
        self.host = host
        self.lines = []
        self.stderr_lines = []
        self.raw = b""  # standard output as it came
        self._news = threading.Condition()
        self._open_streams = 2
        self.child = host.popen(argv) if host else subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE,
                                                                    stderr=subprocess.PIPE)
        for stream, into in ((self.child.stdout, self.lines), (self.child.stderr, self.stderr_lines)):
            threading.Thread(target=self._read, args=(stream, into), daemon=True).start()

    def _read(self, stream, into):
        for raw in stream:
            line = Line(time.monotonic(), raw.decode(errors="replace").rstrip("\r\n"))
            with self._news:
                if into is self.lines:
                    self.raw += raw
                into.append(line)
                self._news.notify_all()
        with self._news:
            self._open_streams -= 1
            self._news.notify_all()

    def _wait_in(self, lines, pattern, patience, after):
        deadline = time.monotonic() + patience
        seen = after
        with self._news:
            while True:
                while seen < len(lines):
                    found = re.search(pattern, lines[seen].text)
                    if found:
                        return found
                    seen += 1
                left = deadline - time.monotonic()
                if left <= 0 or self._open_streams == 0:
                    raise Failed(f"no line matches {pattern!r} within {patience} s\n{self.transcript()}")
                self._news.wait(left)

    def wait_line(self, pattern, patience=PATIENCE, after=0):
        return self._wait_in(self.lines, pattern, patience, after)

    def wait_stderr(self, pattern, patience=PATIENCE):
        return self._wait_in(self.stderr_lines, pattern, patience, 0)

    def send(self, data):
        self.child.stdin.write(data)
        self.child.stdin.flush()

    def wait_exit(self, patience=PATIENCE):
        try:
            status = self.child.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failed(f"still running after {patience} s\n{self.transcript()}") from None
        with self._news:
            while self._open_streams and self._news.wait(5):
                pass
        return status

    def expect_exit(self, status, patience=PATIENCE):
        got = self.wait_exit(patience)
        if got != status:
            raise Failed(f"exit status {got}, expected {status}\n{self.transcript()}")

    def stdout(self):
        with self._news:
            return [line.text for line in self.lines]

    def stderr(self):
        with self._news:
            return "\n".join(line.text for line in self.stderr_lines)

    def alive(self):
        return self.child.poll() is None

    def kill(self):
        if self.alive():
            self.child.kill()
        self.child.wait()

    def transcript(self):
        out = "\n".join(line.text for line in self.lines[-60:])
        err = "\n".join(line.text for line in self.stderr_lines[-40:])
        where = f"{self.host.name}: " if self.host else ""
        return f"--- {where}{' '.join(self.argv)}\n--- stdout\n{out}\n--- stderr\n{err}\n--- exit {self.child.poll()}"


class Qmp:
    """A QMP client of a few lines, so that the control socket is judged by something that is not godwit's own code."""

    def __init__(self, path, host=None, migrate_defaults=None):
        self._migrate_defaults = migrate_defaults or {}
        deadline = time.monotonic() + PATIENCE
        while True:  # a server's path is there a moment before anybody listens
            try:
                self.socket = connect(path, host)
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rwb")
        self.events = []
        self.greeting = self._read()
        self.execute("qmp_capabilities")

    def _read(self):
        line = self.file.readline()
        if not line:
            raise Failed("the control socket was closed")
        return json.loads(line)

    def raw(self, text):
        self.file.write(text)
        self.file.flush()
        while True:
            message = self._read()
            if "event" not in message:
                return message
            self.events.append(message)

    def execute(self, command, **arguments):
        if command == "migrate":
            arguments = self._migrate_defaults | arguments
        request = {"execute": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        answer = self.raw(json.dumps(request).encode() + b"\n")
        if "error" in answer:
            raise Failed(f"{command}: {answer['error']}")
        return answer["return"]

    def hand_over(self, file, name):
        """A copy of an open file or socket, which has this name from then on."""
        socket.send_fds(self.socket, [json.dumps({"execute": "getfd", "arguments": {"fdname": name}}).encode()], [file.fileno()])
        while "return" not in (answer := self._read()):
            if "error" in answer:
                raise Failed(f"getfd: {answer['error']}")
            self.events.append(answer)

    def wait_event(self, name, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            self.events.append(self._read())

    def close(self):
        self.file.close()
        self.socket.close()


class Vm(Process):
    """`godwit run` or `godwit receive`."""

    def __init__(self, scene, verb, name, options, netns=None, host=None, stdin=subprocess.PIPE):
        self.name = name
        self.program = getattr(scene, "program", GODWIT)
        self.control = scene.path / f"{name}.sock"
        self._has_control = False
        super().__init__([self.program, verb, "--control", str(self.control), *options], netns, host, stdin)

    def wait_control(self):
        deadline = time.monotonic() + PATIENCE
        while not self._control_is_there():
            if not self.alive() or time.monotonic() > deadline:
                raise Failed(f"no control socket\n{self.transcript()}")
            time.sleep(0.005)

    def _control_is_there(self):
        if not self.host:
            return self.control.exists()
        if not self._has_control:
            try:
                connect(self.control, self.host).close()
                self._has_control = True
            except ConnectionRefusedError:
                pass
        return self._has_control

    def qmp(self):
        self.wait_control()
        return Qmp(self.control, self.host, {"quit": True} | ({"downtime_limit": DOWNTIME_LIMIT} if self._is_slow() else {}))

    def _is_slow(self):
        """A guest with vCPUs on a host where they are slow; a plain machine has its usual limits everywhere."""
        return self.program != PLAIN and pace.PACE > 2

    def cli(self, verb, *arguments, check=True):
        """Runs a godwit subcommand against this process."""
        self.wait_control()
        if verb == "migrate" and self._is_slow() and not any(str(word).startswith("--downtime-limit") for word in arguments):
            arguments = ("--downtime-limit", str(DOWNTIME_LIMIT), *arguments)
        argv = [self.program, verb, "--control", str(self.control), *arguments]
        done = self.host.run(argv, PATIENCE * 2) if self.host else subprocess.run(
            argv, capture_output=True, text=True, timeout=PATIENCE * 2, check=False)
        if check and done.returncode != 0:
            raise Failed(f"godwit {verb} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}\n"
                         f"{self.transcript()}")
        return done

    def status(self):
        """What `godwit status` prints; nothing of a process that has ended, even just now."""
        while self.alive():
            done = self.cli("status", check=False)
            if done.returncode == 0:
                return done.stdout
            self.wait_exit()
        return ""

    def running(self):
        """Whether it runs its guest: asked of the control socket itself, since starting a program is slow on an emulated host.
        A process that has ended, even just now, runs none."""
        while self.alive():
            try:
                control = self.qmp()
                try:
                    return control.execute("query-status")["running"]
                finally:
                    control.close()
            except (Failed, OSError):
                self.wait_exit()
        return False

    def report(self, topic):
        """The values of the last `GT topic key=value ...` line, or None."""
        for text in reversed(self.stdout()):
            found = re.match(rf"GT {topic}\b(.*)", text)
            if found:
                return {k: v.strip('"') for k, v in re.findall(r'(\S+?)=("[^"]*"|\S+)', found[1])}
        return None

    def finish(self, patience=PATIENCE):
        """Asks the guest to end; it verifies everything, powers off, and godwit exits 0."""
        self.send(b"q")
        self.wait_line(r"GT exit status=0\b", patience)
        self.expect_exit(0, patience)

    def descriptors(self):
        """Open descriptors, without a control connection that is just being closed."""
        def count():
            time.sleep(0.01)
            return len(os.listdir(f"/proc/{self.child.pid}/fd"))
        return min(count() for _ in range(10))
