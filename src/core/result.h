// SPDX-License-Identifier: MIT
// Result<T>: a value or an Error, for everything that depends on the outside world (files, flags, prompts,
// network). Bugs in our own code use check.h instead. Nothing here throws, prints or aborts on an Error.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/check.h"

namespace tern {

enum class ErrorCode {
  kUsage,        // a flag or argument is wrong
  kNotFound,     // no such file, tensor, key
  kCorrupt,      // the bytes contradict their own format
  kUnsupported,  // well formed, but not something we can compute rightly
  kIo,           // the operating system refused (disk full, permission, device)
  kOutOfMemory,  // a stated budget or the machine's memory does not suffice
  kNumeric,      // a non-finite value appeared
  kCancelled,    // the caller asked to stop
};

/// One line: what was expected, what was found, where (file offset, tensor, JSON path, flag), and what to do.
struct Error {
  ErrorCode code;
  std::string message;

  /// The same error with `where` put in front: "where: message".
  Error in(std::string_view where) && { return Error{code, fmt::format("{}: {}", where, message)}; }
};

template <class... Args>
Error make_error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

/// A value of type T or an Error. Reading the value of a failed result is a bug (aborts).
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    TERN_CHECK(ok(), "value() of a failed Result");
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    TERN_CHECK(ok(), "value() of a failed Result");
    return *std::get_if<0>(&state_);
  }
  T&& value() && { return std::move(value()); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    TERN_CHECK(!ok(), "error() of a good Result");
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    TERN_CHECK(!ok(), "error() of a good Result");
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    TERN_CHECK(!ok(), "error() of a good Status");
    return *error_;
  }
  Error&& error() && {
    TERN_CHECK(!ok(), "error() of a good Status");
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace tern

#define TERN_CONCAT_INNER(a, b) a##b
#define TERN_CONCAT(a, b) TERN_CONCAT_INNER(a, b)

/// TERN_TRY(expr): leaves the function with the error of a failed Status.
#define TERN_TRY(expr)                                      \
  do {                                                      \
    if (auto tern_status = (expr); !tern_status.ok()) {     \
      return ::tern::Error(std::move(tern_status).error()); \
    }                                                       \
  } while (false)

/// TERN_TRY_ASSIGN(auto x, expr): x = value of a Result, or leaves the function with its error.
#define TERN_TRY_ASSIGN(declaration, expr) \
  TERN_TRY_ASSIGN_INNER(TERN_CONCAT(tern_result_, __LINE__), declaration, expr)
#define TERN_TRY_ASSIGN_INNER(result, declaration, expr)             \
  auto result = (expr);                                              \
  if (!result.ok()) return ::tern::Error(std::move(result).error()); \
  declaration = std::move(result).value()
