// SPDX-License-Identifier: MIT
// tern distill CONFIG --teacher MODEL: collects the teacher's logits over the configuration's data, then has
// tern-train train the draft on them. tern distill --acceptance TEACHER DRAFT -f TEXT: how many proposals the
// teacher accepts.
#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "cli/train_program.h"
#include "core/atomic_file.h"
#include "core/printable.h"
#include "engine/gguf_tokenizer.h"
#include "train/acceptance.h"
#include "train/collect.h"
#include "train/corpus.h"
#include "train/hash.h"
#include "train/tokenizer_writer.h"

namespace tern::cli {

namespace {

constexpr int64_t kStepRows = 256;  // of the teacher's steps; each may ask for logits
constexpr int64_t kPage = 64;       // of the KV cache, tokens

struct DistillFlags {
  ModelFlags model;  // path: the teacher
  std::string config, teacher, file;
  std::vector<std::string> acceptance;  // TEACHER, DRAFT
  int32_t top_k = 16;
  int64_t rows = 0;  // 0: what the steps of the configuration read
  bool collect_only = false, resume = false, json = false;
  train::AcceptanceOptions measure;
};

/// The teacher's vocabulary as tokenizer.json: what its file carries, else written from what it says.
Result<std::string> teacher_tokenizer_json(const GgufFile& gguf) {
  TERN_TRY_ASSIGN(const auto carried, gguf.get_string("tokenizer.huggingface.json"));
  if (carried) return std::string(*carried);
  TERN_TRY_ASSIGN(const TokenizerSpec spec, tokenizer_spec_from_gguf(gguf));
  TERN_TRY_ASSIGN(const auto pre, gguf.get_string("tokenizer.ggml.pre"));
  auto json = train::write_tokenizer_json(spec, pre.value_or(""));
  if (!json.ok())
    return std::move(json).error().in(
        "no tokenizer.json can be made of the teacher's; name one in $.tokenizer.path");
  return json;
}

Status require_same_tokenizer(const Tokenizer& a, const Tokenizer& b, const char* what) {
  if (a.vocab_size() != b.vocab_size()) {
    return make_error(ErrorCode::kUsage, "{} has {} tokens, the teacher {}: they need one tokenizer", what,
                      b.vocab_size(), a.vocab_size());
  }
  for (int32_t id = 0; id < static_cast<int32_t>(a.vocab_size()); ++id) {
    if (a.token_bytes(id, true) != b.token_bytes(id, true)) {
      return make_error(ErrorCode::kUsage,
                        "token {} is '{}' in {} and '{}' in the teacher: they need one tokenizer", id,
                        printable(b.token_bytes(id, true)), what, printable(a.token_bytes(id, true)));
    }
  }
  return {};
}

int32_t first_token(const Tokenizer& tokenizer) {
  return tokenizer.add_bos_default() ? tokenizer.bos_id().value_or(-1) : -1;
}

/// Where the parts of a distillation lie in the output folder.
struct Place {
  std::string teacher_file, tokenizer;
  explicit Place(const train::TrainConfig& config)
      : teacher_file(train::teacher_file_path(config)),
        tokenizer(train::teacher_tokenizer_path(teacher_file)) {}
};

Result<train::Prepared> prepare_with_teacher(train::TrainConfig& config, const LoadedModel& teacher,
                                             const Tokenizer& tokenizer, const std::atomic<bool>& cancelled) {
  const Place place(config);
  if (config.tokenizer.path.empty()) {
    TERN_TRY_ASSIGN(const std::string json, teacher_tokenizer_json(teacher.model->weights().gguf()));
    std::error_code ignored;
    std::filesystem::create_directories(config.output, ignored);
    TERN_TRY(write_atomically(place.tokenizer, json));
    config.tokenizer.path = place.tokenizer;
  }
  Progress progress("preparing", true);
  TERN_TRY_ASSIGN(train::Prepared prepared,
                  train::prepare(config, [&](std::string_view, int64_t done, int64_t total) {
                    if (total > 0) progress.update(done, total);
                    return !cancelled.load();
                  }));
  TERN_TRY(require_same_tokenizer(tokenizer, *prepared.tokenizer, "the data's tokenizer"));
  return prepared;
}

uint64_t file_hash(const Weights& weights) {
  const auto file = MappedFile::open(weights.path());
  train::Hash64 hash;
  if (file.ok()) hash.add((*file)->bytes());
  return hash.value();
}

Status collect(const DistillFlags& flags, train::TrainConfig& config) {
  InterruptGuard interrupt;
  TERN_TRY_ASSIGN(const LoadedModel teacher, load_model(flags.model, true));
  TERN_TRY_ASSIGN(const TextSide side, load_text_side(teacher.model->weights(), {}));
  TERN_TRY_ASSIGN(const train::Prepared prepared,
                  prepare_with_teacher(config, teacher, *side.tokenizer, interrupt.cancelled()));
  TERN_TRY_ASSIGN(const auto data, train::Dataset::open(prepared, config.data, config.model.context));
  // Room for one row's segments, of which each takes whole pages, beside those of a whole step.
  const RunnerOptions runner_options{.context = config.model.context + kStepRows + 2 * kPage,
                                     .kv_type = std::nullopt,
                                     .max_rows = kStepRows,
                                     .max_logit_rows = kStepRows};
  TERN_TRY_ASSIGN(const auto runner,
                  Runner::create(teacher.model, teacher.context->backend(), runner_options));
  Progress progress("collecting", true);
  train::CollectOptions options;
  options.rows = flags.rows > 0 ? flags.rows : int64_t{config.optimizer.steps} * config.rows_per_step();
  options.first = first_token(*side.tokenizer);
  options.teacher = file_hash(teacher.model->weights());
  options.k = flags.top_k;
  options.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  options.cancel = &interrupt.cancelled();
  const Place place(config);
  const auto begin = std::chrono::steady_clock::now();
  TERN_TRY(train::collect_teacher(*runner, *data, place.teacher_file, options));
  progress.finish();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (flags.json && flags.collect_only) {
    print_json({{"teacher", flags.model.path},
                {"file", place.teacher_file},
                {"rows", options.rows},
                {"context", config.model.context},
                {"top_k", options.k},
                {"seconds", seconds}});
  } else {
    print_note(fmt::format("{} rows of {} tokens, top {}, in {} ({:.1f} s)", options.rows,
                           config.model.context, options.k, place.teacher_file, seconds));
  }
  return {};
}

Status train_draft(const DistillFlags& flags, const train::TrainConfig& config) {
  std::vector<std::string> words = {flags.config, "--teacher", Place(config).teacher_file};
  if (flags.resume) words.push_back("--resume");
  if (flags.model.context.threads > 0) {
    words.insert(words.end(), {"--threads", std::to_string(flags.model.context.threads)});
  }
  Status status = run_trainer(words);
  return std::move(status).error().in("the teacher's logits are collected, but");
}

Status run_collect_and_train(DistillFlags& flags) {
  if (flags.config.empty() || flags.teacher.empty()) {
    return make_error(ErrorCode::kUsage,
                      "expected CONFIG --teacher MODEL, or --acceptance TEACHER DRAFT -f TEXT");
  }
  TERN_TRY_ASSIGN(train::TrainConfig config, train::load_train_config(flags.config));
  flags.model.path = flags.teacher;
  TERN_TRY(find_model(&flags.model.path));
  TERN_TRY(collect(flags, config));
  return flags.collect_only ? Status() : train_draft(flags, config);
}

Json mode_json(const train::AcceptanceMode& mode) {
  Json by_k = Json::array();
  for (int32_t k = 1; k <= train::kMostProposed; ++k) {
    const train::Accepted& a = mode.k[static_cast<size_t>(k - 1)];
    by_k.push_back({{"k", k},
                    {"steps", a.steps},
                    {"accepted", a.accepted},
                    {"accepted_per_step", a.mean()},
                    {"acceptance_rate", a.mean() / k},
                    {"tokens_per_step", a.mean() + 1}});
  }
  return {{"positions", mode.positions},
          {"matches", mode.matches},
          {"match_rate",
           mode.positions == 0 ? 0 : static_cast<double>(mode.matches) / static_cast<double>(mode.positions)},
          {"overlap", mode.overlap},
          {"by_k", by_k}};
}

void print_report(const train::AcceptanceReport& report) {
  fmt::print("{} prompts, {} tokens\n", report.prompts, report.greedy.positions);
  fmt::print("                 greedy                     sampled\n");
  fmt::print("  K   accepted   rate   tokens/step   accepted   rate   tokens/step\n");
  for (int32_t k = 1; k <= train::kMostProposed; ++k) {
    const double g = report.greedy.k[static_cast<size_t>(k - 1)].mean(),
                 s = report.sampled.k[static_cast<size_t>(k - 1)].mean();
    fmt::print("  {}   {:8.3f}  {:5.3f}   {:11.3f}   {:8.3f}  {:5.3f}   {:11.3f}\n", k, g, g / k, g + 1, s,
               s / k, s + 1);
  }
  fmt::print("overlap of the distributions (greedy path, sampled path)  {:.4f}  {:.4f}\n",
             report.greedy.overlap, report.sampled.overlap);
}

Status run_acceptance(DistillFlags& flags) {
  if (flags.file.empty())
    return make_error(ErrorCode::kUsage, "--acceptance: no text; give one with -f FILE");
  flags.model.path = flags.acceptance[0];
  std::string draft_path = flags.acceptance[1];
  TERN_TRY(find_model(&flags.model.path));
  TERN_TRY(find_model(&draft_path));
  TERN_TRY_ASSIGN(const LoadedModel teacher, load_model(flags.model, true));
  TERN_TRY_ASSIGN(const auto weights, Weights::open(draft_path));
  TERN_TRY_ASSIGN(const auto model, Model::load(weights, teacher.context->backend(), {}));
  TERN_TRY_ASSIGN(const auto draft, Runner::create(model, teacher.context->backend(), {}));
  TERN_TRY_ASSIGN(const TextSide side, load_text_side(teacher.model->weights(), {}));
  TERN_TRY_ASSIGN(const TextSide draft_side, load_text_side(*weights, {}));
  TERN_TRY(require_same_tokenizer(*side.tokenizer, *draft_side.tokenizer, "the draft"));
  TERN_TRY_ASSIGN(const std::string text, read_text(flags.file));
  EncodeOptions encode;
  encode.add_bos = false;
  encode.add_eos = false;
  const std::vector<int32_t> tokens = side.tokenizer->encode(text, encode);
  InterruptGuard interrupt;
  Progress progress("measuring", true);
  train::AcceptanceOptions options = flags.measure;
  options.first = first_token(*side.tokenizer);
  options.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  options.cancel = &interrupt.cancelled();
  TERN_TRY_ASSIGN(const train::AcceptanceReport report,
                  train::measure_acceptance(*teacher.runner, *draft, tokens, options));
  progress.finish();
  if (!flags.json) {
    print_report(report);
    return {};
  }
  print_json({{"teacher", flags.model.path},
              {"draft", draft_path},
              {"prompts", report.prompts},
              {"prompt_tokens", options.prompt_tokens},
              {"new_tokens", options.new_tokens},
              {"temperature", options.sampling.temperature},
              {"seed", options.sampling.seed},
              {"greedy", mode_json(report.greedy)},
              {"sampled", mode_json(report.sampled)}});
  return {};
}

}  // namespace

void add_distill_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<DistillFlags>();
  auto* command =
      app.add_subcommand("distill", "train a small draft model on a model's logits, or measure one");
  command->add_option("CONFIG", flags->config, "the draft's training configuration");
  command->add_option("--teacher", flags->teacher, "the model to learn from");
  command->add_option("--top-k", flags->top_k, "likeliest tokens kept at each position")
      ->capture_default_str();
  command->add_option("--rows", flags->rows, "rows of the data to collect (0 = as many as training reads)");
  command->add_flag("--collect-only", flags->collect_only, "collect the teacher's logits, do not train");
  command->add_flag("--resume", flags->resume, "continue the training from its newest checkpoint");
  command
      ->add_option("--acceptance", flags->acceptance,
                   "TEACHER DRAFT: how many proposals are accepted, K = 1 to 8")
      ->expected(2);
  command->add_option("-f,--file", flags->file, "text to continue (- for stdin)");
  train::AcceptanceOptions& m = flags->measure;
  m.sampling = {.temperature = 0.8f, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 1, .logit_bias = {}};
  command->add_option("--prompts", m.prompts, "places of the text that are continued")->capture_default_str();
  command->add_option("--prompt-tokens", m.prompt_tokens, "tokens given at each")->capture_default_str();
  command->add_option("--new-tokens", m.new_tokens, "tokens that the teacher continues with")
      ->capture_default_str();
  command->add_option("--temp", m.sampling.temperature, "of the sampled mode")->capture_default_str();
  command->add_option("--seed", m.sampling.seed, "of the sampled mode")->capture_default_str();
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  flags->model.add_machine_to(*command);
  command->callback([flags, exit_code] {
    const Status status = flags->acceptance.empty() ? run_collect_and_train(*flags) : run_acceptance(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code =
        status.error().code == ErrorCode::kCancelled ? kExitInterrupted : exit_code_of(status.error());
  });
}

}  // namespace tern::cli
