// SPDX-License-Identifier: MIT
// The C++ face of tern, C++17, header-only over the C API (tern.h, where the promises stand: threads,
// lifetimes, meaning of every field). It adds no symbol to the library, so program and library may come from
// different compilers.
//
// Namespace tern::api: `tern` itself holds the library's inside, whose names a program that links the static
// library must not define a second time.
//
// Errors are exceptions (Error, with the status and the context's text): constructors and functions can then
// return values, and no failure goes unseen. Being cancelled is no error: it is a way an Answer ends.
// Programs without exceptions use tern.h. An exception thrown by a callback ends the answer and comes out of
// the call that ran it.
#ifndef TERN_TERN_HPP
#define TERN_TERN_HPP

#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tern.h"

namespace tern::api {

class Error : public std::runtime_error {
 public:
  Error(tern_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
  tern_status status() const noexcept { return status_; }

 private:
  tern_status status_;
};

/// A view of values that lie side by side: a vector, an array. Borrowed.
template <class T>
class View {
 public:
  View() = default;
  View(const T* data, std::size_t size) : data_(data), size_(size) {}
  template <class Container, class = std::enable_if_t<std::is_convertible_v<
                                 decltype(std::data(std::declval<const Container&>())), const T*>>>
  View(const Container& container)
      : data_(std::data(container)), size_(std::size(container)) {}  // NOLINT: implicit

  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  const T* data_ = nullptr;
  std::size_t size_ = 0;
};

namespace detail {

inline tern_text text(std::string_view view) { return {view.data(), view.size()}; }

struct CloseContext {
  void operator()(tern_context* handle) const { tern_context_destroy(handle); }
};

/// A context's handle and its errors; every object made from a context keeps it.
using ContextHandle = std::shared_ptr<tern_context>;

inline void check(const ContextHandle& context, tern_status status) {
  if (status == TERN_OK) return;
  // A call that found the context busy leaves no text of its own.
  if (status == TERN_ERROR_BUSY) throw Error(status, "the context is busy: a call of it is running");
  std::size_t length = 0;
  const char* message = tern_context_last_error(context.get(), &length);
  throw Error(status, length > 0 ? std::string(message, length) : std::string(tern_status_name(status)));
}

/// Calls fill(buffer, capacity, &needed) twice: for the size, and for the values.
template <class Values, class Fill>
Values sized(const ContextHandle& context, Fill&& fill) {
  std::size_t needed = 0;
  check(context, fill(nullptr, 0, &needed));
  Values values(needed, {});
  if (needed > 0) check(context, fill(values.data(), values.size(), &needed));
  return values;
}

}  // namespace detail

struct ContextOptions {
  int threads = 0;   // 0: one per physical core
  std::string isa;   // "": the best
  bool pin = false;  // bind threads to processors
};

class Context {
 public:
  explicit Context(const ContextOptions& options = {}) {
    tern_context_options c;
    tern_context_options_init(&c, sizeof c);
    c.threads = options.threads;
    c.isa = detail::text(options.isa);
    c.flags = options.pin ? TERN_CONTEXT_PIN_THREADS : 0;
    tern_context* handle = nullptr;
    const tern_status status = tern_context_create(&c, &handle);
    handle_.reset(handle, detail::CloseContext());
    detail::check(handle_, status);
  }

  std::string describe() const {
    return detail::sized<std::string>(handle_, [this](char* text, std::size_t capacity, std::size_t* needed) {
      return tern_context_describe(handle_.get(), text, capacity, needed);
    });
  }

  const detail::ContextHandle& handle() const { return handle_; }

 private:
  detail::ContextHandle handle_;
};

struct ModelOptions {
  std::string i2s_order;      // "": as the file says
  std::string chat_template;  // "": chat_format decides
  std::string chat_format;    // "": by the file
  bool int8_activations = false;
  std::function<void(std::int64_t done_bytes, std::int64_t total_bytes)> progress;  // must not throw
};

/// A copy is another name of the same model.
class Model {
 public:
  Model(const Context& context, std::string_view path, const ModelOptions& options = {})
      : context_(context.handle()) {
    tern_model_options c;
    tern_model_options_init(&c, sizeof c);
    c.i2s_order = detail::text(options.i2s_order);
    c.chat_template = detail::text(options.chat_template);
    c.chat_format = detail::text(options.chat_format);
    c.flags = options.int8_activations ? TERN_MODEL_INT8_ACTIVATIONS : 0;
    if (options.progress) {
      c.progress = [](void* user, std::int64_t done, std::int64_t total) {
        static_cast<const ModelOptions*>(user)->progress(done, total);
      };
      c.progress_user = const_cast<ModelOptions*>(&options);
    }
    tern_model* handle = nullptr;
    detail::check(context_, tern_model_open(context_.get(), path.data(), path.size(), &c, &handle));
    handle_.reset(handle, tern_model_close);
  }

  tern_model_info info() const {
    tern_model_info info{};
    detail::check(context_, tern_model_get_info(handle_.get(), &info, sizeof info));
    return info;
  }

  /// The value of a metadata key as text. Errors: TERN_ERROR_NOT_FOUND...
  std::string metadata(std::string_view key) const {
    return detail::sized<std::string>(context_, [&](char* text, std::size_t capacity, std::size_t* needed) {
      return tern_model_metadata(handle_.get(), key.data(), key.size(), text, capacity, needed);
    });
  }

  /// `flags`: TERN_TOKENIZE_...
  std::vector<std::int32_t> tokenize(std::string_view text, std::uint32_t flags = 0) const {
    return detail::sized<std::vector<std::int32_t>>(
        context_, [&](std::int32_t* tokens, std::size_t capacity, std::size_t* needed) {
          return tern_tokenize(handle_.get(), text.data(), text.size(), flags, tokens, capacity, needed);
        });
  }

  /// `flags`: TERN_DETOKENIZE_...
  std::string detokenize(View<std::int32_t> tokens, std::uint32_t flags = 0) const {
    return detail::sized<std::string>(context_, [&](char* text, std::size_t capacity, std::size_t* needed) {
      return tern_detokenize(handle_.get(), tokens.data(), tokens.size(), flags, text, capacity, needed);
    });
  }

  bool is_end_token(std::int32_t token) const { return tern_model_is_end_token(handle_.get(), token); }

  tern_model* handle() const { return handle_.get(); }
  const detail::ContextHandle& context() const { return context_; }

 private:
  detail::ContextHandle context_;
  std::shared_ptr<tern_model> handle_;
};

/// The parameters of tern.h with their defaults; the lists are owned here, the C pointers are filled in for
/// each call.
struct GenerateParams : tern_generate_params {
  GenerateParams() : tern_generate_params() { tern_generate_params_init(this, sizeof(tern_generate_params)); }

  std::vector<std::string> stop_texts;
  std::vector<std::int32_t> stop_ids;
  std::vector<tern_logit_bias> logit_biases;
};

struct Answer {
  std::string text;
  std::vector<std::int32_t> tokens;
  tern_finish finish = TERN_FINISH_NONE;
  std::int64_t prompt_tokens = 0, cached_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;

  bool is_cancelled() const { return finish == TERN_FINISH_CANCELLED; }
};

/// Called while an answer is made; false ends it. `token` is -1 for text that belongs to no single token.
using OnToken = std::function<bool(std::int32_t token, std::string_view text)>;

struct SessionOptions {
  std::int64_t context_size = 0;  // 0: as the model was made for
  std::int32_t batch_size = 0;    // 0: the default
  tern_kv_type kv_type = TERN_KV_AUTO;
  bool drop_oldest = false;  // a conversation that no longer fits forgets its oldest turns
};

class Session {
 public:
  explicit Session(const Model& model, const SessionOptions& options = {}) : context_(model.context()) {
    tern_session_options c;
    tern_session_options_init(&c, sizeof c);
    c.context_size = options.context_size;
    c.batch_size = options.batch_size;
    c.kv_type = options.kv_type;
    c.flags = options.drop_oldest ? TERN_SESSION_DROP_OLDEST : 0;
    tern_session* handle = nullptr;
    detail::check(context_, tern_session_create(model.handle(), &c, &handle));
    handle_.reset(handle);
  }

  void reset() { detail::check(context_, tern_session_reset(handle_.get())); }

  void feed(View<std::int32_t> tokens) {
    detail::check(context_, tern_session_feed(handle_.get(), tokens.data(), tokens.size()));
  }

  void feed(std::initializer_list<std::int32_t> tokens) {
    feed(View<std::int32_t>(tokens.begin(), tokens.size()));
  }

  void truncate(std::size_t length) { detail::check(context_, tern_session_truncate(handle_.get(), length)); }

  std::vector<std::int32_t> tokens() const {
    return detail::sized<std::vector<std::int32_t>>(
        context_, [this](std::int32_t* tokens, std::size_t capacity, std::size_t* needed) {
          return tern_session_tokens(handle_.get(), tokens, capacity, needed);
        });
  }

  /// The logits after the last token, valid until the session's next call.
  View<float> eval() {
    const float* logits = nullptr;
    std::size_t count = 0;
    detail::check(context_, tern_session_eval(handle_.get(), &logits, &count));
    return {logits, count};
  }

  /// Continues the tokens of the session.
  Answer generate(const GenerateParams& params = {}, const OnToken& on_token = {}) {
    return answer(params, on_token,
                  [this](const tern_generate_params* p, tern_token_callback callback, void* user) {
                    return tern_session_generate(handle_.get(), p, callback, user);
                  });
  }

  void set_system(std::string_view text) {
    detail::check(context_, tern_session_set_system(handle_.get(), text.data(), text.size()));
  }

  /// Answers the user's next message of a conversation.
  Answer ask(std::string_view text, const GenerateParams& params = {}, const OnToken& on_token = {}) {
    return answer(params, on_token,
                  [&](const tern_generate_params* p, tern_token_callback callback, void* user) {
                    return tern_session_ask(handle_.get(), text.data(), text.size(), p, callback, user);
                  });
  }

  /// From any thread: ends the running call, or the next one; false takes that back.
  void cancel(bool cancel = true) noexcept { tern_session_cancel(handle_.get(), cancel); }

 private:
  struct Close {
    void operator()(tern_session* handle) const { tern_session_destroy(handle); }
  };

  struct Callback {
    const OnToken& on_token;
    std::exception_ptr thrown;

    static bool call(void* user, std::int32_t token, const char* text, std::size_t length) {
      auto* self = static_cast<Callback*>(user);
      if (self->thrown) return false;
      try {
        return self->on_token(token, std::string_view(text, length));
      } catch (...) {
        self->thrown = std::current_exception();
        return false;
      }
    }
  };

  template <class Run>
  Answer answer(const GenerateParams& params, const OnToken& on_token, Run&& run) {
    tern_generate_params c = params;
    std::vector<tern_text> stops;
    for (const std::string& stop : params.stop_texts) stops.push_back(detail::text(stop));
    c.stops = stops.data();
    c.stop_count = stops.size();
    c.stop_tokens = params.stop_ids.data();
    c.stop_token_count = params.stop_ids.size();
    c.biases = params.logit_biases.data();
    c.bias_count = params.logit_biases.size();
    Callback callback{on_token, nullptr};
    const tern_status status = run(&c, on_token ? &Callback::call : nullptr, &callback);
    if (callback.thrown) std::rethrow_exception(callback.thrown);
    if (status != TERN_ERROR_CANCELLED) detail::check(context_, status);

    tern_result result{};
    detail::check(context_, tern_session_get_result(handle_.get(), &result, sizeof result));
    Answer out;
    if (result.text_length > 0) out.text.assign(result.text, result.text_length);
    out.tokens.assign(result.tokens, result.tokens + result.token_count);
    out.finish = static_cast<tern_finish>(result.finish);
    out.prompt_tokens = result.prompt_tokens;
    out.cached_tokens = result.cached_tokens;
    out.prefill_seconds = result.prefill_seconds;
    out.decode_seconds = result.decode_seconds;
    return out;
  }

  detail::ContextHandle context_;
  std::unique_ptr<tern_session, Close> handle_;
};

}  // namespace tern::api

#endif  // TERN_TERN_HPP
