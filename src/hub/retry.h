// SPDX-License-Identifier: MIT
// How long to wait before asking again: exponential, with jitter, so that many clients of a hub that stumbled
// do not come back at the same moment; a Retry-After is honoured.
#pragma once

#include <atomic>
#include <optional>

#include "core/result.h"

namespace tern::hub {

struct RetryPolicy {
  int attempts = 8;           // in a row without a new byte, before giving up
  double base_seconds = 0.5;  // doubled with each attempt
  double max_seconds = 30;    // of one wait that the server did not ask for
  double longest_wait = 120;  // a Retry-After beyond this is an error, not a wait
};

/// Seconds to wait after failure number `failures` >= 1. `random` in [0, 1) spreads the wait over [half,
/// whole). A Retry-After is a lower bound, with up to a tenth (at most a second) added.
double retry_delay(const RetryPolicy& policy, int failures, std::optional<double> retry_after, double random);

/// Sleeps, looking at `cancel` ten times a second (nullptr: never cancelled). Errors: kCancelled.
Status wait_seconds(double seconds, const std::atomic<bool>* cancel);

}  // namespace tern::hub
