// SPDX-License-Identifier: MIT
// Flags for what containers do not say of themselves: --i2s-order, --tl-config, --type-id. Used by every
// command that opens a model file.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <optional>
#include <string>
#include <vector>

#include "formats/weights.h"

namespace tern::cli {

struct ContainerFlags {
  std::string i2s_order;
  std::string tl_config;
  std::vector<std::string> type_ids;  // "ID=TYPE"

  void add_to(CLI::App& command);
  /// How to open the file. Errors: kUsage for a type that does not exist, those of TlConfig::load, each with
  /// the flag.
  Result<WeightsOptions> weights_options() const;
  /// The byte order asked for, or nullopt. Errors: kUsage.
  Result<std::optional<I2sOrder>> order() const;
};

}  // namespace tern::cli
