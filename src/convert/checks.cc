// SPDX-License-Identifier: MIT
#include "convert/checks.h"

#include <algorithm>
#include <cmath>

#include "core/printable.h"
#include "text/chat_format.h"

namespace tern {
namespace {

// Trained ternary models have 35 to 42 % zeros and as many +1 as -1 (FORMATS.md E). Matrices below this size
// say nothing.
constexpr uint64_t kEnoughWeights = 65536;
constexpr double kFewestZeros = 0.02, kMostZeros = 0.70, kMostSignBias = 0.20;
constexpr float kSmallestScale = 1e-4f, kLargestScale = 1e3f;

/// What is odd about one matrix, "" where nothing is.
std::string oddity_of(const TensorFacts& f) {
  const TritCounts& n = f.counts;
  const auto total = static_cast<double>(n.total());
  const double zeros = static_cast<double>(n.zero) / total;
  const auto signs = static_cast<double>(n.plus + n.minus);
  const double bias =
      signs == 0 ? 0 : std::fabs(static_cast<double>(n.plus) - static_cast<double>(n.minus)) / signs;
  const bool is_binary = f.dtype == DType::kQ1_0 || (n.zero == 0 && n.two == 0);
  if (f.scales.largest > kLargestScale || (f.scales.smallest < kSmallestScale && f.scales.smallest > 0)) {
    return fmt::format("scales of {} to {}", f.scales.smallest, f.scales.largest);
  }
  if (n.total() < kEnoughWeights) return "";
  if (!is_binary && zeros < kFewestZeros) return fmt::format("{:.1f} % zeros", 100 * zeros);
  if (zeros > kMostZeros) return fmt::format("{:.1f} % zeros", 100 * zeros);
  if (bias > kMostSignBias)
    return fmt::format("{:.0f} % of the signs are +", 100 * static_cast<double>(n.plus) / signs);
  return "";
}

Result<std::shared_ptr<const Tokenizer>> tokenizer_of(const Checkpoint& checkpoint,
                                                      const ImportOptions& options, std::string& storage) {
  GgufWriter writer;
  for (const auto& [key, value] : checkpoint.keys) {
    if (key.starts_with("tokenizer.ggml.") || key == "general.architecture") writer.set(key, value);
  }
  TERN_TRY_ASSIGN(storage, writer.header());
  TERN_TRY_ASSIGN(const GgufFile file, parse_gguf(std::as_bytes(std::span(storage.data(), storage.size()))));
  return options.open_tokenizer(file);
}

Status check_vocabulary(const Checkpoint& checkpoint, std::vector<std::string>& oddities) {
  const CheckpointTensor* embedding = checkpoint.find_tensor("token_embd.weight");
  const GgufWriteValue* value = checkpoint.find("tokenizer.ggml.tokens");
  const auto* tokens = value == nullptr ? nullptr : std::get_if<std::vector<std::string>>(value);
  if (embedding == nullptr || tokens == nullptr) return {};
  const uint64_t rows = embedding->rows();
  if (tokens->size() > rows) {
    return make_error(
        ErrorCode::kUnsupported,
        "the tokenizer has {} tokens, the embedding {} rows: tokens beyond it cannot be computed; take the "
        "tokenizer that the model was trained with, or --no-tokenizer",
        tokens->size(), rows);
  }
  if (tokens->size() < rows) {
    oddities.push_back(fmt::format(
        "the embedding has {} rows, the tokenizer {} tokens: the others have no text", rows, tokens->size()));
  }
  for (const char* name : {"bos_token_id", "eos_token_id", "eot_token_id", "padding_token_id"}) {
    const auto id = checkpoint.number(std::string("tokenizer.ggml.") + name);
    if (!id || *id < rows || *id == UINT32_MAX) continue;
    return make_error(ErrorCode::kCorrupt, "tokenizer.ggml.{} is {}, the embedding has {} rows", name, *id,
                      rows);
  }
  return {};
}

/// A template whose turn marks are no tokens would be read as plain text, and answers would not end.
Status check_template(Checkpoint& checkpoint, const Tokenizer& tokenizer, const ImportOptions& options,
                      std::vector<std::string>& oddities) {
  const std::string source(checkpoint.text("tokenizer.chat_template"));
  if (source.empty()) return {};
  ChatFormatFacts facts;
  facts.architecture = checkpoint.text("general.architecture");
  facts.vocab_size = static_cast<int64_t>(tokenizer.vocab_size());
  facts.hidden_size =
      static_cast<int64_t>(checkpoint.number(facts.architecture + ".embedding_length").value_or(0));
  facts.num_layers = static_cast<int64_t>(checkpoint.number(facts.architecture + ".block_count").value_or(0));
  facts.file_template = source;
  facts.has_token = [&](std::string_view text) { return tokenizer.find(text).has_value(); };
  if (options.chat_template == "drop") {
    checkpoint.remove("tokenizer.chat_template");
    return {};
  }
  const auto format = resolve_chat_format(facts, "");
  if (!format.ok()) {
    oddities.push_back(fmt::format("the chat template cannot be used: {}", format.error().message));
    return {};
  }
  for (const std::string& doubt : format->doubts) {
    const bool is_about_tokens = doubt.find("no token of this model's vocabulary") != std::string::npos;
    if (is_about_tokens && options.chat_template != "keep") {
      return make_error(
          ErrorCode::kUnsupported,
          "{}: answers would not end; --chat-template drop leaves it out, --chat-template keep keeps it",
          doubt);
    }
    oddities.push_back(doubt);
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> check_text(Checkpoint& checkpoint, const ImportOptions& options) {
  std::vector<std::string> oddities;
  TERN_TRY(check_vocabulary(checkpoint, oddities));
  if (checkpoint.find("tokenizer.ggml.tokens") == nullptr || !options.open_tokenizer) return oddities;
  std::string storage;
  const auto tokenizer = tokenizer_of(checkpoint, options, storage);
  if (!tokenizer.ok()) {
    oddities.push_back(fmt::format("the tokenizer cannot be used: {}", tokenizer.error().message));
    return oddities;
  }
  for (const std::string& doubt : (*tokenizer)->doubts()) oddities.push_back(doubt);
  TERN_TRY(check_template(checkpoint, **tokenizer, options, oddities));
  return oddities;
}

std::vector<std::string> check_weights(const std::vector<TensorFacts>& tensors) {
  size_t odd = 0;
  std::string first;
  for (const TensorFacts& facts : tensors) {
    const std::string oddity = facts.is_ternary && facts.counts.total() > 0 ? oddity_of(facts) : "";
    if (oddity.empty()) continue;
    if (odd++ == 0) first = fmt::format("'{}' has {}", printable(facts.name), oddity);
  }
  if (odd == 0) return {};
  return {fmt::format(
      "{} ternary tensor(s) do not look trained ({}): a wrong file, a wrong layout, or a random model", odd,
      first)};
}

}  // namespace tern
