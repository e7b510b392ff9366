// SPDX-License-Identifier: MIT
// parse_gguf: the strict reader. Every number from the file is compared with what the remaining bytes can
// hold before anything is allocated or multiplied with it. Called by Weights::open and by the fuzzer. Source:
// FORMATS.md A.1 (order of fields, refusals), A.2 (id 42 by byte span).
#include "formats/gguf.h"

#include <bit>
#include <cstring>

#include "core/printable.h"

namespace tern {
namespace {

static_assert(std::endian::native == std::endian::little, "values are read with memcpy");

// The least bytes that one entry takes: what a count is compared with before it is believed.
constexpr uint64_t kMinKeyValueBytes = 8 + 1 + 4 + 1;            // key of one byte, type, one-byte value
constexpr uint64_t kMinTensorInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;  // name of one byte, one dimension

// Reads the header from front to back. Errors start with the offset of the field that is wrong.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return bytes_.size() - offset_; }

  template <class T>
  Result<T> read(std::string_view what) {
    if (remaining() < sizeof(T)) return truncated(what, sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  Result<std::span<const std::byte>> read_bytes(std::string_view what, uint64_t count) {
    if (remaining() < count) return truncated(what, count);
    const auto found = bytes_.subspan(offset_, count);
    offset_ += count;
    return found;
  }

  Result<std::string_view> read_string(std::string_view what, uint64_t max_bytes) {
    const uint64_t start = offset_;
    TERN_TRY_ASSIGN(const uint64_t length, read<uint64_t>(what));
    if (length > max_bytes) {
      return make_error(ErrorCode::kCorrupt, "byte {}: {} of {} bytes, at most {} are allowed", start, what,
                        length, max_bytes);
    }
    TERN_TRY_ASSIGN(const auto found, read_bytes(what, length));
    return std::string_view(reinterpret_cast<const char*>(found.data()), found.size());
  }

  Error truncated(std::string_view what, uint64_t needed) const {
    return make_error(ErrorCode::kCorrupt, "byte {}: {} needs {} bytes, the file has {} left (truncated?)",
                      offset_, what, needed, remaining());
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t offset_ = 0;
};

Result<uint32_t> read_version(Reader& reader) {
  TERN_TRY_ASSIGN(const auto magic, reader.read_bytes("the magic", 4));
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    const std::string_view found(reinterpret_cast<const char*>(magic.data()), 4);
    return make_error(ErrorCode::kCorrupt, "byte 0: expected the magic 'GGUF', found '{}' (not a GGUF file)",
                      printable(found));
  }
  TERN_TRY_ASSIGN(const uint32_t version, reader.read<uint32_t>("the version"));
  if (version != 0 && (version & 0xffffu) == 0) {
    return make_error(
        ErrorCode::kUnsupported,
        "byte 4: version {:#010x} is byte-swapped: a big-endian file, tern reads little-endian ones",
        version);
  }
  if (version < 2 || version > 3) {
    return make_error(ErrorCode::kUnsupported, "byte 4: expected GGUF version 2 or 3, found {}", version);
  }
  return version;
}

Result<uint64_t> read_count(Reader& reader, std::string_view what, uint64_t limit) {
  const uint64_t start = reader.offset();
  TERN_TRY_ASSIGN(const uint64_t count, reader.read<uint64_t>(what));
  if (static_cast<int64_t>(count) < 0) {
    return make_error(ErrorCode::kCorrupt, "byte {}: {} is negative ({})", start, what,
                      static_cast<int64_t>(count));
  }
  if (count > limit) {
    return make_error(ErrorCode::kCorrupt, "byte {}: {} is {}, at most {} are allowed", start, what, count,
                      limit);
  }
  return count;
}

// Refuses a count of entries whose least size is already more than the file has left.
Status check_fits(const Reader& reader, std::string_view what, uint64_t count, uint64_t min_bytes) {
  if (count <= reader.remaining() / min_bytes) return {};
  return make_error(ErrorCode::kCorrupt, "byte {}: {} is {}, but the file has only {} bytes left",
                    reader.offset(), what, count, reader.remaining());
}

Status check_bools(const Reader& reader, std::span<const std::byte> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] > std::byte{1}) {
      return make_error(ErrorCode::kCorrupt, "byte {}: expected a bool of 0 or 1, found {}",
                        reader.offset() - values.size() + i, static_cast<int>(values[i]));
    }
  }
  return {};
}

Result<GgufArray> read_array(Reader& reader) {
  const uint64_t start = reader.offset();
  GgufArray array;
  TERN_TRY_ASSIGN(const int32_t type, reader.read<int32_t>("an array's element type"));
  array.element_type = static_cast<GgufType>(type);
  if (array.element_type == GgufType::kArray) {
    return make_error(ErrorCode::kUnsupported, "byte {}: an array of arrays, which tern does not read",
                      start);
  }
  TERN_TRY_ASSIGN(array.count, read_count(reader, "an array's length", kGgufMaxArrayCount));
  if (array.element_type == GgufType::kString) {
    TERN_TRY(check_fits(reader, "an array's length", array.count, sizeof(uint64_t)));
    array.strings.reserve(array.count);  // at most twice the file's size: 16 bytes for 8 in the file
    for (uint64_t i = 0; i < array.count; ++i) {
      TERN_TRY_ASSIGN(array.strings.emplace_back(), reader.read_string("a string", kGgufMaxStringBytes));
    }
    return array;
  }
  const uint64_t element_bytes = gguf_type_bytes(array.element_type);
  if (element_bytes == 0) {
    return make_error(ErrorCode::kCorrupt, "byte {}: value type {} does not exist (0 to 12 do)", start, type);
  }
  TERN_TRY(check_fits(reader, "an array's length", array.count, element_bytes));
  TERN_TRY_ASSIGN(array.bytes, reader.read_bytes("an array", array.count * element_bytes));
  if (array.element_type == GgufType::kBool) TERN_TRY(check_bools(reader, array.bytes));
  return array;
}

// One number, widened to Wide (u64, i64 or f64).
template <class Narrow, class Wide>
Status read_number(Reader& reader, GgufValue& value) {
  TERN_TRY_ASSIGN(const Narrow number, reader.read<Narrow>("a value"));
  value.data = static_cast<Wide>(number);
  return {};
}

Status read_value(Reader& reader, GgufValue& value) {
  switch (value.type) {
    case GgufType::kU8:
      return read_number<uint8_t, uint64_t>(reader, value);
    case GgufType::kI8:
      return read_number<int8_t, int64_t>(reader, value);
    case GgufType::kU16:
      return read_number<uint16_t, uint64_t>(reader, value);
    case GgufType::kI16:
      return read_number<int16_t, int64_t>(reader, value);
    case GgufType::kU32:
      return read_number<uint32_t, uint64_t>(reader, value);
    case GgufType::kI32:
      return read_number<int32_t, int64_t>(reader, value);
    case GgufType::kU64:
      return read_number<uint64_t, uint64_t>(reader, value);
    case GgufType::kI64:
      return read_number<int64_t, int64_t>(reader, value);
    case GgufType::kF32:
      return read_number<float, double>(reader, value);
    case GgufType::kF64:
      return read_number<double, double>(reader, value);
    case GgufType::kBool: {
      TERN_TRY_ASSIGN(const auto byte, reader.read_bytes("a bool", 1));
      TERN_TRY(check_bools(reader, byte));
      value.data = byte[0] == std::byte{1};
      return {};
    }
    case GgufType::kString: {
      TERN_TRY_ASSIGN(value.data, reader.read_string("a string", kGgufMaxStringBytes));
      return {};
    }
    case GgufType::kArray: {
      TERN_TRY_ASSIGN(value.data, read_array(reader));
      return {};
    }
  }
  return make_error(ErrorCode::kCorrupt, "byte {}: value type {} does not exist (0 to 12 do)",
                    reader.offset() - sizeof(int32_t), static_cast<int32_t>(value.type));
}

// A key or a tensor name: present, printable on one line.
Result<std::string> read_name(Reader& reader, std::string_view what, uint64_t max_bytes) {
  const uint64_t start = reader.offset();
  TERN_TRY_ASSIGN(const std::string_view name, reader.read_string(what, max_bytes));
  if (name.empty()) return make_error(ErrorCode::kCorrupt, "byte {}: {} is empty", start, what);
  if (!is_plain_text(name)) {
    return make_error(ErrorCode::kCorrupt, "byte {}: {} '{}' is not UTF-8 text without control characters",
                      start, what, printable(name));
  }
  return std::string(name);
}

Status read_metadata(Reader& reader, uint64_t count, GgufFile& file) {
  // Not reserved: the vector grows with what is really there, whatever the count says.
  for (uint64_t i = 0; i < count; ++i) {
    TERN_TRY_ASSIGN(auto key, read_name(reader, "a metadata key", kGgufMaxKeyBytes));
    GgufValue value;
    TERN_TRY_ASSIGN(const int32_t type, reader.read<int32_t>("a value type"));
    value.type = static_cast<GgufType>(type);
    if (Status status = read_value(reader, value); !status.ok()) {
      return std::move(status).error().in(fmt::format("metadata key '{}'", printable(key)));
    }
    file.metadata.emplace_back(std::move(key), std::move(value));
  }
  return {};
}

Status read_alignment(GgufFile& file) {
  const GgufValue* value = nullptr;
  for (const auto& entry : file.metadata) {  // before the index exists: duplicates are refused later
    if (entry.first == "general.alignment") value = &entry.second;
  }
  if (value == nullptr) return {};
  if (value->type != GgufType::kU32) {
    return make_error(ErrorCode::kCorrupt, "metadata key 'general.alignment': expected u32, found {}",
                      gguf_type_name(value->type));
  }
  file.alignment = std::get<uint64_t>(value->data);
  if (std::has_single_bit(file.alignment)) return {};
  return make_error(ErrorCode::kCorrupt,
                    "metadata key 'general.alignment': expected a power of two, found {}", file.alignment);
}

Status read_shape(Reader& reader, GgufTensorInfo& tensor) {
  const uint64_t start = reader.offset();
  TERN_TRY_ASSIGN(const uint32_t dims, reader.read<uint32_t>("the number of dimensions"));
  if (dims < 1 || dims > 4) {
    return make_error(ErrorCode::kCorrupt, "byte {}: expected 1 to 4 dimensions, found {}", start, dims);
  }
  uint64_t elements = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    TERN_TRY_ASSIGN(const uint64_t size, reader.read<uint64_t>("a dimension"));
    if (static_cast<int64_t>(size) <= 0) {
      return make_error(ErrorCode::kCorrupt, "byte {}: dimension {} is {}, expected 1 or more",
                        reader.offset() - 8, i, static_cast<int64_t>(size));
    }
    if (__builtin_mul_overflow(elements, size, &elements) || static_cast<int64_t>(elements) < 0) {
      return make_error(ErrorCode::kCorrupt, "byte {}: the number of elements overflows 63 bits", start);
    }
    tensor.shape.push_back(size);
  }
  return {};
}

const DType* overriding_type(int32_t type_id, const GgufReadOptions& options) {
  for (const auto& [id, dtype] : options.types) {
    if (id == type_id) return &dtype;
  }
  return nullptr;
}

Result<DType> dtype_of(int32_t type_id, const GgufReadOptions& options) {
  const DType* dtype = overriding_type(type_id, options);
  if (dtype != nullptr) return *dtype;
  return gguf_dtype(type_id);
}

Status read_tensor_info(Reader& reader, uint64_t alignment, const GgufReadOptions& options,
                        GgufTensorInfo& tensor) {
  TERN_TRY(read_shape(reader, tensor));
  const uint64_t start = reader.offset();
  const auto here = [&](Error error) { return std::move(error).in(fmt::format("byte {}", start)); };
  TERN_TRY_ASSIGN(tensor.type_id, reader.read<int32_t>("a tensor type"));
  auto dtype = dtype_of(tensor.type_id, options);
  if (!dtype.ok()) return here(std::move(dtype).error());
  tensor.dtype = *dtype;
  auto byte_size = tensor_byte_size(tensor.dtype, tensor.rows(), tensor.cols());
  if (!byte_size.ok()) return here(std::move(byte_size).error());
  tensor.byte_size = *byte_size;
  TERN_TRY_ASSIGN(tensor.offset, reader.read<uint64_t>("a tensor offset"));
  if (tensor.offset % alignment != 0) {
    return make_error(ErrorCode::kCorrupt, "byte {}: offset {} is not a multiple of the alignment {}",
                      start + 4, tensor.offset, alignment);
  }
  return {};
}

Status read_tensor_infos(Reader& reader, uint64_t count, const GgufReadOptions& options, GgufFile& file) {
  for (uint64_t i = 0; i < count; ++i) {
    GgufTensorInfo tensor;
    TERN_TRY_ASSIGN(tensor.name, read_name(reader, "a tensor name", kGgufMaxTensorNameBytes));
    if (Status status = read_tensor_info(reader, file.alignment, options, tensor); !status.ok()) {
      return std::move(status).error().in(fmt::format("tensor '{}'", printable(tensor.name)));
    }
    file.tensors.push_back(std::move(tensor));
  }
  return {};
}

// True where `span` bytes up to the next tensor (or the file's end) are what `byte_size` takes with its
// padding. At the file's end the padding may be missing.
bool fits_span(uint64_t byte_size, uint64_t span, uint64_t alignment, bool is_last) {
  const uint64_t padded = gguf_padded(byte_size, alignment);
  return is_last ? byte_size <= span && span <= padded : span == padded;
}

// Id 42 is Q2_0 with groups of 64 or of 128; where both fit (small tensors, by padding) it is mainline's 64.
void resolve_q2_0(GgufTensorInfo& tensor, uint64_t span, uint64_t alignment, bool is_last) {
  if (tensor.dtype != DType::kQ2_0_G64 || fits_span(tensor.byte_size, span, alignment, is_last)) return;
  const auto byte_size = tensor_byte_size(DType::kQ2_0_G128, tensor.rows(), tensor.cols());
  if (!byte_size.ok() || !fits_span(*byte_size, span, alignment, is_last)) return;
  tensor.dtype = DType::kQ2_0_G128;
  tensor.byte_size = *byte_size;
}

// What a span that does not fit may come from: ids that another engine gives to a type of another size.
std::string other_meaning(const GgufTensorInfo& tensor) {
  const char* meaning = gguf_other_meaning(tensor.type_id);
  if (meaning == nullptr) return {};
  return fmt::format(" (type id {} is also {}, which tern does not read)", tensor.type_id, meaning);
}

// Gives every tensor its bytes: they must follow one another exactly, from offset 0 to the file's end. Since
// the next offset ends each span, a gap or an overlap shows as a span that the type does not take.
Status place_tensors(std::span<const std::byte> data, const GgufReadOptions& options, GgufFile& file) {
  if (file.tensors[0].offset != 0) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}': the first tensor has offset {}, expected 0",
                      printable(file.tensors[0].name), file.tensors[0].offset);
  }
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    GgufTensorInfo& tensor = file.tensors[i];
    const bool is_last = i + 1 == file.tensors.size();
    const uint64_t end = is_last ? data.size() : file.tensors[i + 1].offset;
    const uint64_t span = end < tensor.offset ? 0 : end - tensor.offset;
    if (overriding_type(tensor.type_id, options) == nullptr)
      resolve_q2_0(tensor, span, file.alignment, is_last);
    if (tensor.offset > data.size() || tensor.byte_size > data.size() - tensor.offset) {
      return make_error(
          ErrorCode::kCorrupt,
          "tensor '{}': {} bytes at offset {} of the data, which has only {} (truncated file?){}",
          printable(tensor.name), tensor.byte_size, tensor.offset, data.size(), other_meaning(tensor));
    }
    if (!fits_span(tensor.byte_size, span, file.alignment, is_last)) {
      return make_error(
          ErrorCode::kCorrupt,
          "tensor '{}': {} of {} x {} takes {} bytes ({} with padding), but {} lie between its offset {} "
          "and {}{}",
          printable(tensor.name), dtype_name(tensor.dtype), tensor.rows(), tensor.cols(), tensor.byte_size,
          gguf_padded(tensor.byte_size, file.alignment), span, tensor.offset,
          is_last ? "the end of the file" : "the next tensor's", other_meaning(tensor));
    }
    tensor.data = data.subspan(tensor.offset, tensor.byte_size);
  }
  return {};
}

// Without tensors there is no data section: the header's padding may be there or not, nothing else may.
Status check_no_data(uint64_t header_bytes, uint64_t file_bytes, uint64_t data_offset) {
  if (file_bytes <= data_offset) return {};
  return make_error(ErrorCode::kCorrupt, "byte {}: {} bytes behind the header of a file without tensors",
                    header_bytes, file_bytes - header_bytes);
}

}  // namespace

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, const GgufReadOptions& options) {
  Reader reader(bytes);
  GgufFile file;
  TERN_TRY_ASSIGN(file.version, read_version(reader));
  TERN_TRY_ASSIGN(const uint64_t tensor_count, read_count(reader, "the tensor count", kGgufMaxTensors));
  TERN_TRY_ASSIGN(const uint64_t key_count, read_count(reader, "the metadata count", kGgufMaxKeys));
  TERN_TRY(check_fits(reader, "the tensor count", tensor_count, kMinTensorInfoBytes));
  TERN_TRY(check_fits(reader, "the metadata count", key_count, kMinKeyValueBytes));
  TERN_TRY(read_metadata(reader, key_count, file));
  TERN_TRY(read_alignment(file));
  TERN_TRY(check_fits(reader, "the tensor count", tensor_count, kMinTensorInfoBytes));
  TERN_TRY(read_tensor_infos(reader, tensor_count, options, file));
  TERN_TRY(file.index_names());

  file.data_offset = gguf_padded(reader.offset(), file.alignment);
  if (file.tensors.empty()) {
    TERN_TRY(check_no_data(reader.offset(), bytes.size(), file.data_offset));
    return file;
  }
  if (file.data_offset > bytes.size())
    return reader.truncated("the padding before the tensor data", file.data_offset - reader.offset());
  TERN_TRY(place_tensors(bytes.subspan(file.data_offset), options, file));
  return file;
}

}  // namespace tern
