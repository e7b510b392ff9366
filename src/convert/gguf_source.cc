// SPDX-License-Identifier: MIT
// A GGUF file as a checkpoint. Folds `.scale` tensors into the scales of their matrix; leaves out what a
// certificate said about the file as it was.
#include <sys/stat.h>

#include <cmath>

#include "convert/checkpoint.h"
#include "core/printable.h"
#include "formats/dense.h"
#include "formats/weights.h"
#include "model/model.h"

namespace tern {
namespace {

using SharedWeights = std::shared_ptr<const Weights>;

/// Keys that describe the file that was, not the model.
bool is_about_the_file(std::string_view key) {
  return key == "general.alignment" || key == "general.file_type" || key == "tern.certificate" ||
         key == "tern.tensor_count" || key == "tern.tensor_bytes" || key == "tern.numerics" ||
         key == "tern.i2_s.order" || key.starts_with("split.");
}

CheckpointTensor dense_tensor(const SharedWeights& weights, const GgufTensorInfo& info) {
  CheckpointTensor tensor;
  tensor.name = info.name;
  tensor.shape = info.shape;
  tensor.dtype = info.dtype;
  tensor.raw = info.data;
  const uint64_t row_bytes = info.rows() == 0 ? 0 : info.byte_size / info.rows();
  tensor.read_values = [weights, &info, row_bytes](uint64_t begin, uint64_t count, float* values) -> Status {
    for (uint64_t r = 0; r < count; ++r) {
      dequantize_row(info.dtype, info.data.data() + (begin + r) * row_bytes, info.cols(),
                     values + r * info.cols());
    }
    return {};
  };
  tensor.release = [weights, &info] { weights->release(info); };
  return tensor;
}

/// The value of `<stem>.scale`, 1 where there is none.
Result<float> multiplier_of(const GgufFile& file, const std::string& stem) {
  const GgufTensorInfo* info = file.find_tensor(stem + ".scale");
  if (info == nullptr) return 1.0f;
  float value = 0;
  if (info->rows() * info->cols() != 1 || dense_block_cols(info->dtype) != 1) {
    return make_error(ErrorCode::kUnsupported, "tensor '{}.scale' is not one number", printable(stem));
  }
  dequantize_row(info->dtype, info->data.data(), 1, &value);
  if (!std::isfinite(value) || value <= 0) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}.scale' is {}, expected a positive number",
                      printable(stem), value);
  }
  return value;
}

Result<CheckpointTensor> ternary_tensor(const SharedWeights& weights, const GgufTensorInfo& info,
                                        I2sOrder order) {
  const TernaryCodec* codec = find_codec(info.dtype);
  CheckpointTensor tensor;
  tensor.name = info.name;
  tensor.shape = info.shape;
  tensor.dtype = info.dtype;
  tensor.scope = codec->scale_scope;
  tensor.group_cols = codec->group_cols;
  const std::string stem = info.name.substr(0, info.name.size() - std::string_view(".weight").size());
  TERN_TRY_ASSIGN(const float multiplier, multiplier_of(weights->gguf(), stem));
  tensor.read_trits = [weights, &info, codec, order, multiplier, groups = tensor.scales_per_row()](
                          uint64_t begin, uint64_t count, int8_t* trits, float* scales) -> Status {
    TERN_TRY(codec->decode(info.data, info.rows(), info.cols(), begin, count, order, trits, scales));
    // As the loader: every scale is fl(scale * multiplier); a multiplier of 1 leaves it exact.
    for (uint64_t i = 0; multiplier != 1.0f && i < count * groups; ++i) scales[i] *= multiplier;
    return {};
  };
  tensor.release = [weights, &info] { weights->release(info); };
  return tensor;
}

Result<I2sOrder> order_of(const GgufFile& file, const ImportOptions& options) {
  if (options.i2s_order) return *options.i2s_order;
  TERN_TRY_ASSIGN(const auto name, file.get_string("tern.i2_s.order"));
  if (!name) return I2sOrder::kX86_128;
  return parse_i2s_order(*name);
}

Status read_tensors(const SharedWeights& weights, I2sOrder order, Checkpoint& checkpoint) {
  const GgufFile& file = weights->gguf();
  for (const GgufTensorInfo& info : file.tensors) {
    if (info.name.ends_with(".scale")) {
      const std::string matrix = info.name.substr(0, info.name.size() - 6) + ".weight";
      const GgufTensorInfo* scaled = file.find_tensor(matrix);
      if (scaled != nullptr && is_ternary(scaled->dtype)) continue;  // folded into the matrix's scales
    }
    checkpoint.source_bytes += info.byte_size;
    if (is_ternary(info.dtype) && info.name.ends_with(".weight")) {
      TERN_TRY_ASSIGN(CheckpointTensor tensor, ternary_tensor(weights, info, order));
      checkpoint.tensors.push_back(std::move(tensor));
    } else if (dense_block_cols(info.dtype) != 0) {
      checkpoint.tensors.push_back(dense_tensor(weights, info));
    } else {
      return make_error(ErrorCode::kUnsupported, "tensor '{}' has type {}, which no model part of tern has",
                        printable(info.name), dtype_name(info.dtype));
    }
  }
  return {};
}

Result<Checkpoint> read_file(const SharedWeights& weights, const ImportOptions& options) {
  const GgufFile& file = weights->gguf();
  Checkpoint checkpoint;
  checkpoint.kind = fmt::format("GGUF v{} file", file.version);
  for (const auto& [key, value] : file.metadata) {
    if (is_about_the_file(key)) continue;
    if (options.drop_text && key.starts_with("tokenizer.")) continue;
    auto copy = to_write_value(value);
    if (!copy.ok()) return std::move(copy).error().in(fmt::format("key '{}'", printable(key)));
    checkpoint.keys.emplace_back(key, std::move(copy).value());
  }
  if (!options.activation_bits.empty()) checkpoint.set("tern.activation", options.activation_bits);
  if (!options.pre.empty()) checkpoint.set("tokenizer.ggml.pre", options.pre);
  if (!options.activation.empty()) {
    checkpoint.set(fmt::format("{}.hidden_activation", checkpoint.text("general.architecture")),
                   options.activation);
  }
  TERN_TRY_ASSIGN(const I2sOrder order, order_of(file, options));
  TERN_TRY(read_tensors(weights, order, checkpoint));
  return checkpoint;
}

}  // namespace

Result<Checkpoint> open_gguf_checkpoint(const std::string& path, const ImportOptions& options) {
  TERN_TRY_ASSIGN(const SharedWeights weights, Weights::open(path));
  auto checkpoint = read_file(weights, options);
  if (!checkpoint.ok()) return std::move(checkpoint).error().in(printable(path, 512));
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) {
    checkpoint->fingerprint =
        fmt::format("{} {} {}.{}", path, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  }
  return checkpoint;
}

}  // namespace tern
