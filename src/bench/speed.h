// SPDX-License-Identifier: MIT
// Speed of a model: what is measured (a prompt of p tokens, n tokens for each of np sequences, both behind d
// tokens that are in the cache already), how often, and what the samples say. tern bench is its only user.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/timed_backend.h"
#include "engine/context.h"
#include "model/model.h"
#include "runtime/runner.h"

namespace tern {

/// One line of the result table.
struct SpeedCase {
  int64_t prompt = 0;     // > 0: prefill of so many tokens; 0: decode
  int64_t predict = 0;    // decode: tokens of each sequence
  int64_t depth = 0;      // tokens in the cache before the clock starts
  int64_t sequences = 1;  // decode: how many step together
  int64_t chunk_rows = 512;
  int64_t threads = 0;
  std::string isa = "auto";

  /// "pp512", "tg64", "tg64 x8 @ d4096"
  std::string name() const;
  int64_t tokens() const { return prompt > 0 ? prompt : predict * sequences; }
};

/// Figures of one case; all rates in tokens per second summed over the sequences.
struct SpeedSamples {
  std::vector<double> seconds;
  std::vector<double> joules;  // empty where no counter can be read
};

struct Summary {
  double mean = 0, deviation = 0, median = 0, min = 0, max = 0;  // deviation: of the sample, n-1
};
/// At least one value.
Summary summarize(std::vector<double> values);

/// Time and bytes of one class of ops in one step (decode) or one prompt (prefill).
struct ClassShare {
  OpClass op = OpClass::kEmbed;
  double seconds = 0, bytes = 0, operations = 0;
};

/// A case with everything it runs on, kept between repetitions so that cases can take turns.
class SpeedRun {
 public:
  /// Feeds the `depth` tokens. Errors: those of Runner.
  static Result<std::unique_ptr<SpeedRun>> create(const SpeedCase& what, std::shared_ptr<const Model> model,
                                                  Context& context, std::optional<KvType> kv_type);
  const SpeedCase& what() const { return what_; }
  KvType kv_type() { return runner_->cache().type(); }
  /// Runs once; returns the seconds.
  Result<double> run();
  /// Runs once with every op recorded and labelled.
  Result<std::vector<OpEvent>> record();

 private:
  SpeedRun(const SpeedCase& what, Backend& backend) : what_(what), backend_(backend) {}
  Status run_once();

  SpeedCase what_;
  TimedBackend backend_;
  std::unique_ptr<Runner> runner_;
  std::vector<Sequence> sequences_;
  std::vector<int32_t> tokens_;  // pseudo-random ids, the same at every run
};

/// Sums events by class, in the order of OpClass, classes that did not occur left out. Divides by `steps`.
std::vector<ClassShare> shares_of(const std::vector<OpEvent>& events, int64_t steps);

}  // namespace tern
