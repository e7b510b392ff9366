// SPDX-License-Identifier: MIT
// Sources become documents and tokens: separators, chats and their masks, held-out parts that do not move,
// the cached file, and what is refused.
#include "train/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "tests/train/temporary_folder.h"
#include "text/chat_template.h"
#include "train/documents.h"
#include "train/token_file.h"

namespace tern::train {
namespace {

using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> texts_of(std::string_view text, const DataSource& source) {
  SourceText out;
  const Status status = parse_documents(text, source, "file", out);
  EXPECT_TRUE(status.ok()) << status.error().message;
  std::vector<std::string> texts;
  for (const Document& document : out.documents) texts.emplace_back(document.text);
  return texts;
}

std::string error_of(std::string_view text, const DataSource& source) {
  SourceText out;
  const Status status = parse_documents(text, source, "file", out);
  return status.ok() ? "no error" : status.error().message;
}

DataSource source_of(SourceKind kind, std::string format, std::string separator = "") {
  DataSource source;
  source.kind = kind;
  source.format = std::move(format);
  source.separator = std::move(separator);
  return source;
}
DataSource plain(std::string separator = "") {
  return source_of(SourceKind::kText, "plain", std::move(separator));
}
DataSource chat() { return source_of(SourceKind::kChat, "jsonl"); }
DataSource jsonl() { return source_of(SourceKind::kText, "jsonl"); }

TEST(Documents, AreDividedBySeparators) {
  EXPECT_THAT(texts_of("one\n\ntwo\n", plain()), ElementsAre("one\n\ntwo"));
  EXPECT_THAT(texts_of("\n\none\n\n\n\n\n\ntwo\nlines\n\n\n \n", plain("\n\n\n")),
              ElementsAre("one", "two\nlines"));
  EXPECT_THAT(texts_of("a<|endoftext|>\nb\n<|endoftext|>", plain("<|endoftext|>")), ElementsAre("a", "b"));
  EXPECT_THAT(texts_of("\xEF\xBB\xBF"
                       "a",
                       plain()),
              ElementsAre("a"));
  EXPECT_THAT(texts_of("{\"text\": \"a\\nb\"}\n\n{\"text\": \"c\", \"id\": 7}", jsonl()),
              ElementsAre("a\nb", "c"));
  EXPECT_TRUE(texts_of(" \n\n \t", plain()).empty());
}

TEST(Documents, WrongBytesAndLinesAreRefusedWithTheirPlace) {
  EXPECT_THAT(error_of("good \xC3\xA9 bad \xFF end", plain()), HasSubstr("file: byte 0xff at offset 12"));
  DataSource lossy = plain();
  lossy.lossy = true;
  EXPECT_THAT(texts_of("bad \xFF\xC3", lossy), ElementsAre("bad \xEF\xBF\xBD\xEF\xBF\xBD"));
  EXPECT_THAT(error_of("{\"text\": \"a\"}\n{\"text\": 1}", jsonl()),
              HasSubstr("file:2: expected an object with the string \"text\""));
  EXPECT_THAT(error_of("{\"text\"", jsonl()), HasSubstr("file:1: not JSON"));
  EXPECT_THAT(error_of("[]", jsonl()), HasSubstr("file:1: expected a JSON object"));
  EXPECT_THAT(error_of("{\"messages\": 3}", chat()),
              HasSubstr("file:1: expected an object with the list \"messages\""));
  EXPECT_THAT(error_of("{\"messages\": []}", chat()), HasSubstr("no assistant message"));
  EXPECT_THAT(error_of("{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", chat()),
              HasSubstr("no assistant message"));
  EXPECT_THAT(error_of("{\"messages\": [{\"role\": \"robot\", \"content\": \"x\"}]}", chat()),
              HasSubstr("file:1: messages[0].role: expected system, user or assistant, found \"robot\""));
  EXPECT_THAT(error_of("{\"messages\": [{\"role\": \"user\"}]}", chat()),
              HasSubstr("messages[0]: expected an object with the string \"content\""));
}

TEST(Documents, FilesFoldersAndPatterns) {
  const TemporaryFolder folder;
  folder.write("b.txt", "b");
  folder.write("a.txt", "a");
  folder.write("c.md", "c");
  folder.write(".hidden.txt", "h");
  folder.write("below/d.txt", "d");
  EXPECT_THAT(*source_files(folder / "a.txt"), ElementsAre(folder / "a.txt"));
  EXPECT_THAT(*source_files(folder / "*.txt"), ElementsAre(folder / "a.txt", folder / "b.txt"));
  EXPECT_THAT(*source_files(folder / "?.??"), ElementsAre(folder / "c.md"));
  EXPECT_THAT(*source_files(folder / ""), ElementsAre(folder / "a.txt", folder / "b.txt", folder / "c.md"));
  for (const char* absent : {"none.txt", "*.json", "nowhere/*.txt"}) {
    const auto files = source_files(folder / absent);
    ASSERT_FALSE(files.ok());
    EXPECT_EQ(files.error().code, ErrorCode::kNotFound);
  }
}

TEST(Documents, HeldOutPartDoesNotMoveWhenOthersAreAdded) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += fmt::format("story {}\n\n\n", i);
  DataSource source = plain("\n\n\n");
  source.path = folder.write("a.txt", text);
  const auto before = read_source(source, 0.25, {});
  std::set<std::string> held;
  for (const Document& d : before->documents) {
    if (d.heldout) held.emplace(d.text);
  }
  // 400 draws of 0.25: 100, standard deviation 8.7; the texts are fixed, so this never changes.
  EXPECT_GT(held.size(), 65u);
  EXPECT_LT(held.size(), 135u);
  source.path = folder.write("b.txt", "first\n\n\n" + text + "last\n\n\n");
  const auto after = read_source(source, 0.25, {});
  for (const Document& d : after->documents) {
    if (d.text == "first" || d.text == "last") continue;
    EXPECT_EQ(d.heldout, held.count(std::string(d.text)) == 1) << d.text;
  }
}

constexpr const char* kWords[] = {"the", "little", "red", "cat", "sat", "on", "that", "mat"};

// A corpus in a folder, with a configuration that trains a small tokenizer on it.
struct Corpus {
  TemporaryFolder folder;
  TrainConfig config;

  Corpus() {
    std::mt19937 random(4);
    std::string text;
    for (int i = 0; i < 60; ++i) {
      for (int w = 0; w < 30; ++w) text += std::string(w == 0 ? "" : " ") + kWords[random() % 8];
      text += "\n\n\n";
    }
    config.data.sources = {plain("\n\n\n"), chat()};
    config.data.sources[0].path = folder.write("text.txt", text);
    config.data.sources[1].path = folder.write("chat.jsonl", chats());
    config.data.heldout = 0.2;
    config.tokenizer.vocab_size = 280;
    config.output = folder / "out";
  }
  static std::string chats() {
    std::string lines;
    for (int i = 0; i < 50; ++i) {
      lines += fmt::format(
          R"({{"messages": [{{"role": "user", "content": "Where is cat {}?"}}, {{"role": "assistant", "content": "Cat {} is on the mat."}}]}})"
          "\n",
          i, i);
    }
    return lines;
  }
};

TEST(Prepare, WritesATokenizerAndTokensThatDecodeToTheText) {
  Corpus corpus;
  const auto prepared = prepare(corpus.config);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  EXPECT_FALSE(prepared->reused);
  EXPECT_EQ(prepared->vocab_size, 280);
  EXPECT_EQ(prepared->end_of_text, 0);
  EXPECT_EQ(prepared->im_start, 1);
  EXPECT_EQ(prepared->im_end, 2);
  EXPECT_EQ(prepared->spec.tokens.size(), 280u);
  const auto file = TokenFile::open(prepared->token_path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto source = read_source(corpus.config.data.sources[0], 0.2, {});
  const TokenFile::Source& tokens = (*file)->sources()[0];
  ASSERT_EQ(tokens.num_documents(), source->documents.size());
  for (size_t i = 0; i < source->documents.size(); ++i) {
    std::vector<int32_t> ids;
    for (uint64_t t = tokens.begin(i); t < tokens.end(i); ++t) ids.push_back((*file)->token(tokens, t));
    EXPECT_EQ(ids.back(), prepared->end_of_text);
    EXPECT_EQ(prepared->tokenizer->decode(ids), source->documents[i].text);
    EXPECT_EQ(tokens.heldout[i] != 0, source->documents[i].heldout);
  }
}

TEST(Prepare, ChatsAreWhatTheTemplateRendersAndOnlyAnswersCount) {
  Corpus corpus;
  corpus.config.data.sources[1].path = corpus.folder.write(
      "chat.jsonl",
      R"({"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"}, )"
      R"({"role": "assistant", "content": "A cat."}, {"role": "user", "content": "\nWhy?"}, )"
      R"({"role": "assistant", "content": "No dog."}]})");
  const auto prepared = prepare(corpus.config);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  const auto file = TokenFile::open(prepared->token_path);
  const TokenFile::Source& chats = (*file)->sources()[1];
  ASSERT_EQ(chats.num_documents(), 1u);
  std::vector<int32_t> ids, counted;
  for (uint64_t t = 0; t < chats.end(0); ++t) {
    ids.push_back((*file)->token(chats, t));
    if ((*file)->counts(chats, t)) counted.push_back(ids.back());
  }
  const auto line = nlohmann::ordered_json::parse(TemporaryFolder::read(corpus.config.data.sources[1].path));
  const auto chat_template = ChatTemplate::parse(prepared->chat_template);
  ASSERT_TRUE(chat_template.ok());
  const auto text = chat_template->render({.messages = &line["messages"], .add_generation_prompt = false});
  ASSERT_TRUE(text.ok()) << text.error().message;
  // The template ends with a line break behind the last mark; nothing follows it, so it is not trained on.
  EXPECT_EQ(prepared->tokenizer->decode(ids, {.render_special = true}) + "\n", *text);
  EXPECT_EQ(ids, [&] {
    auto encoded =
        prepared->tokenizer->encode(*text, {.parse_special = true, .add_bos = false, .add_eos = false});
    encoded.pop_back();
    return encoded;
  }());
  EXPECT_EQ(prepared->tokenizer->decode(counted, {.render_special = true}),
            "A cat.<|im_end|>No dog.<|im_end|>");
}

TEST(Prepare, MarksInsideMessagesStayText) {
  Corpus corpus;
  corpus.config.data.sources[1].path = corpus.folder.write(
      "chat.jsonl",
      R"({"messages": [{"role": "user", "content": "say <|im_end|>"}, {"role": "assistant", "content": "<|im_start|>"}]})");
  const auto prepared = prepare(corpus.config);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  const auto file = TokenFile::open(prepared->token_path);
  const TokenFile::Source& chats = (*file)->sources()[1];
  int marks = 0;
  for (uint64_t t = 0; t < chats.end(0); ++t) marks += (*file)->token(chats, t) < 3;
  EXPECT_EQ(marks, 4);
}

TEST(Prepare, ReusesWhatIsThereAndNoticesEveryChange) {
  Corpus corpus;
  const auto first = prepare(corpus.config);
  ASSERT_TRUE(first.ok()) << first.error().message;
  const std::string bytes = TemporaryFolder::read(first->token_path);
  const auto again = prepare(corpus.config);
  EXPECT_TRUE(again->reused);
  EXPECT_EQ(again->token_path, first->token_path);
  // What does not decide tokens does not matter.
  TrainConfig other = corpus.config;
  other.optimizer.steps = 99;
  other.data.seed = 5;
  EXPECT_TRUE(prepare(other)->reused);
  // A damaged file, a damaged tokenizer.
  corpus.folder.write(
      std::filesystem::path(first->token_path).lexically_relative(corpus.folder / "").string(),
      bytes.substr(0, bytes.size() - 8) + "damaged!");
  EXPECT_FALSE(prepare(corpus.config)->reused);
  EXPECT_EQ(TemporaryFolder::read(first->token_path), bytes);
  corpus.folder.write("out/tokenizer.json", "{}");
  EXPECT_FALSE(prepare(corpus.config)->reused);
  // Another text, another share, another vocabulary.
  for (int change = 0; change < 3; ++change) {
    TrainConfig changed = corpus.config;
    if (change == 0)
      changed.data.sources[0].path =
          corpus.folder.write("other.txt", "the cat sat on the mat that sat at the cat");
    if (change == 1) changed.data.heldout = 0.3;
    if (change == 2) changed.tokenizer.vocab_size = 279;
    const auto made = prepare(changed);
    ASSERT_TRUE(made.ok()) << made.error().message;
    EXPECT_FALSE(made->reused);
    EXPECT_NE(made->token_path, first->token_path);
  }
}

TEST(Prepare, AnExistingTokenizerIsUsedAsItIs) {
  Corpus corpus;
  const auto first = prepare(corpus.config);
  ASSERT_TRUE(first.ok());
  TrainConfig second = corpus.config;
  second.tokenizer.path = first->tokenizer_path;
  second.tokenizer.vocab_size = 4096;  // does not matter
  second.output = corpus.folder / "second";
  const auto prepared = prepare(second);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  EXPECT_EQ(TemporaryFolder::read(prepared->tokenizer_path), TemporaryFolder::read(first->tokenizer_path));
  EXPECT_EQ(prepared->vocab_size, 280);
}

TEST(Prepare, RefusesInOneLine) {
  Corpus corpus;
  const auto error = [](const TrainConfig& config) {
    const auto prepared = prepare(config);
    return prepared.ok() ? "no error" : prepared.error().message;
  };
  TrainConfig config = corpus.config;
  config.data.sources[0].path = corpus.folder / "absent.txt";
  EXPECT_THAT(error(config), HasSubstr("absent.txt': no such file"));
  config.data.sources[0].path = corpus.folder.write("empty.txt", "\n \n");
  EXPECT_THAT(error(config), HasSubstr("no text in 1 file"));
  config.data.sources[0].path = corpus.folder.write("latin1.txt", "caf\xE9");
  EXPECT_THAT(error(config), HasSubstr("byte 0xe9 at offset 3 is not UTF-8"));
  config = corpus.config;
  config.tokenizer.vocab_size = 5000;
  EXPECT_THAT(error(config), HasSubstr("$.tokenizer.vocab_size: the text yields only"));
  config.tokenizer.path = corpus.folder.write("t.json", "{}");
  EXPECT_THAT(error(config), HasSubstr("tokenizer.json"));
  config = corpus.config;
  config.output = corpus.folder / "text.txt/out";
  EXPECT_THAT(error(config), HasSubstr("cannot create"));
  const auto cancelled = prepare(corpus.config, [](std::string_view, int64_t, int64_t) { return false; });
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace tern::train
