/* SPDX-License-Identifier: MIT
 * tern.h read by a C11 compiler: what it says there must be what C++ reads (c_api_test.cc compares). */
#include <tern/tern.h>

size_t c_sizes(size_t* sizes) {
  size_t count = 0;
  sizes[count++] = sizeof(tern_status);
  sizes[count++] = sizeof(tern_context_options);
  sizes[count++] = sizeof(tern_model_options);
  sizes[count++] = sizeof(tern_model_info);
  sizes[count++] = sizeof(tern_session_options);
  sizes[count++] = sizeof(tern_generate_params);
  sizes[count++] = sizeof(tern_result);
  return count;
}

/* A program in C: misuse that must give a status, not a crash. */
int c_misuse(void) {
  tern_generate_params params;
  tern_generate_params_init(&params, sizeof params);
  return tern_session_generate(NULL, &params, NULL, NULL) == TERN_ERROR_USAGE && params.size == sizeof params;
}
