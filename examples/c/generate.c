/* SPDX-License-Identifier: MIT
 * Continues a text: generate MODEL [PROMPT [TOKENS]]. The text goes to stdout as it is made, the rest to
 * stderr.
 *
 *   cc generate.c $(pkg-config --cflags --libs tern) -o generate
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tern/tern.h>

static bool print_piece(void* user, int32_t token, const char* text, size_t length) {
  (void)token;
  fwrite(text, 1, length, (FILE*)user);
  fflush((FILE*)user);
  return true;
}

static int report(const tern_context* context, tern_status status) {
  fprintf(stderr, "generate: %s (%s)\n", tern_context_last_error(context, NULL), tern_status_name(status));
  return 1;
}

/* The prompt's tokens into the session; how many they are is asked first. */
static tern_status feed_text(const tern_model* model, tern_session* session, const char* text) {
  size_t count = 0;
  tern_status status = tern_tokenize(model, text, strlen(text), 0, NULL, 0, &count);
  if (status != TERN_OK) return status;
  int32_t* tokens = malloc((count + 1) * sizeof *tokens);
  if (tokens == NULL) return TERN_ERROR_OUT_OF_MEMORY;
  status = tern_tokenize(model, text, strlen(text), 0, tokens, count, &count);
  if (status == TERN_OK) status = tern_session_feed(session, tokens, count);
  free(tokens);
  return status;
}

static tern_status run(tern_context* context, const char* path, const char* prompt, int64_t max_tokens) {
  tern_model* model = NULL;
  tern_session* session = NULL;
  tern_status status = tern_model_open(context, path, strlen(path), NULL, &model);
  if (status == TERN_OK) status = tern_session_create(model, NULL, &session);
  if (status == TERN_OK) status = feed_text(model, session, prompt);
  if (status == TERN_OK) {
    tern_generate_params params;
    tern_generate_params_init(&params, sizeof params);
    params.max_tokens = max_tokens;
    params.temperature = 0; /* the likeliest token each time: the same text on every machine */
    status = tern_session_generate(session, &params, print_piece, stdout);
  }
  if (status == TERN_OK) {
    tern_result result;
    status = tern_session_get_result(session, &result, sizeof result);
    fprintf(stderr, "\n[%zu tokens in %.2f s, after %" PRId64 " of the prompt in %.2f s; tern %s]\n",
            result.token_count, result.decode_seconds, result.prompt_tokens, result.prefill_seconds,
            tern_version());
  }
  tern_session_destroy(session);
  tern_model_close(model);
  return status;
}

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    fprintf(stderr, "usage: generate MODEL [PROMPT [TOKENS]]\n");
    return 2;
  }
  tern_context* context = NULL;
  tern_status status = tern_context_create(NULL, &context);
  if (status == TERN_OK) {
    status = run(context, argv[1], argc > 2 ? argv[2] : "Once upon a time", argc > 3 ? atoll(argv[3]) : 64);
  }
  const int exit_status = status == TERN_OK ? 0 : report(context, status);
  tern_context_destroy(context);
  return exit_status;
}
