// SPDX-License-Identifier: MIT
// The C API's contexts, models and texts. What each function promises stands in include/tern/tern.h.
#include "engine/c_api.h"

#include <cstring>
#include <exception>
#include <new>

#include "engine/gguf_tokenizer.h"
#include "engine/model_chat.h"

namespace tern::capi {

namespace {

tern_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
      return TERN_ERROR_USAGE;
    case ErrorCode::kNotFound:
      return TERN_ERROR_NOT_FOUND;
    case ErrorCode::kCorrupt:
      return TERN_ERROR_CORRUPT;
    case ErrorCode::kUnsupported:
      return TERN_ERROR_UNSUPPORTED;
    case ErrorCode::kIo:
      return TERN_ERROR_IO;
    case ErrorCode::kOutOfMemory:
      return TERN_ERROR_OUT_OF_MEMORY;
    case ErrorCode::kNumeric:
      return TERN_ERROR_NUMERIC;
    case ErrorCode::kCancelled:
      return TERN_ERROR_CANCELLED;
  }
  return TERN_ERROR_INTERNAL;
}

}  // namespace

Outcome::Outcome(Error error) : status(status_of(error.code)), text(std::move(error.message)) {}

tern_status record(ContextState& state, Outcome outcome) noexcept {
  if (outcome.status != TERN_OK) state.error = std::move(outcome.text);
  return outcome.status;
}

tern_status record_exception(ContextState& state) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    state.error = "out of memory";  // fits into the string itself, so this allocates nothing
    return TERN_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception& e) {
    try {
      state.error = e.what();
    } catch (...) {
      state.error.clear();
    }
  } catch (...) {
    state.error = "an exception";  // as short
  }
  return TERN_ERROR_INTERNAL;
}

Result<std::string_view> text_argument(const char* data, size_t length, const char* name) {
  if (data == nullptr && length > 0) return null_argument(name);
  return std::string_view(data, length);
}

Result<std::span<const int32_t>> token_argument(const Model& model, const int32_t* tokens, size_t count) {
  if (tokens == nullptr && count > 0) return null_argument("tokens");
  const int64_t vocab = model.config().vocab_size;
  for (size_t i = 0; i < count; ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocab) continue;
    return make_error(ErrorCode::kUsage, "token {} of {} is {}, outside the vocabulary (0 to {})", i, count,
                      tokens[i], vocab - 1);
  }
  return std::span<const int32_t>(tokens, count);
}

Status check_flags(uint32_t flags, uint32_t known, const char* name) {
  if ((flags & ~known) == 0) return {};
  return make_error(ErrorCode::kUsage, "{} has unknown bits {:#x} (known: {:#x})", name, flags & ~known,
                    known);
}

namespace {

Outcome create_context(const tern_context_options* given, ContextState& state) {
  TERN_TRY_ASSIGN(const tern_context_options options,
                  read_options(given, tern_context_options{}, "tern_context_options"));
  TERN_TRY(check_flags(options.flags, TERN_CONTEXT_PIN_THREADS, "flags"));
  TERN_TRY_ASSIGN(const std::string_view isa, text_argument(options.isa, "isa"));
  ContextOptions context;
  if (!isa.empty()) context.isa = isa;
  context.threads = options.threads;
  context.pin = (options.flags & TERN_CONTEXT_PIN_THREADS) != 0;
  TERN_TRY_ASSIGN(state.context, Context::create(context));
  return {};
}

/// The chat side of a model. What the caller chose must work; what the file has may be unusable, which is
/// told when it is asked for.
Status load_chat(const GgufFile& file, std::string_view program, std::string_view format, ModelState& state) {
  if (!program.empty()) {
    TERN_TRY_ASSIGN(state.chat_template, ChatTemplate::parse(program));
    return {};
  }
  if (!state.tokenizer.ok()) {
    state.chat_template = state.tokenizer.error();
    return {};
  }
  auto chat = resolve_model_chat(file, **state.tokenizer, std::string(format));
  if (!chat.ok()) {
    if (!format.empty()) return std::move(chat).error();
    state.chat_template = std::move(chat).error();
    return {};
  }
  state.chat_stop_ids = chat_stop_ids(*chat, **state.tokenizer);
  if (chat->chat_template) {
    state.chat_template = *std::move(chat->chat_template);
  } else {
    state.chat_template = make_error(ErrorCode::kNotFound, "no chat template: {}", chat->no_chat_reason);
  }
  return {};
}

Outcome open_model(const std::shared_ptr<ContextState>& context, std::string_view path,
                   const tern_model_options* given, std::unique_ptr<tern_model>& out) {
  TERN_TRY_ASSIGN(const tern_model_options options,
                  read_options(given, tern_model_options{}, "tern_model_options"));
  TERN_TRY(check_flags(options.flags, TERN_MODEL_INT8_ACTIVATIONS, "flags"));
  if (path.find('\0') != std::string_view::npos)
    return make_error(ErrorCode::kUsage, "the path contains a NUL");
  TERN_TRY_ASSIGN(const std::string_view order, text_argument(options.i2s_order, "i2s_order"));
  TERN_TRY_ASSIGN(const std::string_view program, text_argument(options.chat_template, "chat_template"));
  TERN_TRY_ASSIGN(const std::string_view format, text_argument(options.chat_format, "chat_format"));
  LoadOptions load;
  if (!order.empty()) {
    TERN_TRY_ASSIGN(load.i2s_order, parse_i2s_order(order));
  }
  if ((options.flags & TERN_MODEL_INT8_ACTIVATIONS) != 0) load.activations = ActivationBits::kInt8;
  if (options.progress != nullptr) {
    load.progress = [&options](int64_t done, int64_t total) {
      options.progress(options.progress_user, done, total);
    };
  }
  TERN_TRY_ASSIGN(const std::shared_ptr<const Weights> weights, Weights::open(std::string(path)));
  TERN_TRY_ASSIGN(std::shared_ptr<const Model> model,
                  Model::load(weights, context->context->backend(), load));
  auto state = std::make_shared<ModelState>();
  state->context = context;
  state->model = std::move(model);
  state->tokenizer = tokenizer_from_gguf(weights->gguf());
  TERN_TRY(load_chat(weights->gguf(), program, format, *state));
  out = std::make_unique<tern_model>();
  out->state = std::move(state);
  return {};
}

std::string describe(const Context& context) {
  return fmt::format("kernels {}, {} thread(s){}, {}", context.kernels().name, context.num_threads(),
                     context.is_pinned() ? ", pinned" : "", context.topology().describe());
}

Result<std::string> metadata_text(const GgufFile& file, std::string_view key) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return make_error(ErrorCode::kNotFound, "the file has no key '{}'", key);
  if (const auto* array = std::get_if<GgufArray>(&value->data)) {
    return make_error(ErrorCode::kUnsupported,
                      "key '{}' is an array of {} values of type {}, expected a single value", key,
                      array->count, gguf_type_name(array->element_type));
  }
  // A float as the shortest decimals that give it back, not those of the double it was widened to.
  if (value->type == GgufType::kF32)
    return fmt::format("{}", static_cast<float>(std::get<double>(value->data)));
  return std::visit(
      [](const auto& data) {
        if constexpr (std::is_same_v<std::decay_t<decltype(data)>, GgufArray>) {
          return std::string();  // refused above
        } else {
          return fmt::format("{}", data);
        }
      },
      value->data);
}

tern_model_info model_info(const ModelState& state) {
  const Config& config = state.model->config();
  tern_model_info info{};
  info.vocab_size = config.vocab_size;
  info.context_size = config.max_seq_len;
  info.hidden_size = config.hidden_size;
  info.intermediate_size = config.intermediate_size;
  info.num_layers = config.num_layers;
  info.num_heads = config.num_heads;
  info.num_kv_heads = config.num_kv_heads;
  info.head_dim = config.head_dim;
  info.file_bytes = state.model->weights().file_bytes();
  info.packed_bytes = state.model->packed_bytes();
  info.has_tokenizer = state.tokenizer.ok();
  info.bos_token = info.has_tokenizer ? state.tokenizer.value()->bos_id().value_or(-1) : -1;
  info.eos_token = info.has_tokenizer ? state.tokenizer.value()->eos_id().value_or(-1) : -1;
  info.has_chat_template = state.chat_template.ok();
  return info;
}

Outcome tokenize(const ModelState& state, std::string_view text, uint32_t flags, int32_t* tokens,
                 size_t capacity, size_t* needed) {
  constexpr uint32_t kKnown =
      TERN_TOKENIZE_SPECIAL | TERN_TOKENIZE_NO_BOS | TERN_TOKENIZE_EOS | TERN_TOKENIZE_CONTINUE;
  TERN_TRY(check_flags(flags, kKnown, "flags"));
  TERN_TRY_ASSIGN(const auto& tokenizer, state.tokenizer);
  EncodeOptions options;
  options.parse_special = (flags & TERN_TOKENIZE_SPECIAL) != 0;
  options.at_text_start = (flags & TERN_TOKENIZE_CONTINUE) == 0;
  if ((flags & (TERN_TOKENIZE_NO_BOS | TERN_TOKENIZE_CONTINUE)) != 0) options.add_bos = false;
  options.add_eos = (flags & TERN_TOKENIZE_EOS) != 0;
  const std::vector<int32_t> ids = tokenizer->encode(text, options);
  return copy_out<int32_t>(ids, tokens, capacity, needed, "tokens");
}

Outcome detokenize(const ModelState& state, const int32_t* tokens, size_t count, uint32_t flags, char* text,
                   size_t capacity, size_t* needed) {
  constexpr uint32_t kKnown = TERN_DETOKENIZE_SPECIAL | TERN_DETOKENIZE_CONTINUE | TERN_DETOKENIZE_RAW;
  TERN_TRY(check_flags(flags, kKnown, "flags"));
  TERN_TRY_ASSIGN(const auto& tokenizer, state.tokenizer);
  TERN_TRY_ASSIGN(const std::span<const int32_t> ids, token_argument(*state.model, tokens, count));
  DecodeOptions options;
  options.render_special = (flags & TERN_DETOKENIZE_SPECIAL) != 0;
  options.at_text_start = (flags & TERN_DETOKENIZE_CONTINUE) == 0;
  options.replace_invalid = (flags & TERN_DETOKENIZE_RAW) == 0;
  return copy_out<char>(tokenizer->decode(ids, options), text, capacity, needed, "bytes");
}

/// The model's context, or null for a null handle.
std::shared_ptr<ContextState> context_of(const tern_model* model) {
  return model == nullptr ? nullptr : model->state->context;
}

}  // namespace

}  // namespace tern::capi

using namespace tern::capi;  // NOLINT: this file implements nothing else

extern "C" {

#define TERN_TEXT_OF_INNER(x) #x
#define TERN_TEXT_OF(x) TERN_TEXT_OF_INNER(x)

const char* tern_version(void) {
  return TERN_TEXT_OF(TERN_VERSION_MAJOR) "." TERN_TEXT_OF(TERN_VERSION_MINOR) "." TERN_TEXT_OF(
      TERN_VERSION_PATCH);
}

const char* tern_status_name(tern_status status) {
  static constexpr const char* kNames[] = {
      "ok",      "usage",     "not found",        "corrupt", "unsupported", "io error", "out of memory",
      "numeric", "cancelled", "buffer too small", "busy",    "internal"};
  // C callers may hand any int to an enum parameter; reading it as the enum would be undefined in C++.
  unsigned index;
  static_assert(sizeof index == sizeof status);
  std::memcpy(&index, &status, sizeof index);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

void tern_context_options_init(tern_context_options* options, size_t size) {
  init_options(tern_context_options{}, options, size);
}

tern_status tern_context_create(const tern_context_options* options, tern_context** context) {
  if (context == nullptr) return TERN_ERROR_USAGE;
  *context = nullptr;
  try {
    auto handle = std::make_unique<tern_context>();
    handle->state = std::make_shared<ContextState>();
    *context = handle.release();
  } catch (...) {
    return TERN_ERROR_OUT_OF_MEMORY;
  }
  return guarded((*context)->state, [&] { return create_context(options, *(*context)->state); });
}

void tern_context_destroy(tern_context* context) { delete context; }

const char* tern_context_last_error(const tern_context* context, size_t* length) {
  if (length != nullptr) *length = context == nullptr ? 0 : context->state->error.size();
  return context == nullptr ? "" : context->state->error.c_str();
}

tern_status tern_context_describe(const tern_context* context, char* text, size_t capacity, size_t* needed) {
  if (context == nullptr) return TERN_ERROR_USAGE;
  return guarded(context->state, [&]() -> Outcome {
    if (context->state->context == nullptr) return {TERN_ERROR_USAGE, "this context's creation failed"};
    return copy_out<char>(describe(*context->state->context), text, capacity, needed, "bytes");
  });
}

void tern_model_options_init(tern_model_options* options, size_t size) {
  init_options(tern_model_options{}, options, size);
}

tern_status tern_model_open(tern_context* context, const char* path, size_t path_length,
                            const tern_model_options* options, tern_model** model) {
  if (model != nullptr) *model = nullptr;
  if (context == nullptr) return TERN_ERROR_USAGE;
  return guarded(context->state, [&, state = context->state]() -> Outcome {
    if (state->context == nullptr) return {TERN_ERROR_USAGE, "this context's creation failed"};
    if (model == nullptr) return null_argument("model");
    if (path == nullptr) return null_argument("path");
    std::unique_ptr<tern_model> handle;
    Outcome outcome = open_model(state, {path, path_length}, options, handle);
    *model = handle.release();
    return outcome;
  });
}

void tern_model_close(tern_model* model) { delete model; }

tern_status tern_model_get_info(const tern_model* model, tern_model_info* info, size_t size) {
  if (model == nullptr || info == nullptr) return TERN_ERROR_USAGE;
  write_struct(model_info(*model->state), info, size);
  return TERN_OK;
}

tern_status tern_model_metadata(const tern_model* model, const char* key, size_t key_length, char* value,
                                size_t capacity, size_t* needed) {
  return guarded(context_of(model), [&]() -> Outcome {
    TERN_TRY_ASSIGN(const std::string_view name, text_argument(key, key_length, "key"));
    TERN_TRY_ASSIGN(const std::string text, metadata_text(model->state->model->weights().gguf(), name));
    return copy_out<char>(text, value, capacity, needed, "bytes");
  });
}

tern_status tern_tokenize(const tern_model* model, const char* text, size_t length, uint32_t flags,
                          int32_t* tokens, size_t capacity, size_t* needed) {
  return guarded(context_of(model), [&]() -> Outcome {
    TERN_TRY_ASSIGN(const std::string_view view, text_argument(text, length, "text"));
    return tokenize(*model->state, view, flags, tokens, capacity, needed);
  });
}

tern_status tern_detokenize(const tern_model* model, const int32_t* tokens, size_t count, uint32_t flags,
                            char* text, size_t capacity, size_t* needed) {
  return guarded(context_of(model),
                 [&] { return detokenize(*model->state, tokens, count, flags, text, capacity, needed); });
}

bool tern_model_is_end_token(const tern_model* model, int32_t token) {
  return model != nullptr && model->state->tokenizer.ok() && model->state->tokenizer.value()->is_end(token);
}

}  // extern "C"
