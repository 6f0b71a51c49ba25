# SPDX-License-Identifier: Apache-2.0
"""Boots the test guest with a disk and a network, moves it to a second process while it works, and shows it."""
import pathlib
import re
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
for folder in ("tools/hosts", "guest-tests/scenarios"):
    sys.path.insert(0, str(TREE / folder))
sys.dont_write_bytecode = True
import fleet  # noqa: E402
import network  # noqa: E402
import sites  # noqa: E402
import vm  # noqa: E402

UNAVAILABLE, HOST_FAILED = 3, 4
# Memory, vCPUs and what the guest does: an emulated host moves 25 MB in a second.
NATIVE = ("256M", 2, "mem.size=64M mem.rate=50M disk.span=32M")
EMULATED = ("128M", 1, "mem.size=16M mem.rate=4M disk.span=8M disk.rate=512K")


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(text):
    print(f"  {text}", flush=True)


def show_timeline(log):
    """The parts of the move, as the source told them on its standard error."""
    found = re.search(r"the guest has moved: (.*), downtime (\d+) us \((.*)\)", log)
    show(f"{found[1]}; the guest stood still for {int(found[2]) / 1000:.1f} ms:")
    parts = [part.rsplit(" ", 1) for part in found[3].split(", ")]
    longest = max(int(micros) for _, micros in parts) or 1
    for name, micros in parts:
        show(f"  {name:16} {int(micros) / 1000:8.2f} ms  {'#' * round(40 * int(micros) / longest)}")


def play(site, path, size, wired):
    memory, cpus, load = size
    site.prepare()
    image = path / "disk.raw"
    with open(image, "wb") as file:
        file.truncate(64 << 20)

    def machine(number):
        return ["--memory", memory, "--cpus", str(cpus), "--disk", f"path={image}", *(site.net(number) if wired else [])]

    say("A guest boots; it writes its memory and its disk and answers the network.")
    programs = f"prog=mem,disk,net,heartbeat net.ip={site.guest_address}" if wired else "prog=mem,disk,heartbeat"
    source = site.start(0, "run", "source", ["--kernel", vm.GUEST, "--cmdline", f"{programs} {load} heartbeat.mode=line "
                                             "heartbeat.period=200000", *machine(0)])
    source.wait_line(r"^GT heartbeat n=5\b")
    for line in source.stdout()[:8]:
        show("| " + line)
    if wired:
        site.begin_pings(site.guest_address)

    say("Another process waits for it, with disk and network of its own.")
    listen, reach = site.receive_at(1)
    destination = site.start(1, "receive", "destination", [*listen, *machine(1)])
    destination.wait_stderr("waiting for a migration")

    say("It moves, while it works.")
    moved = site.migrate(source, 0, reach)
    show(moved.stdout.replace("\r", "\n").strip().rsplit("\n", 1)[-1])
    if moved.returncode != 0:
        raise vm.Failed(f"the migration failed\n{source.transcript()}\n{destination.transcript()}")
    source.expect_exit(0)
    show_timeline(source.stderr())
    destination.wait_line(r"^GT heartbeat n=")
    time.sleep(1)  # for pings to where it is now

    say("It goes on over there, and at the end checks every byte of its memory and disk.")
    if wired:
        show("ping: " + site.end_pings())
    already = len(destination.stdout())
    destination.finish()
    for line in destination.stdout()[already:]:
        if not line.startswith("GT heartbeat"):
            show("| " + line)


def main():
    began = time.monotonic()
    kvm = sites.usable_kvm()
    if not kvm:
        say(f"Note: {sites.WHY_HOSTS}.")
    reason = network.available() if kvm else None
    if reason:
        show(f"no network in this demonstration: {reason}")
    with tempfile.TemporaryDirectory(prefix="godwit-demo-") as folder:
        path, site = pathlib.Path(folder), None
        try:
            site = sites.Here(path, show, net=not reason) if kvm else sites.OnHosts(show, [path])
            play(site, path, NATIVE if kvm else EMULATED, not reason)
            where = "in two processes" if kvm else "on two hosts"
            say(f"Done: the guest ran {where} and noticed nothing. ({time.monotonic() - began:.1f} s)")
            return 0
        except fleet.Unavailable as why:
            print(f"demo: {why}", file=sys.stderr)
            return UNAVAILABLE
        except (fleet.HostFailed, vm.Failed, OSError) as failure:
            return tell(failure, site)
        finally:
            if site:
                site.close()


def tell(failure, site):
    """Whose fault it was."""
    try:
        if site:
            site.check()
    except fleet.HostFailed as why:
        print(f"demo: an emulated host failed, not the guest: {why}", file=sys.stderr)
        return HOST_FAILED
    print(f"demo: it failed: {failure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
