// SPDX-License-Identifier: MIT
// Weights: a GGUF file mapped and parsed, and strict look-ups of its tensors by name and shape. Called by the
// models.
#include "formats/weights.h"

#include <functional>

#include "core/printable.h"

namespace tern {
namespace {

constexpr uint64_t kNumericsVersion = 1;  // docs/numerics.md

/// What a file that tern wrote says of itself and what costs nothing to compare: a file cut and stitched
/// together by other tools, or made for other numerics, is noticed when it is opened. `tern verify` looks at
/// the rest.
Status check_own_keys(const GgufFile& file) {
  TERN_TRY_ASSIGN(const auto numerics, file.get_uint("tern.numerics"));
  if (numerics && *numerics != kNumericsVersion) {
    return make_error(ErrorCode::kUnsupported,
                      "key 'tern.numerics' is {}, this tern computes {}: convert the model again", *numerics,
                      kNumericsVersion);
  }
  TERN_TRY_ASSIGN(const auto count, file.get_uint("tern.tensor_count"));
  TERN_TRY_ASSIGN(const auto bytes, file.get_uint("tern.tensor_bytes"));
  uint64_t found = 0;
  for (const GgufTensorInfo& tensor : file.tensors) found += tensor.byte_size;
  if (count && *count != file.tensors.size()) {
    return make_error(ErrorCode::kCorrupt, "key 'tern.tensor_count' is {}, the file has {} tensors", *count,
                      file.tensors.size());
  }
  if (bytes && *bytes != found) {
    return make_error(ErrorCode::kCorrupt, "key 'tern.tensor_bytes' is {}, the tensors have {} bytes", *bytes,
                      found);
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const Weights>> Weights::open(const std::string& path, const WeightsOptions& options) {
  TERN_TRY_ASSIGN(auto file, MappedFile::open(path));
  auto gguf = parse_gguf(file->bytes(), options.gguf);
  if (!gguf.ok()) return std::move(gguf).error().in(printable(path, 512));
  if (Status status = check_own_keys(*gguf); !status.ok()) {
    return std::move(status).error().in(printable(path, 512));
  }
  return std::shared_ptr<const Weights>(
      new Weights(std::move(file), std::move(gguf).value(), options.tl_config));
}

Result<const GgufTensorInfo*> Weights::get(std::string_view name, std::vector<uint64_t> shape) const {
  TERN_TRY_ASSIGN(const GgufTensorInfo* tensor, find(name, shape));
  if (tensor != nullptr) return tensor;
  return make_error(ErrorCode::kNotFound, "expected a tensor '{}' of shape [{}], found none of that name",
                    printable(name), fmt::join(shape, ", "));
}

Result<const GgufTensorInfo*> Weights::find(std::string_view name, std::vector<uint64_t> shape) const {
  const GgufTensorInfo* tensor = gguf_.find_tensor(name);
  if (tensor == nullptr || tensor->shape == shape) return tensor;
  return make_error(ErrorCode::kCorrupt, "tensor '{}': expected shape [{}], found [{}]", printable(name),
                    fmt::join(shape, ", "), fmt::join(tensor->shape, ", "));
}

void Weights::release(const GgufTensorInfo& tensor) const {
  const auto file = file_->bytes();
  const std::less<const std::byte*> before;  // pointers into different objects: < alone is not an order
  if (before(tensor.data.data(), file.data()) || !before(tensor.data.data(), file.data() + file.size()))
    return;
  file_->release(tensor.data);
}

Result<TernaryView> Weights::ternary(const GgufTensorInfo& tensor, I2sOrder i2s_order) const {
  LayoutChoice layout = i2s_order;
  if (tl_config_ && (tensor.dtype == DType::kTL1 || tensor.dtype == DType::kTL2)) {
    auto tile = tl_config_->tile(tensor.dtype, tensor.rows(), tensor.cols());
    if (!tile.ok()) return std::move(tile).error().in(fmt::format("tensor '{}'", printable(tensor.name)));
    layout.tl_tile = *tile;
  }
  return view_ternary(gguf_, tensor, layout);
}

}  // namespace tern
