// SPDX-License-Identifier: MIT
#include "engine/context.h"

#include "core/cpu_features.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/registry.h"

namespace tern {

Result<std::unique_ptr<Context>> Context::create(const ContextOptions& options) {
  constexpr int64_t kMaxThreads = 1024;
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return make_error(ErrorCode::kUsage, "threads is {}, expected 1 to {} (0 = all cores)", options.threads,
                      kMaxThreads);
  }
  auto context = std::unique_ptr<Context>(new Context());
  context->topology_ = detect_topology();
  context->cpu_features_ = detect_cpu_features();
  TERN_TRY_ASSIGN(context->kernels_, choose_kernels(options.isa, context->cpu_features_));
  const size_t threads =
      options.threads > 0 ? static_cast<size_t>(options.threads) : context->topology_.default_threads;
  TERN_TRY_ASSIGN(context->pool_, ThreadPool::create(threads, context->topology_, options.pin));
  context->backend_ = make_cpu_backend(context->kernels_, context->pool_.get());
  return context;
}

}  // namespace tern
