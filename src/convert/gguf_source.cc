// SPDX-License-Identifier: MIT
// A GGUF file as a checkpoint. Folds `.scale` tensors into the scales of their matrix; leaves out what a
// certificate said about the file as it was.
#include <sys/stat.h>

#include <set>

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

/// The companions of the matrix (.scale; MLX: .scales, .biases) are folded into its scales and named in
/// `folded`.
Result<CheckpointTensor> ternary_tensor(const SharedWeights& weights, const GgufTensorInfo& info,
                                        I2sOrder order, std::set<std::string>& folded) {
  TERN_TRY_ASSIGN(TernaryView view, weights->ternary(info, order));
  for (const GgufTensorInfo* companion : view.companions) folded.insert(companion->name);
  CheckpointTensor tensor;
  tensor.name = info.name;
  tensor.shape = info.shape;
  tensor.dtype = info.dtype;
  tensor.scope = view.scale_scope;
  tensor.group_cols = static_cast<uint32_t>(view.group_cols);
  tensor.read_trits = [weights, read = std::move(view.read)](uint64_t begin, uint64_t count, int8_t* trits,
                                                             float* scales) {
    return read(begin, count, trits, scales);
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
  std::set<std::string> folded;
  for (const GgufTensorInfo& info : weights->gguf().tensors) {
    checkpoint.source_bytes += info.byte_size;
    if (is_ternary(info.dtype)) {
      TERN_TRY_ASSIGN(CheckpointTensor tensor, ternary_tensor(weights, info, order, folded));
      checkpoint.tensors.push_back(std::move(tensor));
    } else if (dense_block_cols(info.dtype) != 0) {
      checkpoint.tensors.push_back(dense_tensor(weights, info));
    } else {
      return make_error(ErrorCode::kUnsupported, "tensor '{}' has type {}, which no model part of tern has",
                        printable(info.name), dtype_name(info.dtype));
    }
  }
  std::erase_if(checkpoint.tensors, [&](const CheckpointTensor& t) { return folded.count(t.name) != 0; });
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
  TERN_TRY_ASSIGN(const SharedWeights weights, Weights::open(path, options.weights));
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
