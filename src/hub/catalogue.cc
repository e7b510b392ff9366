// SPDX-License-Identifier: MIT
// Sources: the repositories' cards and file lists as quoted by third parties up to September 2026. Of each
// model the packed file is taken, never its 16-bit master where a packed one exists. Sizes are what a user
// decides by; the hub's listing has the last word on every one of them.
#include "hub/catalogue.h"

#include <algorithm>
#include <array>

namespace tern::hub {
namespace {

constexpr std::string_view kI2S = "ggml-model-i2_s.gguf", kFalcon = "falcon-llm-license";

constexpr std::array kEntries = {
    CatalogueEntry{"trilm-99m", "SpectraSuite/TriLM_99M_Unpacked", "", 200'000'000, "apache-2.0", "llama",
                   "99M", "16-bit masters of a weight-only model: needs tern convert"},
    CatalogueEntry{"bonsai-1.7b", "prism-ml/Bonsai-1.7B-gguf", "Bonsai-1.7B-Q1_0.gguf", 248'302'272,
                   "apache-2.0", "qwen3", "1.7B", "1 bit (Q1_0), weight-only"},
    CatalogueEntry{"bitnet-embedding-0.6b", "microsoft/bitnet-embedding-0.6b",
                   "bitnet-embeddings-0.6b-bf16-i2_s.gguf", 428'000'000, "mit", "qwen3", "0.6B",
                   "text embeddings"},
    CatalogueEntry{"ternary-bonsai-1.7b", "prism-ml/Ternary-Bonsai-1.7B-gguf",
                   "Ternary-Bonsai-1.7B-Q2_0_g64.gguf", 490'000'000, "apache-2.0", "qwen3", "1.7B",
                   "weight-only"},
    CatalogueEntry{"bonsai-4b", "prism-ml/Bonsai-4B-gguf", "Bonsai-4B-Q1_0.gguf", 572'270'624, "apache-2.0",
                   "qwen3", "4B", "1 bit (Q1_0), weight-only"},
    CatalogueEntry{"falcon-e-1b", "tiiuae/Falcon-E-1B-Instruct-GGUF", kI2S, 666'324'256, kFalcon, "llama",
                   "1B", "instruct"},
    CatalogueEntry{"trilm-390m", "SpectraSuite/TriLM_390M_Unpacked", "", 800'000'000, "apache-2.0", "llama",
                   "390M", "16-bit masters of a weight-only model: needs tern convert"},
    CatalogueEntry{"falcon-e-3b", "tiiuae/Falcon-E-3B-Instruct-GGUF", kI2S, 999'908'608, kFalcon, "llama",
                   "3B", "instruct"},
    CatalogueEntry{"ternary-bonsai-4b", "prism-ml/Ternary-Bonsai-4B-gguf", "Ternary-Bonsai-4B-Q2_0_g64.gguf",
                   1'140'000'000, "apache-2.0", "qwen3", "4B", "weight-only"},
    CatalogueEntry{"bonsai-8b", "prism-ml/Bonsai-8B-gguf", "Bonsai-8B-Q1_0.gguf", 1'160'000'000, "apache-2.0",
                   "qwen3", "8B", "1 bit (Q1_0), weight-only"},
    CatalogueEntry{"bitnet-2b", "microsoft/bitnet-b1.58-2B-4T-gguf", kI2S, 1'187'801'280, "mit",
                   "bitnet-b1.58", "2.4B", "BitNet b1.58 2B-4T, instruct"},
    CatalogueEntry{"falcon3-1b", "tiiuae/Falcon3-1B-Instruct-1.58bit-GGUF", kI2S, 1'361'904'672, kFalcon,
                   "llama", "1B", "instruct"},
    CatalogueEntry{"falcon3-3b", "tiiuae/Falcon3-3B-Instruct-1.58bit-GGUF", kI2S, 2'221'465'632, kFalcon,
                   "llama", "3B", "instruct"},
    CatalogueEntry{"ternary-bonsai-8b", "prism-ml/Ternary-Bonsai-8B-gguf", "Ternary-Bonsai-8B-Q2_0_g64.gguf",
                   2'310'125'920, "apache-2.0", "qwen3", "8B", "weight-only"},
    CatalogueEntry{"bitnet-large", "1bitLLM/bitnet_b1_58-large", "", 2'920'000'000, "mit", "bitnet", "0.7B",
                   "32-bit masters: needs tern convert"},
    CatalogueEntry{"falcon3-7b", "tiiuae/Falcon3-7B-Instruct-1.58bit-GGUF", kI2S, 3'278'680'768, kFalcon,
                   "llama", "7B", "instruct"},
    CatalogueEntry{"llama3-8b", "HF1BitLLM/Llama3-8B-1.58-100B-tokens", "", 3'850'000'000, "llama3", "llama",
                   "8B", "packed safetensors: needs tern convert"},
    CatalogueEntry{"falcon3-10b", "tiiuae/Falcon3-10B-Instruct-1.58bit-GGUF", kI2S, 3'991'393'696, kFalcon,
                   "llama", "10B", "instruct"},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::span<const CatalogueEntry> catalogue() { return kEntries; }

const CatalogueEntry* find_in_catalogue(std::string_view name) {
  for (const CatalogueEntry& entry : kEntries) {
    if (std::ranges::equal(entry.name, name, {}, lower, lower)) return &entry;
  }
  return nullptr;
}

}  // namespace tern::hub
