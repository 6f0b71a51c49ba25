// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/model_file.h"

#include "vmm/base/fd.h"
#include "vmm/base/json.h"
#include "vmm/cpu/fields.h"
#include "vmm/cpu/vendor.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <unistd.h>

namespace godwit::cpu {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "godwit-cpu";
constexpr int kVersion = 1;

std::string hex(std::uint64_t value) {
    return fmt::format("{:#x}", value);
}

Json names_of(const CpuidEntry& entry) {
    Json names = Json::array();
    for (const Register reg : kRegisters)
        for (unsigned bit = 0; bit < 32; ++bit)
            if ((entry.*member_of(reg) >> bit & 1) != 0)
                if (const auto name = bit_name(entry.function, entry.index, reg, bit); !name.empty())
                    names.push_back(name);
    return names;
}

Result<std::uint64_t> number(const Json& object, const char* key, std::uint64_t limit) {
    const auto found = object.find(key);
    if (found == object.end())
        return invalid_input("'{}' is missing", key);
    if (!found->is_string())
        return invalid_input("'{}' is not a string with a number", key);
    const auto& text = found->get_ref<const std::string&>();
    std::uint64_t value = 0;
    const char* const begin = text.data() + (text.starts_with("0x") ? 2 : 0);
    const auto [end, fault] =
        std::from_chars(begin, text.data() + text.size(), value, begin == text.data() ? 10 : 16);
    if (fault != std::errc{} || end != text.data() + text.size() || begin == end || value > limit)
        return invalid_input("'{}': '{}' is not a number up to {:#x}", key, text, limit);
    return value;
}

Result<CpuidEntry> parse_entry(const Json& object) {
    constexpr std::uint64_t kMax = 0xffff'ffff;
    CpuidEntry entry;
    if (!object.is_object())
        return invalid_input("not an object");
    entry.function = static_cast<std::uint32_t>(TRY(number(object, "leaf", kMax)));
    entry.index_matters = object.contains("subleaf");
    if (entry.index_matters)
        entry.index = static_cast<std::uint32_t>(TRY(number(object, "subleaf", kMax)));
    entry.eax = static_cast<std::uint32_t>(TRY(number(object, "eax", kMax)));
    entry.ebx = static_cast<std::uint32_t>(TRY(number(object, "ebx", kMax)));
    entry.ecx = static_cast<std::uint32_t>(TRY(number(object, "ecx", kMax)));
    entry.edx = static_cast<std::uint32_t>(TRY(number(object, "edx", kMax)));
    return entry;
}

Result<MsrValue> parse_register(const Json& object) {
    if (!object.is_object())
        return invalid_input("not an object");
    MsrValue msr;
    msr.index = static_cast<std::uint32_t>(TRY(number(object, "index", 0xffff'ffff)));
    msr.value = TRY(number(object, "value", ~std::uint64_t{0}));
    return msr;
}

Result<const Json*> list(const Json& document, const char* key, std::size_t limit) {
    const auto found = document.find(key);
    if (found == document.end() || !found->is_array() || found->size() > limit)
        return invalid_input("'{}' is not a list of up to {} entries", key, limit);
    return &*found;
}

} // namespace

std::string to_json(const CpuModel& model, Layout layout) {
    Json document{{"format", kFormat}, {"version", kVersion}, {"vendor", vendor_of(model.cpuid)}};
    Json& cpuid = document["cpuid"] = Json::array();
    for (const CpuidEntry& entry : model.cpuid) {
        Json object{{"leaf", hex(entry.function)}};
        if (entry.index_matters)
            object["subleaf"] = hex(entry.index);
        for (const Register reg : kRegisters)
            object[std::string{to_string(reg)}] = hex(entry.*member_of(reg));
        if (Json names = names_of(entry); layout == Layout::Pretty && !names.empty())
            object["names"] = std::move(names);
        cpuid.push_back(std::move(object));
    }
    Json& msrs = document["msrs"] = Json::array();
    for (const MsrValue& msr : model.msrs) {
        Json object{{"index", hex(msr.index)}, {"value", hex(msr.value)}};
        if (const FeatureMsr* const meaning = find_feature_msr(msr.index))
            object["name"] = meaning->name;
        msrs.push_back(std::move(object));
    }
    const std::string text =
        json_text(document, {.indent = layout == Layout::Pretty ? 2 : -1, .ascii = true});
    return layout == Layout::Pretty ? text + "\n" : text;
}

Result<CpuModel> parse_model(std::string_view text) {
    if (text.size() > kMaxModelFile)
        return invalid_input("{} bytes are too many for a processor model", text.size());
    const Json document = parse_ordered_json(text);
    if (!document.is_object())
        return invalid_input("not a JSON object");
    if (!document.contains("format") || document["format"] != kFormat || !document.contains("version") ||
        document["version"] != kVersion)
        return invalid_input("not a processor model of format '{}', version {}", kFormat, kVersion);
    CpuModel model;
    const Json* const cpuid = TRY(list(document, "cpuid", kMaxCpuidEntries));
    for (const Json& object : *cpuid)
        model.cpuid.push_back(
            TRY_IN(parse_entry(object), fmt::format("entry {} of 'cpuid'", model.cpuid.size())));
    const Json* const msrs = TRY(list(document, "msrs", kMaxFeatureMsrs));
    for (const Json& object : *msrs)
        model.msrs.push_back(
            TRY_IN(parse_register(object), fmt::format("entry {} of 'msrs'", model.msrs.size())));
    if (const auto fault = fault_of(model))
        return invalid_input("{}", *fault);
    std::ranges::sort(model.msrs, {}, &MsrValue::index);
    return model;
}

Result<CpuModel> read_model(const std::string& path) {
    const Fd file = TRY(open_file(path, O_RDONLY, 0, ErrorCode::InvalidInput));
    std::string text(kMaxModelFile + 1, '\0');
    std::size_t filled = 0;
    while (filled < text.size()) {
        const ssize_t count = ::read(file.get(), text.data() + filled, text.size() - filled);
        if (count < 0)
            return Error{ErrorCode::InvalidInput, system_error(errno, fmt::format("read '{}'", path)).text};
        if (count == 0)
            break;
        filled += static_cast<std::size_t>(count);
    }
    text.resize(filled);
    return TRY_IN(parse_model(text), path);
}

} // namespace godwit::cpu
