// SPDX-License-Identifier: MIT
// What a training run is: one JSON file read into one struct of plain values. Decides names, defaults and
// ranges; a key that is unknown, twice there, of the wrong type or out of range is refused with its JSON
// path. Called by `tern train` and `tern distill`; the trainer reads nothing but this struct.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern::train {

/// "model": the bitnet-b1.58 architecture (sub-norms, squared ReLU, RoPE, grouped-query attention).
struct ModelShape {
  int32_t hidden_size = 0;        // required; a multiple of 8
  int32_t intermediate_size = 0;  // required; a multiple of 8
  int32_t layers = 0;             // required
  int32_t heads = 0;              // required
  int32_t kv_heads = 0;           // default: heads; divides heads
  int32_t head_dim = 0;           // default: hidden_size / heads; even
  int32_t vocab_size = 0;         // not a key: prepare() sets it from the tokenizer
  int32_t context = 512;          // tokens of a training row, and of the exported model
  double rope_theta = 10000;      // > 0
  double rms_norm_eps = 1e-5;     // > 0
  bool tie_embeddings = true;     // the output head is the embedding table
};

enum class SourceKind : uint8_t { kText, kChat };

/// One element of "data.sources".
struct DataSource {
  std::string path;  // file, folder (all files in it, not below), or a pattern with * and ? in its last part
  SourceKind kind = SourceKind::kText;
  /// Share of the training rows, relative to the other sources' weights; 0 leaves the source out of training
  /// (its held-out part is still evaluated).
  double weight = 1;
  /// kText: "plain" (default), or "jsonl" with {"text": ...} a line. kChat: "jsonl" with {"messages":
  /// [{"role", "content"}...]} a line.
  std::string format;
  /// kText, plain: what stands between two documents, "" = a file is one document. "\n\n\n" = two or more
  /// empty lines.
  std::string separator;
  std::optional<double> heldout;  // overrides data.heldout for this source; 0 to 1
  bool lossy = false;             // bytes that are not UTF-8 become U+FFFD instead of an error
};

struct DataConfig {
  std::vector<DataSource> sources;  // at least one
  double heldout = 0.01;            // share of the documents kept out of training, 0 to 0.5
  uint64_t seed = 1;                // order of documents, mixture
};

/// "tokenizer": trained on the sources, or an existing file.
struct TokenizerConfig {
  int32_t vocab_size = 4096;         // 256 + special tokens at least; all tokens counted, special ones too
  std::string path;                  // of a tokenizer.json; empty: train one
  std::string pre = "gpt-2";         // "gpt-2" or "llama-bpe"
  std::vector<std::string> special;  // beside <|endoftext|>, <|im_start|>, <|im_end|>
};

/// AdamW with two stages (BitNet): `stage1_*` up to step round(stage_boundary * steps), `stage2_*` after it.
/// The curve between the named rates is the trainer's (schedule.h).
struct OptimizerConfig {
  double stage1_lr = 1.5e-3;  // peak, reached after warmup_steps
  double stage2_lr = 1e-3;    // at the first step of stage 2
  double final_lr = 1e-5;     // at the last step
  double stage1_weight_decay = 0.1;
  double stage2_weight_decay = 0;
  double stage_boundary = 0.5;       // fraction of steps, 0 to 1
  double beta1 = 0.9, beta2 = 0.95;  // 0 to 1, 1 excluded
  double epsilon = 1e-8;
  int32_t warmup_steps = 100;    // 0 to steps
  int32_t steps = 0;             // required
  int32_t batch_tokens = 16384;  // positions of a step; a multiple of model.context
  int32_t micro_batch_tokens =
      0;                 // positions of one forward pass (memory); divides batch_tokens; 0: batch_tokens
  double grad_clip = 1;  // greatest norm of the gradient; 0: none
};

enum class TrainDtype : uint8_t { kAuto, kF32, kBf16 };  // kAuto: the trainer measures or asks the CPU

struct TrainConfig {
  ModelShape model;
  DataConfig data;
  TokenizerConfig tokenizer;
  OptimizerConfig optimizer;
  int32_t checkpoint_every = 200;  // steps, at least 1
  int32_t eval_every = 200;        // steps, at least 1
  int32_t eval_rows = 64;          // held-out rows a source at most, each evaluation
  std::string output;              // required: folder of tokens, checkpoints, logs, exports
  /// Weights to begin with: a checkpoint, or the folder of a run (its newest one); empty: random. Without
  /// "tokenizer.path" the tokenizer.json beside it is used: ids must mean the same.
  std::string init;
  std::string name;     // of the model, in exported files; default: last part of output
  int32_t threads = 0;  // 0: all cores
  TrainDtype dtype = TrainDtype::kAuto;
  bool ternary = true;  // false: the unquantised twin (same shapes, plain linears)
  uint64_t seed = 1;    // initial weights

  int32_t rows_per_step() const { return optimizer.batch_tokens / model.context; }
};

/// Reads and checks a configuration. `base`: folder that relative paths in it are relative to (that of the
/// file). Errors: kUsage with the JSON path, what was expected, and what stands there. Threads: pure.
Result<TrainConfig> parse_train_config(std::string_view json, const std::string& base);

/// The same from a file. Errors: kNotFound, kIo, and those above with the file's name.
Result<TrainConfig> load_train_config(const std::string& path);

}  // namespace tern::train
