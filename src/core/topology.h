// SPDX-License-Identifier: MIT
// Which processors this process may use, and how many threads are worth starting.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tern {

struct Topology {
  std::vector<int> cpus;  // processors this process may run on, one per physical core first, then siblings
  size_t physical_cores = 1;   // of those: distinct cores
  double cgroup_cpus = 0;      // CPU quota of the control group in processors, 0 = none
  size_t default_threads = 1;  // physical cores, cut to the quota

  std::string describe() const;
};

/// Reads the affinity mask, /sys/devices/system/cpu and the cgroup files. Falls back to one processor.
Topology detect_topology();

}  // namespace tern
