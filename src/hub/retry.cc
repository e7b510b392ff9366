// SPDX-License-Identifier: MIT
#include "hub/retry.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

namespace tern::hub {

double retry_delay(const RetryPolicy& policy, int failures, std::optional<double> retry_after,
                   double random) {
  const double doubled = std::ldexp(policy.base_seconds, std::clamp(failures, 1, 30) - 1);
  const double own = std::min(doubled, policy.max_seconds) * (0.5 + 0.5 * random);
  if (!retry_after) return own;
  return std::max(own, *retry_after + std::min(1.0, *retry_after / 10) * random);
}

Status wait_seconds(double seconds, const std::atomic<bool>* cancel) {
  using Clock = std::chrono::steady_clock;
  const auto end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (cancel == nullptr || !*cancel) {
    const auto left = end - Clock::now();
    if (left <= Clock::duration::zero()) return {};
    std::this_thread::sleep_for(std::min<Clock::duration>(left, std::chrono::milliseconds(100)));
  }
  return make_error(ErrorCode::kCancelled, "stopped");
}

}  // namespace tern::hub
