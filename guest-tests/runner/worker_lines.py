# SPDX-License-Identifier: Apache-2.0
"""What a worker writes: its messages, and anything else that came between."""
import json

MARK = "\x1e"


def lines_of(pipe):
    """Messages as dictionaries, other lines as text."""
    for raw in iter(pipe.readline, b""):
        text = raw.decode(errors="replace").rstrip("\n")
        before, mark, message = text.partition(MARK)
        if before:
            yield before
        if mark:
            try:
                yield json.loads(message)
            except ValueError:
                yield message
