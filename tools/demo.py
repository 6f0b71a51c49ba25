# SPDX-License-Identifier: Apache-2.0
"""Boots the test guest with a disk and a network, moves it to a second process while it works, and shows it."""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "guest-tests/scenarios"))
sys.dont_write_bytecode = True
import network  # noqa: E402
import vm  # noqa: E402

MEMORY = "256M"


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(argv):
    print("  $ " + " ".join(str(a).replace(str(TREE) + "/", "") for a in argv), flush=True)


class Scene:
    def __init__(self, folder):
        self.path = pathlib.Path(folder)


def start(scene, verb, name, arguments, netns):
    process = vm.Vm(scene, verb, name, arguments, netns)
    show(process.argv)
    return process


def show_timeline(log):
    """The parts of the move, as the source told them on its standard error."""
    found = re.search(r"the guest has moved: (.*), downtime (\d+) us \((.*)\)", log)
    print(f"  {found[1]}; the guest stood still for {int(found[2]) / 1000:.1f} ms:")
    longest = max(int(part.rsplit(" ", 1)[1]) for part in found[3].split(", ")) or 1
    for part in found[3].split(", "):
        name, micros = part.rsplit(" ", 1)
        print(f"    {name:16} {int(micros) / 1000:8.2f} ms  {'#' * round(40 * int(micros) / longest)}")


def main():
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(folder)
        image = scene.path / "disk.raw"
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        reason = network.available()
        wire = None if reason else network.Network()
        if reason:
            print(f"no network in this demonstration: {reason}")

        def parts(tap):
            options = ["--memory", MEMORY, "--cpus", "2", "--disk", f"path={image}"]
            if wire:
                options += ["--net", f"tap={tap},mac=02:00:00:00:00:15"]
            return options

        processes = []
        try:
            programs = "prog=mem,disk,net,heartbeat" if wire else "prog=mem,disk,heartbeat"
            say("A guest boots; it writes its memory and its disk and answers the network.")
            source = start(scene, "run", "source",
                           ["--kernel", vm.GUEST, "--cmdline",
                            f"{programs} mem.size=64M mem.rate=50M disk.span=32M net.ip={network.GUEST} "
                            "heartbeat.mode=line heartbeat.period=200000", *parts("tap0")], wire and wire.netns)
            processes.append(source)
            source.wait_line(r"^GT ready")
            time.sleep(1)
            for line in source.stdout()[:8]:
                print("  | " + line)

            ping = None
            if wire:
                ping = wire.popen(["ping", "-i", "0.01", "-q", network.GUEST], stdout=subprocess.PIPE, text=True)

            say("Another process waits for it, with disk and network of its own.")
            address = "tcp:127.0.0.1:7070"
            destination = start(scene, "receive", "destination", [address, *parts("tap1")], wire and wire.netns)
            processes.append(destination)
            destination.wait_stderr("waiting for a migration")

            say("It moves, while it works.")
            argv = [vm.GODWIT, "migrate", "--control", str(source.control), address]
            if wire:
                argv = ["ip", "netns", "exec", wire.netns, *argv]
            show(argv)
            moved = subprocess.run(argv, check=False)
            if moved.returncode != 0:
                print(source.transcript(), destination.transcript(), sep="\n")
                return 1
            source.expect_exit(0)
            show_timeline(source.stderr())
            time.sleep(1)

            say("It goes on over there, and at the end checks every byte of its memory and disk.")
            if ping:
                ping.send_signal(2)
                for line in ping.communicate(timeout=10)[0].splitlines():
                    if "packets" in line or "rtt" in line:
                        print("  ping: " + line)
            already = len(destination.stdout())
            destination.finish()
            for line in destination.stdout()[already:]:
                if not line.startswith("GT heartbeat"):
                    print("  | " + line)
            say(f"Done: the guest ran in two processes and noticed nothing. ({time.monotonic() - began:.1f} s)")
            return 0
        except vm.Failed as failure:
            print(f"the demonstration failed: {failure}", file=sys.stderr)
            return 1
        finally:
            for process in processes:
                process.kill()
            if wire:
                wire.close()


sys.exit(main())
