// SPDX-License-Identifier: MIT
// Llama-shaped models, dense or ternary (Llama3-8B-1.58, Falcon3-1.58bit): SiLU gate, no sub-norms,
// adjacent-pair RoPE on q/k rows that the converter has permuted for it (FORMATS.md A.7: they are not to be
// un-permuted). A GGUF of this architecture does not say whether activations were quantised in training.
// Per-tensor and TQ/IQ_BN containers are taken as BitNet (int8); Q1_0 and Q2_0 are the containers of
// weight-only models and are refused unless the file or the user says int8 (model.cc).
#include "model/config.h"

namespace tern {

Result<Config> read_llama_config(const GgufFile& file, std::string_view architecture) {
  Config config;
  config.architecture = architecture;
  config.rope_adjacent_pairs = true;
  TERN_TRY_ASSIGN(config, read_common_keys(file, std::move(config)));
  TERN_TRY_ASSIGN(config.gate, read_gate(file, config, GateKind::kSilu));
  TERN_TRY_ASSIGN(const auto activation, file.get_string("tern.activation"));
  if (activation && *activation != "int8") {
    return make_error(ErrorCode::kUnsupported, "key 'tern.activation' is '{}': tern computes 'int8'",
                      *activation);
  }
  config.activation_bits = activation ? ActivationBits::kInt8 : ActivationBits::kUnknown;
  return config;
}

}  // namespace tern
