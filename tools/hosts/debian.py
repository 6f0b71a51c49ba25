# SPDX-License-Identifier: Apache-2.0
"""Packages of Debian 12 that are wanted as files and not installed: kernels and sources, from the sources of packages that
this machine is configured with. What was fetched is kept in ${XDG_CACHE_HOME:-~/.cache}/godwit.

    python3 tools/hosts/debian.py cloud|generic     # prints the folder with that kernel
"""
import argparse
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile

from cpio import Cpio
import image

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "godwit"
ROOM = 800 << 20  # bytes that fetching and unpacking a package takes
UNAVAILABLE = 77  # exit status: a test that wants it may be skipped
KERNELS = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}
QEMU_PARTS = ("scripts/analyze-migration.py", "python/qemu/qmp/")  # files and folders
CONTENT = 5  # raise it when what a kernel's folder holds changes
GUEST_DRIVERS = ["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "button", "evdev", "crc32c_generic", "ext4"]


class Unavailable(Exception):
    """Why something cannot be had on this machine, in words."""


def _run(argv, folder):
    try:
        done = subprocess.run([str(word) for word in argv], cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Unavailable(str(fault)) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(said[-1] if said else f"{argv[0]} ended with status {done.returncode}")
    return done.stdout


class Apt:
    """apt with lists and archives of its own in `folder`: the machine's configuration is read and stays as it is."""

    def __init__(self, folder, sources=False):
        self.folder = folder
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True)
        options = {"Dir::State::Lists": folder / "lists", "Dir::Cache": folder, "Dir::Cache::archives": folder / "archives",
                   "APT::Sandbox::User": "root"}
        if sources:
            options |= {"Dir::Etc::SourceParts": self._with_source_packages(), "Dir::Etc::SourceList": "/dev/null"}
        self.words = [f"-o{key}={value}" for key, value in options.items()]
        # One source of the machine that is out of order is no matter as long as what is wanted is found.
        try:
            subprocess.run(["apt-get", "-qq", *self.words, "update"], cwd=folder, capture_output=True, timeout=600, check=False)
        except (OSError, subprocess.TimeoutExpired) as fault:
            raise Unavailable(f"apt-get update: {fault}") from None

    def _with_source_packages(self):
        parts = self.folder / "sources"
        parts.mkdir()
        etc = pathlib.Path("/etc/apt")
        for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
            if file.suffix == ".list" and file.exists():
                (parts / file.name).write_text(re.sub(r"^deb ", "deb-src ", file.read_text(), flags=re.M))
            elif file.suffix == ".sources":
                (parts / file.name).write_text(re.sub(r"^Types:.*$", "Types: deb-src", file.read_text(), flags=re.M))
        return parts

    def get(self, *words):
        return _run(["apt-get", "-qq", *self.words, *words], self.folder)

    def depends(self, package):
        return _run(["apt-cache", *self.words, "depends", "--no-recommends", package], self.folder)


def in_order(root, drivers):
    """The files of those drivers that are modules, each after what it depends on. depmod's table is not in the package."""
    files = {path.stem.replace("-", "_"): path for path in root.rglob("*.ko")}
    order = []

    def add(name):
        if name in order or name not in files:  # built in
            return
        found = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for other in found[1].decode().split(",") if found else []:
            add(other.replace("-", "_"))
        order.append(name)

    for driver in drivers:
        add(driver)
    return [files[name] for name in order]


def modules(root, drivers):
    archive = Cpio()
    archive.folder("modules")
    for number, file in enumerate(in_order(root, drivers)):
        archive.file(f"modules/{number:02}-{file.name}", file.read_bytes())
    return archive.finish()


def without_packing(image):
    """The ELF file in a bzImage, which QEMU boots by its PVH entry; the bzImage itself when it is packed otherwise than by xz."""
    sectors = image[0x1f1] or 4  # Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[(sectors + 1) * 512 + offset:][:length]
    try:
        inside = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    except lzma.LZMAError:
        return image
    return inside if inside.startswith(b"\x7fELF") else image


def kernel(kind):
    """The folder of a kernel: vmlinuz, unpacked (the same for whom unpacking it takes long, where it can be unpacked here),
    config, package (its name and version), modules.cpio (for an initramfs of a guest:
    drivers in order), host.cpio (those of a host), and drivers/NAME/ (more for hosts)."""
    kept = CACHE / f"linux/debian-{kind}-{CONTENT}"
    if kept.exists():
        return kept
    try:
        return _fetch_kernel(KERNELS[kind], kept)
    except Unavailable as why:
        raise Unavailable(f"the package {KERNELS[kind]} cannot be had: {why}") from None
    except OSError as fault:
        raise Unavailable(f"the package {KERNELS[kind]} cannot be kept in {kept.parent}: {fault.strerror}") from None


def _scratch(beside):
    """A folder for what is being fetched, on the file system where it will be kept."""
    beside.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(beside.parent).free
    if free < ROOM:  # apt does not say so: it waits for ever on a full disk
        raise Unavailable(f"{beside.parent} has {free >> 20} MiB left, and it takes {ROOM >> 20}")
    return pathlib.Path(tempfile.mkdtemp(prefix=".fetching-", dir=beside.parent))


def _fetch_kernel(package, kept):
    scratch = _scratch(kept)
    try:
        apt = Apt(scratch)
        found = re.search(r"Depends: (linux-image-\S+)", apt.depends(package))
        if not found:
            raise Unavailable("no source of packages of this machine has it")
        apt.get("download", found[1])
        file = next(scratch.glob("linux-image-*.deb"))
        unpacked = scratch / "unpacked"
        _run(["dpkg-deb", "-x", file, unpacked], scratch)
        out = scratch / "out"
        out.mkdir()
        for name in ("vmlinuz", "config"):
            shutil.copy2(next((unpacked / "boot").glob(f"{name}-*")), out / name)
        (out / "unpacked").write_bytes(without_packing((out / "vmlinuz").read_bytes()))
        drivers = unpacked / "lib/modules"
        (out / "modules.cpio").write_bytes(modules(drivers, GUEST_DRIVERS))
        (out / "host.cpio").write_bytes(modules(drivers, image.DRIVERS))
        for driver in image.MORE_DRIVERS:
            more = out / "drivers" / driver
            more.mkdir(parents=True)
            for number, file in enumerate(in_order(drivers, [driver])):
                shutil.copy2(file, more / f"{number:02}-{file.name}")
        (out / "package").write_text(file.name + "\n")
        out.rename(kept)
        return kept
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def qemu_source():
    """The folder with what is wanted of QEMU 7.2's sources (QEMU_PARTS), from Debian's source package."""
    kept = CACHE / "qemu-source-7.2"
    if kept.exists():
        return kept
    scratch = None
    try:
        scratch = _scratch(kept)
        Apt(scratch, sources=True).get("source", "--download-only", "qemu")
        archive = next(iter(scratch.glob("qemu_*.orig.tar.*z*")), None)
        if archive is None:
            raise Unavailable("it has no archive of the sources")
        with tarfile.open(archive) as members:
            for member in members:
                path = member.name.partition("/")[2]
                if member.isfile() and path.startswith(QEMU_PARTS):
                    file = scratch / "out" / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(members.extractfile(member).read())
        for part in QEMU_PARTS:
            if not (scratch / "out" / part).exists():
                raise Unavailable(f"it has no {part}")
        (scratch / "out").rename(kept)
        return kept
    except Unavailable as why:
        raise Unavailable(f"QEMU's source package cannot be had: {why}") from None
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KERNELS)
    try:
        print(kernel(parser.parse_args().kind))
    except Unavailable as why:
        print(f"debian: {why}", file=sys.stderr)
        sys.exit(UNAVAILABLE)


if __name__ == "__main__":
    main()
