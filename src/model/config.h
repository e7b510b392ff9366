// SPDX-License-Identifier: MIT
// Hyperparameters of a model, one naming for all sources (STYLE.md 3.1), read from GGUF keys by the
// architecture's file. What differs between architectures is a field here, never an `if (architecture ==
// ...)` in the forward pass.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "formats/gguf.h"
#include "kernels/backend.h"

namespace tern {

/// How activations enter the ternary linears; part of what the model was trained with (docs/numerics.md).
enum class ActivationBits : uint8_t {
  kInt8,     // absmax int8 per token (BitNet)
  kInt16,    // weight-only models (TriLM, Bonsai): 16 bits per token, close to real numbers
  kF32,      // real numbers: slow, for comparison (--act f32)
  kUnknown,  // a file that does not say: ternary tensors are then refused unless --act decides
};

/// "int8", "int16", "f32", "unstated".
std::string_view activation_name(ActivationBits bits);
/// The first three of these names. Errors: kUsage.
Result<ActivationBits> parse_activation_bits(std::string_view name);

/// YaRN: frequencies below `slow_turns` turns in the original context are divided by `factor`, those above
/// `fast_turns` are kept, a ramp lies between; cosines and sines are multiplied by `magnitude`.
struct YarnScaling {
  double factor = 1;
  int64_t original_context = 0;
  double magnitude = 1;  // 1 + 0.1 ln(factor)
  static constexpr double kFastTurns = 32, kSlowTurns = 1;
};

/// How an embedding model makes one vector of a text; the values of the key pooling_type.
enum class Pooling : uint8_t { kNone = 0, kMean = 1, kCls = 2, kLast = 3, kRank = 4 };

struct Config {
  std::string architecture;  // as in the file
  std::string name;          // general.name, may be empty
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;  // rows of the embedding
  int64_t max_seq_len = 0;
  float rms_norm_eps = 0;
  double rope_theta = 10000;
  double rope_linear_factor = 1;  // positions are divided by it
  std::optional<YarnScaling> rope_yarn;
  int64_t rope_dim = 0;              // rotated values of each head
  bool rope_adjacent_pairs = false;  // (2i, 2i+1) instead of (i, i + rope_dim/2)
  GateKind gate = GateKind::kSilu;
  bool has_block_norms = true;           // attn_norm, ffn_norm
  bool has_sub_norms = false;            // attn_sub_norm, ffn_sub_norm
  bool has_qk_norm = false;              // RMSNorm of each head of q and k before RoPE
  bool has_linear_norms = false;         // every linear has a weighted RMSNorm of its own input (*_norm_in)
  std::optional<float> linear_norm_eps;  // every linear first normalises its own input (bitllama)
  ActivationBits activation_bits = ActivationBits::kInt8;
  std::optional<Pooling> pooling;   // of embedding models
  std::vector<std::string> doubts;  // sentences: what the file leaves open and what was assumed
};

/// Reads the configuration by the architecture's own rules. Errors: unknown architecture (lists the known
/// ones), a missing or contradictory key, a feature tern does not compute (named).
Result<Config> read_config(const GgufFile& file);

/// "bitnet, bitnet-25, ..."
std::string known_architectures();

// What the architecture files use (config.cc).

/// The keys that all architectures share; `defaults` carries what the architecture decides.
Result<Config> read_common_keys(const GgufFile& file, Config defaults);
/// "<architecture>.<suffix>"
std::string arch_key(const Config& config, std::string_view suffix);
/// hidden_activation, or `absent` where the key is missing.
Result<GateKind> read_gate(const GgufFile& file, const Config& config, GateKind absent);
/// Decides activation_bits where a GGUF architecture holds models of both kinds: by the key
/// 'tern.activation', else by `by_container(dtype)` of the ternary linears, which must agree. Errors: an
/// unknown value of the key.
Status read_activation(const GgufFile& file, Config& config, ActivationBits (*by_container)(DType dtype));

// One file each.
Result<Config> read_bitnet_config(const GgufFile& file, std::string_view architecture);    // bitnet.cc
Result<Config> read_llama_config(const GgufFile& file, std::string_view architecture);     // llama.cc
Result<Config> read_bitllama_config(const GgufFile& file, std::string_view architecture);  // bitllama.cc
Result<Config> read_qwen3_config(const GgufFile& file, std::string_view architecture);     // qwen3.cc

}  // namespace tern
