// SPDX-License-Identifier: MIT
// What a model file says of its container, for tern info: byte order, ternary types with their scales, and
// what is doubtful about them. Headers and scale tensors only: no weight is decoded.
#pragma once

#include <string>
#include <vector>

#include "cli/report.h"
#include "formats/safetensors.h"
#include "formats/weights.h"

namespace tern::cli {

/// The tensors of one ternary type.
struct TernaryFact {
  std::string type;        // "i2_s"
  uint64_t tensors = 0;    // of this type and these scales
  std::string byte_order;  // "x86-128 (assumed)", "little-endian"...
  std::string scales;      // "one per tensor"...
};

struct ContainerFacts {
  std::string container;   // "GGUF v3"
  std::string byte_order;  // of numbers
  std::vector<TernaryFact> ternary;
  std::vector<std::string> doubts;

  Json ternary_json() const;
};

/// `order` is what --i2s-order says, if anything.
ContainerFacts gguf_facts(const Weights& weights, std::optional<I2sOrder> order);

/// A safetensors file alone: weights without a configuration.
ContainerFacts safetensors_facts(const SafetensorsFile& file);

/// True where the bytes begin as safetensors files do: a header length and '{'.
bool looks_like_safetensors(std::span<const std::byte> bytes);

}  // namespace tern::cli
