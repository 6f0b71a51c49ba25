# SPDX-License-Identifier: Apache-2.0
"""A process on a host, with descriptors of this machine as its standard input and outputs."""
import contextlib
import os
import select
import shutil
import sys
import termios
import threading
import tty

import frames


def carry(process, fds, ended=lambda: False):
    """Until the process has ended. `fds`: its standard input, output and error here; None: nothing, or nowhere.
    Gives its status as shells tell it."""
    done = threading.Event()

    def outwards(pipe, fd):
        while data := pipe.read1(frames.CHUNK):
            if fd is not None:
                with contextlib.suppress(OSError):  # who listened has gone
                    _write(fd, data)

    def inwards():
        with contextlib.suppress(OSError):
            while not done.is_set():
                if select.select([fds[0]], [], [], 0.2)[0]:
                    data = os.read(fds[0], frames.CHUNK)
                    if not data:
                        break
                    process.stdin.write(data)
            if not done.is_set():
                process.stdin.close()

    threads = [threading.Thread(target=outwards, args=(pipe, fd), daemon=True)
               for pipe, fd in ((process.stdout, fds[1]), (process.stderr, fds[2])) if pipe]
    if fds[0] is not None:
        threading.Thread(target=inwards, daemon=True).start()
    else:
        process.stdin.close()
    for thread in threads:
        thread.start()
    while process.poll() is None and not ended():
        with contextlib.suppress(Exception):
            process.wait(0.2)
    done.set()
    for thread in threads:
        thread.join(5)  # what it said last
    status = process.poll()
    return 137 if status is None else status if status >= 0 else 128 - status


def _write(fd, data):
    while data:
        data = data[os.write(fd, data):]


@contextlib.contextmanager
def raw(fd):
    """The terminal gives every key as it is; None when it is no terminal."""
    if fd is None or not os.isatty(fd):
        yield None
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield shutil.get_terminal_size()
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def size():
    columns, rows = shutil.get_terminal_size()
    return rows, columns


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)
