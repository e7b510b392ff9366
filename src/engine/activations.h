// SPDX-License-Identifier: MIT
// How much of a model's arithmetic is zero: of its ternary weights, of what enters each linear, of what the
// gates let through. What skipping kernels can gain is decided by these shares. Called by `tern info
// --activations`; a run that does not ask for it pays nothing.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "model/model.h"

namespace tern {

struct ZeroCount {
  int64_t zeros = 0, total = 0;  // total 0: there was nothing to count
  double share() const { return total == 0 ? 0 : static_cast<double>(zeros) / static_cast<double>(total); }
  ZeroCount& operator+=(const ZeroCount& other);
};

/// One ternary matrix; both counts are empty for a dense one.
struct LinearZeros {
  ZeroCount weights;  // trits that are 0
  ZeroCount inputs;   // activations that are 0 as the product takes them: int8, 16 bits or f32
};

/// The projections of a layer, in the order of LayerZeros::linears, and their names in GGUF files.
inline constexpr std::array<std::string_view, 7> kLayerLinears = {
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};

struct LayerZeros {
  std::array<LinearZeros, kLayerLinears.size()> linears;
  ZeroCount gate;     // act(gate) that is exactly 0, for squared ReLU; empty for SiLU
  ZeroCount product;  // act(gate) * up that is exactly 0
};

struct ActivationReport {
  int64_t tokens = 0;  // that were run, a token in front of each window included
  std::vector<LayerZeros> layers;
  LinearZeros head;
};

/// Runs `tokens` through the model, in windows of `window` tokens that each begin with `first` where it is
/// not negative, and counts. `window` is at least 2. `progress` gets the tokens done; false cancels. Errors:
/// kUsage for no tokens, ids outside the vocabulary or a window that is too small; kCancelled; those of
/// Runner::step.
Result<ActivationReport> measure_activations(std::shared_ptr<const Model> model, Backend& backend,
                                             std::span<const int32_t> tokens, int64_t window, int32_t first,
                                             const std::function<bool(int64_t done)>& progress = {});

}  // namespace tern
