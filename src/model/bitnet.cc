// SPDX-License-Identifier: MIT
// The BitNet family as Microsoft and 1bitLLM trained it: ternary linears with int8 activations, a norm before
// o_proj and before down_proj, split-half RoPE.
//   bitnet-b1.58, bitnet-25   microsoft/bitnet-b1.58-2B-4T: squared ReLU. Its published GGUF has no
//   activation key;
//                             engines that then take SiLU multiply the perplexity by six (FORMATS.md A.7,
//                             C.4).
//   bitnet                    1bitLLM/bitnet_b1_58-*: SiLU
#include "model/config.h"

namespace tern {

Result<Config> read_bitnet_config(const GgufFile& file, std::string_view architecture) {
  Config config;
  config.architecture = architecture;
  config.has_sub_norms = true;
  const bool is_2b = architecture != "bitnet";
  TERN_TRY_ASSIGN(config, read_common_keys(file, std::move(config)));
  TERN_TRY(read_activation(file, config, [](DType) { return ActivationBits::kInt8; }));
  TERN_TRY_ASSIGN(config.gate, read_gate(file, config, is_2b ? GateKind::kRelu2 : GateKind::kSilu));
  if (file.find(arch_key(config, "hidden_activation")) == nullptr) {
    config.doubts.push_back(fmt::format("key '{}' is missing: {} assumed, as the {} models were trained",
                                        arch_key(config, "hidden_activation"), is_2b ? "relu2" : "silu",
                                        architecture));
  }
  return config;
}

}  // namespace tern
