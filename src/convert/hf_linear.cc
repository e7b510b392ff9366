// SPDX-License-Identifier: MIT
#include "convert/hf_linear.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/float16.h"
#include "core/printable.h"
#include "formats/dense.h"
#include "formats/gguf.h"

namespace tern {
namespace {

bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

uint64_t float_bytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

std::string shape_text(const SafetensorsTensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.shape, ", "));
}

Error shape_error(const SafetensorsTensor& tensor, std::string_view expected) {
  return make_error(ErrorCode::kCorrupt, "tensor '{}' has shape {}, expected {}", printable(tensor.name),
                    shape_text(tensor), expected);
}

float round_to(DType dtype, float value) {
  if (dtype == DType::kF16) return f16_to_f32(f32_to_f16(value));
  if (dtype == DType::kBF16) return bf16_to_f32(f32_to_bf16(value));
  return value;
}

int8_t quantise(float value, float s) {
  const float clamped = std::min(1.0f, std::max(-1.0f, value * s));  // NaN was refused before
  constexpr float kRound = 12582912.0f;                              // adding 1.5 * 2^23 rounds ties to even
  return static_cast<int8_t>(static_cast<int32_t>((clamped + kRound) - kRound));
}

}  // namespace

Result<CheckpointTensor> dense_from(const SharedShards& shards, const SafetensorsTensor& tensor,
                                    std::string name) {
  if (!is_float(tensor.dtype)) {
    return make_error(ErrorCode::kUnsupported, "tensor '{}' has type {}, expected F32, F16 or BF16",
                      printable(tensor.name), safetensors_dtype_name(tensor.dtype));
  }
  if (tensor.shape.empty() || tensor.shape.size() > 2 || tensor.data.empty()) {
    return shape_error(tensor, "one or two dimensions, none of them 0");
  }
  CheckpointTensor dense;
  dense.name = std::move(name);
  dense.shape.assign(tensor.shape.rbegin(), tensor.shape.rend());
  dense.dtype = tensor.dtype;
  dense.raw = tensor.data;
  const uint64_t cols = dense.cols(), row_bytes = cols * float_bytes(tensor.dtype);
  dense.read_values = [shards, &tensor, cols, row_bytes](uint64_t begin, uint64_t count,
                                                         float* values) -> Status {
    dequantize_row(tensor.dtype, tensor.data.data() + begin * row_bytes, count * cols, values);
    return {};
  };
  dense.release = [shards, &tensor] { shards->release(tensor); };
  return dense;
}

Result<float> single_value(const SafetensorsTensor& tensor) {
  uint64_t elements = 1;
  for (const uint64_t size : tensor.shape) elements *= size;
  if (!is_float(tensor.dtype) || elements != 1) return shape_error(tensor, "one number (F32, F16 or BF16)");
  float value = 0;
  dequantize_row(tensor.dtype, tensor.data.data(), 1, &value);
  return value;
}

Result<CheckpointTensor> packed_from(const SharedShards& shards, const SafetensorsTensor& tensor,
                                     const SafetensorsTensor& scale, bool scale_divides, std::string name,
                                     uint64_t rows, uint64_t cols) {
  const uint64_t packed_rows = (rows + 3) / 4;
  if (tensor.shape != std::vector<uint64_t>{packed_rows, cols}) {
    return shape_error(tensor, fmt::format("[{}, {}]: a quarter of {} rows", packed_rows, cols, rows));
  }
  TERN_TRY_ASSIGN(const float stored, single_value(scale));
  const float value = scale_divides ? 1.0f / stored : stored;
  if (!std::isnormal(value) || value <= 0) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}' is {}, expected a positive number",
                      printable(scale.name), stored);
  }
  CheckpointTensor packed;
  packed.name = std::move(name);
  packed.shape = {cols, rows};
  packed.dtype = DType::kHfU8;
  packed.scope = ScaleScope::kTensor;
  packed.stored_scale = stored;
  const TernaryCodec* codec = find_codec(DType::kHfU8);
  packed.read_trits = [shards, &tensor, codec, rows, cols, value](uint64_t begin, uint64_t count,
                                                                  int8_t* trits, float* scales) -> Status {
    std::fill_n(scales, count, value);
    return codec->decode(tensor.data, rows, cols, begin, count, I2sOrder::kX86_128, trits, nullptr);
  };
  packed.release = [shards, &tensor] { shards->release(tensor); };
  return packed;
}

Result<CheckpointTensor> master_from(CheckpointTensor dense) {
  // The mean is taken in double, rows ascending, and rounded once: no framework's order of float sums is
  // portable.
  double sum = 0;
  std::vector<float> row(dense.cols());
  for (uint64_t r = 0; r < dense.rows(); ++r) {
    TERN_TRY(dense.read_values(r, 1, row.data()));
    double row_sum = 0;
    for (const float value : row) row_sum += std::fabs(static_cast<double>(value));
    sum += row_sum;
  }
  if (!std::isfinite(sum)) {
    return make_error(ErrorCode::kNumeric, "tensor '{}' holds a value that is not finite",
                      printable(dense.name));
  }
  const double count = static_cast<double>(dense.rows()) * static_cast<double>(dense.cols());
  const float s = 1.0f / std::max(static_cast<float>(sum / count), 1e-5f);
  const float scale = round_to(dense.dtype, 1.0f / s);
  CheckpointTensor ternary = dense;
  ternary.raw = {};
  ternary.read_values = nullptr;
  ternary.scope = ScaleScope::kTensor;
  ternary.read_trits = [read = dense.read_values, cols = dense.cols(), s, scale](
                           uint64_t begin, uint64_t rows, int8_t* trits, float* scales) -> Status {
    std::vector<float> values(cols);
    for (uint64_t r = 0; r < rows; ++r) {
      TERN_TRY(read(begin + r, 1, values.data()));
      for (uint64_t c = 0; c < cols; ++c) trits[r * cols + c] = quantise(values[c], s);
      scales[r] = scale;
    }
    return {};
  };
  return ternary;
}

namespace {

constexpr uint32_t kFinest = 64;  // columns of the finest group

/// The magnitude of a run of values that are 0 or +-m: m, 0 where all are 0, -1 where there are two
/// magnitudes.
float one_magnitude(const float* values, uint64_t count) {
  float magnitude = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const float m = std::fabs(values[i]);
    if (m == 0) continue;
    if (magnitude == 0) magnitude = m;
    if (m != magnitude) return -1;
  }
  return magnitude;
}

/// Which group sizes still describe every row seen: the whole row, 256, 128, 64.
struct GroupSearch {
  std::array<uint32_t, 4> sizes;
  std::array<bool, 4> fits;
  float largest = 0;  // magnitude seen anywhere

  explicit GroupSearch(uint64_t cols) : sizes{static_cast<uint32_t>(cols), 256, 128, kFinest} {
    for (size_t i = 0; i < sizes.size(); ++i) fits[i] = cols % sizes[i] == 0;
  }
  bool any() const { return std::find(fits.begin(), fits.end(), true) != fits.end(); }
  uint32_t coarsest() const {
    return sizes[static_cast<size_t>(std::find(fits.begin(), fits.end(), true) - fits.begin())];
  }
  void look_at(const std::vector<float>& row) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      for (uint64_t c = 0; fits[i] && c < row.size(); c += sizes[i]) {
        const float m = one_magnitude(row.data() + c, sizes[i]);
        fits[i] = m >= 0 && std::isfinite(m);
        largest = std::max(largest, m);
      }
    }
  }
};

/// Trits and scales of a row. A group of zeros takes the row's largest scale, a row of zeros the matrix's:
/// any would do, and these let equal scales collapse.
void split_row(const float* row, uint64_t cols, uint32_t group, float fallback, int8_t* trits,
               float* scales) {
  float largest = 0;
  for (uint64_t c = 0; c < cols; ++c) {
    largest = std::max(largest, std::fabs(row[c]));
    trits[c] = static_cast<int8_t>((row[c] > 0) - (row[c] < 0));
  }
  if (largest == 0) largest = fallback;
  for (uint64_t c = 0; c < cols; c += group) {
    const float m = one_magnitude(row + c, group);
    scales[c / group] = m > 0 ? m : largest;
  }
}

}  // namespace

Result<CheckpointTensor> ternary_if_by_value(CheckpointTensor dense) {
  const uint64_t cols = dense.cols();
  if (dense.shape.size() != 2 || dense.rows() < 2 || cols < 2 || cols > UINT32_MAX) return dense;
  GroupSearch search(cols);
  std::vector<float> row(cols);
  for (uint64_t r = 0; r < dense.rows() && search.any(); ++r) {
    TERN_TRY(dense.read_values(r, 1, row.data()));
    search.look_at(row);
  }
  if (!search.any() || search.largest == 0) return dense;
  const uint32_t group = search.coarsest();
  CheckpointTensor ternary = dense;
  ternary.raw = {};
  ternary.read_values = nullptr;
  ternary.scope = group == cols ? ScaleScope::kRow : ScaleScope::kGroup;
  ternary.group_cols = group == cols ? 0 : group;
  ternary.read_trits = [read = dense.read_values, cols, group, largest = search.largest](
                           uint64_t begin, uint64_t count, int8_t* trits, float* scales) -> Status {
    std::vector<float> values(cols);
    for (uint64_t r = 0; r < count; ++r) {
      TERN_TRY(read(begin + r, 1, values.data()));
      split_row(values.data(), cols, group, largest, trits + r * cols, scales + r * (cols / group));
    }
    return {};
  };
  return ternary;
}

namespace {

/// One row of MLX words: codes to trits, scales as multiply scales.
Status read_mlx_row(const std::byte* words, const std::vector<float>& scales,
                    const std::vector<float>& biases, uint64_t cols, uint32_t bits, uint32_t group,
                    int8_t* trits, float* out) {
  const uint32_t per_byte = 8 / bits;  // words are little-endian and codes LSB first: the same as by bytes
  bool has_three = false;
  for (uint64_t c = 0; c < cols; ++c) {
    const auto byte = std::to_integer<uint32_t>(words[c / per_byte]);
    const uint32_t code = (byte >> (bits * (c % per_byte))) & ((1u << bits) - 1);
    has_three |= code == 3;
    trits[c] = static_cast<int8_t>(bits == 1 ? 2 * static_cast<int>(code) - 1 : static_cast<int>(code) - 1);
  }
  for (uint64_t g = 0; g < cols / group; ++g) {
    const float scale = bits == 1 ? scales[g] / 2 : scales[g];
    if (biases[g] != -scale || has_three) {
      return make_error(
          ErrorCode::kUnsupported,
          "group {}: scale {} and bias {}{} are no ternary group (bias = -scale{}, codes 0 to {})", g,
          scales[g], biases[g], has_three ? " with a code 3" : "", bits == 1 ? "/2" : "", bits == 1 ? 1 : 2);
    }
    out[g] = scale;
  }
  return {};
}

}  // namespace

Result<CheckpointTensor> mlx_from(const SharedShards& shards, const SafetensorsTensor& words,
                                  const SafetensorsTensor& scales, const SafetensorsTensor& biases,
                                  uint32_t bits, uint32_t group, std::string name) {
  if (words.shape.size() != 2 || words.dtype != DType::kU32)
    return shape_error(words, "two dimensions of U32 words");
  const uint64_t rows = words.shape[0], cols = words.shape[1] * (32 / bits);
  const std::vector<uint64_t> expected = {rows, cols / group};
  if (cols % group != 0 || scales.shape != expected || !is_float(scales.dtype)) {
    return shape_error(scales, fmt::format("[{}, {}] of floats", rows, cols / group));
  }
  if (biases.shape != expected || biases.dtype != scales.dtype)
    return shape_error(biases, "the shape of the scales");
  CheckpointTensor tensor;
  tensor.name = std::move(name);
  tensor.shape = {cols, rows};
  tensor.dtype = bits == 1 ? DType::kQ1_0 : DType::kQ2_0_G128;
  tensor.scope = ScaleScope::kGroup;
  tensor.group_cols = group;
  tensor.read_trits = [shards, &words, &scales, &biases, cols, bits, group](
                          uint64_t begin, uint64_t count, int8_t* trits, float* out) -> Status {
    const uint64_t groups = cols / group, width = groups * float_bytes(scales.dtype),
                   row_bytes = cols * bits / 8;
    std::vector<float> s(groups), b(groups);
    for (uint64_t r = begin; r < begin + count; ++r, trits += cols, out += groups) {
      dequantize_row(scales.dtype, scales.data.data() + r * width, groups, s.data());
      dequantize_row(biases.dtype, biases.data.data() + r * width, groups, b.data());
      Status status = read_mlx_row(words.data.data() + r * row_bytes, s, b, cols, bits, group, trits, out);
      if (!status.ok())
        return std::move(status).error().in(fmt::format("tensor '{}', row {}", printable(words.name), r));
    }
    return {};
  };
  tensor.release = [shards, &words] { shards->release(words); };
  return tensor;
}

}  // namespace tern
