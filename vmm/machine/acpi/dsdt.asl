// SPDX-License-Identifier: Apache-2.0
//
// What the guest learns of the board beyond the fixed tables: serial port, generic event device, power button, PCIe host
// bridge.  ACPI 6.4; PCI Firmware Specification 3.3 for PCI0.  Addresses and interrupts are those of vmm/machine/board.h
// (acpi_test.cc compares them).  Only \_SB.PCI0.M64B and M64L depend on the VM: dsdt.cc fills them in.

DefinitionBlock ("dsdt.aml", "DSDT", 2, "GODWIT", "GODWITVM", 0x00000001)
{
    // SLP_TYP for power off; the other elements are not used on hardware-reduced platforms.
    Name (\_S5, Package () { 0x05, Zero, Zero, Zero })

    Scope (\_SB)
    {
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, One)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08)
                IRQNoFlags () { 4 }
            })
        }

        Device (PWRB)
        {
            Name (_HID, EisaId ("PNP0C0C"))
            Name (_UID, Zero)
        }

        // The virtual machine generation ID: where it lies, low and high half (generation.h).
        Device (VGEN)
        {
            Name (_HID, "GODW0001")
            Name (_CID, "VM_Gen_Counter")
            Name (_DDN, "VM_Gen_Counter")
            Name (ADDR, Package () { 0x000EF028, Zero })
        }

        Device (GED)
        {
            Name (_HID, "ACPI0013")
            Name (_UID, "GED")
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 0x00000009 }
            })
            OperationRegion (EREG, SystemMemory, 0xFEA00000, 0x04)
            Field (EREG, DWordAcc, NoLock, WriteAsZeros)
            {
                ESEL, 32
            }
            Method (_EVT, 1, Serialized)
            {
                // Reading takes the pending events, so once per interrupt.
                Local0 = ESEL
                If ((Local0 & 0x02))
                {
                    Notify (\_SB.PWRB, 0x80)
                }
                If ((Local0 & 0x40000000))
                {
                    Notify (\_SB.VGEN, 0x80)
                }
            }
        }

        // The configuration space must be claimed by a motherboard device, else the system does not trust it.
        Device (ECAM)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xE0000000, 0x10000000)
            })
        }

        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x00)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 12 } })
            Name (_CRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 12 } })
            Method (_SRS, 1) {}
        }
        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x01)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 13 } })
            Name (_CRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 13 } })
            Method (_SRS, 1) {}
        }
        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x02)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 14 } })
            Name (_CRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 14 } })
            Method (_SRS, 1) {}
        }
        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x03)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 15 } })
            Name (_CRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 15 } })
            Method (_SRS, 1) {}
        }

        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_SEG, Zero)
            Name (_BBN, Zero)
            Name (_CBA, 0xE0000000)

            // 64-bit window: base and length, per VM. The values here only make room and are found by their names.
            Name (M64B, 0xFEDCBA9876543210)
            Name (M64L, 0xFEDCBA9876543210)

            Name (CR32, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x0000, 0x0000, 0x0001)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xC0000000, 0xDFFFFFFF, 0x00000000, 0x20000000)
            })
            Name (CR64, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x0000000000000000, 0x0000000000000000, 0x0000000000000FFF, 0x0000000000000000,
                    0x0000000000001000, , , W64)
            })
            Method (_CRS, 0, Serialized)
            {
                If ((M64L == Zero))
                {
                    Return (CR32)
                }
                CreateQWordField (CR64, \_SB.PCI0.W64._MIN, WMIN)
                CreateQWordField (CR64, \_SB.PCI0.W64._MAX, WMAX)
                CreateQWordField (CR64, \_SB.PCI0.W64._LEN, WLEN)
                WMIN = M64B
                WLEN = M64L
                WMAX = (M64B + (M64L - One))
                Return (ConcatenateResTemplate (CR32, CR64))
            }

            // INTx by (slot + pin) modulo 4.
            Name (_PRT, Package ()
            {
#include "dsdt_prt.asl"
            })

            // PCI Firmware Specification 3.3, section 4.5.1: arguments UUID, revision, count, capabilities.
            Method (_OSC, 4, Serialized)
            {
                CreateDWordField (Arg3, Zero, CDW1)
                If ((Arg0 == ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766")))
                {
                    If ((Arg1 != One))
                    {
                        CDW1 |= 0x08 // unrecognised revision
                    }
                    If ((Arg2 >= 0x03))
                    {
                        CreateDWordField (Arg3, 0x08, CDW3)
                        Local0 = (CDW3 & 0x1C) // PME, AER, capability structure; nothing here is hot-pluggable
                        If ((Local0 != CDW3))
                        {
                            CDW1 |= 0x10 // some control was not granted
                        }
                        CDW3 = Local0
                    }
                }
                Else
                {
                    CDW1 |= 0x04 // unrecognised UUID
                }
                Return (Arg3)
            }
        }
    }
}
