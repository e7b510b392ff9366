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

/// How activations enter the ternary linears; part of what the model was trained with.
enum class ActivationBits : uint8_t {
  kInt8,     // absmax int8 per token (BitNet)
  kUnknown,  // a file that does not say: ternary tensors are then refused unless --act int8 decides
};

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
  double rope_linear_factor = 1;     // positions are divided by it
  int64_t rope_dim = 0;              // rotated values of each head
  bool rope_adjacent_pairs = false;  // (2i, 2i+1) instead of (i, i + rope_dim/2)
  GateKind gate = GateKind::kSilu;
  bool has_block_norms = true;           // attn_norm, ffn_norm
  bool has_sub_norms = false;            // attn_sub_norm, ffn_sub_norm
  std::optional<float> linear_norm_eps;  // every linear first normalises its own input (bitllama)
  ActivationBits activation_bits = ActivationBits::kInt8;
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

// One file each.
Result<Config> read_bitnet_config(const GgufFile& file, std::string_view architecture);    // bitnet.cc
Result<Config> read_llama_config(const GgufFile& file, std::string_view architecture);     // llama.cc
Result<Config> read_bitllama_config(const GgufFile& file, std::string_view architecture);  // bitllama.cc

}  // namespace tern
