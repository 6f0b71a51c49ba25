// SPDX-License-Identifier: Apache-2.0
//
// Runs when godwit is built: rules.h as seccomp programs, for filters.cc to load (`write_filters --code`), or
// as the table of docs/sandbox.md (`write_filters --table`). A rule that contradicts another one is an error.
#include "vmm/sandbox/rules.h"

#include <cstdio>
#include <cstdlib>
#include <linux/filter.h>
#include <map>
#include <seccomp.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

using namespace godwit::sandbox;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "write_filters: %s\n", what.c_str());
    std::exit(1);
}

int number_of(std::string_view call) {
    const int number = seccomp_syscall_resolve_name(std::string{call}.c_str());
    if (number < 0)
        fail("no system call '" + std::string{call} + "'");
    return number;
}

bool same_conditions(const Rule& a, const Rule& b) {
    if (a.conditions != b.conditions || a.refused != b.refused)
        return false;
    for (unsigned i = 0; i < a.conditions; ++i)
        if (a.when[i].argument != b.when[i].argument || a.when[i].mask != b.when[i].mask ||
            a.when[i].value != b.when[i].value)
            return false;
    return true;
}

bool grants(Role role, const Rule& wanted) {
    for (const Rule& rule : kRules)
        if (rule.call == wanted.call && (rule.roles & bit(role)) != 0 &&
            (same_conditions(rule, wanted) || (rule.conditions == 0 && rule.refused == 0)))
            return true;
    return false;
}

// A thread keeps the filters of whoever started it.
void check_descent() {
    for (std::size_t i = 0; i < kRoles.size(); ++i)
        for (std::size_t parent = 0; parent < kRoles.size(); ++parent)
            if ((kRoles[i].started_by & bit(Role(parent))) != 0)
                for (const Rule& rule : kRules)
                    if ((rule.roles & bit(Role(i))) != 0 && rule.refused == 0 && !grants(Role(parent), rule))
                        fail(std::string{kRoles[parent].name} + " starts threads of " +
                             std::string{kRoles[i].name} + " and lacks " + std::string{rule.call});
}

std::vector<sock_filter> program_of(Role role) {
    const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    if (filter == nullptr || seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP) != 0 ||
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0)
        fail("libseccomp cannot make a filter");
    for (const Rule& rule : kRules) {
        if ((rule.roles & bit(role)) == 0)
            continue;
        std::vector<scmp_arg_cmp> terms;
        for (unsigned i = 0; i < rule.conditions; ++i) {
            const Condition& one = rule.when[i];
            terms.push_back(scmp_arg_cmp{one.argument, SCMP_CMP_MASKED_EQ, one.mask, one.value});
        }
        const std::uint32_t action =
            rule.refused != 0 ? SCMP_ACT_ERRNO(static_cast<std::uint32_t>(rule.refused)) : SCMP_ACT_ALLOW;
        if (const int failed = seccomp_rule_add_array(filter, action, number_of(rule.call),
                                                      static_cast<unsigned>(terms.size()), terms.data());
            failed != 0)
            fail("rule of " + std::string{rule.call} + " for " + std::string{info(role).name} + ": error " +
                 std::to_string(-failed));
    }
    std::FILE* const file = std::tmpfile();
    if (file == nullptr || seccomp_export_bpf(filter, fileno(file)) != 0)
        fail("a filter cannot be written");
    seccomp_release(filter);
    std::vector<sock_filter> program(static_cast<std::size_t>(lseek(fileno(file), 0, SEEK_END)) /
                                     sizeof(sock_filter));
    if (pread(fileno(file), program.data(), program.size() * sizeof(sock_filter), 0) !=
        static_cast<ssize_t>(program.size() * sizeof(sock_filter)))
        fail("a filter cannot be read");
    std::fclose(file);
    return program;
}

void write_code() {
    std::puts("// Made by write_filters from rules.h.");
    for (std::size_t i = 0; i < kRoles.size(); ++i) {
        std::printf("constexpr sock_filter kFilter%zu[] = {\n", i);
        for (const sock_filter& one : program_of(Role(i)))
            std::printf("{%#x,%u,%u,%#x},\n", unsigned{one.code}, unsigned{one.jt}, unsigned{one.jf}, one.k);
        std::puts("};");
    }
    std::printf("constexpr std::array<std::span<const sock_filter>, %zu> kFilters{{", kRoles.size());
    for (std::size_t i = 0; i < kRoles.size(); ++i)
        std::printf("%skFilter%zu", i == 0 ? "" : ", ", i);
    std::puts("}};");
    // For whoever is told what was denied. One text and places in it: pointers would be relocated at each
    // start.
    std::puts("struct CallName { std::uint16_t number, at; };");
    std::string text, places;
    for (int number = 0; number < 1024; ++number) {
        char* const name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        if (name == nullptr)
            continue;
        places += "{" + std::to_string(number) + "," + std::to_string(text.size()) + "},";
        text += std::string{name} + '\n';
        std::free(name);
    }
    std::string literal;
    for (const char letter : text)
        literal += letter == '\n' ? std::string{"\\n"} : std::string{letter};
    std::printf("constexpr std::string_view kCallNames = \"%s\";\n", literal.c_str());
    std::printf("constexpr CallName kCalls[] = {%s};\n", places.c_str());
}

std::string roles_of(std::uint8_t roles) {
    if (roles == kEveryRole)
        return "all";
    std::string names;
    for (std::size_t i = 0; i < kRoles.size(); ++i)
        if ((roles & bit(Role(i))) != 0)
            names += (names.empty() ? "" : ", ") + std::string{kRoles[i].name};
    return names;
}

// Rules that differ in nothing but the call share a line.
void write_table() {
    std::puts("| roles | system calls | why |\n| --- | --- | --- |");
    struct Line {
        std::string roles, calls, why;
    };
    std::vector<Line> lines;
    for (const Rule& rule : kRules) {
        std::string call = "`" + std::string{rule.call} + "`";
        if (!rule.terms.empty())
            call += " (" + std::string{rule.terms} + ")";
        if (rule.refused != 0)
            call += std::string{" fails with "} + (rule.refused == ENOSYS ? "ENOSYS" : "EACCES");
        const std::string roles = roles_of(rule.roles);
        if (!lines.empty() && lines.back().roles == roles && lines.back().why == rule.why)
            lines.back().calls += ", " + call;
        else
            lines.push_back({roles, call, std::string{rule.why}});
    }
    for (const Line& line : lines)
        std::printf("| %s | %s | %s |\n", line.roles.c_str(), line.calls.c_str(), line.why.c_str());
}

} // namespace

int main(int count, char** words) {
    const std::string_view wanted = count == 2 ? words[1] : "";
    check_descent();
    if (wanted == "--code")
        write_code();
    else if (wanted == "--table")
        write_table();
    else
        fail("usage: write_filters --code|--table");
    return std::fflush(stdout) == 0 ? 0 : 1;
}
