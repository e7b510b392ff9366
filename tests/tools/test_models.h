// SPDX-License-Identifier: MIT
// Models that the tests and the two programs of this folder write as GGUF files: third-party ones read from
// their own formats (../shared/data/models), and random ones of any shape. A TestModel is neutral: what the
// numbers are, not how a container stores them, so that one model can be written in every container and
// computed by an independent reference. No part of tern's library; links formats only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/result.h"
#include "formats/gguf_write.h"
#include "formats/ternary/codec.h"
#include "formats/weights.h"

namespace tern::test {

/// How the scales of a ternary matrix differ: not at all; by halves of its rows or columns (TriLM's
/// model-parallel shards); per 128 columns of each row (Bonsai). All but the first are exact in f16.
enum class Scales : uint8_t { kOne, kShards, kGroups };

/// The numbers that decide the function of a model; names as in FORMATS.md B.4.
struct ModelShape {
  std::string name;          // general.name, and the name that make_model --shape takes
  std::string architecture;  // general.architecture
  uint64_t hidden = 0, intermediate = 0, layers = 0;
  uint64_t heads = 0, kv_heads = 0, head_dim = 0;
  uint64_t vocab = 0, context = 0;
  float rms_eps = 1e-5f;
  float rope_theta = 10000;
  bool is_ternary = true;  // of the seven projections of each layer
  bool is_tied = true;     // no output.weight
  // What only some families have.
  Scales scales = Scales::kOne;
  bool has_zero = true;             // false: 1-bit weights
  bool has_ternary_tables = false;  // embedding and head too, with a scale per 128 columns
  bool has_linear_norms = false;    // *_norm_in, and last-token pooling
  const char* activation = "int8";  // key tern.activation of llama and qwen3; empty: not written
  float yarn_factor = 1;            // 1: no YaRN keys
  uint64_t yarn_context = 0;

  bool has_qk_norm() const { return architecture == "qwen3"; }
  bool has_sub_norms() const { return architecture.starts_with("bitnet"); }
  bool has_block_norms() const { return architecture != "bitllama"; }
};

/// One tensor [rows, cols]; rows 0 stands for a vector of cols values. Contents are produced on request, row
/// by row, so that a model larger than memory can be described.
struct TestTensor {
  std::string name;  // as in the GGUF file
  uint64_t rows = 0, cols = 0;
  float scale = 1;  // ternary only
  std::function<void(uint64_t row_begin, uint64_t row_count, float* values)> read_values =
      {};  // [row_count, cols]
  std::function<void(uint64_t row_begin, uint64_t row_count, int8_t* trits)> read_trits = {};  // null: dense
  std::function<float(uint64_t row, uint64_t col)> vary = {};  // null: `scale` everywhere
  uint64_t vary_cols = 0;  // columns over which `vary` is constant, 0: all of a row
  bool has_zero = true;    // ternary only: false where no trit is 0

  bool is_ternary() const { return read_trits != nullptr; }
  float scale_at(uint64_t row, uint64_t col) const { return vary ? vary(row, col) : scale; }
  uint64_t row_count() const { return rows == 0 ? 1 : rows; }
  /// All values as f32; of a ternary tensor, trit * scale.
  std::vector<float> values() const;
  std::vector<int8_t> trits() const;
};

struct Vocabulary {
  std::string model, pre;  // tokenizer.ggml.model: "gpt2" or "llama"; empty: no tokenizer keys are written
  std::vector<std::string> tokens;
  std::vector<float> scores;         // empty: not written
  std::vector<int32_t> token_types;  // 1 normal, 2 unknown, 3 control, 6 byte
  uint32_t bos = 0, eos = 0;
  bool add_bos = true, add_eos = false;
};

struct TestModel {
  ModelShape shape;
  std::vector<TestTensor> tensors;
  Vocabulary vocabulary;

  const TestTensor& tensor(std::string_view name) const;  // aborts where absent
};

// ---- where models come from
// ---------------------------------------------------------------------------------------

/// A llama2.c "version 0" fp32 checkpoint (data/models/FORMATS.md). Errors: any size that does not agree.
Result<TestModel> import_llama2c(const std::string& path);
/// A bitllama2.c ternary checkpoint; `msb_first`: the first weight of a byte in its two most significant
/// bits.
Result<TestModel> import_bitllama2(const std::string& path, bool msb_first);
/// The vocabulary of a llama2.c tokenizer file (tok512.bin). Errors: sizes that do not agree with `tokens`.
Result<Vocabulary> import_llama2c_vocabulary(const std::string& path, uint64_t tokens);

/// The shapes that random_model knows by name: tiny, real ones for load and speed, and odd ones for tests.
const std::vector<ModelShape>& known_shapes();
/// Null where the name is unknown.
const ModelShape* find_shape(std::string_view name);

/// Weights from a seeded generator of our own: the same bits on every machine. Trits are 40.6 % zeros,
/// otherwise balanced; scales and norms are such that activations neither explode nor vanish. Dense values
/// are n * 2^-k with |n| < 128, which f32, f16 and bf16 all hold exactly. Logits of printable ASCII are
/// larger than those of other tokens.
TestModel random_model(const ModelShape& shape, uint64_t seed);

// ---- containers
// ---------------------------------------------------------------------------------------------------

/// A way to store the ternary tensors of a model.
struct Container {
  std::string name;  // "i2_s", "i2_s-arm-64", "tq1_0"...
  DType dtype;
  LayoutChoice layout = {};
  uint64_t scale_cols = 0,
           scale_rows = 0;  // > 0: the scale stands in an f32 `.scale` of this shape, repeated
};
const std::vector<Container>& ternary_containers();
const Container* find_container(std::string_view name);  // null where the name is unknown
/// True where the container's shape rules allow every ternary tensor of the model.
bool can_hold(const Container& container, const TestModel& model);
/// What a reader of the model in this container must know beyond the file: the tiles of TL1 and TL2.
WeightsOptions weights_options(const Container& container, const TestModel& model);

struct GgufOptions {
  Container container{"i2_s", DType::kI2_S};
  DType dense = DType::kF32;  // of dense projections; one whose columns the block does not divide stays f32
  DType embedding = DType::kF32;  // of token_embd and output, the same rule
};

/// Options from the names that the programs take: `type` a container, or f32, f16, bf16, q8_0 for a model
/// with dense projections; "auto" = the first container that can hold the model, f16 for dense ones. Errors:
/// kUsage for a name that is unknown or a container that cannot hold the model (lists those that can).
Result<GgufOptions> gguf_options(const TestModel& model, std::string_view type, std::string_view embedding);

/// What a GGUF file will hold, open to change before it is written: tests of refusals edit it.
struct GgufContents {
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<uint64_t> shape;  // GGUF order
    GgufWriter::Produce produce;
  };
  std::vector<std::pair<std::string, GgufWriteValue>> keys;
  std::vector<Tensor> tensors;

  GgufWriteValue* find_key(std::string_view key);  // null where absent
  void set(std::string key, GgufWriteValue value);
  void remove_key(std::string_view key);
  Tensor* find(std::string_view tensor);  // null where absent
  void remove_tensor(std::string_view tensor);
  /// Adds an f32 vector or, with `rows`, an f32 matrix.
  void add_f32(std::string tensor, std::vector<float> values, uint64_t rows = 0);
};

/// The model in the container. Borrows nothing: tensors share the model's producers. The scale of a ternary
/// tensor is kept exactly: where the container stores f16 and the scale does not fit, the block scales are 1
/// and an f32 tensor
/// `<stem>.scale` holds it.
GgufContents gguf_contents(const TestModel& model, const GgufOptions& options);

/// Writes atomically. `progress` (may be empty) is called before each tensor. Errors: those of GgufWriter.
Status write_contents(const GgufContents& contents, const std::string& path,
                      const std::function<void(size_t done, size_t total)>& progress = {});

inline Status write_gguf(const TestModel& model, const GgufOptions& options, const std::string& path) {
  return write_contents(gguf_contents(model, options), path);
}

}  // namespace tern::test
