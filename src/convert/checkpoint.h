// SPDX-License-Identifier: MIT
// A model as the converter sees it, whichever container it came from: metadata and tensors in GGUF's terms
// (names, order of q/k rows, orientation), read on request so that memory stays at a few rows. Readers
// (gguf_source.cc, hf_source.cc) make one, writers (gguf_target.cc, hf_target.cc) and verify consume one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "core/result.h"
#include "formats/gguf_write.h"
#include "formats/ternary/codec.h"
#include "formats/weights.h"
#include "text/tokenizer.h"

namespace tern {

using MetaList = std::vector<std::pair<std::string, GgufWriteValue>>;

/// One tensor. Exactly one of read_values and read_trits is set. Row functions may be called in any order and
/// for any range; threads: one call at a time per tensor.
struct CheckpointTensor {
  std::string name;             // as in GGUF
  std::vector<uint64_t> shape;  // GGUF order: shape[0] = columns
  DType dtype = DType::kF32;    // that it has in the source

  /// Dense: f32 values [row_count, cols].
  std::function<Status(uint64_t row_begin, uint64_t row_count, float* values)> read_values;
  std::span<const std::byte> raw;  // the bytes as GGUF stores `dtype`, where they can be copied as they stand

  /// Ternary: trits [row_count, cols] and scales [row_count, scales_per_row()], multiply convention.
  std::function<Status(uint64_t row_begin, uint64_t row_count, int8_t* trits, float* scales)> read_trits;
  ScaleScope scope = ScaleScope::kTensor;  // for kTensor read_trits repeats the scale per row
  uint32_t group_cols = 0;                 // for kGroup
  std::optional<float> stored_scale;       // as the source writes it, where it is one tensor (weight_scale)

  std::function<void()> release = [] {};  // gives the source's pages back; reading again is allowed

  bool is_ternary() const { return read_trits != nullptr; }
  uint64_t cols() const { return shape[0]; }
  uint64_t rows() const {
    uint64_t rows = 1;
    for (size_t i = 1; i < shape.size(); ++i) rows *= shape[i];
    return rows;
  }
  uint64_t scales_per_row() const { return scope == ScaleScope::kGroup ? cols() / group_cols : 1; }
};

struct Checkpoint {
  std::string kind;  // "GGUF file", "Hugging Face directory (packed, 2 shards)": for people
  MetaList keys;
  std::vector<CheckpointTensor> tensors;
  std::vector<std::string> doubts;  // one line each: what was assumed
  uint64_t source_bytes = 0;        // of tensor data, for progress
  std::string fingerprint;  // of the source's files (names, sizes, times): a resumed conversion compares it

  const GgufWriteValue* find(std::string_view key) const;
  /// The text of a string key, "" where it is absent or no string.
  std::string_view text(std::string_view key) const;
  /// An unsigned key of 32 or 64 bits.
  std::optional<uint64_t> number(std::string_view key) const;
  void set(std::string_view key, GgufWriteValue value);  // replaces or appends
  void remove(std::string_view key);
  const CheckpointTensor* find_tensor(std::string_view name) const;
};

/// How the tokenizer inside GGUF metadata is opened. That code stands above this layer, so programs hand it
/// in.
using OpenTokenizer = std::function<Result<std::shared_ptr<const Tokenizer>>(const GgufFile&)>;

/// What a user may have to decide because files do not say it. Absent: by the file, refused where it is
/// unclear.
struct ImportOptions {
  WeightsOptions weights;  // --tl-config, --type-id: how GGUF files are read
  std::optional<I2sOrder> i2s_order;
  std::optional<bool> scale_divides;  // --weight-scale divide | multiply
  bool absmean = false;  // --absmean: quantise dense projections although the config does not ask for it
  std::string activation_bits;  // --act: int8 or int16 (weight-only), where the source does not say
  std::string activation;       // --hidden-act: silu or relu2 where the config has none
  std::string pre;              // --pre: the pre-tokenizer's name
  std::string chat_template;    // --chat-template: keep or drop one whose tokens do not exist
  bool drop_text = false;       // --no-tokenizer: leave the tokenizer out
  OpenTokenizer open_tokenizer;
};

/// Opens SRC: a GGUF file, or a directory of Hugging Face or MLX layout. Reads headers and small files only.
/// Errors: kNotFound, kCorrupt, kUnsupported with the file and what to do.
Result<Checkpoint> open_checkpoint(const std::string& path, const ImportOptions& options);

// One file each; called by open_checkpoint.
Result<Checkpoint> open_gguf_checkpoint(const std::string& path,
                                        const ImportOptions& options);  // gguf_source.cc
Result<Checkpoint> open_hf_checkpoint(const std::string& path, const ImportOptions& options);  // hf_source.cc

/// A GGUF metadata value as one to write. Errors: kUnsupported for arrays of arrays.
Result<GgufWriteValue> to_write_value(const GgufValue& value);

/// Reads rows through a permutation: row r of the result is row map(r) of `tensor`. Raw bytes are dropped.
CheckpointTensor with_row_map(CheckpointTensor tensor, std::function<uint64_t(uint64_t)> map);

}  // namespace tern
