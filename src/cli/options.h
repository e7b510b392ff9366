// SPDX-License-Identifier: MIT
// Flags that several commands share, with the names people know from llama.cpp where the meaning is the same.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/container_flags.h"
#include "engine/context.h"
#include "engine/generate.h"
#include "model/model.h"
#include "runtime/runner.h"

namespace tern::cli {

/// How a model is loaded and on what it runs.
struct ModelFlags {
  std::string path;       // MODEL
  std::string flag_path;  // -m
  ContextOptions context;
  int64_t context_tokens = 0;
  int64_t chunk_rows = 512;
  std::string kv_type = "auto";
  std::string activations;  // "" (as the file says) or a name of parse_activation_bits
  ContainerFlags container;
  bool no_pin = false;

  /// Registers the model (positional or -m; whether one is needed is the command's question) and the flags
  /// above.
  void add_to(CLI::App& command);
  /// After parsing: with -m the first word is the prompt, not the model. Errors: kUsage for two models.
  Status settle(std::string* prompt);
  /// Only the machine's flags: -t, --isa, --no-pin.
  void add_machine_to(CLI::App& command);
};

struct SamplingFlags {
  SamplingParams params;
  int64_t max_tokens = -1;
  int64_t seed = -1;                      // negative: a random one is chosen, and reported
  std::vector<std::string> logit_biases;  // "ID:VALUE" or "ID=VALUE"

  void add_to(CLI::App& command);
  /// The parameters with seed and biases filled in. Errors: kUsage.
  Result<SamplingParams> resolve() const;
};

/// A model ready to run, with everything it stands on. Members are destroyed in reverse order.
struct LoadedModel {
  std::unique_ptr<Context> context;
  std::shared_ptr<const Model> model;
  std::unique_ptr<Runner> runner;
  double load_seconds = 0;
};

/// What to say where neither MODEL nor -m was given.
Error no_model();

/// Opens, checks, packs and allocates, with a progress bar on a terminal.
Result<LoadedModel> load_model(const ModelFlags& flags, bool show_progress);

/// "1,2 3" (commas, blanks, line ends) -> ids. `text` may be "@FILE" or "-" (stdin). Errors: kUsage with the
/// position.
Result<std::vector<int32_t>> parse_token_ids(const std::string& text);

/// The whole of a file ("-": stdin), at most 1 GiB.
Result<std::string> read_text(const std::string& path);

}  // namespace tern::cli
