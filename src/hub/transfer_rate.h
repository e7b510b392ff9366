// SPDX-License-Identifier: MIT
// Speed and time left of a transfer, and the line that shows them. Pure: the clock is the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tern::hub {

/// The speed of the last seconds: a moving average whose memory fades by half every two seconds.
class TransferRate {
 public:
  /// `done` bytes at `seconds` of any steady clock. A `done` that went back (a download that starts over)
  /// begins anew.
  void update(uint64_t done, double seconds);
  /// Bytes per second; 0 before there are two measurements.
  double bytes_per_second() const { return rate_; }
  /// Seconds until `total`, or nothing where that cannot be said.
  std::optional<double> seconds_left(uint64_t done, uint64_t total) const;

 private:
  std::optional<double> last_seconds_;
  uint64_t last_done_ = 0;
  double rate_ = 0;
  bool has_rate_ = false;
};

/// "label [####....]  42 % of 1.19 GB, 41.2 MB/s, 16 s left" in at most `width` columns; what does not fit
/// goes, the bar first.
std::string transfer_line(std::string_view label, uint64_t done, uint64_t total, const TransferRate& rate,
                          int width);

/// "16 s", "4 min 10 s", "2 h 05 min"
std::string human_duration(double seconds);

}  // namespace tern::hub
