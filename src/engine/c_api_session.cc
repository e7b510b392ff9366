// SPDX-License-Identifier: MIT
// The C API's sessions: a sequence of tokens that is continued, or a conversation. What each function
// promises stands in include/tern/tern.h.
#include "engine/c_api.h"
#include "engine/chat_session.h"
#include "engine/generate_text.h"
#include "text/stop_strings.h"
#include "text/stream_decoder.h"

namespace tern::capi {

struct SessionState {
  enum class Use : uint8_t { kNone, kTokens, kConversation };

  SessionState(std::shared_ptr<const ModelState> the_model, std::unique_ptr<Runner> the_runner, WhenFull full)
      : model(std::move(the_model)),
        runner(std::move(the_runner)),
        when_full(full),
        sequence(runner->new_sequence()) {}

  ContextState& context() const { return *model->context; }

  std::shared_ptr<const ModelState> model;
  std::unique_ptr<Runner> runner;
  WhenFull when_full;
  std::atomic<bool> cancel{false};
  Use use = Use::kNone;

  // A sequence of tokens: what was fed and generated. The sequence holds what of it has been computed,
  // perhaps with more behind a difference, which the next computation rolls back.
  std::vector<int32_t> tokens;
  Sequence sequence;
  std::span<const float> logits;  // after the last token; empty where they must be computed

  std::optional<ChatSession> chat;

  std::optional<TextResult> result;  // of the last answer
};

}  // namespace tern::capi

struct tern_session {
  std::shared_ptr<tern::capi::SessionState> state;
};

namespace tern::capi {

namespace {

using Use = SessionState::Use;

tern_generate_params default_generate_params() {
  const SamplingParams sampling;
  tern_generate_params params{};
  params.seed = sampling.seed;
  params.max_tokens = -1;
  params.temperature = sampling.temperature;
  params.top_p = sampling.top_p;
  params.min_p = sampling.min_p;
  params.repetition_penalty = sampling.repetition_penalty;
  params.presence_penalty = sampling.presence_penalty;
  params.frequency_penalty = sampling.frequency_penalty;
  params.top_k = sampling.top_k;
  params.repeat_last_n = sampling.repeat_last_n;
  return params;
}

Result<TextParams> text_params(const tern_generate_params* given, SessionState& session) {
  TERN_TRY_ASSIGN(const tern_generate_params p,
                  read_options(given, default_generate_params(), "tern_generate_params"));
  TERN_TRY(check_flags(p.flags, TERN_GENERATE_IGNORE_END | TERN_GENERATE_SHOW_SPECIAL, "flags"));
  if (p.max_tokens < -1) {
    return make_error(ErrorCode::kUsage, "max_tokens is {}, expected -1 (no limit) or more", p.max_tokens);
  }
  if (p.biases == nullptr && p.bias_count > 0) return null_argument("biases");
  if (p.stops == nullptr && p.stop_count > 0) return null_argument("stops");
  TextParams params;
  SamplingParams& sampling = params.generate.sampling;
  sampling.temperature = p.temperature;
  sampling.top_k = p.top_k;
  sampling.top_p = p.top_p;
  sampling.min_p = p.min_p;
  sampling.repetition_penalty = p.repetition_penalty;
  sampling.presence_penalty = p.presence_penalty;
  sampling.frequency_penalty = p.frequency_penalty;
  sampling.repeat_last_n = p.repeat_last_n;
  sampling.seed = p.seed;
  for (size_t i = 0; i < p.bias_count; ++i)
    sampling.logit_bias.emplace_back(p.biases[i].token, p.biases[i].bias);
  TERN_TRY_ASSIGN(const auto stop_ids,
                  token_argument(session.runner->model(), p.stop_tokens, p.stop_token_count));
  params.generate.stop_ids.assign(stop_ids.begin(), stop_ids.end());
  for (size_t i = 0; i < p.stop_count; ++i) {
    TERN_TRY_ASSIGN(const std::string_view stop, text_argument(p.stops[i], "a stop string"));
    params.stops.emplace_back(stop);
  }
  params.generate.max_tokens = p.max_tokens;
  params.generate.cancel = &session.cancel;
  params.ignore_end = (p.flags & TERN_GENERATE_IGNORE_END) != 0;
  params.render_special = (p.flags & TERN_GENERATE_SHOW_SPECIAL) != 0;
  return params;
}

Result<std::unique_ptr<tern_session>> create_session(const std::shared_ptr<const ModelState>& model,
                                                     const tern_session_options* given) {
  constexpr int64_t kMaxContext = int64_t{1} << 30;
  constexpr int32_t kMaxBatch = 65536;
  TERN_TRY_ASSIGN(const tern_session_options options,
                  read_options(given, tern_session_options{}, "tern_session_options"));
  TERN_TRY(check_flags(options.flags, TERN_SESSION_DROP_OLDEST, "flags"));
  if (options.context_size < 0 || options.context_size > kMaxContext) {
    return make_error(ErrorCode::kUsage, "context_size is {}, expected 1 to {} (0 = the model's)",
                      options.context_size, kMaxContext);
  }
  if (options.batch_size < 0 || options.batch_size > kMaxBatch) {
    return make_error(ErrorCode::kUsage, "batch_size is {}, expected 1 to {} (0 = the default)",
                      options.batch_size, kMaxBatch);
  }
  if (options.kv_type < TERN_KV_AUTO || options.kv_type > TERN_KV_F32) {
    return make_error(ErrorCode::kUsage, "kv_type is {}, expected TERN_KV_AUTO, TERN_KV_F16 or TERN_KV_F32",
                      options.kv_type);
  }
  RunnerOptions runner_options;
  runner_options.context = options.context_size;
  if (options.kv_type == TERN_KV_F16) runner_options.kv_type = KvType::kF16;
  if (options.kv_type == TERN_KV_F32) runner_options.kv_type = KvType::kF32;
  runner_options.max_logit_rows = 1;
  if (options.batch_size > 0) runner_options.max_rows = options.batch_size;
  TERN_TRY_ASSIGN(std::unique_ptr<Runner> runner,
                  Runner::create(model->model, model->context->context->backend(), runner_options));
  const bool drops = (options.flags & TERN_SESSION_DROP_OLDEST) != 0;
  auto session = std::make_unique<tern_session>();
  session->state = std::make_shared<SessionState>(model, std::move(runner),
                                                  drops ? WhenFull::kDropOldest : WhenFull::kStop);
  return session;
}

Status claim(SessionState& session, Use use) {
  if (session.use == Use::kNone) session.use = use;
  if (session.use == use) return {};
  return make_error(
      ErrorCode::kUsage, "this session is {}, tern_session_reset makes it new",
      use == Use::kTokens ? "a conversation (ask, set_system)" : "a sequence of tokens (feed, generate)");
}

/// The session's conversation, begun where there is none yet.
Result<ChatSession*> conversation(SessionState& session) {
  if (!session.chat) {
    TERN_TRY_ASSIGN(const auto& tokenizer, session.model->tokenizer);
    TERN_TRY_ASSIGN(const auto& chat_template, session.model->chat_template);
    TERN_TRY(claim(session, Use::kConversation));
    session.chat.emplace(*session.runner, tokenizer, chat_template);
    session.chat->set_when_full(session.when_full);
  }
  return &*session.chat;
}

Status feed(SessionState& session, const int32_t* tokens, size_t count) {
  TERN_TRY_ASSIGN(const auto ids, token_argument(session.runner->model(), tokens, count));
  const auto room = static_cast<size_t>(session.runner->context());
  const size_t held = session.tokens.size();
  if (ids.size() > room - std::min(room, held)) {
    return make_error(ErrorCode::kOutOfMemory,
                      "the session holds {} tokens and has room for {}: {} more do not fit", held, room,
                      ids.size());
  }
  TERN_TRY(claim(session, Use::kTokens));
  session.tokens.insert(session.tokens.end(), ids.begin(), ids.end());
  session.logits = {};
  return {};
}

Status truncate(SessionState& session, size_t length) {
  if (length > session.tokens.size()) {
    return make_error(ErrorCode::kUsage, "cannot keep {} tokens, the session holds {}", length,
                      session.tokens.size());
  }
  TERN_TRY(claim(session, Use::kTokens));
  session.tokens.resize(length);
  session.logits = {};
  return {};
}

/// A session that answered a cancel has answered it.
Outcome cancelled(SessionState& session, std::string text) {
  session.cancel.store(false, std::memory_order_relaxed);
  return {TERN_ERROR_CANCELLED, std::move(text)};
}

Outcome eval(SessionState& session, const float** logits, size_t* count) {
  if (logits == nullptr) return null_argument("logits");
  TERN_TRY(claim(session, Use::kTokens));
  if (session.tokens.empty())
    return make_error(ErrorCode::kUsage, "no token was fed, so there is nothing to compute");
  if (session.logits.empty()) {
    const auto& held = session.sequence.tokens();
    const size_t limit =
        std::min(held.size(), session.tokens.size() - 1);  // the last one's logits are needed
    const auto common =
        std::mismatch(held.begin(), held.begin() + static_cast<int64_t>(limit), session.tokens.begin());
    session.sequence.truncate(common.first - held.begin());
    const auto rest =
        std::span<const int32_t>(session.tokens).subspan(static_cast<size_t>(session.sequence.length()));
    auto fed = session.runner->feed(session.sequence, rest, {}, &session.cancel);
    if (!fed.ok() && fed.error().code == ErrorCode::kCancelled)
      return cancelled(session, fed.error().message);
    TERN_TRY_ASSIGN(session.logits, std::move(fed));
  }
  *logits = session.logits.data();
  if (count != nullptr) *count = session.logits.size();
  return {};
}

/// Makes the callback of a caller, where there is one, that of the engine.
void set_callback(TextParams& params, tern_token_callback on_token, void* user) {
  if (on_token == nullptr) return;
  params.on_piece = [on_token, user](int32_t token, std::string_view text) {
    return on_token(user, token, text.data(), text.size());
  };
}

/// Keeps the answer; a cancelled one is a status of its own.
Outcome finish(SessionState& session, TextResult result) {
  const auto tokens = result.raw.tokens.size();
  const bool was_cancelled = result.raw.finish == FinishReason::kCancelled;
  session.result = std::move(result);
  if (was_cancelled)
    return cancelled(session, fmt::format("cancelled after {} tokens of the answer", tokens));
  return {};
}

Outcome generate_tokens(SessionState& session, const tern_generate_params* given,
                        tern_token_callback on_token, void* user) {
  TERN_TRY_ASSIGN(TextParams params, text_params(given, session));
  set_callback(params, on_token, user);
  TERN_TRY(claim(session, Use::kTokens));
  session.logits = {};
  const auto& tokenizer = session.model->tokenizer;
  if (!tokenizer.ok() && !params.stops.empty()) return tokenizer.error();
  TERN_TRY_ASSIGN(TextResult result,
                  generate_text(*session.runner, session.sequence,
                                tokenizer.ok() ? tokenizer.value() : nullptr, session.tokens, params));
  session.tokens.insert(session.tokens.end(), result.raw.tokens.begin(), result.raw.tokens.end());
  return finish(session, std::move(result));
}

Outcome ask(SessionState& session, std::string_view text, const tern_generate_params* given,
            tern_token_callback on_token, void* user) {
  TERN_TRY_ASSIGN(TextParams params, text_params(given, session));
  TERN_TRY_ASSIGN(auto* const chat, conversation(session));
  const auto& stop_ids = session.model->chat_stop_ids;
  params.generate.stop_ids.insert(params.generate.stop_ids.end(), stop_ids.begin(), stop_ids.end());
  set_callback(params, on_token, user);
  TERN_TRY_ASSIGN(TextResult result, chat->ask(text, params));
  return finish(session, std::move(result));
}

tern_finish finish_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return TERN_FINISH_STOP;
    case FinishReason::kLength:
      return TERN_FINISH_LENGTH;
    case FinishReason::kContextFull:
      return TERN_FINISH_CONTEXT;
    case FinishReason::kCancelled:
      return TERN_FINISH_CANCELLED;
    case FinishReason::kCallback:
      return TERN_FINISH_CALLBACK;
  }
  return TERN_FINISH_NONE;
}

tern_result result_of(const SessionState& session) {
  tern_result out{};
  if (!session.result) return out;
  const GenerateResult& raw = session.result->raw;
  out.finish = finish_of(raw.finish);
  out.text = session.result->text.data();
  out.text_length = session.result->text.size();
  out.tokens = raw.tokens.data();
  out.token_count = raw.tokens.size();
  out.prompt_tokens = raw.timings.prompt_tokens;
  out.cached_tokens = raw.timings.cached_tokens;
  out.prefill_seconds = raw.timings.prefill_seconds;
  out.decode_seconds = raw.timings.decode_seconds;
  return out;
}

void reset(SessionState& session) {
  session.chat.reset();
  session.tokens.clear();
  session.sequence.truncate(0);
  session.logits = {};
  session.result.reset();
  session.cancel.store(false, std::memory_order_relaxed);
  session.use = Use::kNone;
}

/// Runs body(session) as the only call in the session's context. Works on a copy of the handle's pointer: a
/// callback may destroy the handle.
template <class Body>
tern_status with_session(const tern_session* handle, Body&& body) noexcept {
  if (handle == nullptr) return TERN_ERROR_USAGE;
  const std::shared_ptr<SessionState> session = handle->state;
  return guarded(session->model->context, [&]() -> Outcome { return body(*session); });
}

}  // namespace

}  // namespace tern::capi

using namespace tern::capi;  // NOLINT: this file implements nothing else

extern "C" {

void tern_session_options_init(tern_session_options* options, size_t size) {
  init_options(tern_session_options{}, options, size);
}

tern_status tern_session_create(tern_model* model, const tern_session_options* options,
                                tern_session** session) {
  if (session != nullptr) *session = nullptr;
  if (model == nullptr) return TERN_ERROR_USAGE;
  return guarded(model->state->context, [&]() -> Outcome {
    if (session == nullptr) return null_argument("session");
    TERN_TRY_ASSIGN(std::unique_ptr<tern_session> handle, create_session(model->state, options));
    *session = handle.release();
    return {};
  });
}

void tern_session_destroy(tern_session* session) { delete session; }

tern_status tern_session_reset(tern_session* session) {
  return with_session(session, [](SessionState& state) {
    reset(state);
    return Outcome();
  });
}

tern_status tern_session_feed(tern_session* session, const int32_t* tokens, size_t count) {
  return with_session(session, [&](SessionState& state) { return feed(state, tokens, count); });
}

tern_status tern_session_tokens(const tern_session* session, int32_t* tokens, size_t capacity,
                                size_t* needed) {
  return with_session(session, [&](SessionState& state) {
    return copy_out<int32_t>(state.tokens, tokens, capacity, needed, "tokens");
  });
}

tern_status tern_session_truncate(tern_session* session, size_t length) {
  return with_session(session, [&](SessionState& state) { return truncate(state, length); });
}

tern_status tern_session_eval(tern_session* session, const float** logits, size_t* count) {
  return with_session(session, [&](SessionState& state) { return eval(state, logits, count); });
}

void tern_generate_params_init(tern_generate_params* params, size_t size) {
  init_options(default_generate_params(), params, size);
}

tern_status tern_session_generate(tern_session* session, const tern_generate_params* params,
                                  tern_token_callback on_token, void* user) {
  return with_session(session,
                      [&](SessionState& state) { return generate_tokens(state, params, on_token, user); });
}

tern_status tern_session_set_system(tern_session* session, const char* text, size_t length) {
  return with_session(session, [&](SessionState& state) -> Outcome {
    TERN_TRY_ASSIGN(const std::string_view view, text_argument(text, length, "text"));
    TERN_TRY_ASSIGN(auto* const chat, conversation(state));
    return chat->set_system(view);
  });
}

tern_status tern_session_ask(tern_session* session, const char* text, size_t length,
                             const tern_generate_params* params, tern_token_callback on_token, void* user) {
  return with_session(session, [&](SessionState& state) -> Outcome {
    TERN_TRY_ASSIGN(const std::string_view view, text_argument(text, length, "text"));
    return ask(state, view, params, on_token, user);
  });
}

void tern_session_cancel(tern_session* session, bool cancel) {
  if (session != nullptr) session->state->cancel.store(cancel, std::memory_order_relaxed);
}

tern_status tern_session_get_result(const tern_session* session, tern_result* result, size_t size) {
  return with_session(session, [&](SessionState& state) -> Outcome {
    if (result == nullptr) return null_argument("result");
    write_struct(result_of(state), result, size);
    return {};
  });
}

}  // extern "C"
