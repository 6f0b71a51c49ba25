# SPDX-License-Identifier: Apache-2.0
"""One emulated host: QEMU's process, its console, and commands on it."""
import collections
import dataclasses
import datetime
import os
import pathlib
import queue
import re
import shutil
import socket
import subprocess
import threading
import time

import channel
import debian
import image

QEMU = "qemu-system-x86_64"
CODE = pathlib.Path(__file__).resolve().parent
# No XSAVE: this QEMU runs a guest's XSETBV without asking the hypervisor, which then knows a wrong XCR0. The second line:
# what TCG has not.
CPU = ("EPYC,-xsave,-avx,-avx2,-f16c,-xsavec,-xsaveopt,-xgetbv1,-fma,"
       "-rdseed,-fxsr-opt,-misalignsse,-3dnowprefetch,-osvw,-topoext,-nrip-save,-sha-ni")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_LIMIT = 120.0  # seconds; it takes five on a machine that has nothing else to do
KNOWN_LIMIT = 5.0  # for which a host that is gone may take to say why


class HostFailed(Exception):
    """The emulated host, not what ran on it: it did not boot, its kernel died, or QEMU did."""


@dataclasses.dataclass(frozen=True)
class HostSpec:
    name: str
    cpus: int = 1
    memory: int = 2048  # MiB
    cpu_flags: str = ""  # more for QEMU's -cpu, such as "-aes"
    tsc_khz: int | None = None  # what its kernel believes of its TSC; this machine's when not given
    steady_tsc: bool = True  # whether its kernel believes in its TSC at all
    clock_offset: int = 0  # seconds by which its clock is wrong

    def __post_init__(self):
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", self.name):
            raise ValueError(f"a host's name is letters, digits and dashes, not {self.name!r}")
        if not 1 <= self.cpus <= 16 or not 512 <= self.memory <= 1 << 20:
            raise ValueError(f"host {self.name}: 1 to 16 CPUs and 512 MiB or more, not {self.cpus} and {self.memory}")


class _Spawner:
    """Starts processes that end with this one, however it ends: the kernel ties them to the thread that started them, so
    they all are started by one that lives as long as the process."""

    def __init__(self):
        self._orders = queue.SimpleQueue()
        self._thread = None
        self._lock = threading.Lock()

    def popen(self, argv, **options):
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
        answer = queue.SimpleQueue()
        self._orders.put((["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)], options, answer))
        result = answer.get()
        if isinstance(result, Exception):
            raise result
        return result

    def _work(self):
        while True:
            argv, options, answer = self._orders.get()
            try:
                answer.put(subprocess.Popen(argv, **options))
            except Exception as fault:  # pylint: disable=broad-except
                answer.put(fault)


_spawner = _Spawner()


def outer_tsc_khz():
    """The rate of this machine's TSC, which the hosts' is too."""
    found = re.search(r"^bogomips\s*: ([\d.]+)", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return round(float(found[1]) * 500)


class Host:
    """Boots as soon as it is made; `wait_ready` says when it takes commands. `address` is on `cable`, a free end of a LAN."""

    def __init__(self, spec, address=None, cable=None, shares=(), names=""):
        self.spec, self.name, self.address = spec, spec.name, address
        self.failure = None  # why it is not there any more, when nobody had wanted that
        self.booted_at = time.monotonic()
        self._console = collections.deque(maxlen=400)
        self._ready = threading.Event()
        self._known = threading.Event()  # that it is lost, and why
        self._wanted_off = False
        self._kernel = debian.kernel("generic")
        kept = []
        try:
            console = self._start(cable, [pathlib.Path(share).resolve() for share in shares], names, kept)
        finally:
            for one in kept:
                one.close()
        threading.Thread(target=self._read_console, args=(console,), daemon=True).start()
        threading.Thread(target=self._wait_end, daemon=True).start()

    def _start(self, cable, shares, names, kept):
        """`kept` gets what QEMU has inherited and this process needs no more. Gives the console's near end."""
        def pair():
            near, far = socket.socketpair()
            kept.append(far)
            return near, far

        settings = {"name": self.name, "address": f"{self.address}/24" if cable else "", "mtu": 9000, "code": CODE}
        archive = image.initramfs((self._kernel / "host.cpio").read_bytes(), settings, shares, names)
        initrd = os.fdopen(os.memfd_create(f"{self.name}.initrd"), "wb")
        kept.append(initrd)
        initrd.write(archive)
        initrd.flush()
        command, command_far = pair()
        console, console_far = pair()
        spec = self.spec
        words = ["console=ttyS0", "quiet", "mitigations=off", "no_timer_check", "panic=-1",
                 f"tsc_early_khz={spec.tsc_khz or outer_tsc_khz()}", *(["tsc=reliable"] if spec.steady_tsc else [])]
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=spec.clock_offset)
        argv = [QEMU, "-M", "q35", "-accel", f"tcg,thread={'single' if spec.cpus == 1 else 'multi'}",
                "-cpu", ",".join(filter(None, [CPU, spec.cpu_flags])), "-smp", spec.cpus, "-m", spec.memory,
                "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-name", self.name,
                "-rtc", f"base={now:%Y-%m-%dT%H:%M:%S}",
                "-kernel", self._kernel / "unpacked", "-initrd", f"/proc/self/fd/{initrd.fileno()}", "-append", " ".join(words),
                "-chardev", f"socket,id=console,fd={console_far.fileno()}", "-serial", "chardev:console",
                "-chardev", f"socket,id=commands,fd={command_far.fileno()}",
                "-device", "virtio-serial-pci,disable-legacy=on", "-device", "virtserialport,chardev=commands,name=lab"]
        fds = [initrd.fileno(), console_far.fileno(), command_far.fileno()]
        for tag, folder, mode in [("files", "/", "readonly=on"), *((f"share{n}", p, "readonly=off") for n, p in enumerate(shares))]:
            argv += ["-fsdev", f"local,id={tag},path={folder},security_model=none,multidevs=remap,{mode}",
                     "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag},disable-legacy=on"]
        if cable:
            fds.append(cable.fileno())
            kept.append(cable)
            last = int(self.address.rsplit(".", 1)[1])
            argv += ["-netdev", f"stream,id=lan,addr.type=fd,addr.str={cable.fileno()}",
                     "-device", f"virtio-net-pci,netdev=lan,mac=52:54:00:00:00:{last:02x},disable-legacy=on,romfile=,host_mtu=9000"]
        self.process = _spawner.popen(argv, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, start_new_session=True)
        self._channel = channel.Channel(command, self._ready.set, self._lost)
        return console

    # ---- its life

    def wait_ready(self, limit=BOOT_LIMIT):
        """Until it takes commands. Gives the seconds since it was made."""
        deadline = self.booted_at + limit
        while not self._ready.wait(0.05):
            if self.failure:
                raise HostFailed(self.failure)
            if time.monotonic() > deadline:
                self.power_off()
                raise HostFailed(f"host {self.name} was not there after {limit:.0f} s\n{self.console()}")
        return time.monotonic() - self.booted_at

    def power_off(self):
        """As if its plug were pulled. What ran there counts as killed when this returns. Idempotent."""
        self._wanted_off = True
        self.process.kill()
        self.process.wait()
        self._channel.wait_lost()

    def on(self):
        return self.process.poll() is None and not self.failure

    def check(self):
        """Raises HostFailed when it is not there although nobody switched it off."""
        if self._channel.gone():
            self._known.wait(KNOWN_LIMIT)
        if self.failure:
            raise HostFailed(self.failure)

    def console(self, lines=25):
        """The last that its kernel said."""
        return "\n".join(list(self._console)[-lines:])

    def _lost(self, why):
        if not self._wanted_off and not self.failure:
            if self.process.poll() is None and why == "it is off":
                time.sleep(1)  # its kernel's last words
            self.failure = f"host {self.name} failed: {why}\n{self.console()}"
            self.process.kill()
        self._known.set()

    def _wait_end(self):
        said = self.process.stderr.read().decode(errors="replace").strip()
        status = self.process.wait()
        if said:
            self._console.append(f"QEMU: {said}")
        self._channel.lose("it is off" if status in (0, -9) else f"QEMU ended with status {status}")

    def _read_console(self, end):
        with end.makefile("rb") as lines:
            for line in lines:
                self._console.append(line.decode(errors="replace").rstrip())

    # ---- commands

    def popen(self, argv, cwd=None, env=None, tty=False, merge=False):
        """A RemoteProcess. `env` is added to a small environment of its own; `merge`: standard error into standard output."""
        home = os.path.expanduser("~")
        return self._channel.popen(argv, cwd or os.getcwd(), {"PATH": PATH, "HOME": home, "LANG": "C.UTF-8", **(env or {})}, tty,
                                   merge)

    def run(self, argv, timeout=None, check=False, stdin=b"", cwd=None, env=None):
        """Like subprocess.run with captured output, as text. What takes longer than `timeout` seconds is killed, with all
        that it has started, and subprocess.TimeoutExpired is raised."""
        process = self.popen(argv, cwd, env)
        texts = {}

        def read(name, pipe):
            texts[name] = pipe.read().decode(errors="replace")

        readers = [threading.Thread(target=read, args=(name, getattr(process, name)), daemon=True) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        try:
            if stdin:
                process.stdin.write(stdin)
            process.stdin.close()
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(9, group=True)
            raise
        for reader in readers:
            reader.join(10)  # longer only when something that it left behind has its output
        self.check()
        done = subprocess.CompletedProcess(process.args, process.returncode, texts.get("stdout", ""), texts.get("stderr", ""))
        if check:
            done.check_returncode()
        return done

    def connect(self, path):
        """A socket that is connected to the unix socket `path` there."""
        return self._channel.connect(path)

    def load(self, *drivers):
        """Loads drivers of its kernel (image.MORE_DRIVERS)."""
        for driver in drivers:
            for file in sorted((self._kernel / "drivers" / driver).glob("*.ko")):
                done = self.run(["/bin/busybox", "insmod", str(file)])
                if done.returncode != 0 and "File exists" not in done.stderr:
                    raise OSError(f"{self.name}: {file.name}: {done.stderr.strip()}")


def lacks():
    """What this machine has not got, of what hosts need; or None."""
    if not shutil.which(QEMU):
        return f"there is no {QEMU} (package qemu-system-x86)"
    if not image.BUSYBOX.exists():
        return f"there is no {image.BUSYBOX} (package busybox-static)"
    if b"ELF" not in image.BUSYBOX.read_bytes()[:4]:
        return f"{image.BUSYBOX} is no program"
    return None


def memory_lack(specs):
    available = int(re.search(r"^MemAvailable:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) >> 10
    wanted = sum(spec.memory + 256 for spec in specs)  # a host's and its emulator's
    if wanted > available:
        return f"{len(specs)} hosts want {wanted} MiB of memory, and {available} MiB are free"
    return None
