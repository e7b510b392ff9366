// SPDX-License-Identifier: MIT
#include "core/topology.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

namespace tern {

namespace {

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The CPU quota of the control group (version 2, then 1) in processors, 0 where there is none.
double cgroup_quota() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0)
    return std::strtod(quota.c_str(), nullptr) / period;
  const double v1_quota = std::strtod(read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").c_str(), nullptr);
  const double v1_period = std::strtod(read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us").c_str(), nullptr);
  return v1_quota > 0 && v1_period > 0 ? v1_quota / v1_period : 0;
}

}  // namespace

Topology detect_topology() {
  Topology topology;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  std::vector<int> siblings;
  std::set<std::string> cores;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &mask)) continue;
      // Processors of one core list the same siblings; where the file is missing each counts as a core.
      std::string core =
          read_line(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
      if (core.empty()) core = std::to_string(cpu);
      (cores.insert(core).second ? topology.cpus : siblings).push_back(cpu);
    }
  }
  topology.physical_cores = std::max<size_t>(1, topology.cpus.size());
  topology.cpus.insert(topology.cpus.end(), siblings.begin(), siblings.end());
  topology.cgroup_cpus = cgroup_quota();
  topology.default_threads = topology.physical_cores;
  if (topology.cgroup_cpus > 0) {
    const auto quota = static_cast<size_t>(std::max(1.0, std::floor(topology.cgroup_cpus + 0.01)));
    topology.default_threads = std::min(topology.default_threads, quota);
  }
  return topology;
}

std::string Topology::describe() const {
  std::string text =
      fmt::format("{} processors on {} cores", std::max<size_t>(1, cpus.size()), physical_cores);
  if (cgroup_cpus > 0) text += fmt::format(", cgroup quota {:.1f}", cgroup_cpus);
  return text;
}

}  // namespace tern
