// SPDX-License-Identifier: MIT
#include "hub/transfer_rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hub/hub_errors.h"

namespace tern::hub {
namespace {

constexpr double kHalfLife = 2.0;  // seconds
constexpr double kLongest = 1e7;   // seconds; beyond it "left" says nothing
constexpr int kMinBar = 8;

}  // namespace

void TransferRate::update(uint64_t done, double seconds) {
  if (last_seconds_ && done >= last_done_ && seconds > *last_seconds_) {
    const double step = seconds - *last_seconds_;
    const double now = static_cast<double>(done - last_done_) / step;
    const double keep = has_rate_ ? std::exp2(-step / kHalfLife) : 0.0;
    rate_ = keep * rate_ + (1 - keep) * now;
    has_rate_ = true;
  } else if (last_seconds_ && done < last_done_) {
    rate_ = 0;
    has_rate_ = false;
  } else if (last_seconds_) {
    return;  // the same moment twice
  }
  last_seconds_ = seconds;
  last_done_ = done;
}

std::optional<double> TransferRate::seconds_left(uint64_t done, uint64_t total) const {
  if (done >= total) return 0.0;
  if (!has_rate_ || rate_ <= 0) return std::nullopt;
  const double seconds = static_cast<double>(total - done) / rate_;
  return seconds < kLongest ? std::optional<double>(seconds) : std::nullopt;
}

std::string human_duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(std::clamp(seconds, 0.0, kLongest)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string transfer_line(std::string_view label, uint64_t done, uint64_t total, const TransferRate& rate,
                          int width) {
  const double share =
      total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto room = static_cast<size_t>(std::max(0, width));
  const std::string percent = fmt::format("{:3.0f} %", std::floor(share * 100));
  std::string facts = fmt::format("{} of {}", percent, human_size(total));
  if (rate.bytes_per_second() > 0)
    facts += fmt::format(", {}/s", human_size(static_cast<uint64_t>(rate.bytes_per_second())));
  if (const auto left = rate.seconds_left(done, total))
    facts += fmt::format(", {} left", human_duration(*left));
  if (facts.size() > room) facts = percent;
  if (facts.size() > room) return {};
  const size_t label_room = room - facts.size() > 1 ? room - facts.size() - 1 : 0;
  std::string line(label.substr(0, label_room));
  const auto bar = static_cast<int>(label_room - line.size()) - 3;
  if (bar >= kMinBar) {
    const auto full = static_cast<size_t>(share * bar);
    line += fmt::format(" [{}{}]", std::string(full, '#'), std::string(static_cast<size_t>(bar) - full, '.'));
  }
  return line.empty() ? facts : fmt::format("{} {}", line, facts);
}

}  // namespace tern::hub
