// SPDX-License-Identifier: Apache-2.0
#include "machine/interrupts.h"

#include "machine/cpu.h"
#include "machine/ioapic.h"
#include "machine/power.h"

#include <array>

namespace guest::interrupts {
namespace {

constexpr u32 ged_pin = 9, lines = 4;
static_assert(VECTOR_INTX_END - VECTOR_INTX == lines);

struct LineUser {
    Client* who;
    u32 line;
};
struct EdgeUser {
    Client* who;
    u32 seen;
    u8 vector;
};
constinit std::array<LineUser, 8> clients{};
constinit std::array<EdgeUser, 4> edges{};
constinit std::size_t client_count = 0, edge_count = 0;
constinit std::array<u32, lines> seen_intx{};
constinit u32 seen_ged = 0;
constinit bool button = false;

u8 vector(u32 line) {
    return static_cast<u8>(VECTOR_INTX + line);
}

void service_line(u32 line) {
    u32 count = cpus[0].irq_count[vector(line)];
    if (count == seen_intx[line])
        return;
    seen_intx[line] = count;
    for (std::size_t i = 0; i < client_count; ++i)
        if (clients[i].line == line)
            clients[i].who->interrupted();
    ioapic::unmask(INTX_FIRST_PIN + line, vector(line));
}

} // namespace

void init() {
    ioapic::route(ged_pin, VECTOR_GED, ioapic::Trigger::Edge, cpus[0].apic_id);
    button = power::button_pressed(); // before we could hear of it
}

void share_line(u32 slot, u32 pin, Client& who) {
    if (client_count == clients.size())
        return;
    u32 line = (slot + pin - 1) % lines;
    clients[client_count++] = {&who, line};
    ioapic::route(INTX_FIRST_PIN + line, vector(line), ioapic::Trigger::Level, cpus[0].apic_id);
}

void take_edges(u32 gsi, u8 vector, Client& who) {
    if (edge_count == edges.size())
        return;
    edges[edge_count++] = {&who, cpus[0].irq_count[vector], vector};
    ioapic::route(gsi, vector, ioapic::Trigger::Edge, cpus[0].apic_id);
}

void service() {
    for (std::size_t i = 0; i < edge_count; ++i) {
        u32 edge = cpus[0].irq_count[edges[i].vector];
        if (edge == edges[i].seen)
            continue;
        edges[i].seen = edge;
        edges[i].who->interrupted();
    }
    for (u32 line = 0; line < lines; ++line)
        service_line(line);
    u32 count = cpus[0].irq_count[VECTOR_GED];
    if (count != seen_ged) {
        seen_ged = count;
        button |= power::button_pressed();
    }
}

bool power_button() {
    return button;
}

} // namespace guest::interrupts
