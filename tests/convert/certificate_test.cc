// SPDX-License-Identifier: MIT
// Certificates: what is written is proved, what is damaged is found, and an interrupted conversion goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <set>

#include "convert/partial_file.h"
#include "tests/convert/convert_fixture.h"

namespace tern::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void spill(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string write_model(TempFolder& folder, const char* shape, const char* container = "i2_s") {
  GgufOptions options;
  options.container = *find_container(container);
  EXPECT_TRUE(write_gguf(random_model(*find_shape(shape), 21), options, folder.file("source.gguf")).ok());
  return folder.file("source.gguf");
}

VerifyReport verify(const std::string& path, const std::string& against = "") {
  VerifyOptions options;
  options.against = against;
  options.import = convert_options().import;
  auto report = verify_model(path, options);
  EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
  return report.ok() ? std::move(report).value() : VerifyReport{};
}

std::string text_of(const VerifyReport& report, Finding::Kind kind) {
  std::string text;
  for (const Finding& f : report.findings) {
    if (f.kind == kind) text += f.what + ": " + f.detail + "\n";
  }
  return text;
}

TEST(Digest, DoesNotDependOnHowTheStreamIsCut) {
  std::vector<std::byte> bytes(1000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 + i / 11);
  for (const size_t length : {0u, 1u, 31u, 32u, 33u, 64u, 999u, 1000u}) {
    Digest whole;
    whole.update(std::span(bytes).first(length));
    for (const size_t piece : {1u, 7u, 32u, 100u}) {
      Digest cut;
      for (size_t at = 0; at < length; at += piece) {
        cut.update(std::span(bytes).subspan(at, std::min(piece, length - at)));
      }
      EXPECT_EQ(cut.hex(), whole.hex()) << length << " in pieces of " << piece;
    }
  }
}

TEST(Digest, EveryByteAndTheLengthCount) {
  std::vector<std::byte> bytes(96);
  std::set<std::string> seen;
  for (size_t length = 0; length <= bytes.size(); ++length) {
    Digest digest;
    digest.update(std::span(bytes).first(length));
    EXPECT_TRUE(seen.insert(digest.hex()).second) << "zeros of length " << length;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<std::byte>(1 << bit);
      Digest digest;
      digest.update(bytes);
      EXPECT_TRUE(seen.insert(digest.hex()).second) << "byte " << i << " bit " << bit;
      bytes[i] ^= static_cast<std::byte>(1 << bit);
    }
  }
}

TEST(TritCountsTest, AgreesWithCountingOneByOne) {
  std::vector<int8_t> trits(8 * 700 + 5);  // more words than a byte counter counts, and a tail
  TritCounts naive;
  for (size_t i = 0; i < trits.size(); ++i) {
    trits[i] = static_cast<int8_t>((i * 2654435761u >> 13) % 4) - 1;
    naive.minus += trits[i] == -1;
    naive.zero += trits[i] == 0;
    naive.plus += trits[i] == 1;
    naive.two += trits[i] == 2;
  }
  TritCounts counts;
  count_trits(trits, counts);
  EXPECT_EQ(counts.minus, naive.minus);
  EXPECT_EQ(counts.zero, naive.zero);
  EXPECT_EQ(counts.plus, naive.plus);
  EXPECT_EQ(counts.two, naive.two);
}

TEST(Certificate, ProvesFileSourceAndLogitsOnEveryKernelSet) {
  for (const char* shape : {"tiny", "llama-ternary-small", "llama-dense-tiny"}) {
    TempFolder folder;
    const std::string source = write_model(folder, shape), out = folder.file("out.gguf");
    ASSERT_EQ(convert(source, out), "");
    const VerifyReport report = verify(out, source);
    EXPECT_TRUE(report.ok()) << text_of(report, Finding::Kind::kBad);
    const std::string fine = text_of(report, Finding::Kind::kOk);
    EXPECT_THAT(fine, HasSubstr("certificate: "));
    EXPECT_THAT(fine, HasSubstr("source: "));
    for (const std::string& isa : runnable_isas()) EXPECT_THAT(fine, HasSubstr("logits " + isa + ": equal"));
  }
}

TEST(Certificate, StreamedLogitsAreThoseOfTheWholeModel) {
  for (const char* shape : {"tiny", "bitnet-ragged", "llama-ternary-small", "bitllama-small"}) {
    TempFolder folder;
    const TestModel model = random_model(*find_shape(shape), 5);
    GgufOptions options;
    for (const Container& container : ternary_containers()) {
      if (container.dtype == DType::kTL1 || container.dtype == DType::kTL2)
        continue;  // their tiles are not in the file
      if (can_hold(container, model)) options.container = container;
    }
    ASSERT_TRUE(write_gguf(model, options, folder.file("m.gguf")).ok());
    const auto weights = Weights::open(folder.file("m.gguf"));
    ASSERT_TRUE(weights.ok());
    Machine machine;
    const auto tokens = test_tokens(8, static_cast<int64_t>(model.shape.vocab));
    const auto streamed = streamed_logits(*weights, machine.backend(), {}, tokens, false);
    ASSERT_TRUE(streamed.ok()) << streamed.error().message;
    EXPECT_EQ(streamed->logits, logits_of(folder.file("m.gguf"))) << shape;
  }
}

TEST(Certificate, DamageIsFoundAndNamed) {
  TempFolder folder;
  const std::string out = folder.file("out.gguf");
  ASSERT_EQ(convert(write_model(folder, "tiny"), out), "");
  const auto weights = Weights::open(out);
  ASSERT_TRUE(weights.ok());
  const GgufTensorInfo* tensor = (*weights)->gguf().find_tensor("blk.0.attn_v.weight");
  const uint64_t offset = (*weights)->gguf().data_offset + tensor->offset;
  std::string bytes = slurp(out);
  // A byte of four codes becomes another legal one: no decoder can see that.
  bytes[offset + 9] = static_cast<char>(bytes[offset + 9] == 0x55 ? 0x56 : 0x55);
  spill(folder.file("bad.gguf"), bytes);
  const VerifyReport report = verify(folder.file("bad.gguf"));
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(text_of(report, Finding::Kind::kBad), HasSubstr("'blk.0.attn_v.weight': other trits"));
  EXPECT_THAT(text_of(report, Finding::Kind::kBad), HasSubstr("logits scalar"));
}

TEST(Certificate, LoadingChecksTheCheapPart) {
  TempFolder folder;
  const TestModel model = random_model(*find_shape("tiny"), 1);
  const auto opening = [&](const char* key, GgufWriteValue value) {
    GgufContents contents = gguf_contents(model, {});
    contents.set(key, std::move(value));
    EXPECT_TRUE(write_contents(contents, folder.file("x.gguf")).ok());
    const auto weights = Weights::open(folder.file("x.gguf"));
    return weights.ok() ? std::string() : weights.error().message;
  };
  EXPECT_EQ(opening("tern.numerics", uint32_t{1}), "");
  EXPECT_THAT(opening("tern.numerics", uint32_t{2}), HasSubstr("tern.numerics"));
  EXPECT_THAT(opening("tern.tensor_count", uint32_t{3}), HasSubstr("tern.tensor_count"));
  EXPECT_THAT(opening("tern.tensor_bytes", uint64_t{3}), HasSubstr("tern.tensor_bytes"));
}

TEST(Certificate, AnotherSourceIsFound) {
  TempFolder folder;
  const std::string out = folder.file("out.gguf");
  ASSERT_EQ(convert(write_model(folder, "tiny"), out), "");
  ASSERT_TRUE(write_gguf(random_model(*find_shape("tiny"), 22), {}, folder.file("other.gguf")).ok());
  EXPECT_THAT(text_of(verify(out, folder.file("other.gguf")), Finding::Kind::kBad), HasSubstr("source: "));
}

TEST(Certificate, AFileWithoutOneSaysWhatWasNotChecked) {
  TempFolder folder;
  const VerifyReport report = verify(write_model(folder, "tiny"));
  EXPECT_TRUE(report.ok());
  const std::string unchecked = text_of(report, Finding::Kind::kUnchecked);
  EXPECT_THAT(unchecked, HasSubstr("certificate: the file has none"));
  EXPECT_THAT(unchecked, HasSubstr("--against"));
}

TEST(Certificate, SameInputGivesTheSameBytes) {
  TempFolder folder;
  const std::string source = write_model(folder, "tiny");
  ASSERT_EQ(convert(source, folder.file("a.gguf")), "");
  ASSERT_EQ(convert(source, folder.file("b.gguf")), "");
  EXPECT_EQ(slurp(folder.file("a.gguf")), slurp(folder.file("b.gguf")));
}

/// Converts until `stop_at` bytes are done, as if Ctrl-C came then.
Status interrupted(const std::string& source, const std::string& target, int64_t stop_at) {
  std::atomic<bool> cancel{false};
  ConvertOptions options = convert_options();
  options.cancel = &cancel;
  options.progress = [&](std::string_view, int64_t done, int64_t) { cancel = done >= stop_at; };
  const auto report = convert_model(source, target, options);
  return report.ok() ? Status() : Status(report.error());
}

TEST(Resume, GoesOnWhereItStoppedAndGivesTheSameFile) {
  TempFolder folder;
  const std::string source = write_model(folder, "bitnet-small");
  ASSERT_EQ(convert(source, folder.file("whole.gguf")), "");
  const std::string whole = slurp(folder.file("whole.gguf"));
  for (const int64_t stop_at : {1, 300000, 450000}) {
    const std::string target = folder.file("resumed" + std::to_string(stop_at) + ".gguf");
    const Status status = interrupted(source, target, stop_at);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
    EXPECT_FALSE(fs::exists(target));
    EXPECT_TRUE(fs::exists(target + ".partial"));
    const auto report = convert_model(source, target, convert_options());
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(report->resumed_bytes > 0, stop_at > 1);
    EXPECT_EQ(slurp(target), whole);
    EXPECT_FALSE(fs::exists(target + ".partial"));
    EXPECT_FALSE(fs::exists(target + ".partial.journal"));
  }
}

TEST(Resume, DamagedOrForeignLeftoversAreNotUsed) {
  TempFolder folder;
  const std::string source = write_model(folder, "bitnet-small");
  ASSERT_EQ(convert(source, folder.file("whole.gguf")), "");
  const std::string whole = slurp(folder.file("whole.gguf")), target = folder.file("t.gguf");
  const auto spoil = [&](const std::function<void()>& damage) {
    ASSERT_FALSE(interrupted(source, target, 450000).ok());
    damage();
    const auto report = convert_model(source, target, convert_options());
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(slurp(target), whole);
    fs::remove(target);
  };
  const std::string partial = target + ".partial", journal = target + ".partial.journal";
  spoil([&] {
    std::string bytes = slurp(partial);
    bytes[bytes.size() / 2] ^= 1;
    spill(partial, bytes);
  });
  spoil([&] { fs::resize_file(partial, fs::file_size(partial) / 2); });
  spoil([&] { fs::resize_file(journal, fs::file_size(journal) - 20); });
  spoil([&] { spill(journal, "something else\n1 2 3 4\n"); });
  spoil([&] { spill(partial, std::string(1000, 'x')); });
  spoil([&] { fs::last_write_time(source, fs::file_time_type::clock::now()); });
}

TEST(Resume, TwoWritersOfOneFileAreRefused) {
  TempFolder folder;
  const auto first = PartialFile::open(folder.file("x"), "identity", "head");
  ASSERT_TRUE(first.ok());
  const auto second = PartialFile::open(folder.file("x"), "identity", "head");
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message, HasSubstr("another process"));
}

}  // namespace
}  // namespace tern::test
