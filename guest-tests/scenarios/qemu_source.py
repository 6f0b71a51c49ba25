# SPDX-License-Identifier: Apache-2.0
"""Files of Debian's QEMU source package, fetched once and kept outside the tree."""
import os
import pathlib
import subprocess
import tarfile

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "godwit/qemu-source"
SOURCES = "deb-src http://deb.debian.org/debian bookworm main\n"


class Unavailable(Exception):
    pass


def apt(folder, *arguments):
    """apt-get with lists of its own, so that the machine's configuration stays as it is."""
    options = {"Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
               "Dir::State::Lists": folder / "lists", "Dir::Cache": folder / "cache", "APT::Sandbox::User": "root"}
    argv = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items()), *arguments]
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Unavailable(f"the QEMU source package cannot be had: {fault}") from None
    if done.returncode != 0:
        raise Unavailable(f"the QEMU source package cannot be had: {done.stderr.strip()[-300:]}")


def script(name):
    """scripts/NAME of QEMU 7.2."""
    kept = CACHE / name
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "sources.list").write_text(SOURCES)
        (CACHE / "lists/partial").mkdir(parents=True, exist_ok=True)
        (CACHE / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        apt(CACHE, "update")
        apt(CACHE, "source", "--download-only", "qemu")
        archives = sorted(CACHE.glob("qemu_*.orig.tar.*z*"))
        if not archives:
            raise Unavailable("the QEMU source package has no orig archive")
        with tarfile.open(archives[0]) as archive:
            for member in archive:
                if member.name.endswith(f"/scripts/{name}"):
                    kept.write_bytes(archive.extractfile(member).read())
                    break
        for file in CACHE.glob("qemu_*"):
            file.unlink()
        if not kept.exists():
            raise Unavailable(f"QEMU's source has no scripts/{name}")
    return kept
