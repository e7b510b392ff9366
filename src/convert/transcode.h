// SPDX-License-Identifier: MIT
// One tensor from its source into the bytes of a GGUF type, in pieces that fit a cache, with what a
// certificate keeps about it. Nothing is rounded unless the plan says so.
#pragma once

#include <functional>
#include <limits>

#include "convert/checkpoint.h"
#include "convert/digest.h"

namespace tern {

/// Scales of a ternary matrix after collapsing: one for the tensor where all are equal bit by bit, one per
/// row where each row's are, else by group. The digest does not depend on how a container repeats them.
struct ScaleFacts {
  ScaleScope scope = ScaleScope::kTensor;
  float value = 0;  // of the tensor, for kTensor
  float smallest = 0, largest = 0;
  bool fits_f16 = true;  // every scale survives IEEE half
  std::string digest;
};

/// Collects ScaleFacts from rows in ascending order.
class ScaleScan {
 public:
  ScaleScan(uint64_t cols, uint64_t scales_per_row)
      : repeat_(std::max<uint64_t>(1, cols / scales_per_row / 32)), groups_(scales_per_row) {}
  /// `scales` [rows, scales_per_row]. Errors: kCorrupt for one that is not finite, negative, or zero where a
  /// whole row or tensor has it.
  Status add(std::span<const float> scales, bool zero_is_legal);
  ScaleFacts facts() const;

 private:
  uint64_t repeat_, groups_;
  uint64_t rows_ = 0;
  bool rows_are_equal_ = true, groups_are_equal_ = true, fits_f16_ = true;
  float first_ = 0, smallest_ = std::numeric_limits<float>::infinity(), largest_ = 0;
  Digest by_row_, by_group_;
};

/// What is kept about a tensor as written. Fractions of the weights; hashes of values, not of bytes.
struct TensorFacts {
  std::string name;
  DType dtype = DType::kF32;  // in the file
  bool is_ternary = false;
  std::string values;  // digest of the trits (int8, row-major), or of the f32 values of a dense tensor
  ScaleFacts scales;   // ternary
  TritCounts counts;   // ternary
};

/// How a tensor is to be written.
struct TensorPlan {
  const CheckpointTensor* source = nullptr;
  std::string name;
  DType dtype = DType::kF32;
  I2sOrder order = I2sOrder::kX86_128;
  bool separate_scale = false;  // block scales are 1, `scale` stands in <stem>.scale
  float scale = 1;              // for separate_scale
  bool may_round = false;       // --lossy, or what --for allows
};

/// Largest rounding that was made; 0 where nothing was lost.
struct Rounding {
  double largest_error = 0;  // absolute
  uint64_t count = 0;        // values that changed
};

/// Writes the tensor's bytes, in order, to `sink`. `facts` describe what was written. Errors: those of the
/// source and of the sink; kUnsupported naming the tensor where the type cannot hold it exactly and may_round
/// is false.
Status transcode(const TensorPlan& plan, const std::function<Status(std::span<const std::byte>)>& sink,
                 TensorFacts& facts, Rounding& rounding);

/// The facts of a tensor as it stands in its source; what verify compares. `scales_only`: trits are read, not
/// hashed.
Result<TensorFacts> facts_of(const CheckpointTensor& tensor);

/// The scales alone: reads one row where there is one scale, else all rows.
Result<ScaleFacts> scales_of(const CheckpointTensor& tensor);

}  // namespace tern
