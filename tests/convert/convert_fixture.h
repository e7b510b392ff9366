// SPDX-License-Identifier: MIT
// What the tests of the converter share: converting with everything filled in, and the logits of a file.
#pragma once

#include "convert/convert.h"
#include "convert/self_check.h"
#include "convert/verify.h"
#include "engine/gguf_tokenizer.h"
#include "tests/convert/hf_builder.h"
#include "tests/tools/test_machine.h"

namespace tern::test {

inline ConvertOptions convert_options() {
  ConvertOptions options;
  options.import.open_tokenizer = [](const GgufFile& file) { return tokenizer_from_gguf(file); };
  return options;
}

inline ConvertOptions with_type(std::string type, bool lossy = false) {
  ConvertOptions options = convert_options();
  options.target.type = std::move(type);
  options.target.lossy = lossy;
  return options;
}

/// "" where it worked, else the error's message.
inline std::string convert(const std::string& source, const std::string& target,
                           const ConvertOptions& options = convert_options()) {
  const auto report = convert_model(source, target, options);
  return report.ok() ? std::string() : report.error().message;
}

/// Logits of eight fixed tokens, the ordinary way: the whole model loaded, one sequence.
inline std::vector<float> logits_of(const std::string& path, std::string_view isa = "auto") {
  Machine machine(isa);
  auto runner = make_runner(path, machine);
  EXPECT_TRUE(runner.ok()) << path << ": " << (runner.ok() ? "" : runner.error().message);
  if (!runner.ok()) return {};
  Sequence sequence = (*runner)->new_sequence();
  const auto tokens = test_tokens(8, (*runner)->model().config().vocab_size);
  const auto logits = (*runner)->feed(sequence, tokens);
  EXPECT_TRUE(logits.ok()) << path << ": " << (logits.ok() ? "" : logits.error().message);
  return logits.ok() ? std::vector<float>(logits->begin(), logits->end()) : std::vector<float>();
}

/// The facts of every tensor, by name; file types left out.
inline std::map<std::string, TensorFacts> facts_by_name(const std::string& path) {
  ImportOptions import = convert_options().import;
  std::map<std::string, TensorFacts> all;
  const auto checkpoint = open_checkpoint(path, import);
  EXPECT_TRUE(checkpoint.ok()) << (checkpoint.ok() ? "" : checkpoint.error().message);
  if (!checkpoint.ok()) return all;
  for (const CheckpointTensor& tensor : checkpoint->tensors) {
    const auto facts = facts_of(tensor);
    EXPECT_TRUE(facts.ok()) << (facts.ok() ? "" : facts.error().message);
    if (facts.ok()) all[tensor.name] = *facts;
  }
  return all;
}

inline void expect_same_numbers(const std::string& a, const std::string& b) {
  const auto left = facts_by_name(a), right = facts_by_name(b);
  ASSERT_EQ(left.size(), right.size()) << a << " and " << b;
  for (const auto& [name, facts] : left) {
    ASSERT_TRUE(right.count(name)) << name;
    const TensorFacts& other = right.at(name);
    EXPECT_EQ(facts.is_ternary, other.is_ternary) << name;
    EXPECT_EQ(facts.values, other.values) << name;
    EXPECT_EQ(facts.scales.digest, other.scales.digest) << name;
  }
}

/// Metadata as text, without what says how a container stores things.
inline std::map<std::string, GgufWriteValue> metadata_of(const std::string& path) {
  std::map<std::string, GgufWriteValue> keys;
  const auto checkpoint = open_checkpoint(path, convert_options().import);
  EXPECT_TRUE(checkpoint.ok()) << (checkpoint.ok() ? "" : checkpoint.error().message);
  if (checkpoint.ok()) keys.insert(checkpoint->keys.begin(), checkpoint->keys.end());
  return keys;
}

}  // namespace tern::test
