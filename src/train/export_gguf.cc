// SPDX-License-Identifier: MIT
// The GGUF side of export.h. Keys and names: FORMATS.md A.7.
#include <array>
#include <cstring>
#include <unordered_map>

#include "core/printable.h"
#include "formats/dense.h"
#include "formats/gguf_write.h"
#include "formats/ternary/codec.h"
#include "text/byte_alphabet.h"
#include "train/export.h"
#include "train/tokenizer_writer.h"

namespace tern::train {

namespace {

constexpr const char* kArchitecture = "bitnet-b1.58";

/// A type among `known` by the name users type.
template <class Types>
Result<DType> dtype_named(const std::string& name, const Types& known, const char* what) {
  std::string names;
  for (const DType dtype : known) {
    if (dtype_name(dtype) == name) return dtype;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", dtype_name(dtype));
  }
  return make_error(ErrorCode::kUsage, "{} '{}' is unknown: expected {}", what, printable(name), names);
}

/// Types that need nothing beside the tensor's own bytes.
constexpr std::array kTernaryTypes = {DType::kI2_S, DType::kTQ1_0, DType::kTQ2_0, DType::kIQ1_BN,
                                      DType::kIQ2_BN};
constexpr std::array kPlainTypes = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};
constexpr std::array kTableTypes = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ6_K};

class GgufExport {
 public:
  GgufExport(const ExportModel& model, const ExportOptions& options) : model_(model), options_(options) {}
  Status write(const std::string& path);

 private:
  void set_shape();
  Status set_tokenizer();
  Status add(const ExportTensor& tensor);
  Status add_ternary(const ExportTensor& tensor, const std::string& name);
  Status add_dense(const ExportTensor& tensor, const std::string& name, DType dtype);

  const ExportModel& model_;
  const ExportOptions& options_;
  GgufWriter writer_;
  DType type_ = DType::kI2_S, table_type_ = DType::kF16;
};

void GgufExport::set_shape() {
  const ModelShape& s = model_.shape;
  const auto key = [](const char* suffix) { return fmt::format("{}.{}", kArchitecture, suffix); };
  const auto size = [&](const char* suffix, int32_t value) {
    writer_.set(key(suffix), static_cast<uint32_t>(value));
  };
  writer_.set("general.architecture", std::string(kArchitecture));
  writer_.set("general.name", model_.name);
  if (!options_.license.empty()) writer_.set("general.license", options_.license);
  size("vocab_size", s.vocab_size);
  size("context_length", s.context);
  size("embedding_length", s.hidden_size);
  size("block_count", s.layers);
  size("feed_forward_length", s.intermediate_size);
  size("attention.head_count", s.heads);
  size("attention.head_count_kv", s.kv_heads);
  size("attention.key_length", s.head_dim);
  size("attention.value_length", s.head_dim);
  size("rope.dimension_count", s.head_dim);
  writer_.set(key("attention.layer_norm_rms_epsilon"), static_cast<float>(s.rms_norm_eps));
  writer_.set(key("rope.freq_base"), static_cast<float>(s.rope_theta));
  writer_.set(key("hidden_activation"), std::string("relu2"));
  if (type_ == DType::kI2_S && model_.ternary) writer_.set("tern.i2_s.order", std::string("x86-128"));
}

Status GgufExport::set_tokenizer() {
  const TokenizerSpec& spec = model_.spec;
  if (spec.model != TokenizerModel::kByteBpe || spec.merge_rule != MergeRule::kListed) {
    return make_error(ErrorCode::kUnsupported,
                      "the tokenizer is no byte-level BPE with listed merges: GGUF export writes only those");
  }
  std::vector<std::string> texts, merges;
  std::vector<int32_t> types;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenType type = spec.types.empty() ? TokenType::kNormal : spec.types[id];
    texts.push_back(type == TokenType::kNormal ? alphabet_of_bytes(spec.tokens[id]) : spec.tokens[id]);
    types.push_back(static_cast<int32_t>(type));
  }
  for (const auto& [left, right] : spec.merges) {
    merges.push_back(
        fmt::format("{} {}", texts[static_cast<size_t>(left)], texts[static_cast<size_t>(right)]));
  }
  writer_.set("tokenizer.ggml.model", std::string("gpt2"));
  writer_.set("tokenizer.ggml.pre", model_.pre);
  writer_.set("tokenizer.ggml.tokens", std::move(texts));
  writer_.set("tokenizer.ggml.token_type", std::move(types));
  writer_.set("tokenizer.ggml.merges", std::move(merges));
  const auto id = [&](const char* name, int32_t value) {
    if (value >= 0)
      writer_.set(fmt::format("tokenizer.ggml.{}_token_id", name), static_cast<uint32_t>(value));
  };
  id("eos", model_.end_of_text);
  id("eot", model_.im_end);
  id("padding", model_.end_of_text);
  writer_.set("tokenizer.ggml.add_bos_token", false);  // documents were trained without one
  writer_.set("tokenizer.ggml.add_eos_token", false);
  if (!model_.chat_template.empty()) writer_.set("tokenizer.chat_template", model_.chat_template);
  return {};
}

Status GgufExport::add_ternary(const ExportTensor& tensor, const std::string& name) {
  const TernaryCodec* codec = find_codec(type_);
  if (tensor.cols % codec->block_cols != 0 || tensor.rows % codec->block_rows != 0) {
    return make_error(ErrorCode::kUsage, "type {} cannot hold '{}': its {} columns are not a multiple of {}",
                      dtype_name(type_), tensor.name, tensor.cols, codec->block_cols);
  }
  // A scale that IEEE half cannot hold stands in a tensor of its own, behind block scales of 1.
  const bool is_apart = codec->f16_scale && !fits_f16(tensor.scale);
  const float inside = is_apart ? 1.0f : tensor.scale;
  TERN_TRY(writer_.add_tensor(
      name, type_, {tensor.cols, tensor.rows}, [&tensor, codec, inside](std::span<std::byte> out) {
        const std::vector<float> scales(tensor.rows * codec->scales_per_row(tensor.cols), inside);
        return codec->encode(tensor.trits.data(), scales.data(), tensor.rows, tensor.cols, I2sOrder::kX86_128,
                             out);
      }));
  if (!is_apart) return {};
  const std::string stem = name.substr(0, name.rfind(".weight"));
  return writer_.add_tensor(stem + ".scale", DType::kF32, {1}, [&tensor](std::span<std::byte> out) {
    std::memcpy(out.data(), &tensor.scale, sizeof(float));
    return Status();
  });
}

Status GgufExport::add_dense(const ExportTensor& tensor, const std::string& name, DType dtype) {
  if (tensor.cols % dense_block_cols(dtype) != 0) {
    return make_error(ErrorCode::kUsage, "type {} cannot hold '{}': its {} columns are not a multiple of {}",
                      dtype_name(dtype), tensor.name, tensor.cols, dense_block_cols(dtype));
  }
  std::vector<uint64_t> shape = {tensor.cols};
  if (tensor.rows > 0) shape.push_back(tensor.rows);
  return writer_.add_tensor(name, dtype, std::move(shape),
                            [&tensor, dtype](std::span<std::byte> out) -> Status {
                              const size_t row_bytes = out.size() / tensor.row_count();
                              for (uint64_t r = 0; r < tensor.row_count(); ++r) {
                                TERN_TRY(quantize_row(dtype, tensor.values.data() + r * tensor.cols,
                                                      tensor.cols, out.data() + r * row_bytes));
                              }
                              return {};
                            });
}

Status GgufExport::add(const ExportTensor& tensor) {
  const std::string name = gguf_tensor_name(tensor.name);
  if (tensor.ternary) return add_ternary(tensor, name);
  if (tensor.rows == 0) return add_dense(tensor, name, DType::kF32);
  const bool is_table = name == "token_embd.weight" || name == "output.weight";
  return add_dense(tensor, name, is_table ? table_type_ : type_);
}

Status GgufExport::write(const std::string& path) {
  if (model_.ternary) {
    TERN_TRY_ASSIGN(type_, dtype_named(options_.type, kTernaryTypes, "type"));
  } else {
    TERN_TRY_ASSIGN(type_, dtype_named(options_.type, kPlainTypes, "the model is not ternary: type"));
  }
  TERN_TRY_ASSIGN(table_type_, dtype_named(options_.embedding, kTableTypes, "embedding type"));
  set_shape();
  TERN_TRY(set_tokenizer());
  for (const ExportTensor& tensor : model_.tensors) TERN_TRY(add(tensor));
  return writer_.write(path);
}

}  // namespace

std::string gguf_tensor_name(const std::string& hf_name) {
  static const std::unordered_map<std::string, std::string> kNames = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"input_layernorm.weight", "attn_norm.weight"},
      {"self_attn.q_proj.weight", "attn_q.weight"},
      {"self_attn.k_proj.weight", "attn_k.weight"},
      {"self_attn.v_proj.weight", "attn_v.weight"},
      {"self_attn.o_proj.weight", "attn_output.weight"},
      {"self_attn.attn_sub_norm.weight", "attn_sub_norm.weight"},
      {"post_attention_layernorm.weight", "ffn_norm.weight"},
      {"mlp.gate_proj.weight", "ffn_gate.weight"},
      {"mlp.up_proj.weight", "ffn_up.weight"},
      {"mlp.down_proj.weight", "ffn_down.weight"},
      {"mlp.ffn_sub_norm.weight", "ffn_sub_norm.weight"}};
  constexpr std::string_view kLayers = "model.layers.";
  std::string prefix, rest = hf_name;
  if (hf_name.starts_with(kLayers)) {
    const size_t dot = hf_name.find('.', kLayers.size());
    prefix = fmt::format("blk.{}.", hf_name.substr(kLayers.size(), dot - kLayers.size()));
    rest = hf_name.substr(dot + 1);
  }
  const auto found = kNames.find(rest);
  TERN_CHECK(found != kNames.end(), "a parameter of the trainer without a GGUF name");
  return prefix + found->second;
}

Status export_gguf(const ExportModel& model, const ExportOptions& options, const std::string& path) {
  return GgufExport(model, options).write(path);
}

Status export_model(const ExportModel& model, const ExportOptions& options, const std::string& target) {
  return options.to_hf ? export_hf(model, options, target) : export_gguf(model, options, target);
}

}  // namespace tern::train
