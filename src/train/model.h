// SPDX-License-Identifier: MIT
// The bitnet-b1.58 model of the trainer: master weights in f32, their trits for one step, and the forward
// pass with gradients. Decides the layout and names of parameters; computes what the engine computes
// (docs/numerics.md), so that an exported file gives the same logits. Used by the trainer, the exporter and
// distillation. CPU.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "train/config.h"
#include "train/dataset.h"
#include "train/ops.h"

namespace tern::train {

/// A matrix of a checkpoint, in the names of Hugging Face: rows [row, row + rows) of a parameter.
struct Part {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  int64_t row = 0, rows = 0;
  bool ternary = false;
};

/// A parameter: matrices that read the same input lie in one tensor, one product for all of them.
struct Parameter {
  Tensor value;  // f32 [rows, cols] or [cols], a view of ModelState::values
  std::vector<Part> parts;
  bool is_matrix = false;  // weight decay counts
  int64_t offset = 0;      // of value in the flat vectors
};

/// What products read during one step: trits (ternary) or rounded values in the product type, one factor a
/// part. Norm weights stay f32.
struct StepWeights {
  std::vector<Tensor> tensors;               // one for each parameter
  std::vector<std::vector<double>> factors;  // [parameter][part]
};

class TrainModel {
 public:
  /// Seeded initial weights: normal, deviation 0.02, projections back into the residual stream divided by
  /// sqrt(2 layers), norms 1. Memory: 4 bytes a weight.
  static TrainModel create(const ModelShape& shape, bool ternary, uint64_t seed);

  const ModelShape& shape() const { return shape_; }
  bool ternary() const { return ternary_; }
  std::vector<Parameter>& parameters() { return parameters_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  int64_t parameter_count() const { return values_.numel(); }
  /// All parameters, flat f32.
  Tensor& values() { return values_; }
  const Tensor& values() const { return values_; }

  /// Quantises every matrix into `out` (allocated on first use). Threads: parameters [begin, end) only.
  void quantize(torch::ScalarType type, StepWeights& out, size_t begin, size_t end) const;
  StepWeights quantize(torch::ScalarType type) const;

  /// The final norm's output [rows * context, hidden] in the product type. `weights` are leaves or plain
  /// tensors; gradients follow what requires them.
  Tensor hidden(const StepWeights& weights, const Batch& batch) const;

  /// `scale` times the summed loss of the batch; `losses` as in head_loss.
  Tensor loss(const StepWeights& weights, const Batch& batch, double scale, Tensor losses = {}) const;

  /// Logits [rows * context, vocab] in f32 (evaluation; gradients follow).
  Tensor logits(const StepWeights& weights, const Batch& batch) const;

  /// The table of the output head among StepWeights::tensors.
  size_t head_index() const { return shape_.tie_embeddings ? kEmbedding : parameters_.size() - 1; }

 private:
  static constexpr size_t kEmbedding = 0;
  enum InLayer : size_t {
    kAttnNorm,
    kQkv,
    kAttnSubNorm,
    kOut,
    kFfnNorm,
    kGateUp,
    kFfnSubNorm,
    kDown,
    kPerLayer
  };
  size_t index(int64_t layer, InLayer what) const {
    return 1 + static_cast<size_t>(layer) * kPerLayer + what;
  }
  size_t final_norm() const { return 1 + static_cast<size_t>(shape_.layers) * kPerLayer; }
  void add(std::vector<Part> parts, int64_t cols, bool is_matrix);
  void add_layer(int64_t layer);
  void initialize(uint64_t seed);
  AttentionShape attention_shape(const Batch& batch) const;

  ModelShape shape_;
  bool ternary_ = true;
  Tensor values_;
  Tensor cos_, sin_;  // [context, head_dim / 2]
  std::vector<Parameter> parameters_;
};

}  // namespace tern::train
