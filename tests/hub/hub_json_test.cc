// SPDX-License-Identifier: MIT
// The hub's JSON and our manifests: what is read, and what is refused.
#include "hub/hub_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub/digest.h"
#include "hub/manifest.h"
#include "tests/sha256.h"

namespace tern::hub {
namespace {

using ::testing::HasSubstr;

TEST(HubJson, Repository) {
  const auto info = parse_repo_info(
      R"({"sha":"abc123","gated":"auto","cardData":{"license":"other","license_name":"falcon-llm-license"},
          "gguf":{"architecture":"bitnet-b1.58","total":5},"tags":["license:mit"]})");
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->commit, "abc123");
  EXPECT_EQ(info->license, "falcon-llm-license");
  EXPECT_EQ(info->architecture, "bitnet-b1.58");
  const auto plain = parse_repo_info(
      R"({"sha":"1","tags":[5,"x","license:mit"],"config":{"architectures":["LlamaForCausalLM"]}})");
  EXPECT_EQ(plain->license, "mit");
  EXPECT_EQ(plain->architecture, "LlamaForCausalLM");
  const auto bare = parse_repo_info(R"({"sha":"1","cardData":null,"tags":"x","config":[],"gguf":7})");
  ASSERT_TRUE(bare.ok());
  EXPECT_EQ(bare->license, "");
  EXPECT_EQ(parse_repo_info(R"({"sha":"1","cardData":{"license":"a\nb"}})")->license, "")
      << "not a plain text";
  for (const char* bad : {"", "[]", "{}", R"({"sha":5})", R"({"sha":""})", R"({"sha":"../x"})",
                          R"({"sha":"a/b"})", "{\"sha\":\"1\"", "\xff"}) {
    EXPECT_FALSE(parse_repo_info(bad).ok()) << bad;
  }
}

TEST(HubJson, Tree) {
  const std::string sha(64, 'a');
  const auto files = parse_tree(
      R"([{"type":"directory","path":"../d"},{"type":"file","path":"config.json","size":3,"oid":")" +
      std::string(40, 'b') +
      R"("},{"type":"file","path":"s/m.gguf","size":134,"oid":"x","lfs":{"oid":"sha256:)" + sha +
      R"(","size":9000000000}}])");
  ASSERT_TRUE(files.ok()) << files.error().message;
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].git_sha1, std::string(40, 'b'));
  EXPECT_EQ((*files)[1].sha256, sha);
  EXPECT_EQ((*files)[1].size, 9'000'000'000u) << "the file's size, not its pointer's";
}

TEST(HubJson, TreeRefusals) {
  const auto message = [](const std::string& text) {
    const auto files = parse_tree(text);
    return files.ok() ? std::string("accepted") : files.error().message;
  };
  EXPECT_THAT(message(R"([{"type":"file","path":"../x","size":1}])"), HasSubstr("could leave"));
  EXPECT_THAT(message(R"([{"type":"file","path":"a","size":-1}])"), HasSubstr("no size"));
  EXPECT_THAT(message(R"([{"type":"file","path":"a","size":1.5}])"), HasSubstr("no size"));
  EXPECT_THAT(message(R"([{"type":"file","path":"a","size":18446744073709551615}])"), HasSubstr("no size"));
  EXPECT_THAT(message(R"([{"type":"file","size":1}])"), HasSubstr("no path"));
  EXPECT_THAT(message(R"([{"path":"a","size":1}])"), HasSubstr("no type"));
  EXPECT_THAT(message(R"([5])"), HasSubstr("no type"));
  EXPECT_THAT(message(R"([{"type":"file","path":"a","size":1,"lfs":{"size":1}}])"), HasSubstr("no SHA-256"));
  EXPECT_THAT(message(R"([{"type":"file","path":"a","size":1},{"type":"file","path":"a","size":1}])"),
              HasSubstr("twice"));
  EXPECT_THAT(message("{}"), HasSubstr("no JSON array"));
  EXPECT_THAT(message(std::string(200, '[') + std::string(200, ']')), HasSubstr("no JSON array"))
      << "too deep";
}

TEST(HubJson, ErrorBody) {
  EXPECT_EQ(parse_error_body(R"({"error":"no\nway"})"), "no\\x0away");
  EXPECT_EQ(parse_error_body("<html>"), "");
  EXPECT_EQ(parse_error_body(R"({"error":5})"), "");
}

Manifest example() {
  return {"o/r:x",
          "https://h",
          "o/r",
          "main",
          "c0ffee",
          "mit",
          "llama",
          "m.gguf",
          "2026-11-21T15:00:00Z",
          {{"m.gguf", 5, std::string(64, 'a')}, {"sub/b", 0, std::string(64, 'b')}}};
}

TEST(ManifestText, IsReadBack) {
  const Manifest before = example();
  const auto after = parse_manifest(manifest_text(before));
  ASSERT_TRUE(after.ok()) << after.error().message;
  EXPECT_EQ(manifest_text(*after), manifest_text(before));
  EXPECT_EQ(after->files[1].path, "sub/b");
  EXPECT_EQ(after->total_bytes(), 5u);
}

// Every way of cutting it short, and every single byte changed: never a crash, never two files from one.
TEST(ManifestText, DamageIsRefusedOrHarmless) {
  const std::string text = manifest_text(example());
  const std::string body = text.substr(0, text.size() - 2);  // without the closing brace
  for (size_t length = 0; length <= body.size(); ++length)
    EXPECT_FALSE(parse_manifest(body.substr(0, length)).ok());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    const auto read = parse_manifest(damaged);
    EXPECT_TRUE(!read.ok() || read->files.size() == 2) << i;
  }
}

TEST(ManifestText, RefusesWhatLeavesTheStore) {
  Manifest m = example();
  m.files[1].path = "../x";
  EXPECT_FALSE(parse_manifest(manifest_text(m)).ok());
  m = example();
  m.name = "../x";
  EXPECT_FALSE(parse_manifest(manifest_text(m)).ok());
  m = example();
  m.entry = "other.gguf";
  EXPECT_FALSE(parse_manifest(manifest_text(m)).ok());
  m = example();
  m.files[0].sha256 = std::string(64, 'A');
  EXPECT_FALSE(parse_manifest(manifest_text(m)).ok());
  m = example();
  m.files.clear();
  EXPECT_FALSE(parse_manifest(manifest_text(m)).ok());
  m = example();
  m.files[1].path = m.files[0].path;
  EXPECT_FALSE(parse_manifest(manifest_text(m)).ok());
}

TEST(ManifestText, SnapshotDependsOnFilesOnly) {
  Manifest a = example(), b = example();
  b.name = "other/name";
  std::swap(b.files[0], b.files[1]);
  EXPECT_EQ(*snapshot_id(a), *snapshot_id(b));
  b.files[0].path = "renamed";
  EXPECT_NE(*snapshot_id(a), *snapshot_id(b));
}

// libcrypto against the SHA-256 of the tests, at every length around its blocks.
TEST(Digest, EqualsTheOtherImplementation) {
  std::string text;
  for (int length = 0; length < 200; ++length, text += static_cast<char>(length * 7)) {
    EXPECT_EQ(*sha256_of(text), test::sha256_hex(std::as_bytes(std::span(text)))) << length;
  }
  auto git = Digest::create(Digest::Kind::kSha1);  // what git says of an empty file
  ASSERT_TRUE(git.ok());
  git->update(std::string_view("blob 0\0", 7));
  EXPECT_EQ(git->finish(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

}  // namespace
}  // namespace tern::hub
