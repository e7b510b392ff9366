// SPDX-License-Identifier: MIT
// Speed, time left, the progress line at every width, and the waits between attempts.
#include <gtest/gtest.h>

#include "hub/hub_errors.h"
#include "hub/retry.h"
#include "hub/transfer_rate.h"

namespace tern::hub {
namespace {

TEST(Rate, ConvergesToASteadySpeed) {
  TransferRate rate;
  EXPECT_FALSE(rate.seconds_left(0, 10));
  for (int i = 0; i <= 100; ++i) rate.update(static_cast<uint64_t>(i) * 500, i * 0.5);
  // A constant speed is its own average.
  EXPECT_NEAR(rate.bytes_per_second(), 1000, 1e-6);
  EXPECT_NEAR(*rate.seconds_left(50000, 60000), 10, 1e-6);
  EXPECT_EQ(rate.seconds_left(5, 5), 0.0);
  // Half the memory is gone after two seconds without a byte.
  rate.update(50000, 52);
  EXPECT_NEAR(rate.bytes_per_second(), 500, 1e-6);
  rate.update(100, 53);  // started over
  EXPECT_EQ(rate.bytes_per_second(), 0);
  EXPECT_FALSE(rate.seconds_left(100, 200));
}

TEST(Rate, TheSameMomentTwiceIsNoSpeed) {
  TransferRate rate;
  rate.update(0, 1);
  rate.update(100, 1);
  EXPECT_EQ(rate.bytes_per_second(), 0);
  rate.update(100, 2);
  EXPECT_EQ(rate.bytes_per_second(), 100);
}

TEST(Line, FitsEveryWidth) {
  TransferRate rate;
  rate.update(0, 0);
  rate.update(41'200'000, 1);
  for (int width = 0; width <= 200; ++width) {
    const std::string line = transfer_line("pulling bitnet-2b", 500'000'000, 1'187'801'280, rate, width);
    EXPECT_LE(line.size(), static_cast<size_t>(width));
    EXPECT_TRUE(width < 6 || line.find("42 %") != std::string::npos) << width;
  }
  const std::string wide = transfer_line("pulling bitnet-2b", 500'000'000, 1'187'801'280, rate, 100);
  EXPECT_NE(wide.find(" 42 % of 1.19 GB, 41.2 MB/s, 17 s left"), std::string::npos) << wide;
  EXPECT_NE(wide.find("[###"), std::string::npos) << wide;
  EXPECT_NE(transfer_line("x", 0, 0, TransferRate(), 60).find("100 %"), std::string::npos);
}

TEST(Line, Units) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(999), "999 B");
  EXPECT_EQ(human_size(1000), "1.00 kB");
  EXPECT_EQ(human_size(999'999), "1.00 MB");
  EXPECT_EQ(human_size(1'187'801'280), "1.19 GB");
  EXPECT_EQ(human_duration(0.2), "1 s");
  EXPECT_EQ(human_duration(250), "4 min 10 s");
  EXPECT_EQ(human_duration(7500), "2 h 05 min");
}

TEST(Retry, DelaysGrowAndStayBounded) {
  const RetryPolicy policy;
  double before = 0;
  for (int failures = 1; failures < 100; ++failures) {
    const double most = retry_delay(policy, failures, std::nullopt, 1.0),
                 least = retry_delay(policy, failures, std::nullopt, 0.0);
    EXPECT_DOUBLE_EQ(least, most / 2);
    EXPECT_GE(most, before);
    EXPECT_LE(most, policy.max_seconds);
    before = most;
  }
  EXPECT_DOUBLE_EQ(before, policy.max_seconds);
  EXPECT_GE(retry_delay(policy, 1, 100.0, 0.0), 100.0) << "Retry-After is a lower bound";
  EXPECT_LE(retry_delay(policy, 1, 100.0, 1.0), 101.0);
  EXPECT_GE(retry_delay(policy, 9, 0.0, 0.0), 15.0) << "Retry-After 0 is no licence to hammer";
}

TEST(Retry, WaitingCanBeCancelled) {
  const std::atomic<bool> cancel{true};
  const Status status = wait_seconds(1e9, &cancel);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(wait_seconds(0, nullptr).ok());
}

}  // namespace
}  // namespace tern::hub
