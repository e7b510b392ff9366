// SPDX-License-Identifier: MIT
// Llama-shaped models, dense or ternary (Llama3-8B-1.58, Falcon3-1.58bit, Falcon-E, TriLM): SiLU gate, no
// sub-norms, adjacent-pair RoPE on q/k rows that the converter has permuted for it (FORMATS.md A.7: they are
// not to be un-permuted). A GGUF of this architecture does not say whether activations were quantised in
// training; unless the key 'tern.activation' is there, the container tells:
//   one scale per tensor or row (I2_S, TL1, TL2, IQ_BN)   BitNet models only: int8
//   scales by group (TQ1_0, TQ2_0, Q1_0, Q2_0...)         TriLM where the sizes are a TriLM's: weight-only;
//                                                         else unknown, and refused without --act
#include <algorithm>
#include <array>

#include "formats/ternary/codec.h"
#include "model/config.h"

namespace tern {

namespace {

struct TrilmSize {
  const char* name;
  int64_t hidden, intermediate, layers, heads;
};

// SpectraSuite/TriLM_*_Unpacked (FORMATS.md B.4). No BitNet model has one of these sets of sizes.
constexpr std::array<TrilmSize, 9> kTrilm = {{{"99M", 512, 1280, 16, 8},
                                              {"190M", 768, 2048, 16, 12},
                                              {"390M", 1024, 2560, 24, 16},
                                              {"560M", 1280, 3072, 24, 20},
                                              {"830M", 1536, 4096, 24, 24},
                                              {"1.1B", 1792, 5120, 24, 28},
                                              {"1.5B", 2048, 6144, 24, 32},
                                              {"2.4B", 2304, 7680, 30, 36},
                                              {"3.9B", 3072, 9216, 30, 24}}};

const TrilmSize* find_trilm(const Config& c) {
  const auto at = std::find_if(kTrilm.begin(), kTrilm.end(), [&c](const TrilmSize& size) {
    return size.hidden == c.hidden_size && size.intermediate == c.intermediate_size &&
           size.layers == c.num_layers && size.heads == c.num_heads && c.num_kv_heads == c.num_heads;
  });
  return at == kTrilm.end() ? nullptr : &*at;
}

ActivationBits by_container(DType dtype) {
  return find_codec(dtype)->scale_scope == ScaleScope::kGroup ? ActivationBits::kUnknown
                                                              : ActivationBits::kInt8;
}

ActivationBits trilm_by_container(DType dtype) {
  return find_codec(dtype)->scale_scope == ScaleScope::kGroup ? ActivationBits::kInt16
                                                              : ActivationBits::kInt8;
}

}  // namespace

Result<Config> read_llama_config(const GgufFile& file, std::string_view architecture) {
  Config config;
  config.architecture = architecture;
  config.rope_adjacent_pairs = true;
  TERN_TRY_ASSIGN(config, read_common_keys(file, std::move(config)));
  TERN_TRY_ASSIGN(config.gate, read_gate(file, config, GateKind::kSilu));
  const TrilmSize* trilm = find_trilm(config);
  TERN_TRY(read_activation(file, config, trilm == nullptr ? by_container : trilm_by_container));
  if (config.activation_bits == ActivationBits::kInt16 && file.find("tern.activation") == nullptr) {
    config.doubts.push_back(fmt::format(
        "the sizes are those of TriLM {}, so activations are taken as not quantised in training (int16); "
        "--act int8 overrides",
        trilm->name));
  }
  return config;
}

}  // namespace tern
