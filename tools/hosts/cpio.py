# SPDX-License-Identifier: Apache-2.0
"""Writes initramfs archives."""
import stat


class Cpio:
    """An archive in the format 'newc' (Documentation/driver-api/early-userspace/buffer-format.rst), all owned by root."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.inode += 1
        path = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0]
        self.data += b"070701" + b"".join(b"%08X" % f for f in fields) + path
        self._align()
        self.data += content
        self._align()

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, content, mode=0o755):
        self.add(name, stat.S_IFREG | mode, content)

    def finish(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.data)

    def _align(self):
        self.data += bytes(-len(self.data) % 4)
