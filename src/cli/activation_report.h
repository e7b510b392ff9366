// SPDX-License-Identifier: MIT
// tern info --activations MODEL -f TEXT: the zeros of a model's weights, of the inputs of its products and of
// its gates over a text, as tables and as JSON. The only part of tern info that loads and runs a model.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>

#include "cli/container_flags.h"
#include "cli/report.h"
#include "engine/context.h"

namespace tern::cli {

struct ActivationFlags {
  bool is_wanted = false;
  std::string file;  // of the text, "-" for stdin
  std::string activations;
  int64_t window = 512;

  void add_to(CLI::App& command);
  /// Errors: kUsage where there is a text and no --activations, or the other way round.
  Status check() const;
};

/// Runs the text and prints the tables, or with `as_json` only fills `json`. Errors: those of loading and
/// running the model; kUsage for a text without tokens.
Status report_activations(Context& context, const std::string& path, const ContainerFlags& container,
                          const ActivationFlags& flags, bool as_json, Json* json);

}  // namespace tern::cli
