// SPDX-License-Identifier: Apache-2.0
//
// Errors are values with a trail: the leaf says what failed, each caller adds what it was doing.
//
//     Result<Kernel> load_kernel(const std::string& path) {
//         Fd fd = TRY_IN(open_file(path, O_RDONLY), "loading the kernel");
//         return parse_kernel(fd);
//     }
//
// No exceptions cross our interfaces; assert() is for our own mistakes only.
#pragma once

#include <fmt/format.h>

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace godwit {

// What a caller can do about an error. The CLI maps these to documented exit codes.
enum class ErrorCode {
    Internal,      // our own mistake
    InvalidInput,  // the user's input: option, file content, command
    System,        // a system call failed
    NoDevice,      // a host resource is missing or not permitted (/dev/kvm, tap, image)
    Guest,         // the guest did something that ends it
    Protocol,      // the migration peer sent something that it must not send
    Corrupt,       // a checksum or a bound in received or stored state does not hold
    Incompatible,  // the two sides of a migration do not fit
    Disconnected,  // the migration peer is gone
    Cancelled,     // somebody asked for it
    InDoubt,       // the handover's outcome is not known
    NotConverging, // the guest writes faster than its memory can be moved
};

std::string_view to_string(ErrorCode code);

struct Error {
    ErrorCode code = ErrorCode::Internal;
    std::string text;

    Error(ErrorCode error_code, std::string message) : code(error_code), text(std::move(message)) {}

    // Same error, seen from one level up: "context: text".
    Error in(std::string_view context) && {
        text = fmt::format("{}: {}", context, text);
        return std::move(*this);
    }
};

// Error with the text of an errno value: "open '/dev/kvm': Permission denied".
Error system_error(int errno_value, std::string_view what);

template <class... Args>
Error error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

template <class... Args>
Error invalid_input(fmt::format_string<Args...> format, Args&&... args) {
    return Error{ErrorCode::InvalidInput, fmt::format(format, std::forward<Args>(args)...)};
}

template <class... Args>
Error corrupt(fmt::format_string<Args...> format, Args&&... args) {
    return Error{ErrorCode::Corrupt, fmt::format(format, std::forward<Args>(args)...)};
}

template <class T = void>
class [[nodiscard]] Result {
  public:
    using Value = T;

    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
    // Derived-to-base and similar: a Result<unique_ptr<Base>> from a unique_ptr<Derived>.
    template <class U>
    requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result>) Result(U&& value)
        : state_(std::in_place_index<0>, std::forward<U>(value)) {}

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    // Precondition: ok().
    T& value() & { return std::get<0>(state_); }
    const T& value() const& { return std::get<0>(state_); }
    // By value, so that what comes out of a temporary Result lives on.
    T value() && { return std::get<0>(std::move(state_)); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    T& operator*() { return value(); }
    const T& operator*() const { return value(); }

    // Precondition: !ok().
    Error& error() & { return std::get<1>(state_); }
    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }

  private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    using Value = void;

    Result() = default;
    Result(Error error) : error_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const { return error_.index() == 0; }
    explicit operator bool() const { return ok(); }
    void value() const {}

    Error& error() & { return std::get<1>(error_); }
    const Error& error() const& { return std::get<1>(error_); }
    Error&& error() && { return std::get<1>(std::move(error_)); }

  private:
    std::variant<std::monostate, Error> error_;
};

using Status = Result<void>;

} // namespace godwit

// Value of a Result, or return its error from the enclosing function. At most one per full expression.
#define TRY(expression)                                                                                      \
    __extension__({                                                                                          \
        auto try_result_ = (expression);                                                                     \
        if (!try_result_.ok())                                                                               \
            return std::move(try_result_).error();                                                           \
        std::move(try_result_).value();                                                                      \
    })

// The same, adding what the caller was doing.
#define TRY_IN(expression, context)                                                                          \
    __extension__({                                                                                          \
        auto try_result_ = (expression);                                                                     \
        if (!try_result_.ok())                                                                               \
            return std::move(try_result_).error().in(context);                                               \
        std::move(try_result_).value();                                                                      \
    })
