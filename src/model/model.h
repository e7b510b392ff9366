// SPDX-License-Identifier: MIT
// A loaded model: configuration and bound weights, immutable; and the forward pass of one step, written once
// against Backend. Knows rows and pages, not sequences, text or sampling.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/ternary/codec.h"
#include "formats/weights.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/linear.h"

namespace tern {

/// "x86-128", "arm-64" or "x86-1x4" (the values of key tern.i2_s.order and of --i2s-order).
Result<I2sOrder> parse_i2s_order(std::string_view name);

struct LoadOptions {
  std::optional<I2sOrder> i2s_order;          // overrides the file's key and the default (x86-128)
  std::optional<ActivationBits> activations;  // --act: instead of what the file says (not kUnknown)
  std::function<void(int64_t done_bytes, int64_t total_bytes)> progress;  // may be empty
};

/// One transformer block. A null norm pointer means that the architecture has none there.
struct Layer {
  const float* attn_norm = nullptr;      // [hidden]
  const float* attn_sub_norm = nullptr;  // [heads*head_dim]
  const float* ffn_norm = nullptr;       // [hidden]
  const float* ffn_sub_norm = nullptr;   // [intermediate]
  const float* q_norm = nullptr;         // [head_dim], of every head
  const float* k_norm = nullptr;         // [head_dim]
  Linear q, k, v, o, gate, up, down;
};

/// Activations of one step, sized once for `max_rows` rows of which `max_logit_rows` ask for logits.
struct StepBuffers {
  Buffer memory;
  int64_t max_rows = 0, max_logit_rows = 0;
  float *h, *a, *q, *k, *v, *attn, *gate, *up, *y;  // [max_rows, width]
  float *rope_cos, *rope_sin;                       // [max_rows, rope_dim/2]
  float* logits;                                    // [max_logit_rows, vocab]
  uint8_t* bad;  // [max_rows], 1 = a non-finite activation appeared in the row
  QuantizedRows quantized;

  static Result<StepBuffers> create(const Config& config, Backend& backend, int64_t max_rows,
                                    int64_t max_logit_rows);
};

/// What a step gives of the rows that want a result: the logits, or the final norm's output before the head
/// [hidden], which embedding models are made for.
enum class StepOutput : uint8_t { kLogits, kHidden };

/// One row of a step.
struct BatchRow {
  int32_t token = 0;  // in [0, vocab_size)
  RowPlace place;
  bool wants_logits = false;
};

/// The configuration of a file with everything that the tensors say (vocabulary, doubts), without reading any
/// weight. For `tern info`. Errors: as Model::load, of the header and the embedding's shape.
Result<Config> inspect_config(const Weights& weights);

class Model {
 public:
  /// Reads the configuration, binds every tensor by name and shape, packs the ternary ones. A tensor that the
  /// architecture does not know is refused: an unknown part would be computed wrongly. Errors name file and
  /// tensor.
  static Result<std::shared_ptr<const Model>> load(std::shared_ptr<const Weights> weights, Backend& backend,
                                                   const LoadOptions& options);

  const Config& config() const { return config_; }
  const Weights& weights() const { return *weights_; }
  std::span<const Layer> layers() const { return layers_; }
  const Linear& head() const { return head_; }
  bool is_tied() const { return is_tied_; }
  size_t packed_bytes() const;  // anonymous memory of packed weights

  /// Runs one step: appends each row's k and v to the cache, then computes. Rows of one sequence must be in
  /// ascending position order; earlier positions must be in the cache already. Logits of the rows that want
  /// them stand, in row order, in buffers.logits (kHidden: [wanted, hidden] in buffers.a); rows that met a
  /// non-finite value are marked in buffers.bad. Result bits do not depend on which other rows are in the
  /// step, the threads or the kernels. Threads: one step at a time per buffers.
  void forward(Backend& backend, const KvView& kv, std::span<const BatchRow> rows, StepBuffers& buffers,
               StepOutput output = StepOutput::kLogits) const;

 private:
  friend class ModelLoader;
  Model() = default;
  void attention_block(Backend& backend, const KvView& kv, int64_t layer, std::span<const RowPlace> places,
                       StepBuffers& b) const;
  void ffn_block(Backend& backend, const Layer& layer, int64_t rows, StepBuffers& b) const;
  void fill_rope(std::span<const BatchRow> rows, StepBuffers& b) const;
  void compute_output(Backend& backend, std::span<const BatchRow> rows, StepOutput output,
                      StepBuffers& b) const;

  Config config_;
  std::shared_ptr<const Weights> weights_;
  Linear embedding_, head_;
  bool is_tied_ = false;
  const float* output_norm_ = nullptr;  // [hidden]
  std::vector<Layer> layers_;
  std::vector<float> rope_inv_freq_;        // [rope_dim/2]
  std::vector<std::vector<float>> floats_;  // owned norm weights (aligned copies of the file's)
};

}  // namespace tern
