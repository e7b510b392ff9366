// SPDX-License-Identifier: MIT
// A ternary matrix in layout T2 (kernel_table.h): made from trits, given back as trits. Owned by whoever
// asked the CPU backend to pack it; immutable afterwards.
#pragma once

#include <memory>

#include "core/thread_pool.h"
#include "kernels/backend.h"

namespace tern {

class PackedT2 final : public PackedWeight {
 public:
  /// Reads `source` in batches of rows and packs them. `pool` may be null; with one, source.read is called
  /// from its threads at once, on disjoint row ranges. Beside the result it holds at most 4 MB of trits.
  /// Errors: those of source.read (of the first row range that fails); kUnsupported for more columns than the
  /// int32 proof allows; kCorrupt for a trit outside -1..2 or a scale that is not finite (names the row);
  /// kOutOfMemory. The weights are placed in `arena`, or in memory of their own where it is null.
  static Result<std::unique_ptr<PackedT2>> pack(const TernarySource& source, ThreadPool* pool,
                                                Arena* arena = nullptr);

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  WeightScale scale_kind() const override { return scale_kind_; }
  int64_t group_cols() const override { return source_groups_ > 1 ? group_cols_ : cols_; }
  size_t resident_bytes() const override { return weight_bytes() + scales_.size(); }
  std::string describe() const override;
  /// Scales are given per row and group of the SOURCE, after its multiplier, whatever was collapsed.
  void unpack(int64_t row_begin, int64_t row_count, int8_t* trits, float* scales) const override;

  int64_t panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  int64_t k_padded() const { return k_padded_; }
  /// The matrix part of a kernel call; activations, tokens, panels and y are the caller's.
  TernaryArgs args() const;

 private:
  PackedT2() = default;
  Status pack_rows(const TernarySource& source, int64_t row_begin, int64_t row_end, int8_t* trits,
                   float* scales);
  Status lay_out_scales(const float* scales);
  float scale_at(int64_t row, int64_t source_group) const;
  size_t weight_bytes() const { return static_cast<size_t>(panels() * kPanelRows * k_padded_ / 4); }
  uint8_t* weights() const { return reinterpret_cast<uint8_t*>(weights_.get()); }

  int64_t rows_ = 0, cols_ = 0, k_padded_ = 0;
  int64_t source_groups_ = 1;  // scales per row of the source
  int64_t group_cols_ = 0;     // of the source, kGroup only
  int64_t merged_ = 1;         // groups of the source that make one group here
  WeightScale scale_kind_ = WeightScale::kTensor;
  std::shared_ptr<std::byte> weights_;  // T2, [panels][k_padded/16][64]
  Buffer scales_;                       // f32, as WeightScale says
};

}  // namespace tern
