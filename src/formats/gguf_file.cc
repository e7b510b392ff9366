// SPDX-License-Identifier: MIT
// Look-ups in a parsed GGUF: by name, and typed with an Error that names both types. parse_gguf (gguf.cc)
// builds it.
#include <algorithm>
#include <numeric>

#include "core/printable.h"
#include "formats/gguf.h"

namespace tern {
namespace {

std::string_view name_of(const std::pair<std::string, GgufValue>& entry) { return entry.first; }
std::string_view name_of(const GgufTensorInfo& tensor) { return tensor.name; }

template <class Entry>
std::vector<uint32_t> order_by_name(const std::vector<Entry>& entries) {
  std::vector<uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return name_of(entries[a]) < name_of(entries[b]); });
  return order;
}

template <class Entry>
const Entry* find_duplicate(const std::vector<Entry>& entries, const std::vector<uint32_t>& order) {
  const auto found = std::adjacent_find(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return name_of(entries[a]) == name_of(entries[b]);
  });
  return found == order.end() ? nullptr : &entries[*found];
}

template <class Entry>
const Entry* find_by_name(const std::vector<Entry>& entries, const std::vector<uint32_t>& order,
                          std::string_view name) {
  const auto found =
      std::lower_bound(order.begin(), order.end(), name,
                       [&](uint32_t index, std::string_view n) { return name_of(entries[index]) < n; });
  return found == order.end() || name_of(entries[*found]) != name ? nullptr : &entries[*found];
}

Error wrong_type(std::string_view key, std::string_view expected, GgufType found) {
  return make_error(ErrorCode::kCorrupt, "metadata key '{}': expected {}, found {}", printable(key), expected,
                    gguf_type_name(found));
}

// The value of `key` as T; the alternative of the variant decides, since every width is widened to one of
// them.
template <class T>
Result<std::optional<T>> get_as(const GgufFile& file, std::string_view key, std::string_view expected) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return std::optional<T>();
  if (const T* found = std::get_if<T>(&value->data)) return std::optional<T>(*found);
  return wrong_type(key, expected, value->type);
}

}  // namespace

uint64_t GgufTensorInfo::rows() const {
  uint64_t rows = 1;
  for (size_t i = 1; i < shape.size(); ++i) rows *= shape[i];  // parse_gguf has checked the product
  return rows;
}

Status GgufFile::index_names() {
  key_order_ = order_by_name(metadata);
  if (const auto* entry = find_duplicate(metadata, key_order_)) {
    return make_error(ErrorCode::kCorrupt, "metadata key '{}' appears twice", printable(entry->first));
  }
  tensor_order_ = order_by_name(tensors);
  if (const auto* tensor = find_duplicate(tensors, tensor_order_)) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}' appears twice", printable(tensor->name));
  }
  return {};
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto* entry = find_by_name(metadata, key_order_, key);
  return entry == nullptr ? nullptr : &entry->second;
}

const GgufTensorInfo* GgufFile::find_tensor(std::string_view name) const {
  return find_by_name(tensors, tensor_order_, name);
}

Result<std::optional<uint64_t>> GgufFile::get_uint(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<uint64_t>();
  if (const auto* found = std::get_if<uint64_t>(&value->data)) return std::optional<uint64_t>(*found);
  const auto* number = std::get_if<int64_t>(&value->data);
  if (number == nullptr) return wrong_type(key, "an unsigned integer", value->type);
  if (*number < 0) {
    return make_error(ErrorCode::kCorrupt, "metadata key '{}': expected an unsigned integer, found {}",
                      printable(key), *number);
  }
  return std::optional<uint64_t>(static_cast<uint64_t>(*number));
}

Result<std::optional<double>> GgufFile::get_float(std::string_view key) const {
  return get_as<double>(*this, key, "f32 or f64");
}

Result<std::optional<bool>> GgufFile::get_bool(std::string_view key) const {
  return get_as<bool>(*this, key, "bool");
}

Result<std::optional<std::string_view>> GgufFile::get_string(std::string_view key) const {
  return get_as<std::string_view>(*this, key, "string");
}

Result<const GgufArray*> GgufFile::get_array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return static_cast<const GgufArray*>(nullptr);
  if (const auto* array = std::get_if<GgufArray>(&value->data)) return array;
  return wrong_type(key, "array", value->type);
}

}  // namespace tern
