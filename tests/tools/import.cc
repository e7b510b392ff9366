// SPDX-License-Identifier: MIT
// Reads the third-party checkpoints of ../shared/data/models (layouts: data/models/FORMATS.md) and their
// vocabulary. Strict: every size must agree, codes must be defined, values finite.
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>

#include "tests/tools/test_models.h"

namespace tern::test {
namespace {

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return make_error(ErrorCode::kNotFound, "{}: cannot be opened", path);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) return make_error(ErrorCode::kIo, "{}: cannot be read", path);
  return bytes;
}

/// Walks the bytes of a file from front to back.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

  Result<std::string_view> take(uint64_t count) {
    if (count > bytes_.size() - at_) {
      return make_error(ErrorCode::kCorrupt, "byte {}: {} more bytes expected, {} found", at_, count,
                        bytes_.size() - at_);
    }
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  template <class T>
  Result<T> number() {
    TERN_TRY_ASSIGN(const auto raw, take(sizeof(T)));
    T value;
    std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }
  Result<std::vector<float>> floats(uint64_t count) {
    TERN_TRY_ASSIGN(const auto raw, take(count * sizeof(float)));
    std::vector<float> values(count);
    std::memcpy(values.data(), raw.data(), raw.size());
    for (const float value : values) {
      if (!std::isfinite(value))
        return make_error(ErrorCode::kCorrupt, "a value before byte {} is not finite", at_);
    }
    return values;
  }
  uint64_t left() const { return bytes_.size() - at_; }

 private:
  std::string_view bytes_;
  uint64_t at_ = 0;
};

TestTensor dense_tensor(std::string name, uint64_t rows, uint64_t cols, std::vector<float> values) {
  auto shared = std::make_shared<const std::vector<float>>(std::move(values));
  TestTensor tensor{std::move(name), rows, cols};
  tensor.read_values = [shared, cols](uint64_t begin, uint64_t count, float* out) {
    std::memcpy(out, shared->data() + begin * cols, count * cols * sizeof(float));
  };
  return tensor;
}

TestTensor ternary_tensor(std::string name, uint64_t rows, uint64_t cols, float scale,
                          std::vector<int8_t> trits) {
  auto shared = std::make_shared<const std::vector<int8_t>>(std::move(trits));
  TestTensor tensor{std::move(name), rows, cols, scale};
  tensor.read_trits = [shared, cols](uint64_t begin, uint64_t count, int8_t* out) {
    std::memcpy(out, shared->data() + begin * cols, count * cols);
  };
  return tensor;
}

struct Projection {
  const char* name;
  uint64_t rows, cols;
};

/// The seven int32 that both formats share.
Result<ModelShape> read_shape(Cursor& in) {
  int32_t fields[7];
  for (int32_t& field : fields) {
    TERN_TRY_ASSIGN(field, in.number<int32_t>());
    if (field < 1 || field > (1 << 20)) {
      return make_error(ErrorCode::kCorrupt, "a size of the header is {}, expected 1 to {}", field, 1 << 20);
    }
  }
  ModelShape s;
  s.hidden = static_cast<uint64_t>(fields[0]);
  s.intermediate = static_cast<uint64_t>(fields[1]);
  s.layers = static_cast<uint64_t>(fields[2]);
  s.heads = static_cast<uint64_t>(fields[3]);
  s.kv_heads = static_cast<uint64_t>(fields[4]);
  s.vocab = static_cast<uint64_t>(fields[5]);
  s.context = static_cast<uint64_t>(fields[6]);
  if (s.hidden % s.heads != 0 || s.heads % s.kv_heads != 0) {
    return make_error(ErrorCode::kCorrupt, "width {}, {} heads and {} kv heads do not divide each other",
                      s.hidden, s.heads, s.kv_heads);
  }
  s.head_dim = s.hidden / s.heads;
  return s;
}

std::string layer_tensor(uint64_t layer, std::string_view name) {
  return fmt::format("blk.{}.{}.weight", layer, name);
}

/// A group of equal tensors, one per layer, as llama2.c stores them.
Status read_group(Cursor& in, TestModel& model, const Projection& p) {
  for (uint64_t layer = 0; layer < model.shape.layers; ++layer) {
    TERN_TRY_ASSIGN(auto values, in.floats((p.rows == 0 ? 1 : p.rows) * p.cols));
    model.tensors.push_back(dense_tensor(layer_tensor(layer, p.name), p.rows, p.cols, std::move(values)));
  }
  return {};
}

Result<TestModel> parse_llama2c(std::string_view bytes) {
  Cursor in(bytes);
  TestModel model;
  TERN_TRY_ASSIGN(model.shape, read_shape(in));
  ModelShape& s = model.shape;
  s.name = "llama2.c import";
  s.architecture = "llama";
  s.is_ternary = false;
  TERN_TRY_ASSIGN(auto embedding, in.floats(s.vocab * s.hidden));
  model.tensors.push_back(dense_tensor("token_embd.weight", s.vocab, s.hidden, std::move(embedding)));
  const uint64_t kv = s.kv_heads * s.head_dim;
  const Projection groups[] = {{"attn_norm", 0, s.hidden},
                               {"attn_q", s.hidden, s.hidden},
                               {"attn_k", kv, s.hidden},
                               {"attn_v", kv, s.hidden},
                               {"attn_output", s.hidden, s.hidden},
                               {"ffn_norm", 0, s.hidden},
                               {"ffn_gate", s.intermediate, s.hidden},
                               {"ffn_down", s.hidden, s.intermediate},
                               {"ffn_up", s.intermediate, s.hidden}};
  for (const Projection& group : groups) TERN_TRY(read_group(in, model, group));
  TERN_TRY_ASSIGN(auto norm, in.floats(s.hidden));
  model.tensors.push_back(dense_tensor("output_norm.weight", 0, s.hidden, std::move(norm)));
  const uint64_t rope_tables = 2 * s.context * (s.head_dim / 2) * sizeof(float);  // computed, not read
  if (in.left() != rope_tables) {
    return make_error(ErrorCode::kCorrupt, "{} bytes of rope tables expected at the end, {} found",
                      rope_tables, in.left());
  }
  return model;
}

/// Trits of one packed matrix: 00 is 0, 01 is +1, 11 is -1.
Result<std::vector<int8_t>> unpack_trits(std::string_view bytes, bool msb_first) {
  constexpr int8_t kUndefined = 2;
  constexpr int8_t kValues[4] = {0, 1, kUndefined, -1};
  std::vector<int8_t> trits;
  trits.reserve(bytes.size() * 4);
  for (const char byte : bytes) {
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned shift = msb_first ? 6 - 2 * i : 2 * i;
      trits.push_back(kValues[static_cast<uint8_t>(byte) >> shift & 3u]);
      if (trits.back() == kUndefined)
        return make_error(ErrorCode::kCorrupt, "code 10 found, which is not defined");
    }
  }
  return trits;
}

Result<TestModel> parse_bitllama2(std::string_view bytes, bool msb_first) {
  Cursor in(bytes);
  TERN_TRY_ASSIGN(const auto magic, in.number<uint32_t>());
  TERN_TRY_ASSIGN(const auto version, in.number<int32_t>());
  if (magic != 0x616b3432u || version != 1) {
    return make_error(ErrorCode::kCorrupt, "magic 616b3432 and version 1 expected, {:x} and {} found", magic,
                      version);
  }
  TestModel model;
  TERN_TRY_ASSIGN(model.shape, read_shape(in));
  ModelShape& s = model.shape;
  s.name = "bitllama2.c import";
  s.architecture = "bitllama";
  TERN_TRY_ASSIGN(const auto shared_classifier, in.number<uint8_t>());
  if (shared_classifier != 1) return make_error(ErrorCode::kUnsupported, "a separate classifier is not read");
  TERN_TRY_ASSIGN(const auto padding, in.take(256 - 8 - 7 * 4 - 1));
  if (padding.find_first_not_of('\0') != std::string_view::npos) {
    return make_error(ErrorCode::kCorrupt, "the padding of the header is not zero");
  }
  TERN_TRY_ASSIGN(auto norm, in.floats(s.hidden));
  model.tensors.push_back(dense_tensor("output_norm.weight", 0, s.hidden, std::move(norm)));
  TERN_TRY_ASSIGN(auto embedding, in.floats(s.vocab * s.hidden));
  model.tensors.push_back(dense_tensor("token_embd.weight", s.vocab, s.hidden, std::move(embedding)));
  const uint64_t kv = s.kv_heads * s.head_dim;
  const Projection groups[] = {{"attn_q", s.hidden, s.hidden},
                               {"attn_k", kv, s.hidden},
                               {"attn_v", kv, s.hidden},
                               {"attn_output", s.hidden, s.hidden},
                               {"ffn_gate", s.intermediate, s.hidden},
                               {"ffn_down", s.hidden, s.intermediate},
                               {"ffn_up", s.intermediate, s.hidden}};
  for (const Projection& p : groups) {
    for (uint64_t layer = 0; layer < s.layers; ++layer) {
      TERN_TRY_ASSIGN(const auto scale, in.floats(1));
      TERN_TRY_ASSIGN(const auto packed, in.take(p.rows * p.cols / 4));
      TERN_TRY_ASSIGN(auto trits, unpack_trits(packed, msb_first));
      model.tensors.push_back(
          ternary_tensor(layer_tensor(layer, p.name), p.rows, p.cols, scale[0], std::move(trits)));
    }
  }
  if (in.left() != 0) return make_error(ErrorCode::kCorrupt, "{} bytes behind the last matrix", in.left());
  return model;
}

/// SentencePiece writes a space inside a piece as U+2581; llama2.c's file holds the plain space.
std::string piece_of(std::string_view text) {
  std::string piece;
  for (const char c : text) piece += c == ' ' ? std::string("\xe2\x96\x81") : std::string(1, c);
  return piece;
}

}  // namespace

Result<TestModel> import_llama2c(const std::string& path) {
  TERN_TRY_ASSIGN(const std::string bytes, read_file(path));
  auto model = parse_llama2c(bytes);
  if (!model.ok()) return std::move(model).error().in(path);
  return model;
}

Result<TestModel> import_bitllama2(const std::string& path, bool msb_first) {
  TERN_TRY_ASSIGN(const std::string bytes, read_file(path));
  auto model = parse_bitllama2(bytes, msb_first);
  if (!model.ok()) return std::move(model).error().in(path);
  return model;
}

Result<Vocabulary> import_llama2c_vocabulary(const std::string& path, uint64_t tokens) {
  TERN_TRY_ASSIGN(const std::string bytes, read_file(path));
  Cursor in(bytes);
  Vocabulary v;
  v.model = "llama";
  v.bos = 1;
  v.eos = 2;
  TERN_TRY_ASSIGN([[maybe_unused]] const auto longest, in.number<uint32_t>());
  for (uint64_t id = 0; id < tokens; ++id) {
    TERN_TRY_ASSIGN(const auto score, in.number<float>());
    TERN_TRY_ASSIGN(const auto length, in.number<int32_t>());
    TERN_TRY_ASSIGN(const auto text, in.take(static_cast<uint64_t>(std::max(0, length))));
    v.scores.push_back(score);
    // Ids 0 to 2 are unknown, begin and end (llama2.c wraps the last two in newlines); 3 to 258 are the
    // bytes.
    constexpr std::string_view kSpecials[] = {"<unk>", "<s>", "</s>"};
    v.tokens.push_back(id < 3 ? std::string(kSpecials[id]) : id < 259 ? std::string(text) : piece_of(text));
    v.token_types.push_back(id == 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1);
  }
  if (in.left() != 0) {
    return make_error(ErrorCode::kCorrupt, "{}: {} bytes behind the last of {} tokens", path, in.left(),
                      tokens);
  }
  return v;
}

}  // namespace tern::test
