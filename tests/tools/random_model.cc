// SPDX-License-Identifier: MIT
// Random models of any shape and their vocabulary.
#include <algorithm>
#include <cmath>

#include "core/float16.h"
#include "tests/tools/test_models.h"

namespace tern::test {
namespace {

/// splitmix64's finaliser: word i of the stream `key`. Counter-based, so that any row can be made alone.
uint64_t word_at(uint64_t key, uint64_t i) {
  uint64_t z = key + (i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/// The stream of a tensor: FNV-1a of its name, mixed with the seed.
uint64_t stream_of(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return word_at(seed, hash);
}

/// Calls put(i, byte) for the random bytes begin..begin+count-1 of a stream.
template <class Put>
void for_bytes(uint64_t key, uint64_t begin, uint64_t count, Put put) {
  uint64_t word = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = begin + i;
    if (i == 0 || at % 8 == 0) word = word_at(key, at / 8);
    put(i, static_cast<uint8_t>(word >> (8 * (at % 8))));
  }
}

/// The power of two nearest to `deviation` / 73.9, the deviation of a uniform n in [-127, 127] (n = 0 twice
/// as often).
float step_for(double deviation) {
  return std::exp2f(std::round(std::log2(static_cast<float>(deviation / 73.9))));
}

/// A factor of 0.75 to 1.25, times `base`, exact in f16: what scales that differ within a matrix are made of.
float f16_scale(uint64_t key, uint64_t i, double base) {
  const double factor = 0.75 + static_cast<double>(word_at(~key, i) >> 56) / 512;
  return f16_to_f32(f32_to_f16(static_cast<float>(factor * base)));
}

/// Lets the scales differ as `scales` says; `split_rows`: kShards halves the rows, else the columns.
void vary_scales(TestTensor& t, uint64_t key, Scales scales, bool split_rows, double base) {
  const uint64_t rows = t.rows, cols = t.cols;
  if (scales == Scales::kShards) {
    if (!split_rows && cols % 512 != 0) return;  // halves would not hold whole blocks of 256
    t.vary_cols = split_rows ? 0 : cols / 2;
    t.vary = [=](uint64_t row, uint64_t col) {
      return f16_scale(key, split_rows ? row * 2 / rows : col * 2 / cols, base);
    };
  } else if (scales == Scales::kGroups) {
    t.vary_cols = 128;
    t.vary = [=](uint64_t row, uint64_t col) { return f16_scale(key, row * (cols / 128) + col / 128, base); };
  }
}

TestTensor random_ternary(std::string name, uint64_t rows, uint64_t cols, const ModelShape& shape,
                          bool split_rows, uint64_t seed) {
  const uint64_t key = stream_of(seed, name);
  TestTensor t{std::move(name), rows, cols};
  t.has_zero = shape.has_zero;
  // Inputs of deviation 1 give outputs of deviation 1, within 25 %: 0.594 of the weights are not zero. Real
  // scales are bf16, so this one is too.
  const double spread = 0.75 + static_cast<double>(word_at(key, ~uint64_t{0}) >> 56) / 512;
  const double base = 1 / std::sqrt((shape.has_zero ? 0.594 : 1.0) * static_cast<double>(cols));
  t.scale = bf16_to_f32(f32_to_bf16(static_cast<float>(spread * base)));
  vary_scales(t, key, shape.scales, split_rows, base);
  t.read_trits = [key, cols, has_zero = shape.has_zero](uint64_t begin, uint64_t count, int8_t* trits) {
    for_bytes(key, begin * cols, count * cols, [trits, has_zero](uint64_t i, uint8_t byte) {
      if (has_zero) {
        trits[i] = byte < 104 ? int8_t{0} : byte < 180 ? int8_t{1} : int8_t{-1};  // 40.6 %, 29.7 %, 29.7 %
      } else {
        trits[i] = byte < 128 ? int8_t{1} : int8_t{-1};
      }
    });
  };
  return t;
}

/// n * step with |n| <= 127, from byte 0x80 as 0.
void read_steps(uint64_t key, uint64_t begin, uint64_t count, float step, float* out) {
  for_bytes(key, begin, count, [out, step](uint64_t i, uint8_t byte) {
    const auto n = static_cast<int8_t>(byte);
    out[i] = n == -128 ? 0.0f : static_cast<float>(n) * step;
  });
}

TestTensor random_dense(std::string name, uint64_t rows, uint64_t cols, double deviation, uint64_t seed) {
  const uint64_t key = stream_of(seed, name);
  const float step = step_for(deviation);
  TestTensor t{std::move(name), rows, cols};
  t.read_values = [key, cols, step](uint64_t begin, uint64_t count, float* out) {
    read_steps(key, begin * cols, count * cols, step, out);
  };
  return t;
}

/// Embedding or head. Rows of tokens that do not print are an eighth as large, and so are their logits.
bool is_small_row(uint64_t token) { return token < 256 && (token < 32 || token >= 127); }

TestTensor random_ternary_table(std::string name, const ModelShape& shape, uint64_t seed) {
  TestTensor t = random_ternary(std::move(name), shape.vocab, shape.hidden, shape, true, seed);
  const uint64_t key = stream_of(seed, t.name);
  vary_scales(t, key, Scales::kGroups, true, 2.5 / std::sqrt(static_cast<double>(shape.hidden)));
  t.vary = [vary = t.vary](uint64_t row, uint64_t col) {
    return vary(row, col) * (is_small_row(row) ? 0.125f : 1.0f);
  };
  return t;
}

TestTensor random_embedding(std::string name, const ModelShape& shape, uint64_t seed) {
  if (shape.has_ternary_tables) return random_ternary_table(std::move(name), shape, seed);
  TestTensor t = random_dense(std::move(name), shape.vocab, shape.hidden,
                              2.5 / std::sqrt(static_cast<double>(shape.hidden)), seed);
  t.read_values = [read = t.read_values, cols = shape.hidden](uint64_t begin, uint64_t count, float* out) {
    read(begin, count, out);
    for (uint64_t r = 0; r < count; ++r) {
      if (!is_small_row(begin + r)) continue;
      for (uint64_t c = 0; c < cols; ++c) out[r * cols + c] *= 0.125f;
    }
  };
  return t;
}

/// A norm's weights: 1 + n/1024.
TestTensor random_norm(std::string name, uint64_t width, uint64_t seed) {
  const uint64_t key = stream_of(seed, name);
  TestTensor t{std::move(name), 0, width};
  t.read_values = [key, width](uint64_t, uint64_t, float* out) {
    read_steps(key, 0, width, 0x1p-10f, out);
    for (uint64_t i = 0; i < width; ++i) out[i] += 1.0f;
  };
  return t;
}

void add_layer(TestModel& model, uint64_t layer, uint64_t seed) {
  const ModelShape& s = model.shape;
  auto name = [layer](const std::string& part) { return fmt::format("blk.{}.{}.weight", layer, part); };
  auto norm = [&](const std::string& part, uint64_t width) {
    model.tensors.push_back(random_norm(name(part), width, seed));
  };
  auto projection = [&](const std::string& part, uint64_t rows, uint64_t cols) {
    const bool split_rows =
        part != "attn_output" && part != "ffn_down";  // as model-parallel training shards them
    model.tensors.push_back(
        s.is_ternary ? random_ternary(name(part), rows, cols, s, split_rows, seed)
                     : random_dense(name(part), rows, cols, 1 / std::sqrt(static_cast<double>(cols)), seed));
    if (s.has_linear_norms) norm(part + "_norm_in", cols);
  };
  const uint64_t heads = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  if (s.has_block_norms()) norm("attn_norm", s.hidden);
  projection("attn_q", heads, s.hidden);
  projection("attn_k", kv, s.hidden);
  projection("attn_v", kv, s.hidden);
  if (s.has_qk_norm()) {
    norm("attn_q_norm", s.head_dim);
    norm("attn_k_norm", s.head_dim);
  }
  if (s.has_sub_norms()) norm("attn_sub_norm", heads);
  projection("attn_output", s.hidden, heads);
  if (s.has_block_norms()) norm("ffn_norm", s.hidden);
  projection("ffn_gate", s.intermediate, s.hidden);
  projection("ffn_up", s.intermediate, s.hidden);
  if (s.has_sub_norms()) norm("ffn_sub_norm", s.intermediate);
  projection("ffn_down", s.hidden, s.intermediate);
}

std::string utf8(uint32_t code) {  // below 0x800
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

/// The characters that GPT-2's byte-level vocabularies write for the bytes: printable Latin-1 ones stand for
/// themselves, the others are numbered from 256 on.
std::vector<std::string> byte_spellings() {
  std::vector<std::string> spellings;
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool is_itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    spellings.push_back(utf8(is_itself ? byte : next++));
  }
  return spellings;
}

/// Byte-level, without merges: ids 0 to 255 are the bytes, then generated words, then the control tokens.
Vocabulary byte_vocabulary(uint64_t tokens) {
  Vocabulary v;
  if (tokens < 258) return v;
  v.model = "gpt2";
  v.pre = "gpt-2";
  v.tokens = byte_spellings();
  const uint64_t controls =
      tokens > 128000 ? tokens - 128000 : 2;  // Llama-3's place for them where there is room
  v.bos = static_cast<uint32_t>(tokens - controls);
  v.eos = v.bos + 1;
  while (v.tokens.size() < v.bos) v.tokens.push_back(fmt::format("\xc4\xa0w{:x}", v.tokens.size()));
  v.tokens.push_back("<|begin_of_text|>");
  v.tokens.push_back("<|end_of_text|>");
  while (v.tokens.size() < tokens) v.tokens.push_back(fmt::format("<|reserved_{}|>", v.tokens.size()));
  if (tokens > 128009) v.tokens[128009] = "<|eot_id|>";
  v.token_types.assign(tokens, 1);
  std::fill(v.token_types.begin() + v.bos, v.token_types.end(), 3);
  return v;
}

}  // namespace

TestModel random_model(const ModelShape& shape, uint64_t seed) {
  TestModel model;
  model.shape = shape;
  model.vocabulary = byte_vocabulary(shape.vocab);
  if (shape.architecture == "qwen3") {
    model.vocabulary.pre = "qwen2";
    model.vocabulary.add_bos = false;
    model.vocabulary.add_eos = shape.has_linear_norms;
  }
  model.tensors.push_back(random_embedding("token_embd.weight", shape, seed));
  for (uint64_t layer = 0; layer < shape.layers; ++layer) add_layer(model, layer, seed);
  model.tensors.push_back(random_norm("output_norm.weight", shape.hidden, seed));
  if (!shape.is_tied) model.tensors.push_back(random_embedding("output.weight", shape, seed));
  return model;
}

}  // namespace tern::test
