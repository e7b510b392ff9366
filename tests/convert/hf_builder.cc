// SPDX-License-Identifier: MIT
#include "tests/convert/hf_builder.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>

#include "core/float16.h"

namespace tern::test {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string, std::string>& names(bool is_1bitllm) {
  static const std::map<std::string, std::string> microsoft = {{"attn_norm", "input_layernorm"},
                                                               {"ffn_norm", "post_attention_layernorm"},
                                                               {"attn_sub_norm", "self_attn.attn_sub_norm"},
                                                               {"ffn_sub_norm", "mlp.ffn_sub_norm"},
                                                               {"attn_q", "self_attn.q_proj"},
                                                               {"attn_k", "self_attn.k_proj"},
                                                               {"attn_v", "self_attn.v_proj"},
                                                               {"attn_output", "self_attn.o_proj"},
                                                               {"ffn_gate", "mlp.gate_proj"},
                                                               {"ffn_up", "mlp.up_proj"},
                                                               {"ffn_down", "mlp.down_proj"},
                                                               {"attn_q_norm", "self_attn.q_norm"},
                                                               {"attn_k_norm", "self_attn.k_norm"}};
  static const std::map<std::string, std::string> other = [] {
    auto map = microsoft;
    map["attn_sub_norm"] = "self_attn.inner_attn_ln";
    map["ffn_sub_norm"] = "mlp.ffn_layernorm";
    return map;
  }();
  return is_1bitllm ? other : microsoft;
}

/// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight".
std::string hf_name(const std::string& gguf, const ModelShape& shape, const std::string& prefix) {
  if (gguf == "token_embd.weight") return prefix + "embed_tokens.weight";
  if (gguf == "output_norm.weight") return prefix + "norm.weight";
  if (gguf == "output.weight") return "lm_head.weight";
  const size_t layer_end = gguf.find('.', 4);
  const std::string layer = gguf.substr(4, layer_end - 4);
  std::string part = gguf.substr(layer_end + 1, gguf.size() - layer_end - 1 - 7);
  std::string suffix = ".weight";
  if (part.ends_with("_norm_in")) {
    part.resize(part.size() - 8);
    suffix = ".norm.weight";
  }
  return prefix + "layers." + layer + "." + names(shape.architecture == "bitnet").at(part) + suffix;
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Rows of q and k of a llama in Hugging Face's order: halves of each head, not pairs.
template <class T>
std::vector<T> to_hf_rows(const std::vector<T>& rows, uint64_t cols, uint64_t head_dim) {
  std::vector<T> out(rows.size());
  const uint64_t count = rows.size() / cols;
  for (uint64_t r = 0; r < count; ++r) {
    const uint64_t head = r / head_dim, within = r % head_dim, pair = within / 2, second = within % 2;
    const uint64_t to = head * head_dim + second * (head_dim / 2) + pair;
    std::copy_n(rows.begin() + static_cast<long>(r * cols), cols, out.begin() + static_cast<long>(to * cols));
  }
  return out;
}

HfDirectory::Tensor dense(const std::vector<float>& values, std::vector<uint64_t> shape,
                          const std::string& dtype) {
  HfDirectory::Tensor tensor{dtype, std::move(shape), {}};
  for (const float value : values) {
    if (dtype == "BF16") put(tensor.bytes, f32_to_bf16(value));
    if (dtype == "F16") put(tensor.bytes, f32_to_f16(value));
    if (dtype == "F32") put(tensor.bytes, value);
  }
  return tensor;
}

HfDirectory::Tensor packed(const std::vector<int8_t>& trits, uint64_t rows, uint64_t cols) {
  const uint64_t quarter = (rows + 3) / 4;
  HfDirectory::Tensor tensor{"U8", {quarter, cols}, std::string(quarter * cols, '\0')};
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      const int code = trits[r * cols + c] + 1;
      char& byte = tensor.bytes[(r % quarter) * cols + c];
      byte = static_cast<char>(static_cast<uint8_t>(byte) | code << (2 * (r / quarter)));
    }
  }
  return tensor;
}

/// Latent weights whose absmean quantisation gives exactly these trits: magnitudes of 0.9 to 1.1 around the
/// mean for
/// +-1, small ones for 0. Returns the mean magnitude that an importer should find.
std::vector<float> masters(const std::vector<int8_t>& trits, float scale) {
  std::vector<float> values(trits.size());
  for (size_t i = 0; i < trits.size(); ++i) {
    const float jitter = static_cast<float>(i % 7) / 64.0f;
    values[i] = trits[i] == 0 ? scale * 0.125f * (static_cast<float>(i % 3) - 1.0f)
                              : static_cast<float>(trits[i]) * scale * (1.5f + jitter);
  }
  return values;
}

void add_ternary(const TestModel& model, const TestTensor& tensor, const HfOptions& options,
                 HfDirectory& out) {
  const ModelShape& s = model.shape;
  std::vector<int8_t> trits = tensor.trits();
  const bool is_qk = tensor.name.ends_with("attn_q.weight") || tensor.name.ends_with("attn_k.weight");
  if (is_qk && (s.architecture == "llama" || s.architecture == "bitllama")) {
    trits = to_hf_rows(trits, tensor.cols, s.head_dim);
  }
  const std::string name = hf_name(tensor.name, s, options.prefix);
  switch (options.storage) {
    case HfStorage::kPackedMultiply:
    case HfStorage::kPackedDivide: {
      const bool divides = options.storage == HfStorage::kPackedDivide;
      out.tensors[name] = packed(trits, tensor.rows, tensor.cols);
      out.tensors[name + "_scale"] = dense({divides ? 1.0f / tensor.scale : tensor.scale}, {1}, "BF16");
      return;
    }
    case HfStorage::kMasterBf16:
    case HfStorage::kMasterF32:
      out.tensors[name] = dense(masters(trits, tensor.scale), {tensor.rows, tensor.cols},
                                options.storage == HfStorage::kMasterF32 ? "F32" : "BF16");
      return;
    case HfStorage::kByValueF16: {
      std::vector<float> values(trits.size());
      const float scale = f16_to_f32(f32_to_f16(tensor.scale));
      for (size_t i = 0; i < trits.size(); ++i) values[i] = static_cast<float>(trits[i]) * scale;
      out.tensors[name] = dense(values, {tensor.rows, tensor.cols}, "F16");
      return;
    }
  }
}

Json config_of(const ModelShape& s, const HfOptions& options) {
  const bool is_2b = s.architecture == "bitnet-b1.58";
  std::string class_name = is_2b                        ? "BitNetForCausalLM"
                           : s.architecture == "bitnet" ? "BitnetForCausalLM"
                           : s.architecture == "qwen3"  ? "Qwen3ForCausalLM"
                                                        : "LlamaForCausalLM";
  if (!options.class_name.empty()) class_name = options.class_name;
  Json config = {{"architectures", {class_name}},
                 {"model_type", is_2b                       ? "bitnet"
                                : s.architecture == "qwen3" ? "qwen3"
                                                            : "llama"},
                 {"hidden_act", is_2b ? "relu2" : "silu"},
                 {"hidden_size", s.hidden},
                 {"intermediate_size", s.intermediate},
                 {"num_hidden_layers", s.layers},
                 {"num_attention_heads", s.heads},
                 {"num_key_value_heads", s.kv_heads},
                 {"head_dim", s.head_dim},
                 {"vocab_size", s.vocab},
                 {"max_position_embeddings", s.context},
                 {"rms_norm_eps", Json::parse(fmt::format("{}", s.rms_eps))},
                 {"rope_theta", s.rope_theta},
                 {"tie_word_embeddings", s.is_tied}};
  if (!s.is_ternary || options.storage == HfStorage::kByValueF16) return config;
  const bool is_master =
      options.storage == HfStorage::kMasterBf16 || options.storage == HfStorage::kMasterF32;
  Json q = {{"quant_method", "bitnet"}};
  if (options.has_linear_class) {
    q["linear_class"] = options.storage == HfStorage::kPackedDivide ? "bitlinear" : "autobitlinear";
  }
  if (is_master) q["quantization_mode"] = "online";
  config["quantization_config"] = q;
  return config;
}

}  // namespace

HfDirectory hf_directory(const TestModel& model, const HfOptions& options) {
  HfDirectory out;
  out.config = config_of(model.shape, options);
  out.shards = options.shards;
  for (const TestTensor& tensor : model.tensors) {
    if (tensor.is_ternary()) {
      add_ternary(model, tensor, options, out);
      continue;
    }
    std::vector<float> values = tensor.values();
    const bool is_qk = tensor.name.ends_with("attn_q.weight") || tensor.name.ends_with("attn_k.weight");
    if (is_qk && model.shape.architecture == "llama")
      values = to_hf_rows(values, tensor.cols, model.shape.head_dim);
    std::vector<uint64_t> shape = {tensor.cols};
    if (tensor.rows != 0) shape.insert(shape.begin(), tensor.rows);
    out.tensors[hf_name(tensor.name, model.shape, options.prefix)] =
        dense(values, shape, tensor.rows == 0 ? "F32" : "BF16");
  }
  return out;
}

void HfDirectory::write(const std::string& folder) const {
  std::filesystem::create_directories(folder);
  const auto path = [&](const std::string& name) { return std::filesystem::path(folder) / name; };
  std::ofstream(path("config.json")) << config.dump(1);
  for (const auto& [name, text] : files) std::ofstream(path(name), std::ios::binary) << text;
  std::vector<Json> headers(shards, Json::object());
  std::vector<std::string> data(shards);
  Json map = Json::object();
  size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t shard = i++ % shards;
    headers[shard][name] = {{"dtype", tensor.dtype},
                            {"shape", tensor.shape},
                            {"data_offsets", {data[shard].size(), data[shard].size() + tensor.bytes.size()}}};
    data[shard] += tensor.bytes;
    map[name] = shards == 1 ? "model.safetensors" : fmt::format("model-{}.safetensors", shard);
  }
  for (size_t s = 0; s < shards; ++s) {
    const std::string header = headers[s].dump();
    std::string head;
    put(head, uint64_t{header.size()});
    std::ofstream(path(shards == 1 ? "model.safetensors" : fmt::format("model-{}.safetensors", s)),
                  std::ios::binary)
        << head << header << data[s];
  }
  if (shards > 1) std::ofstream(path("model.safetensors.index.json")) << Json{{"weight_map", map}}.dump();
}

}  // namespace tern::test
