// SPDX-License-Identifier: Apache-2.0
//
// The channel subsystem, for machines that have a device on it (docs/ccw-transport.md).  Addresses and interrupts are
// those of vmm/machine/board.h (acpi_test.cc compares them).

DefinitionBlock ("ssdt_ccw.aml", "SSDT", 2, "GODWIT", "GODWITCC", 0x00000001)
{
    Scope (\_SB)
    {
        Device (CSS0)
        {
            Name (_HID, "GWCC0001")
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFE800000, 0x00020000)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 0x00000010 } // I/O interruptions
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 0x00000011 } // adapter interruptions
            })
        }
    }
}
