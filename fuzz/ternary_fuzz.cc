// SPDX-License-Identifier: MIT
// Any bytes as a ternary tensor of any type, shape, byte order and tile sizes, with any scales beside it; and
// as a kernel_config.ini. What decodes must decode the same row by row, hold only values that the type has,
// and come back from its own encoding.
#include <cstdint>
#include <cstring>
#include <vector>

#include "formats/ternary/tl_config.h"
#include "formats/ternary/view.h"

namespace {

using namespace tern;

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint64_t number(uint64_t below) {
    uint64_t value = 0;
    const size_t count = std::min<size_t>(2, size_);
    if (count > 0) std::memcpy(&value, data_, count);
    data_ += count;
    size_ -= count;
    return value % below;
  }
  /// `count` bytes, zero past the end of the input.
  std::vector<std::byte> take(uint64_t count) {
    std::vector<std::byte> out(count);
    const size_t given = std::min<uint64_t>(count, size_);
    if (given > 0) std::memcpy(out.data(), data_, given);
    data_ += given;
    size_ -= given;
    return out;
  }
  std::string_view rest() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const uint8_t* data_;
  size_t size_;
};

void check_message(const Error& error) {
  TERN_CHECK(!error.message.empty() && error.message.find_first_of("\r\n") == std::string::npos,
             "message is not one line");
}

void check_config(std::string_view text) {
  const auto config = TlConfig::parse(text);
  if (!config.ok()) return check_message(config.error());
  for (const uint64_t rows : {64, 3200}) {
    const auto tile = config->tile(DType::kTL1, rows, 256);
    if (!tile.ok()) return check_message(tile.error());
    TERN_CHECK(tile->rows > 0 && tile->cols > 0 && tile->block_rows > 0, "a tile of nothing");
  }
}

struct Tensor {
  const TernaryCodec* codec;
  uint64_t rows, cols;
  LayoutChoice layout;
  std::vector<std::byte> bytes;
};

Status decode(const Tensor& t, uint64_t begin, uint64_t count, int8_t* trits, float* scales) {
  return t.codec->decode(t.bytes, t.rows, t.cols, begin, count, t.layout, trits, scales);
}

void check_codec(const Tensor& t) {
  const uint64_t per_row = t.codec->scales_per_row(t.cols);
  std::vector<int8_t> trits(t.rows * t.cols, 99), row(t.cols);
  std::vector<float> scales(t.rows * per_row, 1.0f), row_scales(per_row);
  const Status whole = decode(t, 0, t.rows, trits.data(), scales.data());
  if (!whole.ok()) check_message(whole.error());
  bool rows_ok = true;
  for (uint64_t r = 0; r < t.rows; ++r) {
    const bool ok = decode(t, r, 1, row.data(), row_scales.data()).ok();
    rows_ok &= ok;
    if (whole.ok() && ok)
      TERN_CHECK(std::memcmp(row.data(), trits.data() + r * t.cols, t.cols) == 0, "a row that differs alone");
  }
  TERN_CHECK(rows_ok == whole.ok() || t.rows == 0, "rows and the whole disagree");
  if (!whole.ok()) return;
  for (const int8_t trit : trits) {
    TERN_CHECK(trit >= -1 && trit <= (t.codec->has_two ? 2 : 1) && (trit != 0 || t.codec->has_zero),
               "no such trit");
  }
  Tensor again = t;
  std::vector<float> ones(scales.size(), 1.0f);
  TERN_CHECK(t.codec->encode(trits.data(), ones.data(), t.rows, t.cols, t.layout, again.bytes).ok(),
             "encode");
  std::vector<int8_t> back(trits.size());
  TERN_CHECK(decode(again, 0, t.rows, back.data(), scales.data()).ok() && back == trits, "encode and decode");
}

/// The tensor in a file with one or two scale tensors of any shape and bytes.
void check_view(const Tensor& t, Bytes& input) {
  GgufFile file;
  std::vector<std::vector<std::byte>> memory;
  memory.reserve(3);
  const auto add = [&](const char* name, DType dtype, std::vector<uint64_t> shape,
                       std::vector<std::byte> bytes) {
    GgufTensorInfo info;
    info.name = name;
    info.dtype = dtype;
    info.shape = std::move(shape);
    info.byte_size = bytes.size();
    info.data = memory.emplace_back(std::move(bytes));
    file.tensors.push_back(std::move(info));
  };
  add("w.weight", t.codec->dtype, {t.cols, t.rows}, t.bytes);
  const bool is_mlx = t.codec->dtype == DType::kMlx1 || t.codec->dtype == DType::kMlx2;
  for (const char* name : {is_mlx ? "w.scales" : "w.scale", "w.biases"}) {
    constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};
    const DType dtype = kTypes[input.number(4)];
    std::vector<uint64_t> shape = {1 + input.number(20)};
    if (input.number(2) == 1) shape.push_back(1 + input.number(140));
    const uint64_t rows = shape.size() == 2 ? shape[1] : 1;
    add(name, dtype, shape, input.take(*tensor_byte_size(dtype, rows, shape[0])));
  }
  if (!file.index_names().ok()) return;
  const auto view = view_ternary(file, file.tensors[0], t.layout);
  if (!view.ok()) return check_message(view.error());
  TERN_CHECK(
      view->scale_scope != ScaleScope::kGroup || (view->group_cols > 0 && t.cols % view->group_cols == 0),
      "groups of a view");
  std::vector<int8_t> trits(t.rows * t.cols);
  std::vector<float> scales(t.rows * view->scales_per_row());
  const Status status = view->read(0, t.rows, trits.data(), scales.data());
  if (!status.ok()) return check_message(status.error());
  for (const float s : scales) TERN_CHECK(!(s < 0), "a negative scale");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes input(data, size);
  const auto codecs = ternary_codecs();
  const uint64_t choice = input.number(codecs.size() + 1);
  if (choice == codecs.size()) {
    check_config(input.rest());
    return 0;
  }
  Tensor t{&codecs[choice], 0, 0, {}, {}};
  t.rows = 1 + input.number(130);
  t.cols = 1 + input.number(700);
  if (input.number(8) != 0) {  // most shapes should be ones that the type can have
    t.rows = (t.rows + t.codec->block_rows - 1) / t.codec->block_rows * t.codec->block_rows;
    t.cols = (t.cols + t.codec->block_cols - 1) / t.codec->block_cols * t.codec->block_cols;
  }
  t.layout.i2s_order = static_cast<I2sOrder>(input.number(3));
  const uint64_t odd = input.number(4);
  t.layout.tl_tile = {static_cast<uint32_t>(odd == 0 ? input.number(200) : 32 << input.number(2)),
                      static_cast<uint32_t>(odd == 0 ? input.number(800) : 24 * (1 + input.number(8))),
                      static_cast<uint32_t>(odd == 0 ? input.number(200) : 32 << input.number(2))};
  const auto bytes = tensor_byte_size(t.codec->dtype, t.rows, t.cols);
  if (!bytes.ok()) {
    check_message(bytes.error());
    return 0;
  }
  t.bytes = input.take(*bytes);
  check_codec(t);
  check_view(t, input);
  return 0;
}
