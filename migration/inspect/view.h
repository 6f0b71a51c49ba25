// SPDX-License-Identifier: Apache-2.0
//
// A stream as the inspector sees it: sections with their places and sizes, fields by name with the bytes that
// they occupy, what RAM the stream carries, and what is wrong with it. Plain values, any thread.
#pragma once

#include "migration/wire/boot_pages.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace godwit::migration::inspect {

// One field, or a struct or a subsection with fields of its own.
struct Field {
    enum class Kind : std::uint8_t { Unsigned, Signed, Bool, Bytes, Struct, Subsection };

    std::string name;
    std::string type;   // as the description has it: "uint32", "buffer", "struct"
    std::string record; // Struct: the name of its record
    Kind kind = Kind::Bytes;
    std::uint8_t width = 0;           // of one number, in bytes; 0 when it is none
    bool array = false;               // numbers, `size / width` of them
    std::uint32_t version = 0;        // Struct, Subsection
    std::optional<std::size_t> index; // one element of an array of structs
    std::uint64_t offset = 0;         // in the stream
    std::uint64_t size = 0;           // Subsection: without its header
    std::vector<Field> children;

    bool numeric() const { return width != 0; }
};

struct Section {
    std::string name;
    std::uint32_t instance = 0;
    std::uint32_t version = 0;
    std::uint32_t id = 0;
    std::string record;
    std::uint64_t offset = 0; // of its header
    std::uint64_t size = 0;   // header, body and footer
    std::uint64_t body_offset = 0;
    std::uint64_t body_size = 0;
    bool decoded = false; // `fields` say all of the body; otherwise they are what could be read of it
    std::vector<Field> fields;
};

struct RamBlock {
    std::string name;
    std::uint64_t size = 0;
    std::uint64_t data_pages = 0;
    std::uint64_t zero_pages = 0;   // filled with one byte, nearly always zero
    std::uint64_t packed_pages = 0; // deltas and compressed ones: counted, not looked into
};

// Neighbouring pages with records of the same kind, in the order of the stream.
struct PageRun {
    std::uint32_t block = 0;
    std::uint64_t first = 0; // page number
    std::uint64_t count = 0;
    std::uint64_t offset = 0; // of the first record
    std::uint32_t key = 0;    // of the content, the same for all pages of the run
    bool zero = false;
};

struct Ram {
    std::uint64_t offset = 0; // of the first of its sections
    std::uint64_t size = 0;   // of all of them
    std::uint64_t sections = 0;
    bool complete = false;
    std::vector<RamBlock> blocks;
    std::vector<PageRun> pages;           // when asked for
    std::optional<wire::BootHeader> boot; // what the guest is booted with
};

struct Command {
    std::uint16_t number = 0;
    std::uint64_t offset = 0;
    std::uint64_t payload = 0;
};

// Those in the description, compared with the stream.
struct CheckSums {
    std::size_t count = 0;
    std::uint64_t bytes_each = 0;
    std::size_t damaged = 0; // neighbouring ones count as one
};

// One value that the writer noted in the description.
struct Note {
    std::string name;
    std::string value;
};

// Something that is not as it should be, and where.
struct Problem {
    std::uint64_t offset = 0;
    std::string text;
};

struct View {
    std::uint64_t size = 0; // of the whole stream
    std::uint32_t version = 0;
    std::string machine;
    std::vector<std::string> configuration; // its subsections, by name
    std::vector<Command> commands;
    std::optional<Ram> ram;
    std::vector<Section> sections; // in the order of the stream
    std::uint64_t description_offset = 0;
    std::uint64_t description_size = 0; // 0 when there is none
    std::optional<CheckSums> sums;
    std::vector<std::string> order; // the steps of saving, when the writer recorded them
    std::vector<Note> processor;    // what the guest was told of it, when the writer noted it
    std::vector<Problem> problems;

    // What lies behind RAM: every field's bytes are in here.
    std::uint64_t tail_offset = 0;
    std::vector<std::byte> tail;

    std::span<const std::byte> bytes(const Field& field) const {
        return std::span{tail}.subspan(field.offset - tail_offset, field.size);
    }
};

// Precondition: the field is numeric, `element` inside it. Signed numbers are sign-extended.
std::uint64_t number_at(const View& view, const Field& field, std::size_t element = 0);

} // namespace godwit::migration::inspect
