// SPDX-License-Identifier: MIT
// Names of models, safe paths, the catalogue, and which files of a repository are taken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "hub/catalogue.h"
#include "hub/model_name.h"
#include "hub/pull.h"
#include "hub/select.h"

namespace tern::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Names, Repositories) {
  EXPECT_EQ(*parse_repo_ref("o/r"), (RepoRef{"o/r", "main", ""}));
  EXPECT_EQ(*parse_repo_ref("o/r@refs/pr/1:I2_S"), (RepoRef{"o/r", "refs/pr/1", "I2_S"}));
  EXPECT_EQ(*parse_repo_ref("https://huggingface.co/o/r:sub/f.gguf"), (RepoRef{"o/r", "main", "sub/f.gguf"}));
  EXPECT_EQ(*parse_repo_ref("hf.co/o/r"), *parse_repo_ref("o/r"));
  for (const char* bad : {"", "o", "o/", "/r", "o/r/x", "../r", "o/..", ".o/r", "-o/r", "o/r@", "o/r@../x",
                          "o/r@-x", "o/r:", "o/r:../f", "o r/x", "o/r?x", "o/r@a b", "o/r:a\nb"}) {
    EXPECT_FALSE(parse_repo_ref(bad).ok()) << bad;
  }
}

TEST(Names, NameIsReadBack) {
  for (const char* text : {"o/r", "o/r@v1", "o/r:q2_0", "o/r@v1:a/b.gguf"}) {
    EXPECT_EQ(parse_repo_ref(text)->name(), text);
    EXPECT_EQ(*canonical_name(text), text);
    EXPECT_TRUE(is_model_name(text));
  }
  EXPECT_EQ(*canonical_name("BITNET-2b"), "bitnet-2b");
  EXPECT_FALSE(canonical_name("nosuch").ok());
  EXPECT_TRUE(is_model_name("bitnet-2b"));
  for (const char* bad : {"", ".", "..", "/etc/passwd", "-x", "a b"}) EXPECT_FALSE(is_model_name(bad)) << bad;
}

TEST(Names, SafePaths) {
  for (const char* good : {"a", "a/b.gguf", "a b", "...", "a..b", ".hidden", "\u00fc/\u4e2d"})
    EXPECT_TRUE(is_safe_path(good)) << good;
  std::string deep = "a";
  for (int i = 0; i < 16; ++i) deep += "/a";
  for (const std::string& bad :
       {std::string(), std::string("/a"), std::string("a/"), std::string("a//b"), std::string("."),
        std::string("a/./b"), std::string(".."), std::string("../a"), std::string("a/.."),
        std::string("a\\b"), std::string("a\nb"), std::string("a\0b", 3), std::string("\xff"),
        std::string(256, 'a'), deep}) {
    EXPECT_FALSE(is_safe_path(bad)) << bad;
  }
}

TEST(Catalogue, IsInOrderAndWellFormed) {
  std::set<std::string_view> names;
  uint64_t before = 0;
  for (const CatalogueEntry& entry : catalogue()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_TRUE(is_model_name(entry.name)) << entry.name;
    EXPECT_EQ(entry.name.find('/'), std::string_view::npos);
    EXPECT_TRUE(parse_repo_ref(entry.repo).ok()) << entry.repo;
    EXPECT_TRUE(entry.file.empty() || (is_safe_path(entry.file) && entry.file.ends_with(".gguf")))
        << entry.file;
    EXPECT_GE(entry.bytes, before) << entry.name << ": smallest first";
    EXPECT_FALSE(entry.license.empty());
    EXPECT_FALSE(entry.architecture.empty());
    before = entry.bytes;
    EXPECT_EQ(find_in_catalogue(entry.name), &entry);
  }
  EXPECT_EQ(find_in_catalogue("nosuch"), nullptr);
}

std::vector<RemoteFile> listing(std::initializer_list<std::pair<const char*, uint64_t>> files) {
  std::vector<RemoteFile> list;
  for (const auto& [path, size] : files) list.push_back({path, size, std::string(64, 'a'), ""});
  return list;
}

std::vector<std::string> paths(const Selection& selection) {
  std::vector<std::string> list;
  for (const RemoteFile& file : selection.files) list.push_back(file.path);
  return list;
}

TEST(Select, TheSmallestTernaryGguf) {
  const auto files = listing({{"m-f16.gguf", 1},
                              {"m-I2_S.gguf", 90},
                              {"m-TQ1_0.gguf", 80},
                              {"m-PTQ1_0.gguf", 2},
                              {"m-PQ2_0.gguf", 3},
                              {"mmproj-Q2_0.gguf", 1},
                              {"imatrix-i2_s.gguf", 1},
                              {"model.safetensors", 1},
                              {"config.json", 1}});
  const auto selection = select_files(files, "");
  ASSERT_TRUE(selection.ok());
  EXPECT_EQ(selection->entry, "m-TQ1_0.gguf") << "PTQ1_0 and PQ2_0 are other types";
  EXPECT_EQ(select_files(files, "i2_s")->entry, "m-I2_S.gguf");
  EXPECT_EQ(select_files(files, "m-f16.gguf")->entry, "m-f16.gguf");
  EXPECT_EQ(select_files(files, "ptq1_0")->entry, "m-PTQ1_0.gguf") << "asked for by name";
  EXPECT_EQ(select_files(files, "q9").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(select_files(files, "m").error().code, ErrorCode::kUsage) << "several";
  EXPECT_EQ(select_files(files, "config.json").error().code, ErrorCode::kUsage);
}

TEST(Select, OneGgufOfAnyName) {
  EXPECT_EQ(select_files(listing({{"Bonsai-8B.gguf", 5}, {"README.md", 1}}), "")->entry, "Bonsai-8B.gguf");
  const auto several = select_files(listing({{"a-q4.gguf", 5}, {"b-q8.gguf", 6}}), "");
  ASSERT_FALSE(several.ok());
  EXPECT_THAT(several.error().message, HasSubstr("b-q8.gguf"));
  const auto split = select_files(listing({{"m-i2_s-00001-of-00002.gguf", 5}}), "");
  ASSERT_FALSE(split.ok());
  EXPECT_EQ(split.error().code, ErrorCode::kUnsupported);
}

TEST(Select, Directories) {
  const auto sharded = listing({{"config.json", 1},
                                {"model-00001-of-00002.safetensors", 1},
                                {"model-00002-of-00002.safetensors", 1},
                                {"model.safetensors.index.json", 1},
                                {"other.safetensors", 1},
                                {"original/x.safetensors", 1},
                                {"tokenizer.json", 1},
                                {"notes.txt", 1}});
  EXPECT_THAT(
      paths(*select_files(sharded, "")),
      ElementsAre("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                  "model.safetensors.index.json", "tokenizer.json"));
  EXPECT_EQ(select_files(sharded, "")->entry, "");
  const auto whole =
      listing({{"model.safetensors", 1}, {"model-00001-of-00002.safetensors", 1}, {"config.json", 1}});
  EXPECT_THAT(paths(*select_files(whole, "")), ElementsAre("model.safetensors", "config.json"));
  EXPECT_EQ(select_files(listing({{"pytorch_model.bin", 1}, {"config.json", 1}}), "").error().code,
            ErrorCode::kUnsupported);
  EXPECT_EQ(select_files(listing({{"model.safetensors", 1}}), "").error().code, ErrorCode::kNotFound)
      << "no configuration";
  EXPECT_EQ(select_files({}, "").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace tern::hub
