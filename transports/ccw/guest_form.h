// SPDX-License-Identifier: Apache-2.0
//
// A state record as the guest sees it in memory: its fields, big-endian, one after the other. Any thread.
#pragma once

#include "migration/state/schema.h"
#include "vmm/base/bytes.h"

namespace godwit::ccw {

namespace guest_form_detail {

// Calls visit() with each integer of a record, in the order of its table.
template <class T, class Visit>
void each_integer(T& value, const Visit& visit) {
    using Plain = std::remove_const_t<T>;
    if constexpr (std::is_integral_v<Plain>)
        visit(value);
    else if constexpr (is_std_array<Plain>)
        for (auto& element : value)
            each_integer(element, visit);
    else
        std::apply([&](const auto&... field) { (each_integer(value.*(field.at), visit), ...); },
                   Schema<Plain>::fields);
}

} // namespace guest_form_detail

template <HasSchema S>
std::vector<std::byte> to_guest(const S& record) {
    ByteWriter out;
    guest_form_detail::each_integer(record, [&out](auto number) { out.be(number); });
    return out.take();
}

// Precondition: `bytes` has the record's size at least.
template <HasSchema S>
S from_guest(std::span<const std::byte> bytes) {
    S record{};
    std::size_t at = 0;
    guest_form_detail::each_integer(record, [&](auto& number) {
        using T = std::remove_reference_t<decltype(number)>;
        number = load_be<T>(bytes.subspan(at));
        at += sizeof(T);
    });
    return record;
}

} // namespace godwit::ccw
