// SPDX-License-Identifier: MIT
// write_safetensors: header and data through AtomicFile. Refuses whatever parse_safetensors would refuse.
// Called by the converter. Source: FORMATS.md B.1.
#include <set>

#include "core/atomic_file.h"
#include "core/printable.h"
#include "formats/gguf.h"  // tensor_byte_size
#include "formats/safetensors.h"

namespace tern {
namespace {

// `text` as a JSON string; it must be UTF-8.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

Status check_tensor(const SafetensorsTensor& tensor) {
  if (tensor.name.empty() || tensor.name == "__metadata__" || !is_plain_text(tensor.name)) {
    return make_error(ErrorCode::kUsage,
                      "expected a name of plain UTF-8 text that is not empty or '__metadata__'");
  }
  if (safetensors_dtype_name(tensor.dtype).empty()) {
    return make_error(ErrorCode::kUnsupported, "safetensors has no dtype for {}", dtype_name(tensor.dtype));
  }
  uint64_t elements = 1;
  bool is_good = tensor.shape.size() <= kSafetensorsMaxDims;
  for (const uint64_t size : tensor.shape)
    is_good = is_good && !__builtin_mul_overflow(elements, size, &elements);
  if (is_good) {
    const auto bytes = tensor_byte_size(tensor.dtype, 1, elements);
    is_good = bytes.ok() && *bytes == tensor.data.size();
  }
  if (is_good) return {};
  return make_error(ErrorCode::kUsage, "{} of shape [{}] does not take the {} bytes given",
                    dtype_name(tensor.dtype), fmt::join(tensor.shape, ", "), tensor.data.size());
}

Result<std::string> metadata_object(const std::vector<std::pair<std::string, std::string>>& metadata) {
  if (metadata.size() > kSafetensorsMaxMetadata) {
    return make_error(ErrorCode::kUsage, "{} entries of __metadata__, a file may hold {}", metadata.size(),
                      kSafetensorsMaxMetadata);
  }
  std::set<std::string_view> keys;
  std::string out;
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(key) || !is_utf8(value) || !keys.insert(key).second) {
      return make_error(ErrorCode::kUsage, "__metadata__ '{}' is there twice or is not UTF-8",
                        printable(key));
    }
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", quoted(key), quoted(value));
  }
  return fmt::format("{{{}}}", out);
}

Result<std::string> header_text(const std::vector<SafetensorsTensor>& tensors,
                                const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::string out;
  if (!metadata.empty()) {
    TERN_TRY_ASSIGN(const std::string object, metadata_object(metadata));
    out = "\"__metadata__\":" + object;
  }
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    Status status = check_tensor(tensor);
    if (status.ok() && !names.insert(tensor.name).second)
      status = make_error(ErrorCode::kUsage, "it is there twice");
    if (!status.ok()) return std::move(status).error().in(fmt::format("tensor '{}'", printable(tensor.name)));
    const uint64_t end = offset + tensor.data.size();
    out += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                       out.empty() ? "" : ",", quoted(tensor.name), safetensors_dtype_name(tensor.dtype),
                       fmt::join(tensor.shape, ","), offset, end);
    offset = end;
  }
  out = fmt::format("{{{}}}", out);
  out.resize((out.size() + 7) / 8 * 8, ' ');
  if (out.size() <= kSafetensorsMaxHeaderBytes) return out;
  return make_error(ErrorCode::kUsage, "the header takes {} bytes, at most {} are allowed", out.size(),
                    kSafetensorsMaxHeaderBytes);
}

}  // namespace

Status write_safetensors(const std::string& path, const std::vector<SafetensorsTensor>& tensors,
                         const std::vector<std::pair<std::string, std::string>>& metadata) {
  TERN_TRY_ASSIGN(const std::string header, header_text(tensors, metadata));
  TERN_TRY_ASSIGN(AtomicFile file, AtomicFile::create(path));
  const uint64_t length = header.size();
  TERN_TRY(file.write(std::as_bytes(std::span(&length, 1))));
  TERN_TRY(file.write(header));
  for (const SafetensorsTensor& tensor : tensors) TERN_TRY(file.write(tensor.data));
  return file.commit();
}

}  // namespace tern
