// SPDX-License-Identifier: MIT
#include "convert/hf_config.h"

#include <array>
#include <cmath>

#include "core/printable.h"

namespace tern {
namespace {

/// config.json's `architectures` and `model_type`, in every spelling met, and what GGUF calls them.
struct Spelling {
  std::string_view hugging_face, gguf;
};
constexpr std::array<Spelling, 16> kSpellings = {{{"BitNetForCausalLM", "bitnet"},
                                                  {"BitnetForCausalLM", "bitnet"},
                                                  {"BitNetModel", "bitnet"},
                                                  {"BitnetModel", "bitnet"},
                                                  {"LlamaForCausalLM", "llama"},
                                                  {"LLaMAForCausalLM", "llama"},
                                                  {"LlamaModel", "llama"},
                                                  {"Qwen3ForCausalLM", "qwen3"},
                                                  {"Qwen3Model", "qwen3"},
                                                  {"TernBitLlamaForCausalLM", "bitllama"},
                                                  // model_type, where `architectures` is missing
                                                  {"bitnet", "bitnet"},
                                                  {"llama", "llama"},
                                                  {"qwen3", "qwen3"},
                                                  {"bitllama", "bitllama"},
                                                  {"falcon_e", "llama"},
                                                  {"FalconEForCausalLM", "llama"}}};

Error wrong(const char* key, const char* expected) {
  return make_error(ErrorCode::kCorrupt, "config.json: {}: expected {}", key, expected);
}

const Json* member(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

Error unknown_architecture(std::string_view name) {
  std::string known;
  for (const Spelling& s : kSpellings) {
    if (s.hugging_face.find("For") == std::string_view::npos) continue;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", s.hugging_face);
  }
  return make_error(ErrorCode::kUnsupported,
                    "config.json: architecture '{}' is not one that tern converts ({})", printable(name),
                    known);
}

Result<std::string> architecture_name(const Json& json) {
  const Json* list = member(json, "architectures");
  if (list != nullptr && list->is_array() && !list->empty() && (*list)[0].is_string()) {
    return (*list)[0].get<std::string>();
  }
  if (list != nullptr && !list->empty()) return wrong("architectures", "an array of strings");
  TERN_TRY_ASSIGN(const auto type, json_string(json, "model_type"));
  if (!type) return make_error(ErrorCode::kCorrupt, "config.json: neither 'architectures' nor 'model_type'");
  return *type;
}

Status read_architecture(const Json& json, HfConfig& config) {
  TERN_TRY_ASSIGN(const std::string name, architecture_name(json));
  if (name.starts_with("Gemma") || name.starts_with("gemma")) {
    return make_error(
        ErrorCode::kUnsupported,
        "config.json: architecture '{}': a Gemma backbone scales its embeddings, adds norms behind "
        "attention and feed-forward, applies norm weights as 1+w and attends to local windows; the "
        "facts about its ternary checkpoints are not verified, so tern does not compute it",
        printable(name));
  }
  for (const Spelling& s : kSpellings) {
    if (s.hugging_face == name) config.architecture = s.gguf;
  }
  if (config.architecture.empty()) return unknown_architecture(name);
  config.is_embedding = name.ends_with("Model");
  TERN_TRY_ASSIGN(const auto type, json_string(json, "model_type"));
  TERN_TRY_ASSIGN(const auto act, json_string(json, "hidden_act"));
  // Microsoft's 2B-4T and 1bitLLM's models share a class name; squared ReLU tells them apart.
  if (config.architecture == "bitnet" && act && (*act == "relu2" || *act == "relu_squared")) {
    config.architecture = "bitnet-b1.58";
  }
  return {};
}

/// Sizes that bound allocations and loops; no model comes near the limits.
Result<uint64_t> size_of(const Json& json, const char* key, uint64_t limit, uint64_t fallback) {
  TERN_TRY_ASSIGN(const auto value, json_uint(json, key));
  if (!value && fallback > 0) return fallback;
  if (!value) return make_error(ErrorCode::kCorrupt, "config.json: '{}' is missing", key);
  if (*value < 1 || *value > limit) {
    return make_error(ErrorCode::kCorrupt, "config.json: {} is {}, expected 1 to {}", key, *value, limit);
  }
  return *value;
}

Status read_sizes(const Json& json, HfConfig& c) {
  constexpr uint64_t kWidth = 1 << 20, kCount = 1 << 14;
  TERN_TRY_ASSIGN(c.hidden, size_of(json, "hidden_size", kWidth, 0));
  TERN_TRY_ASSIGN(c.intermediate, size_of(json, "intermediate_size", kWidth, 0));
  TERN_TRY_ASSIGN(c.layers, size_of(json, "num_hidden_layers", kCount, 0));
  TERN_TRY_ASSIGN(c.heads, size_of(json, "num_attention_heads", kCount, 0));
  TERN_TRY_ASSIGN(c.kv_heads, size_of(json, "num_key_value_heads", kCount, c.heads));
  TERN_TRY_ASSIGN(c.vocab, size_of(json, "vocab_size", 1 << 24, 0));
  if (member(json, "head_dim") == nullptr && c.hidden % c.heads != 0) {
    return make_error(ErrorCode::kCorrupt,
                      "config.json: hidden_size {} is not a multiple of {} heads, and head_dim is missing",
                      c.hidden, c.heads);
  }
  TERN_TRY_ASSIGN(c.head_dim, size_of(json, "head_dim", 1 << 12, std::max<uint64_t>(1, c.hidden / c.heads)));
  if (c.head_dim % 2 != 0)
    return make_error(ErrorCode::kCorrupt, "config.json: head_dim {} is odd", c.head_dim);
  TERN_TRY_ASSIGN(const auto tied, json_bool(json, "tie_word_embeddings"));
  // Absent means tied for Hugging Face's base class, untied for its Llama; the tensors decide (hf_source.cc).
  c.is_tied = tied.value_or(c.architecture != "llama");
  return {};
}

Status read_bitnet_quantisation(const Json& q, HfConfig& config) {
  TERN_TRY_ASSIGN(const auto linear_class, json_string(q, "linear_class"));
  TERN_TRY_ASSIGN(const auto mode, json_string(q, "quantization_mode"));
  if (linear_class && *linear_class != "bitlinear" && *linear_class != "autobitlinear") {
    return make_error(
        ErrorCode::kUnsupported,
        "config.json: quantization_config.linear_class is '{}', expected bitlinear or autobitlinear",
        printable(*linear_class));
  }
  if (mode && *mode != "offline" && *mode != "online") {
    return make_error(
        ErrorCode::kUnsupported,
        "config.json: quantization_config.quantization_mode is '{}', expected offline or online",
        printable(*mode));
  }
  config.activations_are_int8 = true;
  config.storage = mode && *mode == "online" ? LinearStorage::kMaster : LinearStorage::kPacked;
  if (linear_class) config.scale_divides = *linear_class == "bitlinear";
  return {};
}

Status read_quantisation(const Json& json, HfConfig& config) {
  const Json* q = member(json, "quantization_config");
  if (q != nullptr && !q->is_object()) return wrong("quantization_config", "an object");
  const Json* mlx = member(json, "quantization");
  if (mlx == nullptr && q != nullptr && member(*q, "quant_method") == nullptr &&
      member(*q, "bits") != nullptr)
    mlx = q;
  if (mlx != nullptr && mlx->is_object() && member(*mlx, "bits") != nullptr) {
    TERN_TRY_ASSIGN(const uint64_t bits, size_of(*mlx, "bits", 32, 0));
    TERN_TRY_ASSIGN(const uint64_t group, size_of(*mlx, "group_size", 4096, 64));
    if ((bits != 1 && bits != 2) || group % 32 != 0) {
      return make_error(
          ErrorCode::kUnsupported,
          "config.json: MLX quantisation of {} bits in groups of {}: tern reads 1 and 2 bits in groups "
          "of a multiple of 32",
          bits, group);
    }
    config.mlx_bits = static_cast<uint32_t>(bits);
    config.mlx_group = static_cast<uint32_t>(group);
    config.storage = LinearStorage::kMlx;
    return {};
  }
  if (q != nullptr) {
    TERN_TRY_ASSIGN(const auto method, json_string(*q, "quant_method"));
    if (!method || *method != "bitnet") {
      return make_error(ErrorCode::kUnsupported,
                        "config.json: quantization_config.quant_method is '{}': tern converts 'bitnet'",
                        printable(method.value_or("")));
    }
    return read_bitnet_quantisation(*q, config);
  }
  // 1bitLLM's models say it with weight_bits; their weights are masters.
  TERN_TRY_ASSIGN(const auto weight_bits, json_number(json, "weight_bits"));
  if (config.architecture.starts_with("bitnet") || (weight_bits && *weight_bits == 1)) {
    config.storage = LinearStorage::kMaster;
    config.activations_are_int8 = true;
  }
  return {};
}

Status refuse_unknown_features(const Json& json) {
  for (const char* key : {"attention_bias", "mlp_bias", "rope_interleaved"}) {
    TERN_TRY_ASSIGN(const auto value, json_bool(json, key));
    if (value.value_or(false)) {
      return make_error(ErrorCode::kUnsupported, "config.json: {} is true, which tern does not compute", key);
    }
  }
  TERN_TRY_ASSIGN(const auto experts, json_uint(json, "num_local_experts"));
  if (experts && *experts > 1) {
    return make_error(ErrorCode::kUnsupported, "config.json: {} experts: tern does not compute mixtures",
                      *experts);
  }
  for (const auto& [key, value] : json.items()) {
    if (key.find("hadamard") == std::string::npos || value.is_null() || value == false) continue;
    return make_error(
        ErrorCode::kUnsupported,
        "config.json: '{}': the weights need a Hadamard rotation of the activations at run time, which "
        "tern does not compute",
        printable(key));
  }
  return {};
}

Result<std::string> gate_name(const HfConfig& config, const std::string& chosen) {
  TERN_TRY_ASSIGN(auto act, json_string(config.json, "hidden_act"));
  if (!act) {
    TERN_TRY_ASSIGN(act, json_string(config.json, "hidden_activation"));
  }
  if (!chosen.empty()) act = chosen;
  if (!act) {
    return make_error(
        ErrorCode::kUnsupported,
        "config.json: no 'hidden_act': say --hidden-act silu or --hidden-act relu2 (a wrong one is fluent "
        "nonsense)");
  }
  if (*act == "silu" || *act == "swish") return std::string("silu");
  if (*act == "relu2" || *act == "relu_squared" || *act == "relu_sqr") return std::string("relu2");
  return make_error(ErrorCode::kUnsupported, "config.json: hidden_act is '{}': tern computes silu and relu2",
                    printable(*act));
}

Status add_rope_keys(const HfConfig& config, const std::string& prefix, MetaList& keys) {
  const Json& json = config.json;
  TERN_TRY_ASSIGN(auto theta, json_number(json, "rope_theta"));
  const Json* scaling = member(json, "rope_scaling");
  if (const Json* parameters = member(json, "rope_parameters");
      parameters != nullptr && parameters->is_object()) {
    if (!theta) {
      TERN_TRY_ASSIGN(theta, json_number(*parameters, "rope_theta"));
    }
    if (scaling == nullptr) scaling = parameters;
  }
  if (theta && !(*theta >= 1 && *theta < 1e12)) return wrong("rope_theta", "a number of 1 to 1e12");
  keys.emplace_back(prefix + "rope.freq_base", static_cast<float>(theta.value_or(10000)));
  if (scaling == nullptr) return {};
  if (!scaling->is_object()) return wrong("rope_scaling", "an object");
  TERN_TRY_ASSIGN(auto type, json_string(*scaling, "rope_type"));
  if (!type) {
    TERN_TRY_ASSIGN(type, json_string(*scaling, "type"));
  }
  if (!type || *type == "default" || *type == "none") return {};
  if (*type != "linear" && *type != "yarn") {
    return make_error(ErrorCode::kUnsupported,
                      "config.json: rope_scaling.type is '{}': tern converts linear and yarn",
                      printable(*type));
  }
  keys.emplace_back(prefix + "rope.scaling.type", *type);
  TERN_TRY_ASSIGN(const auto factor, json_number(*scaling, "factor"));
  if (!factor || !(*factor > 0 && *factor < 1e6)) return wrong("rope_scaling.factor", "a positive number");
  keys.emplace_back(prefix + "rope.scaling.factor", static_cast<float>(*factor));
  TERN_TRY_ASSIGN(const auto original, json_uint(*scaling, "original_max_position_embeddings"));
  if (original) {
    keys.emplace_back(prefix + "rope.scaling.original_context_length",
                      static_cast<uint32_t>(std::min<uint64_t>(*original, 1u << 30)));
  }
  return {};
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view what) {
  // Depth first: writing and destroying what was parsed may recurse. (simdjson would check it, but refuses
  // the integers beyond 64 bits that real tokenizer_config.json files hold.)
  constexpr int kMaxDepth = 256;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '{' || c == '[') && ++depth > kMaxDepth) {
      return make_error(ErrorCode::kCorrupt, "{}: not JSON of at most {} levels", what, kMaxDepth);
    } else if (!in_string && (c == '}' || c == ']')) {
      --depth;
    }
  }
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return make_error(ErrorCode::kCorrupt, "{}: not JSON", what);
  return json;
}

Result<std::optional<uint64_t>> json_uint(const Json& object, const char* key) {
  const Json* value = member(object, key);
  if (value == nullptr) return std::optional<uint64_t>();
  if (!value->is_number_unsigned()) return wrong(key, "a non-negative integer");
  return std::optional(value->get<uint64_t>());
}

Result<std::optional<double>> json_number(const Json& object, const char* key) {
  const Json* value = member(object, key);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) return wrong(key, "a number");
  return std::optional(value->get<double>());
}

Result<std::optional<bool>> json_bool(const Json& object, const char* key) {
  const Json* value = member(object, key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return wrong(key, "true or false");
  return std::optional(value->get<bool>());
}

Result<std::optional<std::string>> json_string(const Json& object, const char* key) {
  const Json* value = member(object, key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong(key, "a string");
  return std::optional(value->get<std::string>());
}

Result<HfConfig> parse_hf_config(std::string_view text, const ImportOptions& options) {
  HfConfig config;
  TERN_TRY_ASSIGN(config.json, parse_json(text, "config.json"));
  if (!config.json.is_object()) return make_error(ErrorCode::kCorrupt, "config.json: expected an object");
  TERN_TRY(read_architecture(config.json, config));
  TERN_TRY(read_sizes(config.json, config));
  TERN_TRY(read_quantisation(config.json, config));
  TERN_TRY(refuse_unknown_features(config.json));
  if (options.scale_divides) config.scale_divides = options.scale_divides;
  if (options.absmean) config.storage = LinearStorage::kMaster;
  if (options.absmean) config.activations_are_int8 = true;
  if (!options.activation_bits.empty()) config.activations_are_int8 = options.activation_bits == "int8";
  if (config.heads % config.kv_heads != 0) {
    return make_error(ErrorCode::kCorrupt, "config.json: {} heads are not a multiple of {} key/value heads",
                      config.heads, config.kv_heads);
  }
  TERN_TRY_ASSIGN(const std::string gate, gate_name(config, options.activation));
  config.json["hidden_act"] = gate;
  return config;
}

Result<MetaList> hf_config_keys(const HfConfig& config) {
  const Json& json = config.json;
  const std::string prefix = config.architecture + ".";
  MetaList keys;
  const auto size = [&](const char* suffix, uint64_t value) {
    keys.emplace_back(prefix + suffix, static_cast<uint32_t>(value));
  };
  keys.emplace_back("general.architecture", config.architecture);
  size("vocab_size", config.vocab);
  TERN_TRY_ASSIGN(const uint64_t context, size_of(json, "max_position_embeddings", 1 << 30, 2048));
  size("context_length", context);
  size("embedding_length", config.hidden);
  size("block_count", config.layers);
  size("feed_forward_length", config.intermediate);
  size("attention.head_count", config.heads);
  size("attention.head_count_kv", config.kv_heads);
  if (config.heads * config.head_dim != config.hidden) {
    size("attention.key_length", config.head_dim);
    size("attention.value_length", config.head_dim);
  }
  size("rope.dimension_count", config.head_dim);
  TERN_TRY_ASSIGN(const auto eps, json_number(json, "rms_norm_eps"));
  if (eps && !(*eps > 0 && *eps < 1)) return wrong("rms_norm_eps", "a number between 0 and 1");
  keys.emplace_back(prefix + "attention.layer_norm_rms_epsilon", static_cast<float>(eps.value_or(1e-6)));
  TERN_TRY(add_rope_keys(config, prefix, keys));
  TERN_TRY_ASSIGN(const auto gate, json_string(json, "hidden_act"));
  if (config.architecture != "llama" || *gate != "silu")
    keys.emplace_back(prefix + "hidden_activation", *gate);
  if (config.architecture == "bitllama") {
    TERN_TRY_ASSIGN(const auto norm_eps, json_number(json, "linear_norm_eps"));
    keys.emplace_back(prefix + "linear_norm_epsilon", static_cast<float>(norm_eps.value_or(1e-12)));
  }
  if (config.activations_are_int8 && !config.architecture.starts_with("bit")) {
    keys.emplace_back("tern.activation", std::string("int8"));
  }
  return keys;
}

Result<std::map<std::string, std::string>> parse_shard_index(std::string_view text) {
  constexpr const char* kWhat = "model.safetensors.index.json";
  TERN_TRY_ASSIGN(const Json json, parse_json(text, kWhat));
  const Json* map = json.is_object() ? member(json, "weight_map") : nullptr;
  if (map == nullptr || !map->is_object()) {
    return make_error(ErrorCode::kCorrupt, "{}: no object 'weight_map'", kWhat);
  }
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) return make_error(ErrorCode::kCorrupt, "{}: weight_map is not all strings", kWhat);
    std::string name = file.get<std::string>();
    if (name.empty() || name == "." || name == ".." || name.find_first_of("/\\") != std::string::npos ||
        !is_plain_text(name) || name.size() > 255) {
      return make_error(ErrorCode::kCorrupt, "{}: '{}' is not the name of a file in the same folder", kWhat,
                        printable(name));
    }
    files.emplace(tensor, std::move(name));
  }
  return files;
}

}  // namespace tern
