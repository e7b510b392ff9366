// SPDX-License-Identifier: MIT
// Turns a trained model into files that tern and others run: GGUF, or a Hugging Face directory. Decides keys,
// tensor names and types; the numbers are the trainer's own (the same trits, the same scale). Plain data in,
// no libtorch: saved_run.h reads it from a checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "text/tokenizer_spec.h"
#include "train/config.h"

namespace tern::train {

struct ExportTensor {
  std::string name;             // in the names of Hugging Face, with ".weight"
  uint64_t rows = 0, cols = 0;  // rows 0: a vector
  std::vector<float> values;    // master weights; of dense tensors what is computed with
  bool ternary = false;
  std::vector<int8_t> trits;  // [rows, cols], ternary only
  float scale = 1;            // mean |w|, multiply convention

  uint64_t row_count() const { return rows == 0 ? 1 : rows; }
};

struct ExportModel {
  ModelShape shape;
  bool ternary = true;
  std::string name;
  std::vector<ExportTensor> tensors;
  TokenizerSpec spec;
  std::string tokenizer_json, pre, chat_template;
  int32_t end_of_text = -1, im_end = -1;  // -1: none
};

struct ExportOptions {
  bool to_hf = false;
  std::string type = "i2_s";  // GGUF: of the projections, a ternary type; of a plain model f32 f16 bf16 q8_0
  std::string embedding = "f16";  // GGUF: of the embedding and head: f32 f16 bf16 q8_0 q6_k
  bool master = false;            // Hugging Face: bf16 master weights instead of packed trits
  std::string license;            // SPDX name for the files, may be empty
};

/// Writes `target`: a GGUF file, atomically, or a directory with model.safetensors, config.json,
/// generation_config.json, tokenizer.json, tokenizer_config.json. Errors: kUsage for a type that is unknown
/// or cannot hold these widths; kIo with the path.
Status export_model(const ExportModel& model, const ExportOptions& options, const std::string& target);

// One file each.
Status export_gguf(const ExportModel& model, const ExportOptions& options, const std::string& path);
Status export_hf(const ExportModel& model, const ExportOptions& options, const std::string& folder);

/// "blk.0.attn_q.weight" of "model.layers.0.self_attn.q_proj.weight".
std::string gguf_tensor_name(const std::string& hf_name);

}  // namespace tern::train
