// SPDX-License-Identifier: MIT
// Random models of any shape, their vocabulary, and the list of shapes (dimensions of real models: FORMATS.md
// B.4).
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

TestTensor random_ternary(std::string name, uint64_t rows, uint64_t cols, uint64_t seed) {
  const uint64_t key = stream_of(seed, name);
  TestTensor t{std::move(name), rows, cols, 1, {}, {}};
  // Inputs of deviation 1 give outputs of deviation 1, within 25 %: 0.594 of the weights are not zero. Real
  // scales are bf16, so this one is too.
  const double spread = 0.75 + static_cast<double>(word_at(key, ~uint64_t{0}) >> 56) / 512;
  t.scale =
      bf16_to_f32(f32_to_bf16(static_cast<float>(spread / std::sqrt(0.594 * static_cast<double>(cols)))));
  t.read_trits = [key, cols](uint64_t begin, uint64_t count, int8_t* trits) {
    for_bytes(key, begin * cols, count * cols, [trits](uint64_t i, uint8_t byte) {
      trits[i] = byte < 104 ? int8_t{0} : byte < 180 ? int8_t{1} : int8_t{-1};  // 40.6 %, 29.7 %, 29.7 %
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
  TestTensor t{std::move(name), rows, cols, 1, {}, {}};
  t.read_values = [key, cols, step](uint64_t begin, uint64_t count, float* out) {
    read_steps(key, begin * cols, count * cols, step, out);
  };
  return t;
}

/// Embedding or head. Rows of tokens that do not print are an eighth as large, and so are their logits.
TestTensor random_embedding(std::string name, const ModelShape& shape, uint64_t seed) {
  TestTensor t = random_dense(std::move(name), shape.vocab, shape.hidden,
                              2.5 / std::sqrt(static_cast<double>(shape.hidden)), seed);
  t.read_values = [read = t.read_values, cols = shape.hidden](uint64_t begin, uint64_t count, float* out) {
    read(begin, count, out);
    for (uint64_t r = 0; r < count; ++r) {
      const uint64_t token = begin + r;
      if (token >= 256 || (token >= 32 && token < 127)) continue;
      for (uint64_t c = 0; c < cols; ++c) out[r * cols + c] *= 0.125f;
    }
  };
  return t;
}

/// A norm's weights: 1 + n/1024.
TestTensor random_norm(std::string name, uint64_t width, uint64_t seed) {
  const uint64_t key = stream_of(seed, name);
  TestTensor t{std::move(name), 0, width, 1, {}, {}};
  t.read_values = [key, width](uint64_t, uint64_t, float* out) {
    read_steps(key, 0, width, 0x1p-10f, out);
    for (uint64_t i = 0; i < width; ++i) out[i] += 1.0f;
  };
  return t;
}

void add_layer(TestModel& model, uint64_t layer, uint64_t seed) {
  const ModelShape& s = model.shape;
  auto name = [layer](const char* part) { return fmt::format("blk.{}.{}.weight", layer, part); };
  auto norm = [&](const char* part, uint64_t width) {
    model.tensors.push_back(random_norm(name(part), width, seed));
  };
  auto projection = [&](const char* part, uint64_t rows, uint64_t cols) {
    model.tensors.push_back(
        s.is_ternary ? random_ternary(name(part), rows, cols, seed)
                     : random_dense(name(part), rows, cols, 1 / std::sqrt(static_cast<double>(cols)), seed));
  };
  const uint64_t heads = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  if (s.has_block_norms()) norm("attn_norm", s.hidden);
  projection("attn_q", heads, s.hidden);
  projection("attn_k", kv, s.hidden);
  projection("attn_v", kv, s.hidden);
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
  model.tensors.push_back(random_embedding("token_embd.weight", shape, seed));
  for (uint64_t layer = 0; layer < shape.layers; ++layer) add_layer(model, layer, seed);
  model.tensors.push_back(random_norm("output_norm.weight", shape.hidden, seed));
  if (!shape.is_tied) model.tensors.push_back(random_embedding("output.weight", shape, seed));
  return model;
}

const std::vector<ModelShape>& known_shapes() {
  //  name, architecture, hidden, ffn, layers, heads, kv heads, head_dim, vocab, context, eps, theta, ternary,
  //  tied
  static const std::vector<ModelShape> shapes = {
      {"tiny", "bitnet-b1.58", 128, 256, 2, 4, 2, 32, 258, 512, 1e-5f, 10000, true, true},
      {"bitnet-2b-4t", "bitnet-b1.58", 2560, 6912, 30, 20, 5, 128, 128256, 4096, 1e-5f, 500000, true, true},
      {"bitnet-large", "bitnet", 1536, 4096, 24, 16, 16, 96, 32002, 2048, 1e-5f, 10000, true, true},
      {"bitnet-3b", "bitnet", 3200, 8640, 26, 32, 32, 100, 32002, 2048, 1e-5f, 10000, true, true},
      {"llama3-8b", "llama", 4096, 14336, 32, 32, 8, 128, 128256, 8192, 1e-5f, 500000, true, false},
      {"llama-dense-small", "llama", 256, 688, 4, 8, 4, 32, 258, 1024, 1e-5f, 10000, false, false},
      // Small ones with widths that no kernel's tile divides.
      {"bitnet-odd", "bitnet-b1.58", 192, 320, 2, 6, 2, 32, 259, 256, 1e-5f, 500000, true, true},
      {"bitnet-small", "bitnet", 256, 512, 2, 4, 4, 64, 258, 256, 1e-6f, 10000, true, true},
      {"bitnet-ragged", "bitnet", 96, 172, 3, 6, 3, 16, 263, 256, 1e-5f, 10000, true, true},
      {"llama-ternary-small", "llama", 256, 512, 2, 8, 2, 64, 260, 256, 1e-6f, 10000, true, false},
      {"llama-dense-tiny", "llama", 128, 320, 2, 4, 2, 32, 258, 256, 1e-5f, 10000, false, false},
      {"llama-dense-odd", "llama", 96, 172, 2, 6, 3, 16, 261, 256, 1e-5f, 10000, false, true},
      {"bitllama-small", "bitllama", 128, 256, 2, 4, 4, 32, 258, 256, 1e-5f, 10000, true, true},
  };
  return shapes;
}

const ModelShape* find_shape(std::string_view name) {
  for (const ModelShape& shape : known_shapes()) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

}  // namespace tern::test
