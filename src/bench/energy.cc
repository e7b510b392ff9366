// SPDX-License-Identifier: MIT
#include "bench/energy.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace tern {

namespace {

std::optional<uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

}  // namespace

EnergyMeter::EnergyMeter(const std::string& root) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    // intel-rapl:0 is a package (AMD's too); intel-rapl:0:0 is a part of it and would be counted twice.
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("intel-rapl:") || std::count(name.begin(), name.end(), ':') != 1) continue;
    const auto now = read_number(entry.path() / "energy_uj");
    const auto range = read_number(entry.path() / "max_energy_range_uj");
    if (now && range) domains_.push_back({(entry.path() / "energy_uj").string(), *range, *now});
  }
}

std::optional<double> EnergyMeter::joules() {
  if (domains_.empty()) return std::nullopt;
  double joules = 0;
  for (Domain& domain : domains_) {
    const auto now = read_number(domain.path);
    if (!now) return std::nullopt;
    const uint64_t used =
        *now >= domain.last_uj ? *now - domain.last_uj : *now + domain.range_uj - domain.last_uj;
    joules += static_cast<double>(used) * 1e-6;
    domain.last_uj = *now;
  }
  return joules;
}

}  // namespace tern
