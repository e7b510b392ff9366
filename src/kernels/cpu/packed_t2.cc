// SPDX-License-Identifier: MIT
#include "kernels/cpu/packed_t2.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace tern {

namespace {

// |sum(code * q)| <= 3 * 128 * k_padded must stay below 2^31 (kernel_table.h).
constexpr int64_t kMaxColumns = std::numeric_limits<int32_t>::max() / (3 * 128) / kColumnPad * kColumnPad;
constexpr int64_t kBatchBytes =
    256 * 1024;  // trits of one batch and thread: they stay in L2 between read and pack

constexpr uint64_t repeat(uint8_t byte) { return 0x0101010101010101u * byte; }

/// value + 1 in every byte (mod 256, no carry between bytes).
uint64_t to_codes(uint64_t values) { return ((values & repeat(0x7f)) + repeat(1)) ^ (values & repeat(0x80)); }

/// Packs one row of trits as feature j of a panel. Returns false where a trit is outside -1..2.
///   trits  [16 * lines], zero beyond the columns of the matrix
///   out    the panel's byte 4*j; line c of the row goes to out + 64*c
bool pack_row(const int8_t* trits, int64_t lines, uint8_t* out) {
  uint64_t seen = 0;
  for (int64_t c = 0; c < lines; ++c) {
    uint64_t low, high;  // columns 0..7 and 8..15 of the line: fields 0, 1 and 2, 3 of its bytes
    std::memcpy(&low, trits + c * kLineCols, 8);
    std::memcpy(&high, trits + c * kLineCols + 8, 8);
    low = to_codes(low);
    high = to_codes(high);
    seen |= low | high;
    const uint64_t pairs = low | high << 4;  // bytes 0..3: fields 0 and 2, bytes 4..7: fields 1 and 3
    const auto bytes = static_cast<uint32_t>(pairs | pairs >> 30);
    std::memcpy(out + c * kLineBytes, &bytes, 4);
  }
  return (seen & repeat(0xfc)) == 0;
}

bool same_bits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

bool all_same_bits(const float* values, int64_t count) {
  return std::all_of(values, values + count, [&](float v) { return same_bits(v, values[0]); });
}

/// The largest number of neighbouring groups that have one scale, throughout: groups [0, n), [n, 2n), ... of
/// each row. A model in a container of smaller groups is then summed in the same order as in one of its own
/// groups: same bits.
int64_t equal_neighbours(const float* scales, int64_t rows, int64_t groups) {
  for (int64_t n = groups; n > 1; --n) {
    bool equal = true;
    for (int64_t row = 0; row < rows && equal; ++row) {
      for (int64_t g = 0; g < groups && equal; g += n) {
        equal = all_same_bits(scales + row * groups + g, std::min(n, groups - g));
      }
    }
    if (equal) return n;
  }
  return 1;
}

}  // namespace

static_assert(std::endian::native == std::endian::little, "pack_row reads columns as little-endian words");

Status PackedT2::pack_rows(const TernarySource& source, int64_t row_begin, int64_t row_end, int8_t* trits,
                           float* scales) {
  const int64_t count = row_end - row_begin, lines = k_padded_ / kLineCols;
  TERN_TRY(source.read(row_begin, count, trits, scales));
  for (int64_t i = 0; i < count * source_groups_; ++i) {
    scales[i] *= source.tensor_multiplier;
    if (!std::isfinite(scales[i])) {
      return make_error(ErrorCode::kCorrupt, "row {}: the weight scale is not finite ({})",
                        row_begin + i / source_groups_, scales[i]);
    }
  }
  std::vector<int8_t> padded(static_cast<size_t>(k_padded_));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = row_begin + i;
    uint8_t* panel = weights() + row / kPanelRows * lines * kLineBytes;
    const int8_t* values = trits + i * cols_;
    if (cols_ != k_padded_) {
      std::copy_n(values, cols_, padded.begin());
      values = padded.data();
    }
    if (!pack_row(values, lines, panel + row % kPanelRows * 4)) {
      const int8_t* wrong = std::find_if(values, values + cols_, [](int8_t v) { return v < -1 || v > 2; });
      return make_error(ErrorCode::kCorrupt,
                        "row {}, column {}: expected a weight of -1, 0, 1 or 2, found {}", row,
                        wrong - values, int{*wrong});
    }
  }
  return {};
}

Status PackedT2::lay_out_scales(const float* scales) {
  merged_ = equal_neighbours(scales, rows_, source_groups_);
  const int64_t groups = (source_groups_ + merged_ - 1) / merged_;
  scale_kind_ = groups > 1                                      ? WeightScale::kGroup
                : all_same_bits(scales, rows_ * source_groups_) ? WeightScale::kTensor
                                                                : WeightScale::kRow;

  const int64_t stored = scale_kind_ == WeightScale::kTensor ? 1
                         : scale_kind_ == WeightScale::kRow  ? panels() * kPanelRows
                                                             : panels() * kPanelRows * groups;
  TERN_TRY_ASSIGN(scales_,
                  Buffer::allocate(static_cast<size_t>(stored) * sizeof(float)));  // zeroed: the padding
  auto* out = scales_.as<float>();
  if (scale_kind_ == WeightScale::kTensor) {
    out[0] = scales[0];
  } else if (scale_kind_ == WeightScale::kRow) {
    for (int64_t row = 0; row < rows_; ++row) out[row] = scales[row * source_groups_];
  } else {
    for (int64_t row = 0; row < rows_; ++row) {
      float* panel = out + row / kPanelRows * groups * kPanelRows;
      for (int64_t g = 0; g < groups; ++g)
        panel[g * kPanelRows + row % kPanelRows] = scales[row * source_groups_ + g * merged_];
    }
  }
  return {};
}

Result<std::unique_ptr<PackedT2>> PackedT2::pack(const TernarySource& source, ThreadPool* pool,
                                                 Arena* arena) {
  TERN_CHECK(source.rows > 0 && source.cols > 0, "an empty matrix");
  const bool grouped = source.scale_kind == WeightScale::kGroup;
  TERN_CHECK(!grouped || (source.group_cols > 0 && source.group_cols % kColumnPad == 0),
             "group_cols: multiple of 64");
  if (source.cols > kMaxColumns) {
    return make_error(ErrorCode::kUnsupported,
                      "a ternary matrix of {} columns: sums are proven to fit 32 bits up to {} columns only",
                      source.cols, kMaxColumns);
  }
  auto packed = std::unique_ptr<PackedT2>(new PackedT2);
  packed->rows_ = source.rows;
  packed->cols_ = source.cols;
  packed->k_padded_ = (source.cols + kColumnPad - 1) / kColumnPad * kColumnPad;
  packed->group_cols_ = grouped ? source.group_cols : 0;
  packed->source_groups_ = grouped ? (source.cols + source.group_cols - 1) / source.group_cols : 1;
  const int64_t groups = packed->source_groups_;

  Arena own;
  TERN_TRY_ASSIGN(packed->weights_, (arena != nullptr ? *arena : own).allocate(packed->weight_bytes()));
  TERN_TRY_ASSIGN(Buffer scales, Buffer::allocate(static_cast<size_t>(source.rows * groups) * sizeof(float)));
  if (source.rows % kPanelRows != 0) {  // rows that do not exist: value 0 is code 1
    const int64_t panel_bytes = packed->k_padded_ / 4 * kPanelRows;
    std::memset(packed->weights() + (packed->panels() - 1) * panel_bytes, 0x55,
                static_cast<size_t>(panel_bytes));
  }

  // One batch = some whole panels. A thread takes a contiguous range of batches and stops at its first error.
  const int64_t batch_rows = std::max<int64_t>(1, kBatchBytes / source.cols / kPanelRows) * kPanelRows;
  const int64_t batches = (source.rows + batch_rows - 1) / batch_rows;
  std::vector<std::optional<Error>> errors(static_cast<size_t>(batches));
  parallel_for(pool, static_cast<size_t>(batches), 1, [&](size_t begin, size_t end) {
    std::vector<int8_t> trits(static_cast<size_t>(std::min(batch_rows, source.rows) * source.cols));
    for (size_t batch = begin; batch < end; ++batch) {
      const int64_t row = static_cast<int64_t>(batch) * batch_rows;
      Status status = packed->pack_rows(source, row, std::min(row + batch_rows, source.rows), trits.data(),
                                        scales.as<float>() + row * groups);
      if (status.ok()) continue;
      errors[batch] = std::move(status).error();
      return;
    }
  });
  for (auto& error : errors) {
    if (error) return std::move(*error);
  }
  TERN_TRY(packed->lay_out_scales(scales.as<float>()));
  return packed;
}

float PackedT2::scale_at(int64_t row, int64_t source_group) const {
  const auto* scales = scales_.as<float>();
  switch (scale_kind_) {
    case WeightScale::kTensor:
      return scales[0];
    case WeightScale::kRow:
      return scales[row];
    case WeightScale::kGroup:
      break;
  }
  const int64_t groups = (source_groups_ + merged_ - 1) / merged_;
  return scales[(row / kPanelRows * groups + source_group / merged_) * kPanelRows + row % kPanelRows];
}

void PackedT2::unpack(int64_t row_begin, int64_t row_count, int8_t* trits, float* scales) const {
  TERN_CHECK(row_begin >= 0 && row_count >= 0 && row_begin + row_count <= rows_, "rows outside the matrix");
  for (int64_t i = 0; i < row_count; ++i) {
    const int64_t row = row_begin + i;
    const uint8_t* panel = weights() + row / kPanelRows * kPanelRows * k_padded_ / 4;
    for (int64_t k = 0; k < cols_; ++k) {
      const uint8_t byte = panel[k / kLineCols * kLineBytes + row % kPanelRows * 4 + k % 4];
      trits[i * cols_ + k] = static_cast<int8_t>((byte >> k % kLineCols / 4 * 2 & 3) - 1);
    }
    for (int64_t g = 0; g < source_groups_; ++g) scales[i * source_groups_ + g] = scale_at(row, g);
  }
}

TernaryArgs PackedT2::args() const {
  TernaryArgs args{};
  args.weights = weights();
  args.k_padded = k_padded_;
  args.rows = rows_;
  args.scale_kind = scale_kind_;
  args.group_cols = group_cols_ * merged_;
  args.w_scale = scales_.as<float>();
  return args;
}

std::string PackedT2::describe() const {
  switch (scale_kind_) {
    case WeightScale::kTensor:
      return "t2, one scale";
    case WeightScale::kRow:
      return "t2, a scale per row";
    case WeightScale::kGroup:
      break;
  }
  return fmt::format("t2, a scale per {} columns", group_cols_ * merged_);
}

}  // namespace tern
