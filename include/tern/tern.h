/* SPDX-License-Identifier: MIT
 * The C API of tern: run a ternary language model from any language. C11 and C++17; the only headers are the
 * three below.
 *
 * Handles. A tern_context is the machine: threads and kernels, and the text of the last error. From it come
 * models, from a model sessions. What a handle stands on lives as long as the handle, so handles may be
 * destroyed in any order, also from within a callback; but never while another thread is inside a call with
 * that handle.
 *
 * Errors. Every function that can fail returns a tern_status; the sentence that says what was wrong, where,
 * and what to do is kept by the context: tern_context_last_error(). Nothing is printed, nothing aborts, no
 * exception leaves the library. A null handle, or a null pointer where one is needed, gives TERN_ERROR_USAGE.
 * After an error the arguments that results go to are untouched unless the function says otherwise.
 *
 * Threads. Each function says "any" or "context".
 *
 * any: it may be called from any thread at any time.
 *
 * context: a context and everything made from it serve one thread at a time. A second call that arrives while
 * one is running (from another thread, or from the running call's own callback) returns TERN_ERROR_BUSY,
 * changes nothing and leaves no text. Different contexts are independent. The library has no global state and
 * starts no threads but those of a context.
 *
 * Texts are UTF-8 with explicit lengths; they need no NUL at their end and may contain one. Pointers that a
 * function takes are read during the call only. Results of unknown size are written into the caller's buffer:
 * pass its capacity, get the size that is needed. A null buffer only asks for the size (TERN_OK); one that is
 * too small is left untouched (TERN_ERROR_BUFFER_TOO_SMALL). `needed` may be null.
 *
 * Growth. Structs of options begin with their size, which the init function sets along with the defaults;
 * later versions only append fields whose zero means what the version before did. Numbers never change their
 * meaning.
 */
#ifndef TERN_TERN_H
#define TERN_TERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERN_VERSION_MAJOR 0
#define TERN_VERSION_MINOR 1
#define TERN_VERSION_PATCH 0

#if defined(_WIN32)
#  define TERN_API
#else
#  define TERN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_context tern_context;
typedef struct tern_model tern_model;
typedef struct tern_session tern_session;

typedef enum tern_status {
  TERN_OK = 0,
  TERN_ERROR_USAGE = 1,            /* an argument is wrong */
  TERN_ERROR_NOT_FOUND = 2,        /* no such file or key */
  TERN_ERROR_CORRUPT = 3,          /* the file contradicts its own format */
  TERN_ERROR_UNSUPPORTED = 4,      /* well formed, but nothing that tern computes rightly */
  TERN_ERROR_IO = 5,               /* the operating system refused */
  TERN_ERROR_OUT_OF_MEMORY = 6,    /* memory, or the room of a session's context */
  TERN_ERROR_NUMERIC = 7,          /* a non-finite value appeared */
  TERN_ERROR_CANCELLED = 8,        /* tern_session_cancel() */
  TERN_ERROR_BUFFER_TOO_SMALL = 9, /* *needed says how large it must be */
  TERN_ERROR_BUSY = 10,            /* a call with the same context is running */
  TERN_ERROR_INTERNAL = 11         /* a bug in tern */
} tern_status;

/* A text inside a struct: `length` bytes at `data`. {NULL, 0}: none. */
typedef struct tern_text {
  const char* data;
  size_t length;
} tern_text;

/* ---- library
 * ------------------------------------------------------------------------------------------------- */

/* "0.1.0" of the library at hand; the macros are those of the header. Threads: any. */
TERN_API const char* tern_version(void);

/* "usage", "not found", ...; "unknown" for a number that is no status. Threads: any. */
TERN_API const char* tern_status_name(tern_status status);

/* ---- context
 * ------------------------------------------------------------------------------------------------- */

enum {
  /* Bind the threads to processors, the calling one included: a little faster where tern has the machine for
   * itself, much slower where it has not, so a library does not do it unasked. */
  TERN_CONTEXT_PIN_THREADS = 1
};

typedef struct tern_context_options {
  size_t size;
  tern_text
      isa; /* kernels: "auto" (also {NULL, 0}), "scalar", "avx2"...; results are the same bits with each */
  int32_t threads; /* 1 to 1024; 0: one for each physical core that the process may use */
  uint32_t flags;  /* TERN_CONTEXT_... */
} tern_context_options;

/* Sets the defaults; `size` is sizeof(tern_context_options) of the caller. Threads: any. */
TERN_API void tern_context_options_init(tern_context_options* options, size_t size);

/* Starts the threads and chooses the kernels. `options` may be null: the defaults.
 * After an error *context is a handle all the same, so that tern_context_last_error() can be read; it must be
 * destroyed and is good for nothing else. It is null only where not even that much memory could be had, or
 * `context` is null. Errors: USAGE (unknown isa, thread count), UNSUPPORTED (this processor lacks the isa).
 * Threads: any. */
TERN_API tern_status tern_context_create(const tern_context_options* options, tern_context** context);

/* Null is allowed. Threads: any but those inside a call with it. */
TERN_API void tern_context_destroy(tern_context* context);

/* The text of the last call on this context, or on what was made from it, that failed; "" before the first.
 * Ends with a NUL; `length` (may be null) receives its length without it. Valid until the next call that
 * fails. Threads: context. */
TERN_API const char* tern_context_last_error(const tern_context* context, size_t* length);

/* What runs here, lines for people: kernels, threads, topology. Threads: context. */
TERN_API tern_status tern_context_describe(const tern_context* context, char* text, size_t capacity,
                                           size_t* needed);

/* ---- model
 * --------------------------------------------------------------------------------------------------- */

/* Called while a model is read. Threads: on the calling thread; may call functions marked `any` only. */
typedef void (*tern_progress_callback)(void* user, int64_t done_bytes, int64_t total_bytes);

enum {
  /* The activations are int8 although the file does not say so. */
  TERN_MODEL_INT8_ACTIVATIONS = 1
};

typedef struct tern_model_options {
  size_t size;
  tern_text i2s_order;     /* byte order of I2_S: "x86-128", "arm-64", "x86-1x4"; none: as the file says */
  tern_text chat_template; /* a Jinja program to use in place of the file's; none: chat_format decides */
  tern_text chat_format;   /* a built-in template's name, or a template file's path; none: by the file */
  tern_progress_callback progress; /* may be null */
  void* progress_user;
  uint32_t flags; /* TERN_MODEL_... */
  uint32_t reserved;
} tern_model_options;

/* As tern_context_options_init. Threads: any. */
TERN_API void tern_model_options_init(tern_model_options* options, size_t size);

/* Opens a GGUF file: maps, checks and packs it. `options` may be null. A model is immutable.
 * Errors: NOT_FOUND, IO, CORRUPT, UNSUPPORTED (each names file and place), USAGE, OUT_OF_MEMORY; *model is
 * then null. A model whose tokenizer or chat template is missing or unusable opens; the functions that need
 * it fail and say why. Threads: context. */
TERN_API tern_status tern_model_open(tern_context* context, const char* path, size_t path_length,
                                     const tern_model_options* options, tern_model** model);

/* Null is allowed. Sessions of the model go on. Threads: any but those inside a call with it. */
TERN_API void tern_model_close(tern_model* model);

typedef struct tern_model_info {
  int64_t vocab_size;   /* token ids are 0 to vocab_size - 1; the length of a row of logits */
  int64_t context_size; /* tokens that the model was made for */
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t num_layers;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  uint64_t file_bytes;
  uint64_t packed_bytes; /* memory of the packed weights */
  int32_t bos_token;     /* -1: none */
  int32_t eos_token;     /* -1: none */
  bool has_tokenizer;
  bool has_chat_template;
} tern_model_info;

/* Writes the first `size` bytes of the numbers; pass sizeof(tern_model_info). Fields that this library does
 * not know yet become zero. Threads: any. */
TERN_API tern_status tern_model_get_info(const tern_model* model, tern_model_info* info, size_t size);

/* The value of a metadata key as text: strings as they are, numbers in decimal, true or false.
 * Errors: NOT_FOUND, UNSUPPORTED for an array, BUFFER_TOO_SMALL. Threads: context. */
TERN_API tern_status tern_model_metadata(const tern_model* model, const char* key, size_t key_length,
                                         char* value, size_t capacity, size_t* needed);

/* ---- text and tokens
 * ----------------------------------------------------------------------------------------- */

enum {
  TERN_TOKENIZE_SPECIAL =
      1, /* texts of control tokens become these tokens; never for text of untrusted origin */
  TERN_TOKENIZE_NO_BOS = 2,  /* no token for the beginning, also where the file asks for one */
  TERN_TOKENIZE_EOS = 4,     /* add the token for the end */
  TERN_TOKENIZE_CONTINUE = 8 /* the text continues other text: no BOS, no leading space added */
};

/* Ids of `text` (any bytes) into tokens[capacity]; sizes count tokens.
 * Errors: NOT_FOUND or UNSUPPORTED where the file has no tokenizer that tern can use, BUFFER_TOO_SMALL,
 * USAGE. Threads: context. */
TERN_API tern_status tern_tokenize(const tern_model* model, const char* text, size_t length, uint32_t flags,
                                   int32_t* tokens, size_t capacity, size_t* needed);

enum {
  TERN_DETOKENIZE_SPECIAL = 1,  /* show control tokens */
  TERN_DETOKENIZE_CONTINUE = 2, /* the tokens continue a text: a leading space stays */
  TERN_DETOKENIZE_RAW = 4       /* bytes that are not valid UTF-8 stay; else they become U+FFFD */
};

/* The text of tokens[count] into text[capacity], without a NUL; sizes count bytes.
 * Errors: USAGE for an id outside the vocabulary, NOT_FOUND or UNSUPPORTED (no tokenizer), BUFFER_TOO_SMALL.
 * Threads: context. */
TERN_API tern_status tern_detokenize(const tern_model* model, const int32_t* tokens, size_t count,
                                     uint32_t flags, char* text, size_t capacity, size_t* needed);

/* Whether `token` ends an answer. False for a null model, or one without a tokenizer. Threads: any. */
TERN_API bool tern_model_is_end_token(const tern_model* model, int32_t token);

/* ---- session
 * ------------------------------------------------------------------------------------------------- */

typedef enum tern_kv_type {
  TERN_KV_AUTO = 0, /* f32 for small models, f16 otherwise: depends on the model only */
  TERN_KV_F16 = 1,
  TERN_KV_F32 = 2 /* twice the memory */
} tern_kv_type;

enum {
  /* A conversation that no longer fits forgets its oldest question and answer, as often as needed; else it is
     refused. */
  TERN_SESSION_DROP_OLDEST = 1
};

typedef struct tern_session_options {
  size_t size;
  int64_t context_size; /* tokens that the session has room for; 0: as many as the model was made for */
  int32_t batch_size;   /* tokens fed at once, 1 to 65536: changes speed and memory, never results; 0: 512 */
  int32_t kv_type;      /* tern_kv_type */
  uint32_t flags;       /* TERN_SESSION_... */
  uint32_t reserved;
} tern_session_options;

/* As tern_context_options_init. Threads: any. */
TERN_API void tern_session_options_init(tern_session_options* options, size_t size);

/* A session is one run of text with the cache that goes with it. It is used in one of two ways, by what is
 * called first: tokens        tern_session_feed, _eval, _generate, _truncate: a sequence of tokens that the
 * model continues; conversation  tern_session_set_system, _ask: messages in the form of the model's chat
 * template. Calls of the other kind then give TERN_ERROR_USAGE, until tern_session_reset. Memory is taken
 * here, not later. Errors: USAGE, OUT_OF_MEMORY; *session is then null. Threads: context. */
TERN_API tern_status tern_session_create(tern_model* model, const tern_session_options* options,
                                         tern_session** session);

/* Null is allowed. Threads: any but those inside a call with it. */
TERN_API void tern_session_destroy(tern_session* session);

/* Forgets everything: tokens, messages, the system message, results, a pending cancel. Threads: context. */
TERN_API tern_status tern_session_reset(tern_session* session);

/* Appends tokens. They are computed by the next eval or generate. Errors: USAGE for an id outside the
 * vocabulary, OUT_OF_MEMORY where they do not fit; nothing is appended then. Threads: context. */
TERN_API tern_status tern_session_feed(tern_session* session, const int32_t* tokens, size_t count);

/* The tokens of the sequence, fed and generated, into tokens[capacity]. Of a conversation: none. Threads:
 * context. */
TERN_API tern_status tern_session_tokens(const tern_session* session, int32_t* tokens, size_t capacity,
                                         size_t* needed);

/* Keeps the first `length` tokens, as if the rest had never been. Errors: USAGE where there are fewer.
 * Threads: context. */
TERN_API tern_status tern_session_truncate(tern_session* session, size_t length);

/* Computes what was fed. *logits: the logits after the last token, float [*count], *count = vocab_size; they
 * belong to the session and are valid until its next call. Errors: USAGE without any token, NUMERIC,
 * CANCELLED (what was computed stays). Threads: context. */
TERN_API tern_status tern_session_eval(tern_session* session, const float** logits, size_t* count);

/* ---- generation
 * ---------------------------------------------------------------------------------------------- */

typedef struct tern_logit_bias {
  int32_t token;
  float bias; /* added to the logit; -INFINITY forbids the token */
} tern_logit_bias;

enum {
  TERN_GENERATE_IGNORE_END = 1,  /* go on past the tokens that end an answer */
  TERN_GENERATE_SHOW_SPECIAL = 2 /* control tokens give their text */
};

/* The same model, tokens, parameters and seed give the same answer on every machine. Order of the steps:
 * bias, penalties, then for temperature 0 the largest logit, else top_k, top_p, min_p, temperature. */
typedef struct tern_generate_params {
  size_t size;
  uint64_t seed;
  int64_t max_tokens;       /* -1 (default): until an end, or until the context is full */
  float temperature;        /* >= 0, default 0.8; 0: always the likeliest token */
  float top_p;              /* (0, 1], default 0.95; 1: all */
  float min_p;              /* [0, 1], default 0.05; 0: none */
  float repetition_penalty; /* > 0, default 1: none */
  float presence_penalty;   /* default 0 */
  float frequency_penalty;  /* default 0 */
  int32_t top_k;            /* >= 0, default 40; 0: all */
  int32_t repeat_last_n;    /* tokens that penalties look back on, default 64; -1: all */
  uint32_t flags;           /* TERN_GENERATE_... */
  uint32_t reserved;
  const tern_logit_bias* biases; /* [bias_count] */
  size_t bias_count;
  const int32_t* stop_tokens; /* [stop_token_count]: end the answer, no part of it */
  size_t stop_token_count;
  const tern_text* stops; /* [stop_count]: the answer's text ends before the first of them */
  size_t stop_count;
} tern_generate_params;

/* As tern_context_options_init. Threads: any. */
TERN_API void tern_generate_params_init(tern_generate_params* params, size_t size);

/* Called for an answer while it is made: `length` bytes of whole UTF-8 characters, valid during the call.
 * `token` is the token that was drawn; its characters may come later, with length 0 now. -1: text that
 * belongs to no single token: what was held back at the end, and all text of a conversation. Return false to
 * end the answer here. Threads: on the calling thread; may call functions marked `any` only. */
typedef bool (*tern_token_callback)(void* user, int32_t token, const char* text, size_t length);

/* Continues the tokens of the session and appends the answer to them. `params` and `on_token` may be null.
 * Errors: USAGE (parameters; no token fed), OUT_OF_MEMORY (the tokens do not fit), NUMERIC; the session is
 * then as before. CANCELLED: ended by tern_session_cancel(); what was generated stays, as after TERN_OK.
 * Threads: context. */
TERN_API tern_status tern_session_generate(tern_session* session, const tern_generate_params* params,
                                           tern_token_callback on_token, void* user);

/* Replaces the system message of the conversation; length 0: none. Errors: UNSUPPORTED where the chat
 * template has no place for one, NOT_FOUND where the model has no chat template. Threads: context. */
TERN_API tern_status tern_session_set_system(tern_session* session, const char* text, size_t length);

/* Adds the user's message to the conversation and answers it. What the text of control tokens in it says
 * stays text. Errors: as tern_session_generate, and NOT_FOUND or UNSUPPORTED (chat template, tokenizer);
 * OUT_OF_MEMORY where the conversation is too long. The conversation is then as before. CANCELLED: the part
 * of the answer stays. Threads: context. */
TERN_API tern_status tern_session_ask(tern_session* session, const char* text, size_t length,
                                      const tern_generate_params* params, tern_token_callback on_token,
                                      void* user);

/* With `cancel` true: the running eval, generate or ask, else the next one, returns TERN_ERROR_CANCELLED
 * after the token or batch it is at; that answers the request. False takes the request back: for a request
 * that may have come too late. Threads: any, also callbacks; that is what it is for. Null is allowed. */
TERN_API void tern_session_cancel(tern_session* session, bool cancel);

typedef enum tern_finish {
  TERN_FINISH_NONE = 0,    /* nothing was generated yet */
  TERN_FINISH_STOP = 1,    /* an end token, stop token or stop string */
  TERN_FINISH_LENGTH = 2,  /* max_tokens */
  TERN_FINISH_CONTEXT = 3, /* the context is full */
  TERN_FINISH_CANCELLED = 4,
  TERN_FINISH_CALLBACK = 5 /* on_token returned false */
} tern_finish;

/* The last answer of a session. */
typedef struct tern_result {
  int32_t finish; /* tern_finish */
  uint32_t reserved;
  const char* text; /* [text_length], no NUL */
  size_t text_length;
  const int32_t* tokens; /* [token_count], without the token that ended it */
  size_t token_count;
  int64_t prompt_tokens;  /* fed for this answer */
  int64_t cached_tokens;  /* of the prompt, already computed before */
  double prefill_seconds; /* feeding the prompt */
  double decode_seconds;  /* from the first token of the answer to the last */
} tern_result;

/* The last answer of generate or ask that ended with TERN_OK or TERN_ERROR_CANCELLED, and its timings. Writes
 * the first `size` bytes; pass sizeof(tern_result). The pointers are valid until the session's next generate,
 * ask or reset, or its end. Threads: context. */
TERN_API tern_status tern_session_get_result(const tern_session* session, tern_result* result, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* TERN_TERN_H */
