// SPDX-License-Identifier: MIT
// The real tokenizers of the test data, each from every source we have for it.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "engine/gguf_tokenizer.h"
#include "tests/test_data.h"
#include "text/sentencepiece_model.h"
#include "text/tiktoken.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

namespace tern::test {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

struct TokenizerSource {
  std::string name;     // for test names and messages
  std::string vectors;  // file of tokenizers/vectors without .jsonl
  std::string file;     // below the data folder
  std::function<Result<TokenizerSpec>(const std::string& bytes)> read;
};

inline Result<TokenizerSpec> read_gguf_spec(const std::string& bytes) {
  TERN_TRY_ASSIGN(const auto file, parse_gguf(std::as_bytes(std::span(bytes))));
  return tokenizer_spec_from_gguf(file);
}

inline Result<TokenizerSpec> read_qwen2_spec(const std::string& bytes) {
  TERN_TRY_ASSIGN(auto spec, parse_tiktoken(bytes, "qwen2"));
  spec.normalizer.push_back({.kind = NormStep::Kind::kNfc});
  TERN_TRY(apply_tokenizer_config(
      spec, read_file(test_data_dir() / "tokenizers/qwen2/tokenizer_config.qwen3.json")));
  return spec;
}

inline Result<TokenizerSpec> read_llama3_spec(const std::string& bytes) {
  TERN_TRY_ASSIGN(auto spec, parse_tiktoken(bytes, "llama-bpe"));
  TERN_TRY(add_llama3_special_tokens(spec));
  return spec;
}

inline Result<TokenizerSpec> read_gpt2_ranks_spec(const std::string& bytes) {
  TERN_TRY_ASSIGN(auto spec, parse_tiktoken(bytes, "gpt-2"));
  TERN_TRY(add_special_tokens(spec, {{"<|endoftext|>", 50256}}, true));
  return spec;
}

inline const std::vector<TokenizerSource>& tokenizer_sources() {
  const auto json = [](const std::string& bytes) { return parse_tokenizer_json(bytes); };
  const auto model = [](const std::string& bytes) { return parse_sentencepiece(bytes); };
  static const std::vector<TokenizerSource> sources = {
      {"gpt2_json", "gpt2", "tokenizers/gpt2/tokenizer.json", json},
      {"gpt2_ranks", "gpt2", "tokenizers/gpt2/r50k_base.tiktoken", read_gpt2_ranks_spec},
      {"gpt2_gguf", "gpt2", "tokenizers/gguf/ggml-vocab-gpt-2.gguf", read_gguf_spec},
      {"llama3_ranks", "llama3", "tokenizers/llama3/tokenizer.model", read_llama3_spec},
      {"qwen2_ranks", "qwen2", "tokenizers/qwen2/qwen.tiktoken", read_qwen2_spec},
      {"falcon7b_json", "falcon7b", "tokenizers/falcon7b/tokenizer.json", json},
      {"falcon7b_gguf", "falcon7b", "tokenizers/gguf/ggml-vocab-falcon.gguf", read_gguf_spec},
      {"deepseek_coder_gguf", "deepseek-coder", "tokenizers/gguf/ggml-vocab-deepseek-coder.gguf",
       read_gguf_spec},
      {"mpt_gguf", "mpt", "tokenizers/gguf/ggml-vocab-mpt.gguf", read_gguf_spec},
      {"phi3_gguf", "phi3", "tokenizers/gguf/ggml-vocab-phi-3.gguf", read_gguf_spec},
      {"llama2_model", "llama2", "tokenizers/llama2/tokenizer.model", model},
      {"llama2_json", "llama2", "tokenizers/llama2/tokenizer.json", json},
      {"llama2_gguf", "llama2", "tokenizers/gguf/ggml-vocab-llama-spm.gguf", read_gguf_spec},
      {"tok512_model", "tok512", "tokenizers/tok512/tok512.model", model},
  };
  return sources;
}

/// Loads one; a failure is reported as a test failure and gives null.
inline std::shared_ptr<const Tokenizer> load_tokenizer(const TokenizerSource& source) {
  auto spec = source.read(read_file(test_data_dir() / source.file));
  EXPECT_TRUE(spec.ok()) << source.name << ": " << (spec.ok() ? "" : spec.error().message);
  if (!spec.ok()) return nullptr;
  auto tokenizer = Tokenizer::create(std::move(*spec));
  EXPECT_TRUE(tokenizer.ok()) << source.name << ": " << (tokenizer.ok() ? "" : tokenizer.error().message);
  return tokenizer.ok() ? *tokenizer : nullptr;
}

/// A parameter for tests over all sources.
struct SourceName {
  template <class Info>
  std::string operator()(const Info& info) const {
    return info.param.name;
  }
};

}  // namespace tern::test
