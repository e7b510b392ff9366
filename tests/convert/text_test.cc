// SPDX-License-Identifier: MIT
// Tokenizers of Hugging Face directories as GGUF metadata: what is written, opened again, gives the
// original's ids.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "convert/hf_config.h"
#include "convert/hf_tokenizer.h"
#include "tests/convert/convert_fixture.h"
#include "tests/test_data.h"

namespace tern::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

HfConfig config_with(uint64_t vocab) {
  HfConfig config;
  config.json = Json::object();
  config.architecture = "llama";
  config.vocab = vocab;
  return config;
}

struct RealTokenizer {
  const char* name;
  std::vector<std::pair<const char*, const char*>> files;  // below the test data -> name in the folder
  uint64_t vocab;
  const char *model, *pre;
};

TEST(HfText, RealTokenizersKeepTheirIds) {
  const std::vector<RealTokenizer> all = {
      {"gpt2", {{"tokenizers/gpt2/tokenizer.json", "tokenizer.json"}}, 50257, "gpt2", "gpt-2"},
      {"llama2 json", {{"tokenizers/llama2/tokenizer.json", "tokenizer.json"}}, 32002, "llama", ""},
      {"llama2 model", {{"tokenizers/llama2/tokenizer.model", "tokenizer.model"}}, 32000, "llama", ""},
      {"llama3",
       {{"tokenizers/llama3/tokenizer.model", "tokenizer.model"},
        {"tokenizers/llama3/tokenizer_config.json", "tokenizer_config.json"}},
       128256,
       "gpt2",
       "llama-bpe"}};
  TERN_REQUIRE_DATA(first, all[0].files[0].first);
  for (const RealTokenizer& real : all) {
    TempFolder folder;
    for (const auto& [from, to] : real.files) fs::copy_file(test_data_dir() / from, folder.file(to));
    Checkpoint checkpoint;
    // add_hf_text itself compares the ids of its probe texts and refuses a difference.
    const Status status =
        add_hf_text(folder.file(""), config_with(real.vocab), convert_options().import, checkpoint);
    ASSERT_TRUE(status.ok()) << real.name << ": " << status.error().message;
    EXPECT_EQ(checkpoint.text("tokenizer.ggml.model"), real.model) << real.name;
    EXPECT_EQ(checkpoint.text("tokenizer.ggml.pre"), real.pre) << real.name;
    const auto& tokens = std::get<std::vector<std::string>>(*checkpoint.find("tokenizer.ggml.tokens"));
    EXPECT_EQ(tokens.size(), real.vocab) << real.name;
    for (const auto& [from, to] : real.files) {  // the files themselves are carried along
      const bool is_kept =
          std::any_of(std::begin(kCarriedFiles), std::end(kCarriedFiles), [&](const CarriedFile& f) {
            return f.name == std::string(to) && checkpoint.find(f.key) != nullptr;
          });
      EXPECT_TRUE(is_kept) << real.name << " " << to;
    }
  }
}

/// A byte-level tokenizer of 256 tokens that cuts text with `pattern`.
std::string small_tokenizer(const std::string& pattern) {
  Json vocab = Json::object();
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const uint32_t code = byte >= 33 && byte <= 126 ? byte : 0;
    std::string text(1, static_cast<char>(code));
    if (code == 0) {
      uint32_t c = byte < 33 ? 0x100 + byte : byte <= 160 ? 0x121 + byte - 127 : byte == 173 ? 0x143 : byte;
      text[0] = static_cast<char>(0xC0 | c >> 6);
      text += static_cast<char>(0x80 | (c & 0x3F));
    }
    vocab[text] = byte;
  }
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json bytes = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  return Json({{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
               {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}}},
               {"decoder", {{"type", "ByteLevel"}}}})
      .dump();
}

TEST(HfText, APreTokenizerWithoutANameIsRefused) {
  TempFolder folder;
  std::ofstream(folder.file("tokenizer.json")) << small_tokenizer("[a-z]+|[^a-z]+");
  Checkpoint checkpoint;
  ImportOptions options = convert_options().import;
  Status status = add_hf_text(folder.file(""), config_with(256), options, checkpoint);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("--pre"));
  options.pre = "gpt-2";
  EXPECT_TRUE(add_hf_text(folder.file(""), config_with(256), options, checkpoint).ok());
  options.pre.clear();
  options.drop_text = true;
  EXPECT_TRUE(add_hf_text(folder.file(""), config_with(256), options, checkpoint).ok());
}

TEST(HfText, VocabularyShorterThanTheEmbeddingIsPaddedAndLongerRefused) {
  TempFolder folder;
  std::ofstream(folder.file("tokenizer.json")) << small_tokenizer("[0-9]");
  Checkpoint checkpoint;
  ImportOptions options = convert_options().import;
  options.pre = "gpt-2";
  ASSERT_TRUE(add_hf_text(folder.file(""), config_with(300), options, checkpoint).ok());
  EXPECT_EQ(std::get<std::vector<std::string>>(*checkpoint.find("tokenizer.ggml.tokens")).size(), 300u);
  const Status status = add_hf_text(folder.file(""), config_with(200), options, checkpoint);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("--no-tokenizer"));
}

TEST(Weights, ThatDoNotLookTrainedAreTold) {
  TempFolder folder;
  TestModel model = random_model(*find_shape("llama-ternary-small"), 1);
  model.vocabulary = {};
  HfDirectory directory = hf_directory(model, {});
  auto& tensor = directory.tensors.at("model.layers.0.mlp.up_proj.weight");
  std::fill(tensor.bytes.begin(), tensor.bytes.end(), '\xaa');  // +1 everywhere
  directory.write(folder.file("hf"));
  const auto report = convert_model(folder.file("hf"), folder.file("out.gguf"), convert_options());
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_THAT(report->notes,
              ::testing::Contains(HasSubstr("'blk.0.ffn_up.weight' has 100 % of the signs are +")));
}

}  // namespace
}  // namespace tern::test
