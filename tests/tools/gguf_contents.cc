// SPDX-License-Identifier: MIT
// A TestModel as GGUF keys and tensors (names and keys: FORMATS.md A.7), in any container that can hold it.
#include <algorithm>
#include <cstring>
#include <set>

#include "core/check.h"
#include "formats/dense.h"
#include "tests/tools/test_models.h"

namespace tern::test {
namespace {

constexpr const char* order_name(I2sOrder order) {
  switch (order) {
    case I2sOrder::kX86_128:
      return "x86-128";
    case I2sOrder::kArm_64:
      return "arm-64";
    case I2sOrder::kX86_1x4:
      return "x86-1x4";
  }
  return "";
}

bool allows_shape(const Container& container, uint64_t rows, uint64_t cols) {
  if (container.scale_rows > 0 &&
      (rows % container.scale_rows != 0 || cols % (64 * container.scale_cols) != 0)) {
    return false;
  }
  const TernaryCodec* codec = find_codec(container.dtype);
  const TlTile& tile = container.layout.tl_tile;
  switch (container.dtype) {
    case DType::kI2_S:  // blocks may straddle rows
      if (container.layout.i2s_order == I2sOrder::kX86_1x4) return rows % 4 == 0;
      return rows * cols % (container.layout.i2s_order == I2sOrder::kArm_64 ? 64 : 128) == 0;
    case DType::kTL1:
      return rows % tile.rows == 0 && cols % tile.cols == 0;
    case DType::kTL2:
      return rows % tile.rows == 0 && cols >= 256 && cols % tile.cols % 32 == 0;
    default:
      return rows % codec->block_rows == 0 && cols % codec->block_cols == 0;
  }
}

bool allows(const Container& container, const TestTensor& t) {
  const TernaryCodec* codec = find_codec(container.dtype);
  if (!allows_shape(container, t.rows, t.cols) || (t.has_zero && !codec->has_zero)) return false;
  if (t.vary == nullptr || codec->scale_scope == ScaleScope::kGroup) {
    return t.vary_cols == 0 || t.vary_cols % codec->group_cols == 0;
  }
  return codec->scale_scope == ScaleScope::kRow && t.vary_cols == 0;
}

GgufWriter::Produce produce_dense(const TestTensor& tensor, DType dtype) {
  return [tensor, dtype](std::span<std::byte> out) -> Status {
    const size_t row_bytes = out.size() / tensor.row_count();
    std::vector<float> row(tensor.cols);
    for (uint64_t r = 0; r < tensor.row_count(); ++r) {
      tensor.read_values(r, 1, row.data());
      TERN_TRY(quantize_row(dtype, row.data(), tensor.cols, out.data() + r * row_bytes));
    }
    return {};
  };
}

/// `is_apart`: the one scale of the tensor lies in a tensor of its own, those of the blocks are 1.
GgufWriter::Produce produce_ternary(const TestTensor& tensor, const Container& container, bool is_apart) {
  return [tensor, container, is_apart](std::span<std::byte> out) {
    const TernaryCodec* codec = find_codec(container.dtype);
    const std::vector<int8_t> trits = tensor.trits();
    std::vector<float> scales;
    const uint64_t groups = codec->scales_per_row(tensor.cols);
    for (uint64_t i = 0; i < tensor.rows * groups; ++i)
      scales.push_back(is_apart ? 1.0f : tensor.scale_at(i / groups, i % groups * codec->group_cols));
    return codec->encode(trits.data(), scales.data(), tensor.rows, tensor.cols, container.layout, out);
  };
}

/// The type asked for, or f32 where its block does not divide the columns.
DType dense_type(DType wanted, uint64_t cols) {
  return cols % dense_block_cols(wanted) == 0 ? wanted : DType::kF32;
}

void add_vocabulary(const Vocabulary& v, GgufContents& contents) {
  if (v.model.empty()) return;
  contents.set("tokenizer.ggml.model", v.model);
  if (!v.pre.empty()) contents.set("tokenizer.ggml.pre", v.pre);
  contents.set("tokenizer.ggml.tokens", v.tokens);
  if (!v.scores.empty()) contents.set("tokenizer.ggml.scores", v.scores);
  contents.set("tokenizer.ggml.token_type", v.token_types);
  if (v.model == "gpt2") contents.set("tokenizer.ggml.merges", std::vector<std::string>());
  contents.set("tokenizer.ggml.bos_token_id", v.bos);
  contents.set("tokenizer.ggml.eos_token_id", v.eos);
  contents.set("tokenizer.ggml.add_bos_token", v.add_bos);
  if (v.add_eos) contents.set("tokenizer.ggml.add_eos_token", true);
  if (v.model == "llama") contents.set("tokenizer.ggml.unknown_token_id", uint32_t{0});
}

void add_keys(const ModelShape& s, const GgufOptions& options, GgufContents& contents) {
  auto key = [&s](const char* suffix) { return s.architecture + "." + suffix; };
  auto size = [&](const char* suffix, uint64_t value) {
    contents.set(key(suffix), static_cast<uint32_t>(value));
  };
  contents.set("general.architecture", s.architecture);
  contents.set("general.name", s.name);
  size("vocab_size", s.vocab);
  size("context_length", s.context);
  size("embedding_length", s.hidden);
  size("block_count", s.layers);
  size("feed_forward_length", s.intermediate);
  size("attention.head_count", s.heads);
  size("attention.head_count_kv", s.kv_heads);
  if (s.heads * s.head_dim != s.hidden) {
    size("attention.key_length", s.head_dim);
    size("attention.value_length", s.head_dim);
  }
  size("rope.dimension_count", s.head_dim);
  contents.set(key("attention.layer_norm_rms_epsilon"), s.rms_eps);
  contents.set(key("rope.freq_base"), s.rope_theta);
  if (s.yarn_factor != 1) {
    contents.set(key("rope.scaling.type"), std::string("yarn"));
    contents.set(key("rope.scaling.factor"), s.yarn_factor);
    contents.set(key("rope.scaling.original_context_length"), static_cast<uint32_t>(s.yarn_context));
  }
  if (s.has_linear_norms) size("pooling_type", 3);
  if (s.architecture == "bitllama") contents.set(key("linear_norm_epsilon"), 1e-12f);
  if (s.architecture == "bitnet-b1.58") contents.set(key("hidden_activation"), std::string("relu2"));
  if (s.architecture == "bitnet") contents.set(key("hidden_activation"), std::string("silu"));
  if (!s.is_ternary) return;
  if ((s.architecture == "llama" || s.architecture == "qwen3") && *s.activation != 0)
    contents.set("tern.activation", std::string(s.activation));
  if (options.container.dtype == DType::kI2_S) {
    contents.set("tern.i2_s.order", std::string(order_name(options.container.layout.i2s_order)));
  }
}

}  // namespace

std::vector<float> TestTensor::values() const {
  std::vector<float> out(row_count() * cols);
  if (!is_ternary()) {
    read_values(0, row_count(), out.data());
    return out;
  }
  const std::vector<int8_t> t = trits();
  for (size_t i = 0; i < t.size(); ++i) out[i] = static_cast<float>(t[i]) * scale_at(i / cols, i % cols);
  return out;
}

std::vector<int8_t> TestTensor::trits() const {
  std::vector<int8_t> out(rows * cols);
  read_trits(0, rows, out.data());
  return out;
}

const TestTensor& TestModel::tensor(std::string_view name) const {
  const auto at =
      std::find_if(tensors.begin(), tensors.end(), [name](const TestTensor& t) { return t.name == name; });
  TERN_CHECK(at != tensors.end(), "no such tensor in the test model");
  return *at;
}

const std::vector<Container>& ternary_containers() {
  static const std::vector<Container> containers = {
      {"i2_s", DType::kI2_S, I2sOrder::kX86_128},
      {"i2_s-arm-64", DType::kI2_S, I2sOrder::kArm_64},
      {"i2_s-x86-1x4", DType::kI2_S, I2sOrder::kX86_1x4},
      {"tq1_0", DType::kTQ1_0},
      {"tq2_0", DType::kTQ2_0},
      {"iq1_bn", DType::kIQ1_BN},
      {"iq2_bn", DType::kIQ2_BN},
      {"iq2_bn_r4", DType::kIQ2_BN_R4},
      {"q1_0", DType::kQ1_0},
      {"q2_0_g64", DType::kQ2_0_G64},
      {"q2_0_g128", DType::kQ2_0_G128},
      {"ptq1_0", DType::kPTQ1_0},
      {"tl1", DType::kTL1, TlTile{32, 16, 32}},
      {"tl2", DType::kTL2, TlTile{32, 96, 32}},
      {"i2_s-block-scales", DType::kI2_S, {}, 2, 4},
  };
  return containers;
}

const Container* find_container(std::string_view name) {
  for (const Container& container : ternary_containers()) {
    if (container.name == name) return &container;
  }
  return nullptr;
}

bool can_hold(const Container& container, const TestModel& model) {
  return std::all_of(model.tensors.begin(), model.tensors.end(),
                     [&container](const TestTensor& t) { return !t.is_ternary() || allows(container, t); });
}

WeightsOptions weights_options(const Container& container, const TestModel& model) {
  WeightsOptions options;
  const TlTile& tile = container.layout.tl_tile;
  if (tile.rows == 0) return options;
  std::string ini;  // the way that users have: bitnet.cpp's kernel_config.ini
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (const TestTensor& t : model.tensors) {
    if (!t.is_ternary() || !seen.emplace(t.rows, t.cols).second) continue;
    ini += fmt::format("[Kernels_{}]\nm = {}\nk = {}\nbm = {}\nbk = {}\nbmm = {}\n", seen.size() - 1, t.rows,
                       t.cols, tile.rows, tile.cols, tile.block_rows);
  }
  auto config = TlConfig::parse(ini);
  TERN_CHECK(config.ok(), "the test's own kernel_config.ini");
  options.tl_config = std::move(config).value();
  return options;
}

Result<GgufOptions> gguf_options(const TestModel& model, std::string_view type, std::string_view embedding) {
  auto dense_named = [](std::string_view name) -> Result<DType> {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
      if (dtype_name(dtype) == name) return dtype;
    }
    return make_error(ErrorCode::kUsage, "type '{}' is unknown here: expected f32, f16, bf16 or q8_0", name);
  };
  GgufOptions options;
  TERN_TRY_ASSIGN(options.embedding, dense_named(embedding));
  if (!model.shape.is_ternary) {
    TERN_TRY_ASSIGN(options.dense, dense_named(type == "auto" ? "f16" : type));
    return options;
  }
  std::string holders;
  for (const Container& container : ternary_containers()) {
    if (!can_hold(container, model)) continue;
    if (container.name == type || type == "auto") {
      options.container = container;
      return options;
    }
    holders += (holders.empty() ? "" : ", ") + container.name;
  }
  return make_error(ErrorCode::kUsage, "type '{}' is unknown or cannot hold these widths: expected auto, {}",
                    type, holders);
}

GgufWriteValue* GgufContents::find_key(std::string_view key) {
  for (auto& [name, value] : keys) {
    if (name == key) return &value;
  }
  return nullptr;
}

void GgufContents::set(std::string key, GgufWriteValue value) {
  if (GgufWriteValue* old = find_key(key)) {
    *old = std::move(value);
  } else {
    keys.emplace_back(std::move(key), std::move(value));
  }
}

void GgufContents::remove_key(std::string_view key) {
  std::erase_if(keys, [key](const auto& entry) { return entry.first == key; });
}

GgufContents::Tensor* GgufContents::find(std::string_view tensor) {
  for (Tensor& t : tensors) {
    if (t.name == tensor) return &t;
  }
  return nullptr;
}

void GgufContents::remove_tensor(std::string_view tensor) {
  std::erase_if(tensors, [tensor](const Tensor& t) { return t.name == tensor; });
}

void GgufContents::add_f32(std::string tensor, std::vector<float> values, uint64_t rows) {
  std::vector<uint64_t> shape = {values.size()};
  if (rows > 0) shape = {values.size() / rows, rows};
  tensors.push_back(
      {std::move(tensor), DType::kF32, shape, [values = std::move(values)](std::span<std::byte> out) {
         std::memcpy(out.data(), values.data(), out.size());
         return Status();
       }});
}

GgufContents gguf_contents(const TestModel& model, const GgufOptions& options) {
  GgufContents contents;
  add_keys(model.shape, options, contents);
  add_vocabulary(model.vocabulary, contents);
  for (const TestTensor& t : model.tensors) {
    std::vector<uint64_t> shape = {t.cols};
    if (t.rows > 0) shape.push_back(t.rows);
    if (!t.is_ternary()) {
      const bool is_table = t.name == "token_embd.weight" || t.name == "output.weight";
      const DType wanted = t.rows == 0 ? DType::kF32 : is_table ? options.embedding : options.dense;
      const DType dtype = dense_type(wanted, t.cols);
      contents.tensors.push_back({t.name, dtype, shape, produce_dense(t, dtype)});
      continue;
    }
    const uint64_t scale_rows = options.container.scale_rows, scale_cols = options.container.scale_cols;
    const bool is_apart =
        scale_rows > 0 ||
        (t.vary == nullptr && find_codec(options.container.dtype)->f16_scale && !fits_f16(t.scale));
    contents.tensors.push_back(
        {t.name, options.container.dtype, shape, produce_ternary(t, options.container, is_apart)});
    if (is_apart) {
      const std::string stem = t.name.substr(0, t.name.rfind(".weight"));
      contents.add_f32(stem + ".scale",
                       std::vector<float>(std::max<uint64_t>(1, scale_rows * scale_cols), t.scale),
                       scale_rows);
    }
  }
  return contents;
}

Status write_contents(const GgufContents& contents, const std::string& path,
                      const std::function<void(size_t done, size_t total)>& progress) {
  GgufWriter writer;
  for (const auto& [key, value] : contents.keys) writer.set(key, value);
  for (size_t i = 0; i < contents.tensors.size(); ++i) {
    const GgufContents::Tensor& t = contents.tensors[i];
    TERN_TRY(writer.add_tensor(t.name, t.dtype, t.shape, [&, i](std::span<std::byte> out) {
      if (progress) progress(i, contents.tensors.size());
      return contents.tensors[i].produce(out);
    }));
  }
  return writer.write(path);
}

}  // namespace tern::test
