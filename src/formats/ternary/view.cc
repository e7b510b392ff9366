// SPDX-License-Identifier: MIT
#include "formats/ternary/view.h"

#include <cmath>

#include "core/printable.h"
#include "formats/dense.h"

namespace tern {
namespace {

/// Column blocks of scales must be whole blocks of the kernels' sums.
constexpr uint64_t kMinGroupCols = 64;

/// "blk.0.attn_q.weight" -> "blk.0.attn_q".
std::string stem_of(std::string_view name) {
  constexpr std::string_view kSuffix = ".weight";
  return std::string(name.ends_with(kSuffix) ? name.substr(0, name.size() - kSuffix.size()) : name);
}

/// Row `row` of a [rows, count] tensor of plain floats.
void read_floats(const GgufTensorInfo& tensor, uint64_t row, uint64_t count, float* out) {
  const uint64_t bytes = tensor.byte_size / tensor.rows();
  dequantize_row(tensor.dtype, tensor.data.data() + row * bytes, count, out);
}

Status check_is_float(const GgufTensorInfo& tensor) {
  if (tensor.dtype == DType::kF32 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16) return {};
  return make_error(ErrorCode::kUnsupported, "tensor '{}': scales of type {}, expected f32, f16 or bf16",
                    printable(tensor.name), dtype_name(tensor.dtype));
}

/// A `.scale` tensor: values [row_blocks, col_blocks].
struct ScaleTable {
  std::vector<float> values = {1.0f};
  uint64_t row_blocks = 1, col_blocks = 1;
};

Result<ScaleTable> read_scale_table(const GgufTensorInfo& scale, uint64_t rows, uint64_t cols) {
  TERN_TRY(check_is_float(scale));
  ScaleTable table;
  table.row_blocks = scale.shape.size() == 1 ? scale.shape[0] : scale.rows();
  table.col_blocks = scale.shape.size() == 1 ? 1 : scale.shape[0];
  const bool divides =
      scale.shape.size() <= 2 && rows % table.row_blocks == 0 && cols % table.col_blocks == 0;
  if (!divides || (table.col_blocks > 1 && cols / table.col_blocks % kMinGroupCols != 0)) {
    return make_error(
        ErrorCode::kCorrupt,
        "tensor '{}': shape [{}] for a matrix of {} x {}, expected [n] with n dividing the rows, or "
        "[c, n] with columns/c a multiple of {}",
        printable(scale.name), fmt::join(scale.shape, ", "), rows, cols, kMinGroupCols);
  }
  table.values.resize(table.row_blocks * table.col_blocks);
  if (scale.shape.size() == 1) {
    read_floats(scale, 0, table.row_blocks, table.values.data());
  } else {
    for (uint64_t i = 0; i < table.row_blocks; ++i)
      read_floats(scale, i, table.col_blocks, table.values.data() + i * table.col_blocks);
  }
  for (const float value : table.values) {
    if (!std::isfinite(value) || value <= 0) {
      return make_error(ErrorCode::kCorrupt, "tensor '{}' is {} (not finite, or not positive)",
                        printable(scale.name), value);
    }
  }
  return table;
}

/// A scale is a mean or a maximum of magnitudes: never negative, and zero only where all its weights may be
/// zero.
Status check_scales(const TernaryView& view, uint64_t row_begin, uint64_t row_count, const float* scales) {
  for (uint64_t i = 0; i < row_count * view.scales_per_row(); ++i) {
    if (scales[i] > 0 || (scales[i] == 0 && view.scale_scope != ScaleScope::kTensor) || std::isnan(scales[i]))
      continue;
    return make_error(ErrorCode::kCorrupt, "row {}: the weight scale is {}, expected a positive number",
                      row_begin + i / view.scales_per_row(), scales[i]);
  }
  return {};
}

/// The container's own scales times the table's.
struct ScaledReader {
  const TernaryCodec* codec;
  const GgufTensorInfo* tensor;
  LayoutChoice layout;
  ScaleTable table;
  TernaryView shape;  // without read

  Status operator()(uint64_t row_begin, uint64_t row_count, int8_t* trits, float* scales) const {
    const uint64_t own_per_row = codec->scales_per_row(shape.cols), per_row = shape.scales_per_row();
    std::vector<float> own(row_count * own_per_row, 1.0f);
    TERN_TRY(
        codec->decode(tensor->data, shape.rows, shape.cols, row_begin, row_count, layout, trits, own.data()));
    for (uint64_t i = 0; i < row_count; ++i) {
      const uint64_t row_block = (row_begin + i) / (shape.rows / table.row_blocks);
      for (uint64_t g = 0; g < per_row; ++g) {
        const uint64_t col_block = g * table.col_blocks / per_row;
        scales[i * per_row + g] = own[i * own_per_row + (own_per_row == 1 ? 0 : g)] *
                                  table.values[row_block * table.col_blocks + col_block];
      }
    }
    return check_scales(shape, row_begin, row_count, scales);
  }
};

/// What an affine group means as a magnitude times trits.
struct AffineGroup {
  bool is_ternary = false;
  bool is_negated = false;
  float scale = 0;
};

AffineGroup affine_group(bool one_bit, float scale, float bias) {
  AffineGroup group;
  group.is_ternary = one_bit ? scale == -2 * bias : bias == -scale;
  const float signed_scale = one_bit ? -bias : scale;
  group.is_negated = signed_scale < 0;
  group.scale = std::fabs(signed_scale);
  return group;
}

struct MlxReader {
  const TernaryCodec* codec;
  const GgufTensorInfo *tensor, *scales, *biases;
  TernaryView shape;  // without read

  Status operator()(uint64_t row_begin, uint64_t row_count, int8_t* trits, float* out) const {
    TERN_TRY(codec->decode(tensor->data, shape.rows, shape.cols, row_begin, row_count, {}, trits, out));
    const uint64_t groups = shape.scales_per_row();
    std::vector<float> row_biases(groups);
    for (uint64_t r = row_begin; r < row_begin + row_count; ++r, out += groups) {
      read_floats(*scales, r, groups, out);
      read_floats(*biases, r, groups, row_biases.data());
      for (uint64_t g = 0; g < groups; ++g, trits += shape.group_cols)
        TERN_TRY(resolve(r, g, row_biases[g], out + g, trits));
    }
    return {};
  }

  Status resolve(uint64_t row, uint64_t g, float bias, float* scale, int8_t* trits) const {
    const AffineGroup group = affine_group(codec->dtype == DType::kMlx1, *scale, bias);
    bool fits = group.is_ternary;
    for (uint64_t i = 0; group.is_negated && i < shape.group_cols; ++i) {
      fits &= trits[i] != 2;  // would be -2
      trits[i] = static_cast<int8_t>(-trits[i]);
    }
    if (!fits) {
      return make_error(ErrorCode::kUnsupported,
                        "row {}, group {}: scale {} and bias {} are not those of ternary or 1-bit weights",
                        row, g, *scale, bias);
    }
    *scale = group.scale;
    return {};
  }
};

Result<const GgufTensorInfo*> mlx_companion(const GgufFile& file, const GgufTensorInfo& tensor,
                                            const char* suffix) {
  const std::string name = stem_of(tensor.name) + suffix;
  const GgufTensorInfo* found = file.find_tensor(name);
  if (found == nullptr) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}' has type {}, but its '{}' is missing",
                      printable(tensor.name), dtype_name(tensor.dtype), printable(name));
  }
  TERN_TRY(check_is_float(*found));
  if (found->shape.size() != 2 || found->rows() != tensor.rows() || tensor.cols() % found->cols() != 0 ||
      tensor.cols() / found->cols() % kMinGroupCols != 0) {
    return make_error(
        ErrorCode::kUnsupported,
        "tensor '{}': shape [{}] for a matrix of {} x {}, expected [groups, {}] with groups of a multiple "
        "of {} columns",
        printable(name), fmt::join(found->shape, ", "), tensor.rows(), tensor.cols(), tensor.rows(),
        kMinGroupCols);
  }
  return found;
}

Result<TernaryView> view_mlx(const GgufFile& file, const GgufTensorInfo& tensor, const TernaryCodec* codec,
                             TernaryView view) {
  TERN_TRY_ASSIGN(const GgufTensorInfo* scales, mlx_companion(file, tensor, ".scales"));
  TERN_TRY_ASSIGN(const GgufTensorInfo* biases, mlx_companion(file, tensor, ".biases"));
  if (scales->cols() != biases->cols()) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}': {} groups of scales, but {} of biases",
                      printable(tensor.name), scales->cols(), biases->cols());
  }
  view.scale_scope = ScaleScope::kGroup;
  view.group_cols = tensor.cols() / scales->cols();
  view.companions = {scales, biases};
  view.read = MlxReader{codec, &tensor, scales, biases, view};
  return view;
}

Result<TernaryView> view_scaled(const GgufFile& file, const GgufTensorInfo& tensor, const TernaryCodec* codec,
                                LayoutChoice layout, TernaryView view) {
  const GgufTensorInfo* scale = file.find_tensor(stem_of(tensor.name) + ".scale");
  ScaleTable table;
  if (scale != nullptr) {
    TERN_TRY_ASSIGN(table, read_scale_table(*scale, view.rows, view.cols));
    view.companions.push_back(scale);
  } else if (!codec->has_scale) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}' has type {}, but its '{}.scale' is missing",
                      printable(tensor.name), dtype_name(tensor.dtype), printable(stem_of(tensor.name)));
  }
  view.scale_scope = codec->scale_scope;
  view.group_cols = codec->group_cols;
  if (table.col_blocks > 1) {
    const uint64_t block_cols = view.cols / table.col_blocks;
    if (codec->group_cols > 0 && block_cols % codec->group_cols != 0) {
      return make_error(ErrorCode::kUnsupported,
                        "tensor '{}': blocks of {} columns do not hold whole groups of {}",
                        printable(scale->name), block_cols, codec->group_cols);
    }
    if (codec->group_cols == 0) view.group_cols = block_cols;
    view.scale_scope = ScaleScope::kGroup;
  } else if (table.row_blocks > 1 && view.scale_scope == ScaleScope::kTensor) {
    view.scale_scope = ScaleScope::kRow;
  }
  view.read = ScaledReader{codec, &tensor, layout, std::move(table), view};
  return view;
}

}  // namespace

Result<TernaryView> view_ternary(const GgufFile& file, const GgufTensorInfo& tensor, LayoutChoice layout) {
  const TernaryCodec* codec = find_codec(tensor.dtype);
  if (codec == nullptr) {
    return make_error(ErrorCode::kUnsupported, "tensor '{}' has type {}, expected a ternary one",
                      printable(tensor.name), dtype_name(tensor.dtype));
  }
  TernaryView view;
  view.dtype = tensor.dtype;
  view.rows = tensor.rows();
  view.cols = tensor.cols();
  if (tensor.dtype == DType::kMlx1 || tensor.dtype == DType::kMlx2)
    return view_mlx(file, tensor, codec, view);
  return view_scaled(file, tensor, codec, layout, view);
}

}  // namespace tern
