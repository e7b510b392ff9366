// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>

#include "cli/terminal.h"
#include "kernels/registry.h"

namespace tern::cli {

void ModelFlags::add_machine_to(CLI::App& command) {
  command.add_option("-t,--threads", context.threads, "threads (0 = one per physical core)")
      ->capture_default_str();
  command.add_option("--isa", context.isa, "kernel set: " + known_isas())->capture_default_str();
  command.add_flag("--no-pin", no_pin, "do not bind threads to processors");
}

void ModelFlags::add_to(CLI::App& command) {
  command.add_option("MODEL", path, "model file (GGUF)");
  command.add_option("-m,--model", flag_path,
                     "model file, instead of MODEL: what stands in its place is then the PROMPT");
  command.add_option("-c,--ctx-size", context_tokens, "tokens of context (0 = the model's own)")
      ->capture_default_str();
  command.add_option("-b,--batch-size", chunk_rows, "tokens of a prompt per step")->capture_default_str();
  command
      .add_option("--kv-type,--cache-type-k", kv_type,
                  "type of the KV cache: f16, f32, or auto: f32 for small models")
      ->capture_default_str();
  command.add_option("--act", activations,
                     "activations of the ternary linears, instead of what the file says: int8, int16 or f32");
  container.add_to(command);
  add_machine_to(command);
}

Status ModelFlags::settle(std::string* prompt) {
  if (flag_path.empty()) return {};
  if (!path.empty() && (prompt == nullptr || !prompt->empty())) {
    return make_error(ErrorCode::kUsage, "two models: '{}' as MODEL and '{}' with -m", path, flag_path);
  }
  if (prompt != nullptr && !path.empty()) *prompt = path;
  path = flag_path;
  return {};
}

void SamplingFlags::add_to(CLI::App& command) {
  command.add_option("-n,--predict", max_tokens, "tokens to generate (-1 = until a stop or a full context)")
      ->capture_default_str();
  command.add_option("--temp,--temperature", params.temperature, "0 = greedy")->capture_default_str();
  command.add_option("--top-k", params.top_k, "0 = all")->capture_default_str();
  command.add_option("--top-p", params.top_p, "1 = all")->capture_default_str();
  command.add_option("--min-p", params.min_p, "0 = none")->capture_default_str();
  command.add_option("--repeat-penalty", params.repetition_penalty, "1 = none")->capture_default_str();
  command.add_option("--presence-penalty", params.presence_penalty, "0 = none")->capture_default_str();
  command.add_option("--frequency-penalty", params.frequency_penalty, "0 = none")->capture_default_str();
  command
      .add_option("--repeat-last-n", params.repeat_last_n, "past tokens that penalties look at (-1 = all)")
      ->capture_default_str();
  command.add_option("-s,--seed", seed, "seed of the sampling (-1 = a random one, reported)")
      ->capture_default_str();
  command
      .add_option("-l,--logit-bias", logit_biases, "TOKEN_ID=VALUE, may be repeated; -inf forbids the token")
      ->allow_extra_args(false);
}

Result<SamplingParams> SamplingFlags::resolve() const {
  SamplingParams resolved = params;
  // 53 bits: a number that every JSON reader keeps, and that can be given back as a flag.
  const uint64_t random = (uint64_t{std::random_device{}()} << 32 | std::random_device{}()) >> 11;
  resolved.seed = seed >= 0 ? static_cast<uint64_t>(seed) : random;
  for (const std::string& text : logit_biases) {
    const size_t split = text.find_first_of("=:");
    int32_t token = 0;
    const char* end = text.data() + std::min(split, text.size());
    const auto [stop, error] = std::from_chars(text.data(), end, token);
    char* value_end = nullptr;
    const float value = split == std::string::npos ? 0 : std::strtof(text.c_str() + split + 1, &value_end);
    if (split == std::string::npos || error != std::errc() || stop != end ||
        value_end == text.c_str() + split + 1 || *value_end != '\0') {
      return make_error(ErrorCode::kUsage,
                        "--logit-bias '{}': expected TOKEN_ID=VALUE, for example 15043=-inf", text);
    }
    resolved.logit_bias.emplace_back(token, value);
  }
  TERN_TRY(resolved.check());
  return resolved;
}

Error no_model() { return make_error(ErrorCode::kUsage, "no model: name one as MODEL or with -m FILE"); }

Result<LoadedModel> load_model(const ModelFlags& flags, bool show_progress) {
  if (flags.path.empty()) return no_model();
  if (flags.kv_type != "auto" && flags.kv_type != "f16" && flags.kv_type != "f32") {
    return make_error(ErrorCode::kUsage, "--kv-type '{}': expected auto, f16 or f32", flags.kv_type);
  }
  if (flags.context_tokens < 0 || flags.chunk_rows < 1 || flags.chunk_rows > 65536) {
    return make_error(ErrorCode::kUsage,
                      "-c {} -b {}: expected a context of at least 0 and a batch of 1 to 65536",
                      flags.context_tokens, flags.chunk_rows);
  }
  LoadOptions options;
  TERN_TRY_ASSIGN(options.i2s_order, flags.container.order());
  TERN_TRY_ASSIGN(const WeightsOptions weights_options, flags.container.weights_options());
  if (!flags.activations.empty()) {
    auto bits = parse_activation_bits(flags.activations);
    if (!bits.ok()) return std::move(bits).error().in("--act");
    options.activations = *bits;
  }

  const auto begin = std::chrono::steady_clock::now();
  LoadedModel loaded;
  ContextOptions context_options = flags.context;
  context_options.pin = !flags.no_pin;
  TERN_TRY_ASSIGN(loaded.context, Context::create(context_options));
  Progress progress("loading", show_progress);
  options.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  TERN_TRY_ASSIGN(const std::shared_ptr<const Weights> weights, Weights::open(flags.path, weights_options));
  TERN_TRY_ASSIGN(loaded.model, Model::load(weights, loaded.context->backend(), options));
  if (flags.context_tokens > loaded.model->config().max_seq_len) {
    print_note(
        fmt::format("note: the model was made for {} tokens of context, -c asks for {}: answers may degrade",
                    loaded.model->config().max_seq_len, flags.context_tokens));
  }
  RunnerOptions runner;
  runner.context = flags.context_tokens;
  runner.max_rows = flags.chunk_rows;
  if (flags.kv_type != "auto") runner.kv_type = flags.kv_type == "f16" ? KvType::kF16 : KvType::kF32;
  TERN_TRY_ASSIGN(loaded.runner, Runner::create(loaded.model, loaded.context->backend(), runner));
  loaded.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return loaded;
}

Result<std::string> read_text(const std::string& path) {
  constexpr size_t kLimit = size_t{1} << 30;
  std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    return make_error(ErrorCode::kNotFound, "cannot open '{}': {}", path, std::strerror(errno));
  }
  std::string text;
  char block[65536];
  for (size_t count; (count = std::fread(block, 1, sizeof block, file)) > 0 && text.size() <= kLimit;) {
    text.append(block, count);
  }
  const bool failed = std::ferror(file) != 0;
  const int error = errno;
  if (failed && error == EINTR) return make_error(ErrorCode::kCancelled, "stopped");
  if (file != stdin) std::fclose(file);
  if (failed) return make_error(ErrorCode::kIo, "cannot read '{}': {}", path, std::strerror(error));
  if (text.size() > kLimit) return make_error(ErrorCode::kUsage, "'{}' is larger than 1 GiB", path);
  return text;
}

Result<std::vector<int32_t>> parse_token_ids(const std::string& argument) {
  std::string text = argument;
  if (argument == "-") {
    TERN_TRY_ASSIGN(text, read_text("-"));
  } else if (!argument.empty() && argument[0] == '@') {
    TERN_TRY_ASSIGN(text, read_text(argument.substr(1)));
  }
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (true) {
    while (at != end && (*at == ',' || *at == ' ' || *at == '\n' || *at == '\r' || *at == '\t' ||
                         *at == '[' || *at == ']'))
      ++at;
    if (at == end) return ids;
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0) {
      return make_error(ErrorCode::kUsage, "--tokens: expected non-negative ids at byte {}, found '{}'",
                        at - text.data(),
                        std::string(at, std::min<size_t>(12, static_cast<size_t>(end - at))));
    }
    ids.push_back(id);
    at = stop;
  }
}

}  // namespace tern::cli
