// SPDX-License-Identifier: MIT
// parse_safetensors: the strict reader. Decides names, shapes and places of tensors; what they mean is the
// converter's business. Called by the converter and by the fuzzer. Source: FORMATS.md B.1.
#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/printable.h"
#include "formats/gguf.h"  // tensor_byte_size
#include "formats/json_scanner.h"

namespace tern {
namespace {

struct DTypeName {
  std::string_view name;
  DType dtype;
};

constexpr DTypeName kDTypeNames[] = {
    {"F64", DType::kF64},   {"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16},
    {"I64", DType::kI64},   {"I32", DType::kI32}, {"I16", DType::kI16}, {"I8", DType::kI8},
    {"U64", DType::kU64},   {"U32", DType::kU32}, {"U16", DType::kU16}, {"U8", DType::kU8},
    {"BOOL", DType::kBool},
};

// What the header says about one tensor, before its place in the buffer is checked.
struct Entry {
  SafetensorsTensor tensor;
  uint64_t begin = 0, end = 0;
};

struct Header {
  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;
};

Result<DType> find_dtype(JsonScanner& scanner) {
  TERN_TRY_ASSIGN(const std::string name, scanner.string());
  for (const DTypeName& entry : kDTypeNames) {
    if (entry.name == name) return entry.dtype;
  }
  return make_error(ErrorCode::kUnsupported, "dtype '{}' is not one that tern reads", printable(name));
}

Status read_shape(JsonScanner& scanner, std::vector<uint64_t>& shape) {
  return scanner.array([&]() -> Status {
    if (shape.size() == kSafetensorsMaxDims)
      return scanner.error(fmt::format("at most {} dimensions", kSafetensorsMaxDims));
    TERN_TRY_ASSIGN(shape.emplace_back(), scanner.unsigned_integer());
    return {};
  });
}

Status read_offsets(JsonScanner& scanner, Entry& entry) {
  size_t count = 0;
  TERN_TRY(scanner.array([&]() -> Status {
    if (count == 2) return scanner.error("two data_offsets");
    TERN_TRY_ASSIGN((count == 0 ? entry.begin : entry.end), scanner.unsigned_integer());
    ++count;
    return {};
  }));
  if (count != 2) return make_error(ErrorCode::kCorrupt, "expected two data_offsets, found {}", count);
  if (entry.begin <= entry.end) return {};
  return make_error(ErrorCode::kCorrupt, "data_offsets [{}, {}] run backwards", entry.begin, entry.end);
}

// The object behind a tensor's name: dtype, shape and data_offsets, each exactly once, nothing else.
Status read_entry(JsonScanner& scanner, Entry& entry) {
  bool has_dtype = false, has_shape = false, has_offsets = false;
  TERN_TRY(scanner.object([&](const std::string& key) -> Status {
    const auto first = [&](bool& has) { return !std::exchange(has, true); };
    if (key == "dtype" && first(has_dtype)) {
      TERN_TRY_ASSIGN(entry.tensor.dtype, find_dtype(scanner));
      return {};
    }
    if (key == "shape" && first(has_shape)) return read_shape(scanner, entry.tensor.shape);
    if (key == "data_offsets" && first(has_offsets)) return read_offsets(scanner, entry);
    const bool is_known = key == "dtype" || key == "shape" || key == "data_offsets";
    return make_error(ErrorCode::kCorrupt, "key '{}' {}", printable(key),
                      is_known ? "appears twice" : "is not known");
  }));
  if (has_dtype && has_shape && has_offsets) return {};
  return make_error(ErrorCode::kCorrupt, "'{}' is missing",
                    !has_dtype   ? "dtype"
                    : !has_shape ? "shape"
                                 : "data_offsets");
}

// The bytes that shape and dtype call for must be the ones that the offsets give.
Status check_size(const Entry& entry) {
  uint64_t elements = 1;
  // A zero makes the product zero whatever the others are, but the reference multiplies from the left: so do
  // we.
  for (const uint64_t size : entry.tensor.shape) {
    if (__builtin_mul_overflow(elements, size, &elements)) {
      return make_error(ErrorCode::kCorrupt, "shape [{}]: the number of elements overflows 64 bits",
                        fmt::join(entry.tensor.shape, ", "));
    }
  }
  TERN_TRY_ASSIGN(const uint64_t bytes, tensor_byte_size(entry.tensor.dtype, 1, elements));
  if (bytes == entry.end - entry.begin) return {};
  return make_error(ErrorCode::kCorrupt, "{} of shape [{}] takes {} bytes, but data_offsets [{}, {}] give {}",
                    dtype_name(entry.tensor.dtype), fmt::join(entry.tensor.shape, ", "), bytes, entry.begin,
                    entry.end, entry.end - entry.begin);
}

Status read_metadata(JsonScanner& scanner, Header& header) {
  TERN_TRY(scanner.object([&](const std::string& key) -> Status {
    if (header.metadata.size() == kSafetensorsMaxMetadata) {
      return scanner.error(fmt::format("at most {} entries of __metadata__", kSafetensorsMaxMetadata));
    }
    TERN_TRY_ASSIGN(auto value, scanner.string());
    header.metadata.emplace_back(key, std::move(value));
    return {};
  }));
  std::vector<std::string_view> keys;
  for (const auto& entry : header.metadata) keys.push_back(entry.first);
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice == keys.end()) return {};
  return make_error(ErrorCode::kCorrupt, "__metadata__ has the key '{}' twice", printable(*twice));
}

Result<Header> read_header(JsonScanner& scanner) {
  Header header;
  bool has_metadata = false;
  TERN_TRY(scanner.object([&](const std::string& name) -> Status {
    if (name == "__metadata__") {
      if (std::exchange(has_metadata, true))
        return make_error(ErrorCode::kCorrupt, "__metadata__ appears twice");
      return read_metadata(scanner, header);
    }
    if (name.empty() || !is_plain_text(name)) {
      return make_error(ErrorCode::kCorrupt, "tensor name '{}' is empty or has control characters",
                        printable(name));
    }
    Entry entry;
    Status status = read_entry(scanner, entry);
    if (status.ok()) status = check_size(entry);
    if (!status.ok()) return std::move(status).error().in(fmt::format("tensor '{}'", printable(name)));
    entry.tensor.name = name;
    header.entries.push_back(std::move(entry));
    return {};
  }));
  TERN_TRY(scanner.end());
  return header;
}

// The length in the first 8 bytes, and the text it covers.
Result<std::string_view> header_text(std::span<const std::byte> bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) {
    return make_error(ErrorCode::kCorrupt, "byte 0: expected a header length of 8 bytes, the file has {}",
                      bytes.size());
  }
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > kSafetensorsMaxHeaderBytes) {
    return make_error(ErrorCode::kCorrupt,
                      "byte 0: header length {}, at most {} are allowed (not a safetensors file?)", length,
                      kSafetensorsMaxHeaderBytes);
  }
  if (length > bytes.size() - sizeof(length)) {
    return make_error(ErrorCode::kCorrupt,
                      "byte 0: header length {}, but the file has {} bytes behind it (truncated?)", length,
                      bytes.size() - sizeof(length));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof(length), length);
  if (text.empty() || text[0] != '{') {
    return make_error(ErrorCode::kCorrupt, "byte 8: expected a header that starts with '{{', found '{}'",
                      printable(text.substr(0, 16)));
  }
  if (!is_utf8(text)) return make_error(ErrorCode::kCorrupt, "byte 8: the header is not UTF-8");
  return text;
}

// Sorts by offset and gives every tensor its bytes: no hole, no overlap, nothing behind the last.
Status place_tensors(std::span<const std::byte> buffer, std::vector<Entry>& entries) {
  // Empty tensors may share a place: the name decides, so that the order depends on nothing else.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
  });
  uint64_t expected = 0;
  for (Entry& entry : entries) {
    if (entry.begin != expected || entry.end > buffer.size()) {
      return make_error(
          ErrorCode::kCorrupt,
          "tensor '{}': data_offsets [{}, {}], expected a begin of {} and an end of at most {} (hole, "
          "overlap or truncated file)",
          printable(entry.tensor.name), entry.begin, entry.end, expected, buffer.size());
    }
    entry.tensor.data = buffer.subspan(entry.begin, entry.end - entry.begin);
    expected = entry.end;
  }
  if (expected == buffer.size()) return {};
  return make_error(ErrorCode::kCorrupt, "the tensors end at {} of the buffer, which has {} bytes", expected,
                    buffer.size());
}

}  // namespace

std::string_view safetensors_dtype_name(DType dtype) {
  for (const DTypeName& entry : kDTypeNames) {
    if (entry.dtype == dtype) return entry.name;
  }
  return "";
}

const SafetensorsTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found =
      std::lower_bound(name_order_.begin(), name_order_.end(), name,
                       [&](uint32_t index, std::string_view n) { return tensors[index].name < n; });
  return found == name_order_.end() || tensors[*found].name != name ? nullptr : &tensors[*found];
}

Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes) {
  TERN_TRY_ASSIGN(const std::string_view text, header_text(bytes));
  JsonScanner scanner(text, sizeof(uint64_t));
  TERN_TRY_ASSIGN(Header header, read_header(scanner));
  TERN_TRY(place_tensors(bytes.subspan(sizeof(uint64_t) + text.size()), header.entries));

  SafetensorsFile file;
  file.metadata = std::move(header.metadata);
  file.tensors.reserve(header.entries.size());
  for (Entry& entry : header.entries) file.tensors.push_back(std::move(entry.tensor));
  file.name_order_.resize(file.tensors.size());
  std::iota(file.name_order_.begin(), file.name_order_.end(), 0u);
  const auto name = [&](uint32_t index) -> const std::string& { return file.tensors[index].name; };
  std::sort(file.name_order_.begin(), file.name_order_.end(),
            [&](uint32_t a, uint32_t b) { return name(a) < name(b); });
  const auto twice = std::adjacent_find(file.name_order_.begin(), file.name_order_.end(),
                                        [&](uint32_t a, uint32_t b) { return name(a) == name(b); });
  if (twice == file.name_order_.end()) return file;
  return make_error(ErrorCode::kCorrupt, "tensor '{}' appears twice", printable(name(*twice)));
}

}  // namespace tern
