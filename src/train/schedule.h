// SPDX-License-Identifier: MIT
// Learning rate and weight decay of a step: BitNet's two stages. Stage 1 climbs linearly to stage1_lr over
// the warmup and holds it; stage 2 drops at once to stage2_lr and falls linearly to final_lr at the last
// step, with its own weight decay. Called by the trainer; steps count from 0.
#pragma once

#include <algorithm>
#include <cmath>

#include "train/config.h"

namespace tern::train {

struct Rates {
  double lr = 0, weight_decay = 0;
  int stage = 1;
};

inline Rates rates_at(const OptimizerConfig& o, int64_t step) {
  const int64_t boundary = std::llround(o.stage_boundary * o.steps);
  if (step < boundary) {
    const double climb =
        o.warmup_steps > 0 ? std::min(1.0, static_cast<double>(step + 1) / o.warmup_steps) : 1.0;
    return {o.stage1_lr * climb, o.stage1_weight_decay, 1};
  }
  const int64_t length = o.steps - boundary;
  const double share =
      length > 1 ? std::min(1.0, static_cast<double>(step - boundary) / static_cast<double>(length - 1))
                 : 0.0;
  return {o.stage2_lr + (o.final_lr - o.stage2_lr) * share, o.stage2_weight_decay, 2};
}

}  // namespace tern::train
