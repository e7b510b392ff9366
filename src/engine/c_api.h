// SPDX-License-Identifier: MIT
// What stands behind the handles of include/tern/tern.h, and the one place where errors and exceptions become
// statuses. Shared by c_api.cc (context, model, text) and c_api_session.cc; nobody else includes it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "engine/context.h"
#include "model/model.h"
#include "tern/tern.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tern::capi {

/// How a call of the C API ended.
struct Outcome {
  Outcome() = default;
  Outcome(tern_status code, std::string why) : status(code), text(std::move(why)) {}
  Outcome(Error error);     // NOLINT: implicit, so that TERN_TRY works
  Outcome(Status result) {  // NOLINT
    if (!result.ok()) *this = Outcome(std::move(result).error());
  }

  ::tern_status status = TERN_OK;
  std::string text;
};

struct ContextState {
  std::unique_ptr<Context> context;  // null where its creation failed
  std::string error;                 // of the last call that failed
  std::atomic<bool> busy{false};     // a call is running
};

struct ModelState {
  std::shared_ptr<ContextState> context;
  std::shared_ptr<const Model> model;
  Result<std::shared_ptr<const Tokenizer>> tokenizer = Error{ErrorCode::kNotFound, ""};
  Result<ChatTemplate> chat_template = Error{ErrorCode::kNotFound, ""};
  std::vector<int32_t> chat_stop_ids;  // end an answer of a conversation
};

/// Keeps the text of a failed call.
::tern_status record(ContextState& state, Outcome outcome) noexcept;
/// The same for the exception that is being handled.
::tern_status record_exception(ContextState& state) noexcept;

/// Runs `body` (returning Outcome) as the only call in the context: no second one enters, no exception
/// leaves. `state` is a copy, so that the context outlives a callback that destroys its handle.
template <class Body>
::tern_status guarded(std::shared_ptr<ContextState> state, Body&& body) noexcept {
  if (state == nullptr) return TERN_ERROR_USAGE;
  if (state->busy.exchange(true, std::memory_order_acquire)) return TERN_ERROR_BUSY;
  ::tern_status status = TERN_ERROR_INTERNAL;
  try {
    status = record(*state, body());
  } catch (...) {
    status = record_exception(*state);
  }
  state->busy.store(false, std::memory_order_release);
  return status;
}

/// Writes `source` into the caller's buffer as the header promises.
template <class T>
Outcome copy_out(std::span<const T> source, T* buffer, size_t capacity, size_t* needed, const char* unit) {
  if (needed != nullptr) *needed = source.size();
  if (buffer == nullptr) return {};
  if (capacity < source.size()) {
    return {TERN_ERROR_BUFFER_TOO_SMALL,
            fmt::format("the buffer holds {} {}, {} are needed", capacity, unit, source.size())};
  }
  std::copy(source.begin(), source.end(), buffer);
  return {};
}

// The largest size that a caller's struct may claim: room for decades of growth, small enough to be read
// safely.
inline constexpr size_t kMaxStructBytes = 4096;

/// The caller's options over the defaults. Fields that the caller does not know keep their defaults; ones
/// that this library does not know must be zero.
template <class T>
Result<T> read_options(const T* given, const T& defaults, const char* name) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (given == nullptr) return defaults;
  const size_t size = given->size;
  if (size < sizeof(T) || size > kMaxStructBytes) {  // sizeof(T): of the first version, the smallest there is
    return make_error(ErrorCode::kUsage, "{} has size {}, expected {} ({}_init sets it)", name, size,
                      sizeof(T), name);
  }
  T options = defaults;
  std::memcpy(&options, given, std::min(size, sizeof(T)));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (std::any_of(bytes + sizeof(T), bytes + size, [](unsigned char byte) { return byte != 0; })) {
    return make_error(ErrorCode::kUnsupported,
                      "{} has a field set that this version of tern ({}) does not know", name,
                      tern_version());
  }
  return options;
}

/// Writes the first `size` bytes of `value` and zeros behind them. Nothing for null.
template <class T>
void write_struct(const T& value, T* out, size_t size) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (out == nullptr) return;
  std::memcpy(static_cast<void*>(out), &value, std::min(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(reinterpret_cast<unsigned char*>(out) + sizeof(T), 0, size - sizeof(T));
}

/// The defaults for a caller whose struct has `size` bytes.
template <class T>
void init_options(T defaults, T* options, size_t size) {
  defaults.size = size;
  write_struct(defaults, options, size);
}

/// A text argument. Errors: kUsage for null with a length.
Result<std::string_view> text_argument(const char* data, size_t length, const char* name);
inline Result<std::string_view> text_argument(const tern_text& text, const char* name) {
  return text_argument(text.data, text.length, name);
}
/// Token ids of the model. Errors: kUsage naming the first one outside the vocabulary.
Result<std::span<const int32_t>> token_argument(const Model& model, const int32_t* tokens, size_t count);

Status check_flags(uint32_t flags, uint32_t known, const char* name);

inline Error null_argument(const char* name) { return make_error(ErrorCode::kUsage, "{} is null", name); }

}  // namespace tern::capi

struct tern_context {
  std::shared_ptr<tern::capi::ContextState> state;
};

struct tern_model {
  std::shared_ptr<const tern::capi::ModelState> state;
};
