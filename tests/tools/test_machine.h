// SPDX-License-Identifier: MIT
// For tests of the layers above the kernels: a backend with a forced instruction set and thread count, a
// folder for files that vanishes, and a model loaded from what the test describes.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/cpu_features.h"
#include "core/thread_pool.h"
#include "core/topology.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/registry.h"
#include "runtime/runner.h"
#include "tests/tools/test_models.h"

namespace tern::test {

/// The instruction sets that this machine can run, scalar first.
inline std::vector<std::string> runnable_isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : kernel_tables()) {
    if ((table->needs & ~detect_cpu_features()) == 0) names.emplace_back(table->name);
  }
  return names;
}

/// A CPU backend with forced kernels and threads.
class Machine {
 public:
  explicit Machine(std::string_view isa = "auto", size_t threads = 1) {
    auto kernels = choose_kernels(isa, detect_cpu_features());
    TERN_CHECK(kernels.ok(), "an instruction set that this machine does not run");
    if (threads > 1) pool_ = std::make_unique<ThreadPool>(threads, detect_topology(), false);
    backend_ = make_cpu_backend(*kernels, pool_.get());
  }
  Backend& backend() { return *backend_; }

 private:
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Backend> backend_;
};

/// A new folder below the system's temporary one, removed with all it holds at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tern-test-XXXXXX").string();
    TERN_CHECK(::mkdtemp(pattern.data()) != nullptr, "no temporary folder");
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Opens and loads a file. Errors: those of Weights::open and Model::load.
inline Result<std::shared_ptr<const Model>> load_model(const std::string& path, Machine& machine,
                                                       const LoadOptions& options = {},
                                                       const WeightsOptions& weights_options = {}) {
  TERN_TRY_ASSIGN(auto weights, Weights::open(path, weights_options));
  return Model::load(std::move(weights), machine.backend(), options);
}

/// A model with a runner; the machine is borrowed.
inline Result<std::unique_ptr<Runner>> make_runner(const std::string& path, Machine& machine,
                                                   const RunnerOptions& options = {},
                                                   const WeightsOptions& weights_options = {}) {
  TERN_TRY_ASSIGN(auto model, load_model(path, machine, {}, weights_options));
  return Runner::create(std::move(model), machine.backend(), options);
}

/// Token ids for tests: a fixed pseudo-random walk over the vocabulary.
inline std::vector<int32_t> test_tokens(size_t count, int64_t vocab, uint32_t seed = 1) {
  std::vector<int32_t> tokens(count);
  uint32_t x = seed;
  for (int32_t& token : tokens) {
    x = x * 1664525u + 1013904223u;
    token = static_cast<int32_t>((x >> 8) % static_cast<uint32_t>(vocab));
  }
  return tokens;
}

}  // namespace tern::test
