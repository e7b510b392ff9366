// SPDX-License-Identifier: MIT
#include "train/config.h"

#include <algorithm>
#include <filesystem>

#include "core/mapped_file.h"
#include "train/json_fields.h"

namespace tern::train {
namespace {

constexpr int64_t kMaxSteps = 100'000'000;
constexpr int64_t kMaxBatch = int64_t{1} << 26;  // positions

std::string absolute(const std::string& path, const std::string& base) {
  const std::filesystem::path p(path);
  return (p.is_absolute() || base.empty() ? p : std::filesystem::path(base) / p).lexically_normal().string();
}

Status read_model(const json::Element& element, ModelShape& m) {
  JsonFields f(element, "$.model");
  for (const char* key : {"hidden_size", "intermediate_size", "layers", "heads"}) f.require(key);
  f.integer("hidden_size", m.hidden_size, 8, 65536);
  f.integer("intermediate_size", m.intermediate_size, 8, 262144);
  f.integer("layers", m.layers, 1, 1024);
  f.integer("heads", m.heads, 1, 1024);
  m.kv_heads = m.heads;
  f.integer("kv_heads", m.kv_heads, 1, 1024);
  f.integer("head_dim", m.head_dim, 2, 1024);
  f.integer("context", m.context, 8, 1 << 20);
  f.number("rope_theta", m.rope_theta, 1, 1e12);
  f.number("rms_norm_eps", m.rms_norm_eps, 1e-12, 1e-2);
  f.boolean("tie_embeddings", m.tie_embeddings);
  TERN_TRY(f.finish());
  for (const auto& [key, value] :
       {std::pair("hidden_size", m.hidden_size), std::pair("intermediate_size", m.intermediate_size)}) {
    if (value % 8 != 0)
      return make_error(ErrorCode::kUsage, "$.model.{}: expected a multiple of 8, found {}", key, value);
  }
  if (m.heads % m.kv_heads != 0) {
    return make_error(ErrorCode::kUsage, "$.model.kv_heads: expected a divisor of heads ({}), found {}",
                      m.heads, m.kv_heads);
  }
  if (m.head_dim == 0) {
    if (m.hidden_size % m.heads != 0) {
      return make_error(ErrorCode::kUsage,
                        "$.model.head_dim: needed, since heads ({}) do not divide hidden_size ({})", m.heads,
                        m.hidden_size);
    }
    m.head_dim = m.hidden_size / m.heads;
  }
  if (m.head_dim % 2 != 0) {
    return make_error(ErrorCode::kUsage,
                      "$.model.head_dim: expected an even number (RoPE turns pairs), found {}", m.head_dim);
  }
  return {};
}

Result<DataSource> read_source(const json::Element& element, const std::string& path,
                               const std::string& base) {
  DataSource source;
  JsonFields f(element, path);
  f.require("path");
  f.string("path", source.path);
  f.choice("kind", source.kind, {{"text", SourceKind::kText}, {"chat", SourceKind::kChat}});
  f.number("weight", source.weight, 0, 1e6);
  const bool chat = source.kind == SourceKind::kChat;
  source.format = chat ? "jsonl" : "plain";
  if (chat) {
    f.choice<std::string>("format", source.format, {{"jsonl", "jsonl"}});
  } else {
    f.choice<std::string>("format", source.format, {{"plain", "plain"}, {"jsonl", "jsonl"}});
  }
  f.string("separator", source.separator);
  double heldout = -1;
  f.number("heldout", heldout, 0, 1);
  if (heldout >= 0) source.heldout = heldout;
  f.boolean("lossy", source.lossy);
  TERN_TRY(f.finish());
  if (source.path.empty()) return make_error(ErrorCode::kUsage, "{}.path: expected a path, found \"\"", path);
  if (!source.separator.empty() && source.format != "plain") {
    return make_error(ErrorCode::kUsage, "{}.separator: only plain text is divided by a separator", path);
  }
  source.path = absolute(source.path, base);
  return source;
}

Status read_data(const json::Element& element, const std::string& base, DataConfig& data) {
  JsonFields f(element, "$.data");
  f.require("sources");
  f.number("heldout", data.heldout, 0, 0.5);
  f.integer("seed", data.seed, 0, INT64_MAX);
  if (const auto sources = f.element("sources")) {
    json::Array list;
    if (sources->get(list) || list.size() == 0) {
      f.fail("sources", "a list of at least one source", *sources);
    }
    for (const json::Element item : list) {
      auto source = read_source(item, fmt::format("$.data.sources[{}]", data.sources.size()), base);
      if (!source.ok()) return std::move(source).error();
      data.sources.push_back(std::move(*source));
    }
  }
  TERN_TRY(f.finish());
  if (std::none_of(data.sources.begin(), data.sources.end(), [](const auto& s) { return s.weight > 0; })) {
    return make_error(ErrorCode::kUsage, "$.data.sources: every weight is 0, nothing to train on");
  }
  return {};
}

Status read_tokenizer(const json::Element& element, const std::string& base, TokenizerConfig& tokenizer) {
  JsonFields f(element, "$.tokenizer");
  f.integer("vocab_size", tokenizer.vocab_size, 260, 1'000'000);
  f.string("path", tokenizer.path);
  f.choice<std::string>("pre", tokenizer.pre, {{"gpt-2", "gpt-2"}, {"llama-bpe", "llama-bpe"}});
  if (const auto special = f.element("special")) {
    json::Array list;
    if (special->get(list) || list.size() > 1000)
      f.fail("special", "a list of at most 1000 strings", *special);
    for (const json::Element item : list) {
      std::string_view text;
      if (item.get(text) || text.empty() || text.size() > 64) {
        f.fail("special", "strings of 1 to 64 bytes", item);
        break;
      }
      tokenizer.special.emplace_back(text);
    }
  }
  TERN_TRY(f.finish());
  if (!tokenizer.path.empty()) tokenizer.path = absolute(tokenizer.path, base);
  return {};
}

Status read_optimizer(const json::Element& element, OptimizerConfig& o) {
  JsonFields f(element, "$.optimizer");
  f.require("steps");
  f.number("stage1_lr", o.stage1_lr, 0, 10);
  f.number("stage2_lr", o.stage2_lr, 0, 10);
  f.number("final_lr", o.final_lr, 0, 10);
  f.number("stage1_weight_decay", o.stage1_weight_decay, 0, 10);
  f.number("stage2_weight_decay", o.stage2_weight_decay, 0, 10);
  f.number("stage_boundary", o.stage_boundary, 0, 1);
  f.number("beta1", o.beta1, 0, 0.999999);
  f.number("beta2", o.beta2, 0, 0.999999);
  f.number("epsilon", o.epsilon, 1e-16, 1);
  f.integer("steps", o.steps, 1, kMaxSteps);
  o.warmup_steps = std::min(o.warmup_steps, o.steps);
  f.integer("warmup_steps", o.warmup_steps, 0, std::max(o.steps, 1));
  f.integer("batch_tokens", o.batch_tokens, 8, kMaxBatch);
  f.integer("micro_batch_tokens", o.micro_batch_tokens, 0, kMaxBatch);
  f.number("grad_clip", o.grad_clip, 0, 1e9);
  return f.finish();
}

Status check_batches(TrainConfig& config) {
  OptimizerConfig& o = config.optimizer;
  const int32_t context = config.model.context;
  if (o.micro_batch_tokens == 0) o.micro_batch_tokens = o.batch_tokens;
  if (o.batch_tokens % context != 0) {
    return make_error(ErrorCode::kUsage,
                      "$.optimizer.batch_tokens: expected a multiple of model.context ({}), found {}",
                      context, o.batch_tokens);
  }
  if (o.micro_batch_tokens % context != 0 || o.batch_tokens % o.micro_batch_tokens != 0) {
    return make_error(
        ErrorCode::kUsage,
        "$.optimizer.micro_batch_tokens: expected a multiple of model.context ({}) that divides "
        "batch_tokens ({}), found {}",
        context, o.batch_tokens, o.micro_batch_tokens);
  }
  return {};
}

}  // namespace

Result<TrainConfig> parse_train_config(std::string_view text, const std::string& base) {
  simdjson::dom::parser parser;
  TERN_TRY_ASSIGN(const json::Element root, json::parse(parser, text, "configuration"));
  TrainConfig config;
  JsonFields f(root, "$");
  for (const char* key : {"model", "data", "optimizer", "output"}) f.require(key);
  const auto part = [&f](const char* key, auto&& read) {
    if (const auto element = f.element(key)) {
      if (Status status = read(*element); !status.ok()) f.fail(std::move(status).error());
    }
  };
  part("model", [&](const json::Element& e) { return read_model(e, config.model); });
  part("data", [&](const json::Element& e) { return read_data(e, base, config.data); });
  part("tokenizer", [&](const json::Element& e) { return read_tokenizer(e, base, config.tokenizer); });
  part("optimizer", [&](const json::Element& e) { return read_optimizer(e, config.optimizer); });
  f.integer("checkpoint_every", config.checkpoint_every, 1, kMaxSteps);
  f.integer("eval_every", config.eval_every, 1, kMaxSteps);
  f.integer("eval_rows", config.eval_rows, 1, 1'000'000);
  f.string("output", config.output);
  f.string("init", config.init);
  f.string("name", config.name);
  f.integer("threads", config.threads, 0, 4096);
  f.choice("dtype", config.dtype,
           {{"auto", TrainDtype::kAuto}, {"f32", TrainDtype::kF32}, {"bf16", TrainDtype::kBf16}});
  f.boolean("ternary", config.ternary);
  f.integer("seed", config.seed, 0, INT64_MAX);
  TERN_TRY(f.finish());
  if (config.output.empty()) return make_error(ErrorCode::kUsage, "$.output: expected a folder, found \"\"");
  config.output = absolute(config.output, base);
  if (!config.init.empty()) {
    config.init = absolute(config.init, base);
    const std::filesystem::path from(config.init);
    const auto folder = std::filesystem::is_directory(from) ? from : from.parent_path();
    if (config.tokenizer.path.empty()) config.tokenizer.path = (folder / "tokenizer.json").string();
  }
  if (config.name.empty()) config.name = std::filesystem::path(config.output).filename().string();
  TERN_TRY(check_batches(config));
  return config;
}

Result<TrainConfig> load_train_config(const std::string& path) {
  TERN_TRY_ASSIGN(const auto file, MappedFile::open(path));
  const auto bytes = file->bytes();
  const std::string base = std::filesystem::path(path).parent_path().string();
  auto config = parse_train_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, base);
  if (!config.ok()) return std::move(config).error().in(printable(path, 200));
  return config;
}

}  // namespace tern::train
