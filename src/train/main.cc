// SPDX-License-Identifier: MIT
// tern-train: the program behind `tern train`, apart from tern because it links libtorch. Parses flags,
// prints progress, leaves the rest to the trainer and the exporter.
#include <malloc.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/printable.h"
#include "train/saved_run.h"
#include "train/trainer.h"

namespace {

using namespace tern;
using namespace tern::train;

std::atomic<bool> stop_requested{false};  // all that a signal handler can reach

extern "C" void on_signal(int signal) {
  if (stop_requested.exchange(true)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

struct Flags {
  std::string config, dtype, output;
  std::string teacher;  // a file of `tern distill`
  bool resume = false, prepare_only = false;
  int64_t steps = -1, log_every = 0, threads = 0;
  std::string export_from;  // a checkpoint or a run's folder: export instead of training
  ExportOptions exporting;
};

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds);
  return s >= 3600 ? fmt::format("{} h {:02} min", s / 3600, s / 60 % 60)
                   : fmt::format("{} min {:02} s", s / 60, s % 60);
}

/// The progress line: redrawn on a terminal, one line every `every` steps elsewhere.
class Display {
 public:
  explicit Display(int64_t every)
      : is_terminal_(isatty(STDERR_FILENO) == 1),
        every_(every > 0      ? every
               : is_terminal_ ? 1
                              : 10) {}
  void step(const StepReport& r) {
    // Smoothed, so that ETA and loss can be read.
    seconds_ = seconds_ == 0 ? r.seconds : 0.9 * seconds_ + 0.1 * r.seconds;
    loss_ = loss_ == 0 ? r.loss : 0.9 * loss_ + 0.1 * r.loss;
    if (r.step % every_ != 0 && r.step != r.steps) return;
    const std::string line = fmt::format(
        "step {}/{}  loss {:.4f} (mean {:.4f})  norm {:.2f}  lr {:.2e}  {:.0f} tokens/s  ETA {}", r.step,
        r.steps, r.loss, loss_, r.gradient_norm, r.lr, static_cast<double>(r.positions) / seconds_,
        duration(static_cast<double>(r.steps - r.step) * seconds_));
    std::fprintf(stderr, is_terminal_ ? "\r\033[K%s" : "%s\n", line.c_str());
    is_drawn_ = is_terminal_;
    std::fflush(stderr);
  }
  void note(const std::string& line) {
    std::fprintf(stderr, "%s%s\n", is_drawn_ ? "\r\033[K" : "", line.c_str());
    is_drawn_ = false;
  }

 private:
  bool is_terminal_, is_drawn_ = false;
  int64_t every_;
  double seconds_ = 0, loss_ = 0;
};

Status apply_flags(const Flags& flags, TrainConfig& config) {
  if (!flags.output.empty()) config.output = flags.output;
  if (flags.threads > 0) config.threads = static_cast<int32_t>(flags.threads);
  if (flags.dtype == "f32") config.dtype = TrainDtype::kF32;
  if (flags.dtype == "bf16") config.dtype = TrainDtype::kBf16;
  if (flags.dtype == "auto") config.dtype = TrainDtype::kAuto;
  std::error_code failed;
  std::filesystem::create_directories(config.output, failed);
  if (failed)
    return make_error(ErrorCode::kIo, "cannot make the output folder '{}': {}", config.output,
                      failed.message());
  return {};
}

void describe(const Trainer& const_trainer, const TrainConfig& config, Display& display) {
  auto& trainer = const_cast<Trainer&>(const_trainer);
  display.note(fmt::format("{} parameters, {} linears, {} products, {} threads, {} rows of {} a pass",
                           trainer.model().parameter_count(), config.ternary ? "ternary" : "plain",
                           trainer.stepper().type() == torch::kBFloat16 ? "bf16" : "f32",
                           trainer.stepper().threads(), rows_per_micro_batch(config), config.model.context));
  for (const SourceStats& s : trainer.dataset().sources()) {
    display.note(fmt::format("  {:5.1f} %  {} documents, {} tokens (held out {}, {})  {}", s.share * 100,
                             s.documents, s.tokens, s.heldout_documents, s.heldout_tokens,
                             printable(s.path, 200)));
  }
}

Status run_training(const Flags& flags) {
  TERN_TRY_ASSIGN(TrainConfig config, load_train_config(flags.config));
  TERN_TRY(apply_flags(flags, config));
  if (!flags.teacher.empty() && config.tokenizer.path.empty()) {
    config.tokenizer.path = teacher_tokenizer_path(flags.teacher);
  }
  Display display(flags.log_every);
  TERN_TRY_ASSIGN(const Prepared prepared, prepare(config, [&](std::string_view, int64_t, int64_t) {
                    return !stop_requested.load();
                  }));
  if (flags.prepare_only) {
    display.note(fmt::format("{} and {} are {}", prepared.tokenizer_path, prepared.token_path,
                             prepared.reused ? "there already" : "made"));
    return {};
  }
  TrainOptions options;
  options.resume = flags.resume;
  options.stop_after = flags.steps;
  options.teacher = flags.teacher;
  std::ifstream file(flags.config);
  std::stringstream text;
  text << file.rdbuf();
  options.config_text = text.str();
  options.config_base = std::filesystem::absolute(flags.config).parent_path().string();
  options.stop = &stop_requested;
  options.on_step = [&](const StepReport& r) { display.step(r); };
  options.on_eval = [&](const EvalReport& r) {
    display.note(fmt::format("held out at step {}: loss {:.4f}, perplexity {:.3f}  {}", r.step, r.loss,
                             std::exp(r.loss), printable(r.source, 200)));
  };
  options.on_note = [&](const std::string& line) { display.note(line); };
  TERN_TRY_ASSIGN(const auto trainer, Trainer::create(config, prepared, std::move(options)));
  describe(*trainer, config, display);
  TERN_TRY(trainer->run());
  display.note(fmt::format("{} at step {}: checkpoint saved in {}",
                           trainer->finished() ? "finished" : "stopped", trainer->step(), config.output));
  return {};
}

/// CONFIG is the target here.
Status run_export(const Flags& flags) {
  TERN_TRY_ASSIGN(const SavedRun run, open_saved_run(flags.export_from));
  ExportModel model = export_model_of(run);
  TERN_TRY(export_model(model, flags.exporting, flags.config));
  std::fprintf(stderr, "step %lld of '%s' written to %s\n", static_cast<long long>(run.state.step),
               run.config.name.c_str(), flags.config.c_str());
  return {};
}

/// Pages once touched are kept: a step frees and takes the same tens of megabytes again.
void tune_allocator() {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
}

}  // namespace

int main(int argc, char** argv) {
  tune_allocator();
  CLI::App app{"tern train: trains bitnet-b1.58 models", "tern train"};
  Flags flags;
  app.add_option("CONFIG", flags.config, "the run as JSON; with --export the file or folder to write")
      ->required();
  app.add_option("--export", flags.export_from,
                 "write a checkpoint (or the newest of a folder) as a model to CONFIG");
  app.add_flag("--hf", flags.exporting.to_hf, "with --export: a Hugging Face folder instead of a GGUF file");
  app.add_flag("--master", flags.exporting.master, "with --hf: bf16 master weights instead of packed trits");
  app.add_option("--type", flags.exporting.type,
                 "with --export: i2_s, tq1_0, tq2_0, iq1_bn, iq2_bn; of plain models f32, f16, bf16, q8_0");
  app.add_option("--embedding", flags.exporting.embedding,
                 "with --export: of the embedding table: f32, f16, bf16, q8_0, q6_k");
  app.add_option("--license", flags.exporting.license, "with --export: SPDX name of the model's licence");
  app.add_option("--teacher", flags.teacher,
                 "logits of a teacher to learn from, as `tern distill` collects them");
  app.add_flag("--prepare", flags.prepare_only, "make the tokenizer and the token file, do not train");
  app.add_flag("--resume", flags.resume, "continue from the newest checkpoint");
  app.add_option("--steps", flags.steps, "stop after so many steps of this call (with a checkpoint)");
  app.add_option("--output", flags.output, "folder instead of the configuration's");
  app.add_option("--threads,-t", flags.threads, "threads instead of the configuration's");
  app.add_option("--dtype", flags.dtype, "of products: auto, f32, bf16")
      ->check(CLI::IsMember({"auto", "f32", "bf16"}));
  app.add_option("--log-every", flags.log_every,
                 "steps between progress lines (default 10; 1 on a terminal)");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  try {
    const Status status = flags.export_from.empty() ? run_training(flags) : run_export(flags);
    if (status.ok()) return 0;
    std::fprintf(stderr, "tern: %s\n", status.error().message.c_str());
    return status.error().code == ErrorCode::kUsage ? 2 : 1;
  } catch (const std::exception& error) {  // torch's and the standard library's
    std::fprintf(stderr, "tern: %s\n", error.what());
    return 1;
  }
}
