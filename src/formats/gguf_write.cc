// SPDX-License-Identifier: MIT
// GgufWriter: header in memory, tensors one at a time, all through AtomicFile. Refuses whatever parse_gguf
// would refuse, so that a written file can always be read. Called by the converter. Source: FORMATS.md A.1.
#include "formats/gguf_write.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/atomic_file.h"
#include "core/printable.h"

namespace tern {
namespace {

template <class T>
constexpr GgufType type_of() {
  if constexpr (std::is_same_v<T, uint8_t>) return GgufType::kU8;
  if constexpr (std::is_same_v<T, int8_t>) return GgufType::kI8;
  if constexpr (std::is_same_v<T, uint16_t>) return GgufType::kU16;
  if constexpr (std::is_same_v<T, int16_t>) return GgufType::kI16;
  if constexpr (std::is_same_v<T, uint32_t>) return GgufType::kU32;
  if constexpr (std::is_same_v<T, int32_t>) return GgufType::kI32;
  if constexpr (std::is_same_v<T, float>) return GgufType::kF32;
  if constexpr (std::is_same_v<T, bool>) return GgufType::kBool;
  if constexpr (std::is_same_v<T, std::string>) return GgufType::kString;
  if constexpr (std::is_same_v<T, uint64_t>) return GgufType::kU64;
  if constexpr (std::is_same_v<T, int64_t>) return GgufType::kI64;
  if constexpr (std::is_same_v<T, double>) return GgufType::kF64;
}

template <class T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void put(std::string& out, const std::string& text) {
  put(out, uint64_t{text.size()});
  out += text;
}

void put_type(std::string& out, GgufType type) { put(out, static_cast<int32_t>(type)); }

template <class T>
void put_value(std::string& out, const T& value) {
  put_type(out, type_of<T>());
  put(out, value);
}

template <class T>
void put_value(std::string& out, const std::vector<T>& values) {
  put_type(out, GgufType::kArray);
  put_type(out, type_of<T>());
  put(out, uint64_t{values.size()});
  for (const auto& value : values) put(out, static_cast<const T&>(value));
}

// The reader's limits on strings and arrays; nobody reaches them with honest metadata.
bool fits(const std::string& text) { return text.size() <= kGgufMaxStringBytes; }
template <class T>
bool fits(const T&) {
  return true;
}
template <class T>
bool fits(const std::vector<T>& values) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (!std::all_of(values.begin(), values.end(), [](const std::string& text) { return fits(text); }))
      return false;
  }
  return values.size() <= kGgufMaxArrayCount;
}

Status check_key(const std::string& key, const GgufWriteValue& value) {
  if (key.empty() || key.size() > kGgufMaxKeyBytes || !is_plain_text(key)) {
    return make_error(ErrorCode::kUsage,
                      "metadata key '{}' has {} bytes, expected 1 to {} of plain UTF-8 text", printable(key),
                      key.size(), kGgufMaxKeyBytes);
  }
  if (key == "general.alignment" && value != GgufWriteValue(uint32_t{kGgufDefaultAlignment})) {
    return make_error(ErrorCode::kUsage,
                      "general.alignment can only be the u32 {} in a file that tern writes",
                      kGgufDefaultAlignment);
  }
  if (!std::visit([](const auto& v) { return fits(v); }, value)) {
    return make_error(ErrorCode::kUsage, "metadata key '{}' is longer than a GGUF file can hold",
                      printable(key));
  }
  return {};
}

Status check_shape(const std::vector<uint64_t>& shape) {
  uint64_t elements = 1;
  bool is_good = !shape.empty() && shape.size() <= 4;
  for (const uint64_t size : shape) {
    is_good =
        is_good && size > 0 && !__builtin_mul_overflow(elements, size, &elements) && elements >> 63 == 0;
  }
  if (is_good) return {};
  return make_error(ErrorCode::kUsage,
                    "shape [{}]: expected 1 to 4 sizes of 1 or more, of less than 2^63 elements",
                    fmt::join(shape, ", "));
}

}  // namespace

void GgufWriter::set(std::string key, GgufWriteValue value) {
  for (auto& entry : metadata_) {
    if (entry.first == key) {
      entry.second = std::move(value);
      return;
    }
  }
  metadata_.emplace_back(std::move(key), std::move(value));
}

Status GgufWriter::add_tensor(std::string name, DType dtype, std::vector<uint64_t> shape, Produce produce) {
  const auto here = [&](Error error) {
    return std::move(error).in(fmt::format("tensor '{}'", printable(name)));
  };
  if (name.empty() || name.size() > kGgufMaxTensorNameBytes || !is_plain_text(name)) {
    return here(make_error(ErrorCode::kUsage, "expected a name of 1 to {} bytes of plain UTF-8 text",
                           kGgufMaxTensorNameBytes));
  }
  if (names_.count(name) != 0) return here(make_error(ErrorCode::kUsage, "it was added before"));
  if (tensors_.size() >= kGgufMaxTensors) {
    return here(
        make_error(ErrorCode::kUsage, "it is one more than the {} that a file may hold", kGgufMaxTensors));
  }
  if (Status status = check_shape(shape); !status.ok()) return here(std::move(status).error());
  GgufTensorInfo info;
  info.shape = shape;
  auto type_id = gguf_type_id(dtype);
  if (!type_id.ok()) return here(std::move(type_id).error());
  auto byte_size = tensor_byte_size(dtype, info.rows(), info.cols());
  if (!byte_size.ok()) return here(std::move(byte_size).error());
  names_.insert(name);
  tensors_.push_back({std::move(name), dtype, std::move(shape), *type_id, *byte_size, std::move(produce)});
  return {};
}

// Everything in front of the tensor data, padded to the alignment.
Result<std::string> GgufWriter::header() const {
  if (metadata_.size() > kGgufMaxKeys) {
    return make_error(ErrorCode::kUsage, "{} metadata keys, a file may hold {}", metadata_.size(),
                      kGgufMaxKeys);
  }
  std::string out = "GGUF";
  put(out, uint32_t{3});
  put(out, uint64_t{tensors_.size()});
  put(out, uint64_t{metadata_.size()});
  for (const auto& [key, value] : metadata_) {
    TERN_TRY(check_key(key, value));
    put(out, key);
    std::visit([&](const auto& v) { put_value(out, v); }, value);
  }
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    put(out, tensor.name);
    put(out, static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t size : tensor.shape) put(out, size);
    put(out, tensor.type_id);
    put(out, offset);
    if (__builtin_add_overflow(offset, gguf_padded(tensor.byte_size, kGgufDefaultAlignment), &offset) ||
        offset >> 63) {
      return make_error(ErrorCode::kUsage, "the tensors take more than 2^63 bytes");
    }
  }
  out.resize(gguf_padded(out.size(), kGgufDefaultAlignment), '\0');
  return out;
}

Status GgufWriter::write(const std::string& path) const {
  TERN_TRY_ASSIGN(const std::string head, header());
  TERN_TRY_ASSIGN(AtomicFile file, AtomicFile::create(path));
  TERN_TRY(file.write(head));
  for (const Tensor& tensor : tensors_) {
    // Zero-filled beforehand, so that the padding, and whatever `produce` leaves out, is the same in every
    // run.
    std::vector<std::byte> bytes(gguf_padded(tensor.byte_size, kGgufDefaultAlignment));
    TERN_TRY(tensor.produce(std::span(bytes).first(tensor.byte_size)));
    TERN_TRY(file.write(bytes));
  }
  return file.commit();
}

}  // namespace tern
