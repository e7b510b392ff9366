// SPDX-License-Identifier: MIT
// Third-party vectors: texts with the ids that other programs gave, and texts those ids were decoded to.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/text/test_tokenizers.h"

namespace tern {
namespace {

class VectorsTest : public ::testing::TestWithParam<test::TokenizerSource> {};

std::string show(const std::vector<int32_t>& ids) {
  std::string out;
  for (size_t i = 0; i < ids.size() && i < 60; ++i) out += std::to_string(ids[i]) + " ";
  return out;
}

TEST_P(VectorsTest, EncodeAndDecode) {
  const test::TokenizerSource& source = GetParam();
  TERN_REQUIRE_DATA(file, source.file);
  TERN_REQUIRE_DATA(vectors, "tokenizers/vectors/" + source.vectors + ".jsonl");
  const auto tokenizer = test::load_tokenizer(source);
  ASSERT_NE(tokenizer, nullptr);
  std::ifstream lines(vectors);
  size_t encoded = 0, decoded = 0, failed = 0;
  for (std::string line; std::getline(lines, line) && failed < 10;) {
    const auto row = nlohmann::json::parse(line);
    const std::string text = row["text"];
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    EncodeOptions options;
    options.parse_special = row["parse_special"];
    options.add_bos = row["bos"].get<bool>();
    options.add_eos = false;
    const auto got = tokenizer->encode(text, options);
    EXPECT_EQ(got, ids) << row["id"] << " " << row["src"] << " text: " << text.substr(0, 200) << "\n got "
                        << show(got) << "\n want " << show(ids);
    failed += got != ids;
    ++encoded;
    for (const auto& [field, special] :
         {std::pair{"decoded", true}, {"decoded_with_special", true}, {"decoded_without_special", false}}) {
      if (!row.contains(field)) continue;
      const std::string back = tokenizer->decode(ids, {.render_special = special});
      EXPECT_EQ(back, row[field].get<std::string>()) << row["id"] << " " << field;
      ++decoded;
    }
  }
  RecordProperty("encoded", static_cast<int>(encoded));
  RecordProperty("decoded", static_cast<int>(decoded));
  EXPECT_GT(encoded, 20u);
}

INSTANTIATE_TEST_SUITE_P(Sources, VectorsTest, ::testing::ValuesIn(test::tokenizer_sources()),
                         test::SourceName());

TEST(Vectors, GemmaHasNoVocabularyHere) {
  for (const char* name : {"gemma1", "gemma2", "gemma4"}) {
    TERN_REQUIRE_DATA(vectors, std::string("tokenizers/vectors/") + name + ".jsonl");
  }
  GTEST_SKIP() << "gemma1, gemma2, gemma4: vectors without a vocabulary in the test data";
}

TEST(Vectors, Llama3Chat) {
  TERN_REQUIRE_DATA(vectors, "tokenizers/vectors/llama3_chat.json");
  TERN_REQUIRE_DATA(file, "tokenizers/llama3/tokenizer.model");
  const auto tokenizer =
      test::load_tokenizer({"llama3", "", "tokenizers/llama3/tokenizer.model", test::read_llama3_spec});
  ASSERT_NE(tokenizer, nullptr);
  const auto message = [&](const nlohmann::json& m) {
    // The header is ours and may hold special tokens; the content is the user's and may not.
    auto ids =
        tokenizer->encode("<|start_header_id|>" + m["role"].get<std::string>() + "<|end_header_id|>\n\n",
                          {.parse_special = true, .add_bos = false});
    const auto content = tokenizer->encode(m["content"].get<std::string>(), {.add_bos = false});
    ids.insert(ids.end(), content.begin(), content.end());
    ids.push_back(*tokenizer->eot_id());
    return ids;
  };
  const auto document = nlohmann::json::parse(test::read_file(vectors));
  size_t cases = 0;
  for (const auto& row : document["cases"]) {
    const std::string call = row["call"];
    std::vector<int32_t> ids;
    if (call == "encode(bos,eos)") {
      ids = tokenizer->encode(row["text"].get<std::string>(), {.add_bos = true, .add_eos = true});
    } else {
      const bool dialog = call == "encode_dialog_prompt";
      if (dialog) ids.push_back(*tokenizer->bos_id());
      for (const auto& m : row["messages"]) {
        const auto part = message(m);
        ids.insert(ids.end(), part.begin(), part.end());
      }
      if (dialog) {
        const auto head = tokenizer->encode("<|start_header_id|>assistant<|end_header_id|>\n\n",
                                            {.parse_special = true, .add_bos = false});
        ids.insert(ids.end(), head.begin(), head.end());
      }
    }
    EXPECT_EQ(ids, row["ids"].get<std::vector<int32_t>>()) << call;
    ++cases;
  }
  EXPECT_EQ(cases, 3u);
}

}  // namespace
}  // namespace tern
