// SPDX-License-Identifier: MIT
// Qwen3-shaped models: an RMSNorm over each head of q and k before split-half RoPE, SiLU gate, no sub-norms,
// YaRN where the keys say so. Two families use it (FORMATS.md B.4, B.5):
//   Bonsai, Ternary-Bonsai   weight-only, scales by group of 64 or 128 (Q1_0, Q2_0, PTQ1_0, MLX), ternary or
//   1-bit
//                            embeddings and head too
//   BitNet-embedding         int8 activations; every linear has its own weighted RMSNorm (*_norm_in) of its
//   input,
//                            behind the block's norm; one vector per text from its last token
// Ternary linears in another container say nothing (a BitNet or a weight-only model) and are refused without
// --act or the key 'tern.activation'.
#include "formats/ternary/codec.h"
#include "model/config.h"

namespace tern {

namespace {

ActivationBits bonsai_by_container(DType dtype) {
  // TQ1_0 and TQ2_0 hold ternary models of every kind.
  const bool is_tq = dtype == DType::kTQ1_0 || dtype == DType::kTQ2_0;
  return find_codec(dtype)->scale_scope == ScaleScope::kGroup && !is_tq ? ActivationBits::kInt16
                                                                        : ActivationBits::kUnknown;
}

ActivationBits embedding_by_container(DType) { return ActivationBits::kInt8; }

}  // namespace

Result<Config> read_qwen3_config(const GgufFile& file, std::string_view architecture) {
  Config config;
  config.architecture = architecture;
  config.has_qk_norm = true;
  TERN_TRY_ASSIGN(config, read_common_keys(file, std::move(config)));
  TERN_TRY_ASSIGN(config.gate, read_gate(file, config, GateKind::kSilu));
  config.has_linear_norms = file.find_tensor("blk.0.attn_q_norm_in.weight") != nullptr;
  TERN_TRY(
      read_activation(file, config, config.has_linear_norms ? embedding_by_container : bonsai_by_container));
  if (config.has_linear_norms && !config.pooling) {
    config.pooling = Pooling::kLast;
    config.doubts.push_back(
        fmt::format("key '{}' is missing: last-token pooling assumed, as the models with a norm in "
                    "every linear were trained",
                    arch_key(config, "pooling_type")));
  }
  return config;
}

}  // namespace tern
