// SPDX-License-Identifier: MIT
// What an engine runs on: the machine's topology and features, a thread pool, the chosen kernels, the
// backend. Owned by whoever owns engines (a program's main, the C API) and passed down; nothing of it is
// global.
#pragma once

#include <memory>
#include <string>

#include "core/thread_pool.h"
#include "core/topology.h"
#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"

namespace tern {

struct ContextOptions {
  std::string isa = "auto";  // a name of known_isas()
  int64_t threads = 0;       // 0 = one per physical core the process may use
  bool pin = true;
};

class Context {
 public:
  /// Errors: kUsage for an unknown instruction set or thread count, kUnsupported for one this CPU lacks.
  static Result<std::unique_ptr<Context>> create(const ContextOptions& options);

  Backend& backend() { return *backend_; }
  ThreadPool& pool() { return *pool_; }
  const KernelTable& kernels() const { return kernels_; }
  const Topology& topology() const { return topology_; }
  uint64_t cpu_features() const { return cpu_features_; }
  size_t num_threads() const { return pool_->num_threads(); }
  bool is_pinned() const { return pool_->is_pinned(); }

 private:
  Context() = default;
  Topology topology_;
  uint64_t cpu_features_ = 0;
  KernelTable kernels_{};
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace tern
