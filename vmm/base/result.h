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

#include <fmt/core.h>

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

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
    GuestEnded,    // it has powered itself off: there is nothing left to move
};

std::string_view to_string(ErrorCode code);

struct Error {
    ErrorCode code = ErrorCode::Internal;
    std::string text;

    Error(ErrorCode error_code, std::string message) : code(error_code), text(std::move(message)) {}

    // Same error, seen from one level up: "context: text".
    Error in(std::string_view context) &&;
};

// Error with the text of an errno value: "open '/dev/kvm': Permission denied".
Error system_error(int errno_value, std::string_view what);

// Whatever is formatted, the code for it is in one place.
Error make_error(ErrorCode code, fmt::string_view format, fmt::format_args args);

template <class... Args>
Error error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    return make_error(code, format, fmt::make_format_args(args...));
}

template <class... Args>
Error invalid_input(fmt::format_string<Args...> format, Args&&... args) {
    return make_error(ErrorCode::InvalidInput, format, fmt::make_format_args(args...));
}

template <class... Args>
Error corrupt(fmt::format_string<Args...> format, Args&&... args) {
    return make_error(ErrorCode::Corrupt, format, fmt::make_format_args(args...));
}

// An error on its way up, apart from the type of the value that there is not. A Result holds one, TRY hands
// it from Result to Result: a pointer, so that the way up costs little code at each of its many steps.
class Failure {
  public:
    Failure() = default; // none
    explicit Failure(Error error);
    Failure(Failure&&) noexcept = default;
    Failure& operator=(Failure&&) noexcept = default;
    Failure(const Failure& other);

    explicit operator bool() const { return error_ != nullptr; }
    Error& error() const { return *error_; }
    Failure in(std::string_view context) &&;

  private:
    struct Delete {
        void operator()(Error* error) const noexcept;
    };
    std::unique_ptr<Error, Delete> error_;
};

template <class T = void>
class [[nodiscard]] Result {
  public:
    using Value = T;

    Result(T value) : has_value_(true), value_(std::move(value)) {}
    Result(Error error) : failure_(std::move(error)), nothing_() {}
    Result(Failure failure) : failure_(std::move(failure)), nothing_() {}
    // Derived-to-base and similar: a Result<unique_ptr<Base>> from a unique_ptr<Derived>.
    template <class U>
    requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error> &&
             !std::is_same_v<std::remove_cvref_t<U>, Failure> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result>) Result(U&& value)
        : has_value_(true), value_(std::forward<U>(value)) {}

    Result(Result&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
        : failure_(std::move(other.failure_)), has_value_(other.has_value_), nothing_() {
        if (has_value_)
            std::construct_at(&value_, std::move(other.value_));
    }
    Result(const Result& other) requires std::is_copy_constructible_v<T>
        : failure_(other.failure_), has_value_(other.has_value_), nothing_() {
        if (has_value_)
            std::construct_at(&value_, other.value_);
    }
    Result& operator=(Result&& other) noexcept(std::is_nothrow_move_constructible_v<T>) {
        if (this != &other) {
            std::destroy_at(this);
            std::construct_at(this, std::move(other));
        }
        return *this;
    }
    ~Result() {
        if (has_value_)
            std::destroy_at(&value_);
    }

    bool ok() const { return has_value_; }
    explicit operator bool() const { return ok(); }

    // Precondition: ok().
    T& value() & { return value_; }
    const T& value() const& { return value_; }
    // By value, so that what comes out of a temporary Result lives on.
    T value() && { return std::move(value_); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    T& operator*() { return value(); }
    const T& operator*() const { return value(); }

    // Precondition: !ok().
    Error& error() & { return failure_.error(); }
    const Error& error() const& { return failure_.error(); }
    Error&& error() && { return std::move(failure_.error()); }
    Failure failure() && { return std::move(failure_); }

  private:
    Failure failure_;
    bool has_value_ = false;
    union {
        char nothing_;
        T value_;
    };
};

template <>
class [[nodiscard]] Result<void> {
  public:
    using Value = void;

    Result() = default;
    Result(Error error) : failure_(std::move(error)) {}
    Result(Failure failure) : failure_(std::move(failure)) {}

    bool ok() const { return !failure_; }
    explicit operator bool() const { return ok(); }
    void value() const {}

    // Precondition: !ok().
    Error& error() & { return failure_.error(); }
    const Error& error() const& { return failure_.error(); }
    Error&& error() && { return std::move(failure_.error()); }
    Failure failure() && { return std::move(failure_); }

  private:
    Failure failure_;
};

using Status = Result<void>;

} // namespace godwit

// Value of a Result, or return its error from the enclosing function. At most one per full expression.
#define TRY(expression)                                                                                      \
    __extension__({                                                                                          \
        auto try_result_ = (expression);                                                                     \
        if (!try_result_.ok())                                                                               \
            return std::move(try_result_).failure();                                                         \
        std::move(try_result_).value();                                                                      \
    })

// The same, adding what the caller was doing.
#define TRY_IN(expression, context)                                                                          \
    __extension__({                                                                                          \
        auto try_result_ = (expression);                                                                     \
        if (!try_result_.ok())                                                                               \
            return std::move(try_result_).failure().in(context);                                             \
        std::move(try_result_).value();                                                                      \
    })
