// SPDX-License-Identifier: MIT
// bitllama, a GGUF architecture of our own: Llama-shaped ternary models in which every linear first
// normalises its own input, x / max(||x||, eps) / sqrt(n), without a weight, and no other norm stands inside
// the blocks. Adjacent-pair RoPE, SiLU gate, a weighted RMSNorm before the head.
//   bitllama.linear_norm_epsilon   f32, eps above
// The norm is computed as an RMSNorm whose weights are all 1/n and whose epsilon is eps^2/n: the same value,
// but that near ||x|| = eps the two differ smoothly instead of at a corner (both are 0 at 0).
#include <cmath>

#include "model/config.h"

namespace tern {

Result<Config> read_bitllama_config(const GgufFile& file, std::string_view architecture) {
  Config config;
  config.architecture = architecture;
  config.rope_adjacent_pairs = true;
  config.has_block_norms = false;
  TERN_TRY_ASSIGN(config, read_common_keys(file, std::move(config)));
  TERN_TRY(read_activation(file, config, [](DType) { return ActivationBits::kInt8; }));
  TERN_TRY_ASSIGN(config.gate, read_gate(file, config, GateKind::kSilu));
  const std::string key = arch_key(config, "linear_norm_epsilon");
  TERN_TRY_ASSIGN(const auto eps, file.get_float(key));
  if (!eps || !std::isnormal(static_cast<float>(*eps)) || *eps <= 0) {
    return make_error(ErrorCode::kCorrupt, "key '{}' is missing or not a positive number", key);
  }
  config.linear_norm_eps = static_cast<float>(*eps);
  return config;
}

}  // namespace tern
