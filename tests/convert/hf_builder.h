// SPDX-License-Identifier: MIT
// Hugging Face directories for tests, written from a TestModel without any code of src/convert: packing,
// order of q/k rows and file layout are spelled out here a second time, from FORMATS.md B.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/tools/test_models.h"

namespace tern::test {

enum class HfStorage { kPackedMultiply, kPackedDivide, kMasterBf16, kMasterF32, kByValueF16 };

struct HfOptions {
  HfStorage storage = HfStorage::kPackedMultiply;
  size_t shards = 1;
  bool has_linear_class = true;
  std::string class_name;  // empty: by the shape's architecture
  std::string prefix = "model.";
};

/// A directory in memory, open to change before it is written: tests of refusals edit it.
struct HfDirectory {
  struct Tensor {
    std::string dtype;
    std::vector<uint64_t> shape;
    std::string bytes;
  };
  nlohmann::ordered_json config;
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> files;  // further files: tokenizer.json...
  size_t shards = 1;

  void write(const std::string& folder) const;
};

HfDirectory hf_directory(const TestModel& model, const HfOptions& options);

}  // namespace tern::test
