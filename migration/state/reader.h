// SPDX-License-Identifier: Apache-2.0
//
// Reads state structs from received bytes. The bytes are hostile: every error names the record, the field and
// what is wrong, and nothing outside the struct given is changed.
#pragma once

#include "migration/state/order_trace.h"
#include "migration/state/schema.h"
#include "migration/state/writer.h"
#include "vmm/base/bytes.h"

namespace godwit {

class StateReader {
  public:
    // Reads on from where `in` stands. `record_name` is for error texts; `trace` may be null.
    StateReader(ByteReader& in, std::string_view record_name, OrderTrace* trace = nullptr);

    void step(std::string_view name) {
        if (trace_ != nullptr)
            trace_->step(name);
    }
    ByteReader& bytes() { return in_; }

    // All fields of a struct, then its subsections, then its validation. `version` is the record's.
    template <HasSchema S>
    Status fields(S& state, std::uint32_t version = Schema<S>::version) {
        Status status;
        std::apply(
            [&](const auto&... field) { (void)((status = read_field(state, field, version)).ok() && ...); },
            Schema<S>::fields);
        TRY(std::move(status));
        TRY(read_subsections(state));
        return within(validate_state(state));
    }

    template <HasSchema S>
    Status structure(std::string_view name, S& state) {
        const Trail trail{*this, name};
        return fields(state);
    }

    Status value(std::string_view name, bool& number);
    template <std::integral T>
    Status value(std::string_view name, T& number) {
        std::uint64_t wide = 0;
        Status status = unsigned_value(name, sizeof(T), wide);
        if (status.ok())
            number = static_cast<T>(wide);
        return status;
    }

    // Precondition: `count` was bounded by the caller.
    Status buffer(std::string_view name, std::span<std::byte> out);

    // For records that code composes: the name and version of the subsection that follows, if one that
    // belongs to `record` does; the reader then stands at its fields.
    struct SubsectionHeader {
        std::string name;
        std::uint32_t version;
    };
    Result<std::optional<SubsectionHeader>> next_subsection(std::string_view record);

    // Adds the trail to an error made by the caller's own checks.
    template <class T>
    Result<T> within(Result<T> result) const {
        if (result.ok())
            return result;
        return std::move(result).failure().in(path_);
    }
    Status within(Error inner) const { return std::move(inner).in(path_); }

    // Names what is being read, for error texts, as long as it lives.
    class Trail {
      public:
        Trail(StateReader& reader, std::string_view name);
        ~Trail();
        Trail(const Trail&) = delete;
        Trail& operator=(const Trail&) = delete;

      private:
        StateReader& reader_;
        std::size_t length_;
    };

  private:
    // A big-endian integer of so many bytes.
    Status unsigned_value(std::string_view name, std::size_t bytes, std::uint64_t& value);
    Status skip(const Unused& unused);
    Status too_long(std::string_view name, std::size_t length, std::size_t most);
    Status known_version(const SubsectionHeader& header, std::uint32_t newest) const;

    template <class S, class M>
    Status read_field(S& state, const Field<S, M>& field, std::uint32_t version) {
        if (field.since > version || (field.present != nullptr && !field.present(state)))
            return {};
        if constexpr (is_bounded_bytes<M>)
            return read_bounded(field.name, state.*(field.at), field.length(state));
        else
            return read_member(field.name, state.*(field.at));
    }
    template <class S, class M>
    Status read_field(S& state, const EqualField<S, M>& field, std::uint32_t) {
        M received{};
        TRY(read_member(field.name, received));
        if (received != state.*(field.at)) {
            const Trail trail{*this, field.name};
            return within(
                error(ErrorCode::Incompatible, "{} here, {} in the stream", state.*(field.at), received));
        }
        return {};
    }
    template <class S, class M>
    Status read_field(S&, const Transient<S, M>&, std::uint32_t) {
        return {};
    }
    template <class S>
    Status read_field(S&, const Unused& unused, std::uint32_t version) {
        if (unused.since > version)
            return {};
        return skip(unused);
    }

    template <class M>
    Status read_member(std::string_view name, M& member) {
        if constexpr (std::integral<M>)
            return value(name, member);
        else if constexpr (is_byte_buffer<M>)
            return buffer(name, member);
        else if constexpr (is_std_array<M>) {
            for (std::size_t i = 0; i < member.size(); ++i)
                TRY(read_member(name, member[i]));
            return {};
        } else
            return structure(name, member);
    }

    template <std::size_t Max>
    Status read_bounded(std::string_view name, BoundedBytes<Max>& member, std::size_t length) {
        if (length > Max)
            return too_long(name, length, Max);
        member.bytes.resize(length);
        return buffer(name, member.bytes);
    }

    template <class S>
    Status read_subsections(S& state) {
        for (;;) {
            const auto header = TRY(next_subsection(Schema<S>::name));
            if (!header.has_value())
                return {};
            bool known = false;
            Status status;
            std::apply(
                [&](const auto&... sub) { (read_if_named(state.*(sub.at), *header, known, status), ...); },
                subsections_of<S>());
            TRY(std::move(status));
            if (!known)
                return within(error(ErrorCode::Incompatible, "unknown subsection '{}'", header->name));
        }
    }

    template <class Sub>
    void read_if_named(std::optional<Sub>& sub, const SubsectionHeader& header, bool& known, Status& status) {
        if (known || header.name != Schema<Sub>::name)
            return;
        known = true;
        status = known_version(header, Schema<Sub>::version);
        if (!status.ok())
            return;
        const Trail trail{*this, header.name};
        status = fields(sub.emplace(), header.version);
    }

    ByteReader& in_;
    std::string path_;
    OrderTrace* trace_;
};

} // namespace godwit
