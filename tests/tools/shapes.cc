// SPDX-License-Identifier: MIT
// The shapes that random models are made in: of real models (FORMATS.md B.4), and small ones of every family.
#include "tests/tools/test_models.h"

namespace tern::test {
namespace {

/// Falcon3, Falcon-E and TriLM.
std::vector<ModelShape> llama_families() {
  std::vector<ModelShape> list = {
      {"falcon3-1b", "llama", 2048, 8192, 18, 8, 4, 256, 131072, 8192, 1e-6f, 1000042, true, false},
      {"falcon-e-1b", "llama", 2048, 9216, 24, 16, 2, 128, 32768, 32768, 1e-5f, 1000000, true, false},
      // Heads as wide as the model, with a key_length of their own.
      {"falcon3-small", "llama", 256, 512, 2, 4, 2, 128, 260, 256, 1e-6f, 1000042, true, false},
  };
  for (ModelShape& shape : list) shape.activation = "";  // I2_S says it
  std::vector<ModelShape> trilm = {
      {"trilm-99m", "llama", 512, 1280, 16, 8, 8, 64, 50304, 2048, 1e-5f, 10000, true, false},
      {"trilm-3.9b", "llama", 3072, 9216, 30, 24, 24, 128, 50688, 2048, 1e-5f, 10000, true, false},
      {"trilm-small", "llama", 512, 512, 2, 4, 4, 128, 260, 256, 1e-5f, 10000, true, false},
  };
  for (ModelShape& shape : trilm) {
    shape.scales = Scales::kShards;
    shape.activation = shape.name == "trilm-small" ? "int16" : "";  // real sizes say it
    list.push_back(shape);
  }
  return list;
}

/// Bonsai (1-bit), Ternary-Bonsai, and the BitNet embedding model. Whether the heads of the 1.7B are tied is
/// unknown.
std::vector<ModelShape> qwen3_families() {
  std::vector<ModelShape> list = {
      {"bonsai-1.7b", "qwen3", 2048, 6144, 28, 16, 8, 128, 151669, 32768, 1e-6f, 1000000, true, true},
      {"bonsai-8b", "qwen3", 4096, 12288, 36, 32, 8, 128, 151669, 65536, 1e-6f, 1000000, true, false},
      {"bonsai-small", "qwen3", 256, 384, 2, 6, 2, 64, 261, 4096, 1e-6f, 1000000, true, false},
  };
  for (size_t i = 0; i < 3; ++i) {
    ModelShape& shape = list[i];
    shape.scales = Scales::kGroups;
    shape.has_ternary_tables = true;
    shape.activation = "";  // the containers say it
    if (!shape.is_tied) shape.yarn_factor = 4, shape.yarn_context = shape.context / 4;
    ModelShape ternary = shape;
    ternary.name = "ternary-" + shape.name;
    shape.has_zero = false;
    if (ternary.name == "ternary-bonsai-small") ternary.is_tied = true, ternary.yarn_factor = 1;
    list.push_back(ternary);
  }
  std::vector<ModelShape> embedding = {
      {"embedding-0.6b", "qwen3", 1024, 3072, 28, 16, 8, 128, 151936, 32768, 1e-6f, 1000000, true, true},
      {"embedding-small", "qwen3", 256, 384, 2, 4, 2, 64, 262, 512, 1e-6f, 1000000, true, true},
  };
  for (ModelShape& shape : embedding) {
    shape.has_linear_norms = true;
    shape.activation = "";
    list.push_back(shape);
  }
  list.push_back(
      {"qwen3-dense-small", "qwen3", 192, 320, 2, 4, 2, 64, 258, 512, 1e-6f, 1000000, false, true});
  return list;
}

}  // namespace

const std::vector<ModelShape>& known_shapes() {
  //  name, architecture, hidden, ffn, layers, heads, kv heads, head_dim, vocab, context, eps, theta, ternary,
  //  tied
  static const std::vector<ModelShape> shapes = {
      {"tiny", "bitnet-b1.58", 128, 256, 2, 4, 2, 32, 258, 512, 1e-5f, 10000, true, true},
      {"bitnet-2b-4t", "bitnet-b1.58", 2560, 6912, 30, 20, 5, 128, 128256, 4096, 1e-5f, 500000, true, true},
      {"bitnet-large", "bitnet", 1536, 4096, 24, 16, 16, 96, 32002, 2048, 1e-5f, 10000, true, true},
      {"bitnet-xl", "bitnet", 2048, 5460, 24, 32, 32, 64, 32002, 2048, 1e-5f, 10000, true, true},
      {"bitnet-3b", "bitnet", 3200, 8640, 26, 32, 32, 100, 32002, 2048, 1e-5f, 10000, true, true},
      {"llama3-8b", "llama", 4096, 14336, 32, 32, 8, 128, 128256, 8192, 1e-5f, 500000, true, false},
      {"llama-dense-small", "llama", 256, 688, 4, 8, 4, 32, 258, 1024, 1e-5f, 10000, false, false},
      // Small ones with widths that no kernel's tile divides.
      {"bitnet-odd", "bitnet-b1.58", 192, 320, 2, 6, 2, 32, 259, 256, 1e-5f, 500000, true, true},
      {"bitnet-small", "bitnet", 256, 512, 2, 4, 4, 64, 258, 256, 1e-6f, 10000, true, true},
      {"bitnet-ragged", "bitnet", 96, 172, 3, 6, 3, 16, 263, 256, 1e-5f, 10000, true, true},
      {"llama-ternary-small", "llama", 256, 512, 2, 8, 2, 64, 260, 256, 1e-6f, 10000, true, false},
      {"llama-dense-tiny", "llama", 128, 320, 2, 4, 2, 32, 258, 256, 1e-5f, 10000, false, false},
      {"llama-dense-odd", "llama", 96, 172, 2, 6, 3, 16, 261, 256, 1e-5f, 10000, false, true},
      {"bitllama-small", "bitllama", 128, 256, 2, 4, 4, 32, 258, 256, 1e-5f, 10000, true, true},
  };
  static const std::vector<ModelShape> all = [] {
    std::vector<ModelShape> list = shapes;
    for (const auto& more : {llama_families(), qwen3_families()})
      list.insert(list.end(), more.begin(), more.end());
    return list;
  }();
  return all;
}

const ModelShape* find_shape(std::string_view name) {
  for (const ModelShape& shape : known_shapes()) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

}  // namespace tern::test
