// SPDX-License-Identifier: MIT
#include "model/config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/math.h"
#include "core/printable.h"

namespace tern {

namespace {

struct Architecture {
  std::string_view name;
  Result<Config> (*read)(const GgufFile& file, std::string_view architecture);
};

constexpr std::array<Architecture, 6> kArchitectures = {{{"bitnet", read_bitnet_config},
                                                         {"bitnet-25", read_bitnet_config},
                                                         {"bitnet-b1.58", read_bitnet_config},
                                                         {"llama", read_llama_config},
                                                         {"bitllama", read_bitllama_config},
                                                         {"qwen3", read_qwen3_config}}};

/// An integer key between 1 and `limit`; `fallback` 0 makes it required.
Result<int64_t> read_size(const GgufFile& file, const std::string& key, int64_t limit, int64_t fallback) {
  TERN_TRY_ASSIGN(const auto value, file.get_uint(key));
  if (!value && fallback > 0) return fallback;
  if (!value)
    return make_error(ErrorCode::kCorrupt, "missing key '{}': the model cannot be built without it", key);
  if (*value < 1 || *value > static_cast<uint64_t>(limit)) {
    return make_error(ErrorCode::kCorrupt, "key '{}' is {}, expected 1 to {}", key, *value, limit);
  }
  return static_cast<int64_t>(*value);
}

/// A finite, positive float key; `fallback` 0 makes it required.
Result<double> read_positive(const GgufFile& file, const std::string& key, double fallback) {
  TERN_TRY_ASSIGN(const auto value, file.get_float(key));
  if (!value && fallback > 0) return fallback;
  if (!value)
    return make_error(ErrorCode::kCorrupt, "missing key '{}': the model cannot be built without it", key);
  // Such values are used as f32: what over- or underflows there is as wrong as what is not a number.
  if (!std::isnormal(static_cast<float>(*value)) || *value <= 0) {
    return make_error(ErrorCode::kCorrupt, "key '{}' is {}, expected a positive number", key, *value);
  }
  return *value;
}

/// Keys of the rope.scaling family that tern does not know change the function.
Status refuse_unknown_rope_keys(const GgufFile& file, const Config& config) {
  constexpr std::string_view kKnown[] = {"type", "factor", "original_context_length", "finetuned"};
  const std::string prefix = arch_key(config, "rope.scaling.");
  for (const auto& [key, value] : file.metadata) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view rest = std::string_view(key).substr(prefix.size());
    if (std::find(std::begin(kKnown), std::end(kKnown), rest) != std::end(kKnown)) continue;
    return make_error(ErrorCode::kUnsupported, "key '{}' is not one that tern computes (it knows {}: {})",
                      printable(key), prefix, fmt::join(kKnown, ", "));
  }
  return {};
}

Status read_rope_scaling(const GgufFile& file, Config& config) {
  TERN_TRY(refuse_unknown_rope_keys(file, config));
  const std::string type_key = arch_key(config, "rope.scaling.type");
  TERN_TRY_ASSIGN(const auto type, file.get_string(type_key));
  if (type && *type == "none") return {};
  if (type && *type != "linear" && *type != "yarn") {
    return make_error(ErrorCode::kUnsupported,
                      "key '{}' is '{}': tern computes only 'none', 'linear' and 'yarn'", type_key,
                      printable(*type, 80));
  }
  TERN_TRY_ASSIGN(const double factor, read_positive(file, arch_key(config, "rope.scaling.factor"), 1.0));
  if (!type ||
      *type ==
          "linear") {  // without a type a factor means linear, as in the readers these keys were made for
    config.rope_linear_factor = factor;
    return {};
  }
  if (factor < 1) {
    return make_error(ErrorCode::kCorrupt, "key '{}' is {}, expected 1 or more for yarn",
                      arch_key(config, "rope.scaling.factor"), factor);
  }
  // Its default differs between readers (the context length, or that divided by the factor): required.
  TERN_TRY_ASSIGN(
      const int64_t original,
      read_size(file, arch_key(config, "rope.scaling.original_context_length"), int64_t{1} << 30, 0));
  config.rope_yarn = YarnScaling{factor, original, 1 + 0.1 * portable_log(factor)};
  return {};
}

Status read_pooling(const GgufFile& file, Config& config) {
  const std::string key = arch_key(config, "pooling_type");
  TERN_TRY_ASSIGN(const auto value, file.get_uint(key));
  if (!value) return {};
  if (*value > 4) return make_error(ErrorCode::kCorrupt, "key '{}' is {}, expected 0 to 4", key, *value);
  config.pooling = static_cast<Pooling>(*value);
  return {};
}

/// Features that change the function and that no architecture here computes.
Status refuse_unknown_features(const GgufFile& file) {
  for (const auto& [key, value] : file.metadata) {
    if (key.rfind("prism.hadamard", 0) == 0) {
      return make_error(
          ErrorCode::kUnsupported,
          "key '{}': the weights were folded with a Hadamard rotation that needs the same rotation of "
          "the activations at run time; tern does not compute it, and without it the output is garbage",
          key);
    }
  }
  return {};
}

}  // namespace

std::string arch_key(const Config& config, std::string_view suffix) {
  return fmt::format("{}.{}", config.architecture, suffix);
}

std::string known_architectures() {
  std::string text;
  for (const auto& architecture : kArchitectures) {
    if (!text.empty()) text += ", ";
    text += architecture.name;
  }
  return text;
}

Result<GateKind> read_gate(const GgufFile& file, const Config& config, GateKind absent) {
  const std::string key = arch_key(config, "hidden_activation");
  TERN_TRY_ASSIGN(const auto name, file.get_string(key));
  if (!name) return absent;
  if (*name == "silu" || *name == "swish") return GateKind::kSilu;
  if (*name == "relu2" || *name == "relu_squared" || *name == "relu_sqr") return GateKind::kRelu2;
  return make_error(ErrorCode::kUnsupported, "key '{}' is '{}': tern computes 'silu' and 'relu2'", key,
                    *name);
}

std::string_view activation_name(ActivationBits bits) {
  switch (bits) {
    case ActivationBits::kInt8:
      return "int8";
    case ActivationBits::kInt16:
      return "int16";
    case ActivationBits::kF32:
      return "f32";
    case ActivationBits::kUnknown:
      break;
  }
  return "unstated";
}

Result<ActivationBits> parse_activation_bits(std::string_view name) {
  for (const ActivationBits bits : {ActivationBits::kInt8, ActivationBits::kInt16, ActivationBits::kF32}) {
    if (name == activation_name(bits)) return bits;
  }
  return make_error(ErrorCode::kUsage,
                    "'{}' are no activations that tern computes: expected int8, int16 or f32",
                    printable(name, 80));
}

Status read_activation(const GgufFile& file, Config& config, ActivationBits (*by_container)(DType dtype)) {
  TERN_TRY_ASSIGN(const auto name, file.get_string("tern.activation"));
  if (name) {
    auto stated = parse_activation_bits(*name);
    if (!stated.ok()) return std::move(stated).error().in("key 'tern.activation'");
    config.activation_bits = *stated;
    return {};
  }
  std::optional<ActivationBits> found;
  for (const GgufTensorInfo& tensor : file.tensors) {
    if (!is_ternary(tensor.dtype) || !tensor.name.starts_with("blk.")) continue;
    const ActivationBits bits = by_container(tensor.dtype);
    if (found && *found != bits) found = ActivationBits::kUnknown;
    if (!found) found = bits;
  }
  config.activation_bits = found.value_or(ActivationBits::kInt8);  // without ternary linears it says nothing
  if (config.activation_bits == ActivationBits::kUnknown) {
    config.doubts.push_back(
        "the file does not say how activations were quantised in training (key 'tern.activation'): it runs "
        "only with --act int8 (BitNet models), int16 (weight-only models) or f32");
  }
  return {};
}

Result<Config> read_common_keys(const GgufFile& file, Config config) {
  auto key = [&config](std::string_view suffix) { return arch_key(config, suffix); };
  constexpr int64_t kMaxWidth = 1 << 20, kMaxCount = 1 << 14;

  TERN_TRY_ASSIGN(const auto name, file.get_string("general.name"));
  config.name = name.value_or("");
  TERN_TRY_ASSIGN(config.hidden_size, read_size(file, key("embedding_length"), kMaxWidth, 0));
  TERN_TRY_ASSIGN(config.intermediate_size, read_size(file, key("feed_forward_length"), kMaxWidth, 0));
  TERN_TRY_ASSIGN(config.num_layers, read_size(file, key("block_count"), kMaxCount, 0));
  TERN_TRY_ASSIGN(config.max_seq_len, read_size(file, key("context_length"), int64_t{1} << 30, 0));
  TERN_TRY_ASSIGN(config.num_heads, read_size(file, key("attention.head_count"), kMaxCount, 0));
  TERN_TRY_ASSIGN(config.num_kv_heads,
                  read_size(file, key("attention.head_count_kv"), kMaxCount, config.num_heads));
  if (config.num_heads % config.num_kv_heads != 0) {
    return make_error(ErrorCode::kCorrupt, "{} query heads are not a multiple of {} kv heads",
                      config.num_heads, config.num_kv_heads);
  }
  if (config.hidden_size % config.num_heads != 0 && file.find(key("attention.key_length")) == nullptr) {
    return make_error(ErrorCode::kCorrupt,
                      "embedding_length {} is not a multiple of {} heads, and key '{}' is missing",
                      config.hidden_size, config.num_heads, key("attention.key_length"));
  }
  const int64_t even_share = std::max<int64_t>(1, config.hidden_size / config.num_heads);
  TERN_TRY_ASSIGN(config.head_dim, read_size(file, key("attention.key_length"), 1 << 12, even_share));
  TERN_TRY_ASSIGN(const int64_t value_length,
                  read_size(file, key("attention.value_length"), 1 << 12, config.head_dim));
  if (value_length != config.head_dim) {
    return make_error(ErrorCode::kUnsupported, "key '{}' is {}, but keys are {} wide: tern needs them equal",
                      key("attention.value_length"), value_length, config.head_dim);
  }
  TERN_TRY_ASSIGN(config.rope_dim,
                  read_size(file, key("rope.dimension_count"), config.head_dim, config.head_dim));
  if (config.rope_dim % 2 != 0) {
    return make_error(ErrorCode::kCorrupt, "rope.dimension_count is {}, expected an even number",
                      config.rope_dim);
  }
  if (config.rope_dim != config.head_dim) {
    return make_error(
        ErrorCode::kUnsupported,
        "rope.dimension_count is {}, but heads are {} wide: no model of this family rotates a part of a head",
        config.rope_dim, config.head_dim);
  }
  TERN_TRY_ASSIGN(const double eps, read_positive(file, key("attention.layer_norm_rms_epsilon"), 0));
  config.rms_norm_eps = static_cast<float>(eps);
  TERN_TRY_ASSIGN(config.rope_theta, read_positive(file, key("rope.freq_base"), 10000.0));
  TERN_TRY(read_rope_scaling(file, config));
  TERN_TRY(read_pooling(file, config));
  return config;
}

Result<Config> read_config(const GgufFile& file) {
  TERN_TRY_ASSIGN(const auto name, file.get_string("general.architecture"));
  if (!name) return make_error(ErrorCode::kCorrupt, "missing key 'general.architecture'");
  TERN_TRY(refuse_unknown_features(file));
  for (const auto& architecture : kArchitectures) {
    if (architecture.name == *name) return architecture.read(file, *name);
  }
  return make_error(ErrorCode::kUnsupported, "architecture '{}' is not one that tern computes ({})", *name,
                    known_architectures());
}

}  // namespace tern
