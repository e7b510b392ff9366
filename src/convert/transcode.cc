// SPDX-License-Identifier: MIT
#include "convert/transcode.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>

#include "core/float16.h"
#include "core/printable.h"
#include "formats/dense.h"
#include "formats/gguf.h"

namespace tern {
namespace {

constexpr uint64_t kPieceWeights =
    1 << 18;                          // trits of a piece: a quarter megabyte, so that they stay in a L2 cache
constexpr uint64_t kRowMultiple = 8;  // layouts interleave at most so many rows

/// Rows of a piece: a multiple of kRowMultiple.
uint64_t piece_rows(uint64_t cols) {
  return std::max(kRowMultiple, kPieceWeights / std::max<uint64_t>(1, cols) / kRowMultiple * kRowMultiple);
}

std::span<const std::byte> bytes_of(std::span<const float> values) { return std::as_bytes(values); }

Error here(Error error, std::string_view name) {
  return std::move(error).in(fmt::format("tensor '{}'", printable(name)));
}

}  // namespace

Status ScaleScan::add(std::span<const float> scales, bool zero_is_legal) {
  for (size_t i = 0; i < scales.size(); ++i) {
    const float scale = scales[i];
    const uint64_t bits = std::bit_cast<uint32_t>(scale);
    if (!std::isfinite(scale) || scale < 0 || (scale == 0 && !zero_is_legal)) {
      return make_error(ErrorCode::kCorrupt, "row {}: the weight scale is {}, expected a positive number",
                        rows_ + i / groups_, scale);
    }
    if (rows_ == 0 && i == 0) first_ = scale;
    const bool starts_row = i % groups_ == 0;
    if (bits != std::bit_cast<uint32_t>(first_)) rows_are_equal_ = false;
    if (!starts_row && bits != std::bit_cast<uint32_t>(scales[i - 1])) groups_are_equal_ = false;
    fits_f16_ = fits_f16_ && tern::fits_f16(scale);
    smallest_ = std::min(smallest_, scale);
    largest_ = std::max(largest_, scale);
    if (starts_row) by_row_.update(bytes_of({&scale, 1}));
    for (uint64_t r = 0; r < repeat_ && groups_ > 1; ++r) by_group_.update(bytes_of({&scale, 1}));
  }
  rows_ += scales.size() / groups_;
  return {};
}

ScaleFacts ScaleScan::facts() const {
  ScaleFacts facts;
  facts.value = first_;
  facts.smallest = smallest_;
  facts.largest = largest_;
  facts.fits_f16 = fits_f16_;
  facts.scope = rows_are_equal_     ? ScaleScope::kTensor
                : groups_are_equal_ ? ScaleScope::kRow
                                    : ScaleScope::kGroup;
  Digest one;
  one.update(bytes_of({&first_, 1}));
  facts.digest = rows_are_equal_ ? one.hex() : groups_are_equal_ ? by_row_.hex() : by_group_.hex();
  return facts;
}

namespace {

/// Buffers of a ternary tensor's pieces and what the loop over them keeps.
struct Pieces {
  std::vector<int8_t> trits;
  std::vector<float> scales, target_scales;
  std::vector<std::byte> encoded;
};

/// The scales of a piece as the target wants them: repeated, or 1 where they stand elsewhere.
void target_scales(const TensorPlan& plan, const TernaryCodec& codec, uint64_t rows, Pieces& p,
                   Rounding& rounding) {
  const CheckpointTensor& source = *plan.source;
  const uint64_t from = source.scales_per_row(), to = codec.scales_per_row(source.cols());
  p.target_scales.assign(rows * to, 1.0f);
  // The plan has made sure that groups of the target lie inside groups of the source, or that scales are
  // equal.
  for (uint64_t i = 0; !plan.separate_scale && i < rows * to; ++i) {
    float scale = p.scales[i / to * from + (i % to) * from / to];
    if (codec.f16_scale && plan.may_round && !fits_f16(scale)) {
      const float rounded = f16_to_f32(f32_to_f16(scale));
      rounding.largest_error = std::max<double>(rounding.largest_error, std::fabs(rounded - scale));
      ++rounding.count;
      scale = rounded;
    }
    p.target_scales[i] = scale;
  }
}

/// What the written tensor's scales are to a reader: the multiplier folded in.
Status note_scales(const TensorPlan& plan, uint64_t rows, const TernaryCodec& codec, Pieces& p,
                   ScaleScan& scan) {
  if (!plan.separate_scale) return scan.add(p.target_scales, codec.scale_scope == ScaleScope::kGroup);
  const std::vector<float> folded(rows * codec.scales_per_row(plan.source->cols()), plan.scale);
  return scan.add(folded, false);
}

Status transcode_ternary(const TensorPlan& plan,
                         const std::function<Status(std::span<const std::byte>)>& sink, TensorFacts& facts,
                         Rounding& rounding) {
  const CheckpointTensor& source = *plan.source;
  const TernaryCodec& codec = *find_codec(plan.dtype);
  const uint64_t cols = source.cols(), rows = source.rows(), step = piece_rows(cols);
  const bool has_trailer = plan.dtype == DType::kI2_S;
  Pieces p;
  Digest digest;
  ScaleScan scan(cols, codec.scales_per_row(cols));
  for (uint64_t begin = 0; begin < rows; begin += step) {
    const uint64_t count = std::min(step, rows - begin);
    p.trits.resize(count * cols);
    p.scales.resize(count * source.scales_per_row());
    TERN_TRY(source.read_trits(begin, count, p.trits.data(), p.scales.data()));
    count_trits(p.trits, facts.counts);
    digest.update(std::as_bytes(std::span(p.trits)));
    target_scales(plan, codec, count, p, rounding);
    TERN_TRY(note_scales(plan, count, codec, p, scan));
    // A range of rows is encoded as a tensor of its own: rows stand one behind the other in every type
    // written here.
    TERN_TRY_ASSIGN(const uint64_t size, tensor_byte_size(plan.dtype, count, cols));
    p.encoded.resize(size);
    TERN_TRY(codec.encode(p.trits.data(), p.target_scales.data(), count, cols, plan.order, p.encoded));
    const bool is_last = begin + count == rows;
    TERN_TRY(sink(std::span(p.encoded).first(has_trailer && !is_last ? size - 32 : size)));
  }
  facts.values = digest.hex();
  facts.scales = scan.facts();
  return {};
}

/// Encodes one row and decodes it again into `back`; says where a value changed.
Status round_trip(const TensorPlan& plan, uint64_t row, const std::vector<float>& values,
                  std::vector<std::byte>& bytes, std::vector<float>& back, Rounding& rounding) {
  TERN_TRY(quantize_row(plan.dtype, values.data(), values.size(), bytes.data()));
  dequantize_row(plan.dtype, bytes.data(), values.size(), back.data());
  if (std::memcmp(values.data(), back.data(), values.size() * sizeof(float)) == 0) return {};
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::bit_cast<uint32_t>(values[i]) == std::bit_cast<uint32_t>(back[i])) continue;
    if (!plan.may_round) {
      return make_error(
          ErrorCode::kUnsupported,
          "row {}, column {}: {} cannot hold {} exactly (nearest: {}); keep the type {} (--head auto, "
          "--type auto), or accept the loss with --lossy",
          row, i, dtype_name(plan.dtype), values[i], back[i], dtype_name(plan.source->dtype));
    }
    ++rounding.count;
    rounding.largest_error = std::max<double>(rounding.largest_error, std::fabs(back[i] - values[i]));
  }
  return {};
}

/// Values of dense rows, of a ternary source too (trit * scale).
Status read_dense(const CheckpointTensor& source, uint64_t row, Pieces& p, std::vector<float>& values) {
  if (!source.is_ternary()) return source.read_values(row, 1, values.data());
  const uint64_t groups = source.scales_per_row(), width = source.cols() / groups;
  p.trits.resize(source.cols());
  p.scales.resize(groups);
  TERN_TRY(source.read_trits(row, 1, p.trits.data(), p.scales.data()));
  for (uint64_t c = 0; c < source.cols(); ++c)
    values[c] = static_cast<float>(p.trits[c]) * p.scales[c / width];
  return {};
}

Status transcode_dense(const TensorPlan& plan, const std::function<Status(std::span<const std::byte>)>& sink,
                       TensorFacts& facts, Rounding& rounding) {
  const CheckpointTensor& source = *plan.source;
  const uint64_t cols = source.cols(), rows = source.rows();
  TERN_TRY_ASSIGN(const uint64_t row_bytes, tensor_byte_size(plan.dtype, 1, cols));
  const bool is_copy = source.dtype == plan.dtype && source.raw.size() == row_bytes * rows;
  std::vector<float> values(cols), back(cols);
  std::vector<std::byte> bytes(row_bytes), piece;
  Pieces p;
  Digest digest;
  for (uint64_t r = 0; r < rows; ++r) {
    TERN_TRY(read_dense(source, r, p, values));
    if (is_copy) {
      piece.insert(piece.end(), source.raw.data() + r * row_bytes, source.raw.data() + (r + 1) * row_bytes);
      digest.update(bytes_of(values));
    } else {
      TERN_TRY(round_trip(plan, r, values, bytes, back, rounding));
      piece.insert(piece.end(), bytes.begin(), bytes.end());
      digest.update(bytes_of(back));
    }
    if (piece.size() < kPieceWeights && r + 1 < rows) continue;
    TERN_TRY(sink(piece));
    piece.clear();
  }
  facts.values = digest.hex();
  return {};
}

}  // namespace

Status transcode(const TensorPlan& plan, const std::function<Status(std::span<const std::byte>)>& sink,
                 TensorFacts& facts, Rounding& rounding) {
  facts = TensorFacts{};
  facts.name = plan.name;
  facts.dtype = plan.dtype;
  facts.is_ternary = is_ternary(plan.dtype);
  Status status = facts.is_ternary ? transcode_ternary(plan, sink, facts, rounding)
                                   : transcode_dense(plan, sink, facts, rounding);
  plan.source->release();
  if (!status.ok()) return here(std::move(status).error(), plan.name);
  return {};
}

Result<TensorFacts> facts_of(const CheckpointTensor& tensor) {
  TensorFacts facts;
  facts.name = tensor.name;
  facts.dtype = tensor.dtype;
  facts.is_ternary = tensor.is_ternary();
  const uint64_t cols = tensor.cols(), rows = tensor.rows(), step = piece_rows(cols);
  Pieces p;
  std::vector<float> values;
  Digest digest;
  ScaleScan scan(cols, tensor.scales_per_row());
  for (uint64_t begin = 0; begin < rows; begin += step) {
    const uint64_t count = std::min(step, rows - begin);
    Status status;
    if (facts.is_ternary) {
      p.trits.resize(count * cols);
      p.scales.resize(count * tensor.scales_per_row());
      status = tensor.read_trits(begin, count, p.trits.data(), p.scales.data());
      if (status.ok()) status = scan.add(p.scales, tensor.scope == ScaleScope::kGroup);
      count_trits(p.trits, facts.counts);
      digest.update(std::as_bytes(std::span(p.trits)));
    } else {
      values.resize(count * cols);
      status = tensor.read_values(begin, count, values.data());
      digest.update(bytes_of(values));
    }
    if (!status.ok()) return here(std::move(status).error(), tensor.name);
  }
  tensor.release();
  facts.values = digest.hex();
  if (facts.is_ternary) facts.scales = scan.facts();
  return facts;
}

Result<ScaleFacts> scales_of(const CheckpointTensor& tensor) {
  const bool is_one = tensor.scope == ScaleScope::kTensor;
  const uint64_t cols = tensor.cols(), rows = is_one ? 1 : tensor.rows(), step = piece_rows(cols);
  Pieces p;
  ScaleScan scan(cols, tensor.scales_per_row());
  for (uint64_t begin = 0; begin < rows; begin += step) {
    const uint64_t count = std::min(step, rows - begin);
    p.trits.resize(count * cols);
    p.scales.resize(count * tensor.scales_per_row());
    Status status = tensor.read_trits(begin, count, p.trits.data(), p.scales.data());
    if (status.ok()) status = scan.add(p.scales, tensor.scope == ScaleScope::kGroup);
    if (!status.ok()) return here(std::move(status).error(), tensor.name);
  }
  if (!is_one) tensor.release();
  return scan.facts();
}

}  // namespace tern
