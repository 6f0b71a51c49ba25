// SPDX-License-Identifier: Apache-2.0
// All that ever runs at CPL0 after entry: gates, interrupts, exceptions.
// Vector n starts at VECTOR_TABLE + n * VECTOR_STRIDE, which is how the IDT can be a table of constants.
#include "boot/layout.h"

// An interrupt touches no register: it counts itself in its CPU's block and is acknowledged.
// INTx is level triggered: the pin is masked as well, until machine/interrupts.cc opens it.  Leaving it
// unacknowledged instead would not do: there are software KVMs that end an interrupt at IRETQ.
    .macro count_and_return vector
    incl %gs:CPU_IRQ_COUNT + 4 * \vector
    jmp interrupt_end
    .endm

// STI holds interrupts back until HLT has begun, but on a nested TCG host (VMRUN forgets the interrupt shadow) one can
// come between the two, and its CPU would halt as if nothing had happened: HLT is then left out.
    .section .ktext, "ax", @progbits
    .code64
interrupt_end:
    incl %gs:CPU_IRQ_TOTAL
    addr32 movl $0, 0xfee000b0
    cmpq $gate_halt, (%rsp)
    jne 1f
    movq $gate_return, (%rsp)
1:  iretq

    .irp line, 0, 1, 2, 3
intx_\line:
    addr32 movl $(IOAPIC_REDIRECTION + 2 * (INTX_FIRST_PIN + \line)), IOAPIC
    addr32 movl $(IOAPIC_MASKED | IOAPIC_LEVEL | (VECTOR_INTX + \line)), IOAPIC_WINDOW
    count_and_return (VECTOR_INTX + \line)
    .endr

    .altmacro
    .macro interrupt_slot vector
    .balign VECTOR_STRIDE
    .if \vector == VECTOR_SPURIOUS
    iretq
    .elseif \vector == VECTOR_INTX
    jmp intx_0
    .elseif \vector == VECTOR_INTX + 1
    jmp intx_1
    .elseif \vector == VECTOR_INTX + 2
    jmp intx_2
    .elseif \vector == VECTOR_INTX + 3
    jmp intx_3
    .else
    count_and_return \vector
    .endif
    .endm

// 8, 10 to 14, 17, 21, 29, 30
    .set WITH_ERROR_CODE, 0x60227d00
    .macro exception_slot vector
    .balign VECTOR_STRIDE
    .if \vector == 3
    jmp *gates(, %rax, 8)
    .else
    .if !((WITH_ERROR_CODE >> \vector) & 1)
    pushq $0
    .endif
    pushq $\vector
    jmp exception
    .endif
    .endm

    .section .kvectors, "ax", @progbits
    .code64
    .globl vectors
vectors:
    .set n, 0
    .rept 32
    exception_slot %n
    .set n, n + 1
    .endr
    .rept 224
    interrupt_slot %n
    .set n, n + 1
    .endr
    .balign VECTOR_STRIDE
    .noaltmacro

    .section .ktext, "ax", @progbits
// An exception is fatal: it is noted down and CPL3 reports it (machine/exception.cc).
exception:
    popq exception_record
    popq exception_record + 8
    popq exception_record + 16
    mov %cr2, %rax
    mov %rax, exception_record + 24
    pushq $SELECTOR_USER_DATA
    pushq $exception_stack_top
    pushq $USER_RFLAGS_SILENT
    pushq $SELECTOR_USER_CODE
    pushq $exception_entry
    iretq

// Entered with interrupts off, so an interrupt cannot slip in between the comparison and the halt.
gate_halt_unless:
    cmp %esi, (%rdi)
    jne gate_return
    sti
gate_halt:
    hlt
gate_return:
    iretq
gate_read_msr:
    rdmsr
    iretq
gate_write_msr:
    mov %edi, %eax
    wrmsr
    iretq
gate_write_ioapic:                      // here, because an INTx handler must not come between the two
    mov $IOAPIC, %eax
    mov %ecx, (%rax)
    mov %edi, 0x10(%rax)
    iretq
gate_stop:
    cli
    hlt
    jmp gate_stop
gate_cpuid:                             // here, because not every KVM traps CPUID in CPL3
    mov %edi, %eax
    cpuid
    iretq
gate_triple_fault:
    lidt empty_idt_pointer
    ud2

    .section .kdata, "aw", @progbits
    .balign 8
gates:
    .quad gate_halt_unless, gate_read_msr, gate_write_msr, gate_write_ioapic, gate_stop, gate_triple_fault, gate_cpuid
empty_idt_pointer:
    .word 0
    .quad 0
