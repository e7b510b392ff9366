// SPDX-License-Identifier: MIT
// THE table of tensor names: what Hugging Face checkpoints and GGUF call the same part of a model. Reader and
// writer of Hugging Face directories both use it. Source: FORMATS.md A.7, B.4.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tern {

/// A part of a layer. GGUF: blk.N.<gguf>.weight; Hugging Face: layers.N.<hugging_face>.weight.
struct LayerPart {
  std::string_view gguf, hugging_face;
};

/// The seven projections. Their own input norms are <gguf>_norm_in and <hugging_face>.norm or .rms_norm.
inline constexpr std::array<LayerPart, 7> kProjections = {{{"attn_q", "self_attn.q_proj"},
                                                           {"attn_k", "self_attn.k_proj"},
                                                           {"attn_v", "self_attn.v_proj"},
                                                           {"attn_output", "self_attn.o_proj"},
                                                           {"ffn_gate", "mlp.gate_proj"},
                                                           {"ffn_up", "mlp.up_proj"},
                                                           {"ffn_down", "mlp.down_proj"}}};

/// Norms; two spellings of the same part stand side by side, 2B-4T's first.
inline constexpr std::array<LayerPart, 8> kNorms = {{{"attn_norm", "input_layernorm"},
                                                     {"attn_sub_norm", "self_attn.attn_sub_norm"},
                                                     {"attn_sub_norm", "self_attn.inner_attn_ln"},
                                                     {"ffn_norm", "post_attention_layernorm"},
                                                     {"ffn_sub_norm", "mlp.ffn_sub_norm"},
                                                     {"ffn_sub_norm", "mlp.ffn_layernorm"},
                                                     {"attn_q_norm", "self_attn.q_norm"},
                                                     {"attn_k_norm", "self_attn.k_norm"}}};

/// GGUF's `llama` rotates adjacent pairs, Hugging Face's code split halves: GGUF row h*d + 2i + s of q and k
/// is row h*d + s*(d/2) + i of the checkpoint.
constexpr uint64_t hf_row_of_gguf(uint64_t row, uint64_t head_dim) {
  const uint64_t j = row % head_dim;
  return row - j + (j % 2) * (head_dim / 2) + j / 2;
}
constexpr uint64_t gguf_row_of_hf(uint64_t row, uint64_t head_dim) {
  const uint64_t j = row % head_dim, half = head_dim / 2;
  return row - j + 2 * (j % half) + j / half;
}

}  // namespace tern
