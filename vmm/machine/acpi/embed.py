#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a compiled AML file into a C++ source file: embed.py DSDT compiled_dsdt dsdt.aml dsdt_aml.cc"""

import sys


def main() -> None:
    signature, function, source, target = sys.argv[1:]
    with open(source, "rb") as file:
        aml = file.read()
    if aml[:4] != signature.encode() or int.from_bytes(aml[4:8], "little") != len(aml):
        sys.exit(f"{source}: not a whole {signature}")
    rows = [", ".join(f"0x{byte:02x}" for byte in aml[at : at + 20]) for at in range(0, len(aml), 20)]
    with open(target, "w", encoding="ascii") as file:
        file.write('#include "vmm/machine/acpi/dsdt.h"\n\nnamespace godwit::acpi {\n\n')
        file.write(f"std::span<const std::byte> {function}() {{\n")
        file.write("    static const unsigned char aml[] = {\n        " + ",\n        ".join(rows) + "};\n")
        file.write("    return std::as_bytes(std::span{aml});\n}\n\n")
        file.write("} // namespace godwit::acpi\n")


main()
