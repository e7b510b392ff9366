// SPDX-License-Identifier: MIT
#include "convert/checkpoint.h"

#include <algorithm>
#include <filesystem>

#include "core/printable.h"

namespace tern {
namespace {

template <class T>
GgufWriteValue numbers(const GgufArray& array) {
  std::vector<T> values(array.count);
  for (uint64_t i = 0; i < array.count; ++i) values[i] = array.at<T>(i);
  return values;
}

GgufWriteValue bools(const GgufArray& array) {
  std::vector<bool> values(array.count);
  for (uint64_t i = 0; i < array.count; ++i) values[i] = array.at<uint8_t>(i) != 0;
  return values;
}

Result<GgufWriteValue> array_value(const GgufArray& array) {
  switch (array.element_type) {
    case GgufType::kU8:
      return numbers<uint8_t>(array);
    case GgufType::kI8:
      return numbers<int8_t>(array);
    case GgufType::kU16:
      return numbers<uint16_t>(array);
    case GgufType::kI16:
      return numbers<int16_t>(array);
    case GgufType::kU32:
      return numbers<uint32_t>(array);
    case GgufType::kI32:
      return numbers<int32_t>(array);
    case GgufType::kF32:
      return numbers<float>(array);
    case GgufType::kU64:
      return numbers<uint64_t>(array);
    case GgufType::kI64:
      return numbers<int64_t>(array);
    case GgufType::kF64:
      return numbers<double>(array);
    case GgufType::kBool:
      return bools(array);
    case GgufType::kString:
      return GgufWriteValue(std::vector<std::string>(array.strings.begin(), array.strings.end()));
    case GgufType::kArray:
      break;
  }
  return make_error(ErrorCode::kUnsupported, "an array of arrays in the metadata cannot be written");
}

}  // namespace

Result<GgufWriteValue> to_write_value(const GgufValue& value) {
  const auto u = [&] { return std::get<uint64_t>(value.data); };
  const auto i = [&] { return std::get<int64_t>(value.data); };
  switch (value.type) {
    case GgufType::kU8:
      return GgufWriteValue(static_cast<uint8_t>(u()));
    case GgufType::kI8:
      return GgufWriteValue(static_cast<int8_t>(i()));
    case GgufType::kU16:
      return GgufWriteValue(static_cast<uint16_t>(u()));
    case GgufType::kI16:
      return GgufWriteValue(static_cast<int16_t>(i()));
    case GgufType::kU32:
      return GgufWriteValue(static_cast<uint32_t>(u()));
    case GgufType::kI32:
      return GgufWriteValue(static_cast<int32_t>(i()));
    case GgufType::kU64:
      return GgufWriteValue(u());
    case GgufType::kI64:
      return GgufWriteValue(i());
    case GgufType::kF32:
      return GgufWriteValue(static_cast<float>(std::get<double>(value.data)));
    case GgufType::kF64:
      return GgufWriteValue(std::get<double>(value.data));
    case GgufType::kBool:
      return GgufWriteValue(std::get<bool>(value.data));
    case GgufType::kString:
      return GgufWriteValue(std::string(std::get<std::string_view>(value.data)));
    case GgufType::kArray:
      return array_value(std::get<GgufArray>(value.data));
  }
  return make_error(ErrorCode::kCorrupt, "a metadata value of unknown type");
}

const GgufWriteValue* Checkpoint::find(std::string_view key) const {
  const auto at =
      std::find_if(keys.begin(), keys.end(), [key](const auto& entry) { return entry.first == key; });
  return at == keys.end() ? nullptr : &at->second;
}

std::string_view Checkpoint::text(std::string_view key) const {
  const GgufWriteValue* value = find(key);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? std::string_view() : *text;
}

std::optional<uint64_t> Checkpoint::number(std::string_view key) const {
  const GgufWriteValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* u = std::get_if<uint32_t>(value)) return *u;
  if (const auto* u = std::get_if<uint64_t>(value)) return *u;
  if (const auto* i = std::get_if<int32_t>(value); i != nullptr && *i >= 0) return static_cast<uint64_t>(*i);
  return std::nullopt;
}

void Checkpoint::set(std::string_view key, GgufWriteValue value) {
  for (auto& [name, old] : keys) {
    if (name != key) continue;
    old = std::move(value);
    return;
  }
  keys.emplace_back(key, std::move(value));
}

void Checkpoint::remove(std::string_view key) {
  std::erase_if(keys, [key](const auto& entry) { return entry.first == key; });
}

const CheckpointTensor* Checkpoint::find_tensor(std::string_view name) const {
  const auto at = std::find_if(tensors.begin(), tensors.end(),
                               [name](const CheckpointTensor& t) { return t.name == name; });
  return at == tensors.end() ? nullptr : &*at;
}

CheckpointTensor with_row_map(CheckpointTensor tensor, std::function<uint64_t(uint64_t)> map) {
  tensor.raw = {};
  const uint64_t cols = tensor.cols(), groups = tensor.scales_per_row();
  if (tensor.read_trits) {
    tensor.read_trits = [read = std::move(tensor.read_trits), map, cols, groups](
                            uint64_t begin, uint64_t count, int8_t* trits, float* scales) -> Status {
      for (uint64_t i = 0; i < count; ++i) {
        TERN_TRY(read(map(begin + i), 1, trits + i * cols, scales + i * groups));
      }
      return {};
    };
  } else {
    tensor.read_values = [read = std::move(tensor.read_values), map, cols](uint64_t begin, uint64_t count,
                                                                           float* values) -> Status {
      for (uint64_t i = 0; i < count; ++i) TERN_TRY(read(map(begin + i), 1, values + i * cols));
      return {};
    };
  }
  return tensor;
}

Result<Checkpoint> open_checkpoint(const std::string& path, const ImportOptions& options) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return open_hf_checkpoint(path, options);
  return open_gguf_checkpoint(path, options);
}

}  // namespace tern
