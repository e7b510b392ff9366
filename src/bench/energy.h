// SPDX-License-Identifier: MIT
// Energy counters of the processor packages (RAPL through /sys/class/powercap), where the system lets us read
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tern {

class EnergyMeter {
 public:
  /// `root` is /sys/class/powercap but in tests.
  explicit EnergyMeter(const std::string& root = "/sys/class/powercap");
  bool is_available() const { return !domains_.empty(); }
  /// Joules of all packages since the last call (or since construction); absent where there is no counter
  /// that we may read. Counters that wrapped around once are handled.
  std::optional<double> joules();

 private:
  struct Domain {
    std::string path;
    uint64_t range_uj = 0, last_uj = 0;
  };
  std::vector<Domain> domains_;
};

}  // namespace tern
