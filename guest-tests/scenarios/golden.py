# SPDX-License-Identifier: Apache-2.0
"""States kept as text: what `godwit inspect --json` shows of a file, written down and made into a stream again.

    python3 golden.py FILE.state > golden/RELEASE.json      writes one down, with the godwit of that release

The stream is made here from the text alone, by the rules of docs/state-stream.md, so that what a release wrote is not read
through the eyes of a later one. RAM is not kept; of the rings only the indices are there, as the devices' fields want them.
"""
import json
import os
import struct
import subprocess
import sys

PAGE = 4096
MACHINE = b"microvm"


# ---- to text

def kept(node):
    """What says something: names, types, sizes, versions, values. Places in the file do not."""
    if isinstance(node, list):
        return [kept(one) for one in node]
    if isinstance(node, dict):
        return {k: kept(v) for k, v in node.items() if k not in ("offset", "decoded", "body_size", "id")}
    return node


def text_of(state):
    """JSON with a field a line."""
    lines = ["{", f' "machine": {json.dumps(state["machine"])},',
             f' "ram": {json.dumps(next(b["size"] for b in state["ram"]["blocks"]))},', ' "sections": [']
    for section in state["sections"]:
        section = kept({k: v for k, v in section.items() if k != "size"})
        head = {k: v for k, v in section.items() if k not in ("fields", "subsections")}
        lines.append("  " + json.dumps(head)[:-1] + ', "fields": [')
        lines += ["   " + json.dumps(f) + "," for f in section["fields"]]
        lines[-1] = lines[-1].rstrip(",")
        lines.append('  ], "subsections": [')
        lines += ["   " + json.dumps(s) + "," for s in section.get("subsections", [])]
        lines[-1] = lines[-1].rstrip(",")
        lines.append("  ]},")
    lines[-1] = "  ]}"
    return "\n".join([*lines, " ]", "}", ""])


# ---- to bytes

def number(value, size):
    return (int(value) % (1 << 8 * size)).to_bytes(size, "big")


def field_bytes(field):
    if "fields" in field:
        return record_bytes(field)
    size, value = field["size"], field["value"]
    if isinstance(value, list):
        return b"".join(number(one, size) for one in value)
    if isinstance(value, str):  # zeros at the end are left out
        return bytes.fromhex(value).ljust(size, b"\0")
    return number(value, size)


def record_bytes(record):
    out = b"".join(field_bytes(f) for f in record["fields"])
    for sub in record.get("subsections", []):
        name = sub["name"].encode()
        out += bytes([5, len(name)]) + name + struct.pack(">I", sub["version"]) + record_bytes(sub)
    return out


def section_bytes(number_of, section):
    name = section["name"].encode()
    head = b"\4" + struct.pack(">IB", number_of, len(name)) + name
    head += struct.pack(">II", section["instance"], section["version"])
    return head + record_bytes(section) + b"\x7e" + struct.pack(">I", number_of)


def named(record, name):
    return [f for f in record["fields"] + record.get("subsections", []) if f["name"] == name]


def ring_indices(state):
    """Address and value of the indices that the rings in RAM must have: nothing is in flight."""
    for section in state["sections"]:
        for queue, rings in zip(named(section, "vq"), [r for s in named(section, "virtio/virtqueues") for r in named(s, "vq")]):
            index = named(queue, "last_avail_idx")[0]["value"]
            for area in ("avail", "used"):
                base = named(rings, area)[0]["value"]
                if base:
                    yield base + 2, index


def ram_bytes(state):
    pages = {}
    for address, value in ring_indices(state):
        page = pages.setdefault(address // PAGE, bytearray(PAGE))
        page[address % PAGE:address % PAGE + 2] = struct.pack("<H", value)
    block, size, end, footer = b"\x0bmicrovm.ram", state["ram"], struct.pack(">Q", 0x10), b"\x7e" + struct.pack(">I", 2)
    out = b"\1" + struct.pack(">I", 2) + b"\3ram" + struct.pack(">II", 0, 4)
    out += struct.pack(">Q", size | 4) + block + struct.pack(">Q", size) + end + footer
    out += b"\2" + struct.pack(">I", 2)
    for page, data in pages.items():
        out += struct.pack(">Q", page * PAGE | 8) + block + data
    return out + end + footer + b"\3" + struct.pack(">I", 2) + end + footer


def stream_of(state):
    out = struct.pack(">II", 0x5145564D, 3) + b"\7" + struct.pack(">I", len(MACHINE)) + MACHINE + ram_bytes(state)
    for at, section in enumerate(state["sections"]):
        out += section_bytes(at + 3, section)
    return out + b"\0"


# ---- comparing

def layout(node):
    """Everything but values."""
    if isinstance(node, list):
        return [layout(one) for one in node]
    if isinstance(node, dict):
        made = {k: layout(v) for k, v in node.items() if k not in ("value", "subsections")}
        if isinstance(node.get("value"), list):
            made["elements"] = len(node["value"])
        made["subsections"] = layout(node.get("subsections", []))
        return made
    return node


def leaves(record, path=""):
    for field in record["fields"] + record.get("subsections", []):
        here = f"{path}{field['name']}" + (f"[{field['index']}]" if "index" in field else "")
        if "fields" in field:
            yield from leaves(field, here + ".")
        else:
            yield here, field["value"]


if __name__ == "__main__":
    import vm
    shown = subprocess.run([os.environ.get("GODWIT", vm.GODWIT), "inspect", "--json", sys.argv[1]], capture_output=True,
                           check=True)
    sys.stdout.write(text_of(json.loads(shown.stdout)))
