// SPDX-License-Identifier: MIT
// The GGUF writer: what it writes the reader reads back as the same thing (seeded random files of every
// type), the same input gives the same bytes, a failure leaves nothing behind, and what the reader would
// refuse is refused.
#include "formats/gguf_write.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "formats/weights.h"
#include "tests/formats/gguf_builder.h"

namespace tern {
namespace {

using ::testing::HasSubstr;

// A folder of its own per test, so that "nothing is left behind" can be seen.
class GgufWrite : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "tern_gguf_write_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/model.gguf";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  size_t files_in_folder() const {
    return std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator());
  }
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string folder_, path_;
};

GgufWriter::Produce fill_with(std::vector<std::byte> bytes) {
  return [bytes = std::move(bytes)](std::span<std::byte> out) -> Status {
    TERN_CHECK(out.size() == bytes.size(), "size of the span");
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return {};
  };
}

Status keep_zero(std::span<std::byte>) { return {}; }

// Byte for byte what the format description says, from the independent builder.
TEST_F(GgufWrite, BytesAreTheFormats) {
  GgufWriter writer;
  writer.set("general.architecture", std::string("x"));
  writer.set("flag", false);
  writer.set("list", std::vector<std::string>{"a", ""});
  writer.set("bools", std::vector<bool>{true, false, true});
  writer.set("flag", true);  // replaces, keeps its place
  ASSERT_TRUE(
      writer.add_tensor("a", DType::kI8, {3}, fill_with(std::vector<std::byte>(3, std::byte{7}))).ok());
  ASSERT_TRUE(
      writer.add_tensor("b", DType::kBF16, {2, 1}, fill_with(std::vector<std::byte>(4, std::byte{9}))).ok());
  ASSERT_TRUE(writer.write(path_).ok());
  test::GgufBuilder expected(2, 4);
  expected.key("general.architecture", 8).string("x").key("flag", 7).u8(1);
  expected.key("list", 9).u32(8).u64(2).string("a").string("");
  expected.key("bools", 9).u32(7).u64(3).u8(1).u8(0).u8(1);
  expected.tensor("a", {3}, 24, 0).tensor("b", {2, 1}, 30, 32).pad();
  expected.raw("\7\7\7").zeros(29).raw("\t\t\t\t").zeros(28);
  EXPECT_EQ(content(), expected.text());
  EXPECT_EQ(files_in_folder(), 1u);
}

// ---- reader(writer(x)) == x
// ------------------------------------------------------------------------------------

using Random = std::mt19937_64;

template <class T>
T random_number(Random& random) {
  const uint64_t bits = random();
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(static_cast<int64_t>(bits)) / 3;
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

std::string random_bytes(Random& random, size_t max) {
  std::string text(random() % (max + 1), '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

template <class T>
std::vector<T> random_vector(Random& random) {
  std::vector<T> values(random() % 6);
  for (size_t i = 0; i < values.size(); ++i) {
    if constexpr (std::is_same_v<T, std::string>) {
      values[i] = random_bytes(random, 9);
    } else if constexpr (std::is_same_v<T, bool>) {
      values[i] = random() % 2 == 1;
    } else {
      values[i] = random_number<T>(random);
    }
  }
  return values;
}

template <size_t I = 0>
GgufWriteValue random_value(Random& random, size_t index) {
  if constexpr (I < std::variant_size_v<GgufWriteValue>) {
    using T = std::variant_alternative_t<I, GgufWriteValue>;
    if (index != I) return random_value<I + 1>(random, index);
    if constexpr (std::is_same_v<T, std::string>)
      return random_bytes(random, 40);
    else if constexpr (std::is_same_v<T, bool>)
      return random() % 2 == 1;
    else if constexpr (std::is_arithmetic_v<T>)
      return random_number<T>(random);
    else
      return random_vector<typename T::value_type>(random);
  } else {
    return uint8_t{0};
  }
}

template <class T>
bool scalar_equal(const GgufValue& read, const T& written) {
  if constexpr (std::is_same_v<T, bool>)
    return std::get<bool>(read.data) == written;
  else if constexpr (std::is_same_v<T, std::string>)
    return std::get<std::string_view>(read.data) == written;
  else if constexpr (std::is_floating_point_v<T>)
    return std::get<double>(read.data) == written;
  else if constexpr (std::is_signed_v<T>)
    return std::get<int64_t>(read.data) == written;
  else
    return std::get<uint64_t>(read.data) == written;
}

template <class T>
bool scalar_equal(const GgufValue& read, const std::vector<T>& written) {
  const auto& array = std::get<GgufArray>(read.data);
  if (array.count != written.size()) return false;
  for (size_t i = 0; i < written.size(); ++i) {
    if constexpr (std::is_same_v<T, std::string>) {
      if (array.strings[i] != written[i]) return false;
    } else if constexpr (std::is_same_v<T, bool>) {
      if ((array.at<uint8_t>(i) == 1) != written[i]) return false;
    } else if (array.at<T>(i) != written[i]) {
      return false;
    }
  }
  return true;
}

struct WrittenTensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  std::vector<std::byte> bytes;
};

constexpr DType kWritable[] = {
    DType::kF32,      DType::kF16,       DType::kBF16,  DType::kF64,    DType::kI8,     DType::kI16,
    DType::kI32,      DType::kI64,       DType::kQ8_0,  DType::kQ4_0,   DType::kQ4_K,   DType::kQ6_K,
    DType::kI2_S,     DType::kTQ1_0,     DType::kTQ2_0, DType::kIQ1_BN, DType::kIQ2_BN, DType::kQ1_0,
    DType::kQ2_0_G64, DType::kQ2_0_G128, DType::kTL1,   DType::kTL2,    DType::kPTQ1_0, DType::kIQ2_BN_R4};

WrittenTensor random_tensor(Random& random, size_t index) {
  WrittenTensor tensor;
  tensor.name = fmt::format("t{}.{}", index, random() % 2 ? "weight" : "\xc3\xa9");
  tensor.dtype = kWritable[random() % std::size(kWritable)];
  // 256 columns and 16 rows suit every block.
  tensor.shape = {256 * (1 + random() % 2), 16 * (1 + random() % 2)};
  while (tensor.shape.size() < 4 && random() % 2) tensor.shape.push_back(1 + random() % 2);
  GgufTensorInfo info;
  info.shape = tensor.shape;
  tensor.bytes.resize(tensor_byte_size(tensor.dtype, info.rows(), info.cols()).value());
  for (std::byte& byte : tensor.bytes) byte = static_cast<std::byte>(random());
  return tensor;
}

TEST_F(GgufWrite, ReadsBackWhatWasWritten) {
  // 100 files: each value type appears in dozens of them, each tensor type in several.
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    GgufWriter writer, again;
    std::vector<std::pair<std::string, GgufWriteValue>> values;
    std::vector<WrittenTensor> tensors;
    for (size_t i = 0, n = random() % 20; i < n; ++i) {
      values.emplace_back(fmt::format("key.{}", i),
                          random_value(random, random() % std::variant_size_v<GgufWriteValue>));
    }
    for (size_t i = 0, n = random() % 5; i < n; ++i) tensors.push_back(random_tensor(random, i));
    for (GgufWriter* w : {&writer, &again}) {
      for (const auto& [key, value] : values) w->set(key, value);
      for (const auto& t : tensors) {
        const Status added = w->add_tensor(t.name, t.dtype, t.shape, fill_with(t.bytes));
        ASSERT_TRUE(added.ok()) << added.error().message;
      }
    }
    ASSERT_TRUE(writer.write(path_).ok());
    const std::string first = content();
    const auto weights = Weights::open(path_);
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    const GgufFile& file = (*weights)->gguf();

    ASSERT_EQ(file.metadata.size(), values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(file.metadata[i].first, values[i].first);
      EXPECT_TRUE(std::visit([&](const auto& v) { return scalar_equal(file.metadata[i].second, v); },
                             values[i].second));
    }
    ASSERT_EQ(file.tensors.size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(file.tensors[i].name, tensors[i].name);
      EXPECT_EQ(file.tensors[i].dtype, tensors[i].dtype);
      EXPECT_EQ(file.tensors[i].shape, tensors[i].shape);
      EXPECT_TRUE(std::ranges::equal(file.tensors[i].data, tensors[i].bytes));
    }
    ASSERT_TRUE(again.write(path_).ok());  // replaces the file, with the same bytes
    EXPECT_EQ(content(), first);
    EXPECT_EQ(files_in_folder(), 1u);
  }
}

// ---- refusals
// ---------------------------------------------------------------------------------------------------

TEST_F(GgufWrite, RefusesTensorsThatTheReaderWouldRefuse) {
  GgufWriter writer;
  const auto refusal = [&](std::string name, DType dtype, std::vector<uint64_t> shape) {
    const Status status = writer.add_tensor(std::move(name), dtype, std::move(shape), keep_zero);
    return status.ok() ? std::string("accepted") : status.error().message;
  };
  EXPECT_THAT(refusal("", DType::kF32, {1}), HasSubstr("a name of 1 to 63 bytes"));
  EXPECT_THAT(refusal(std::string(64, 'n'), DType::kF32, {1}), HasSubstr("a name of 1 to 63 bytes"));
  EXPECT_THAT(refusal("a\nb", DType::kF32, {1}), HasSubstr("a\\x0ab"));
  EXPECT_THAT(refusal("t", DType::kF32, {}), HasSubstr("shape []"));
  EXPECT_THAT(refusal("t", DType::kF32, {1, 1, 1, 1, 1}), HasSubstr("shape [1, 1, 1, 1, 1]"));
  EXPECT_THAT(refusal("t", DType::kF32, {4, 0}), HasSubstr("shape [4, 0]"));
  EXPECT_THAT(refusal("t", DType::kI8, {uint64_t{1} << 32, uint64_t{1} << 31}), HasSubstr("2^63 elements"));
  EXPECT_THAT(refusal("t", DType::kTQ2_0, {128}), HasSubstr("blocks of 256"));
  EXPECT_THAT(refusal("t", DType::kHfU8, {128}), HasSubstr("no tensor type for hf_u8"));
  EXPECT_THAT(refusal("t", DType::kMlx2, {128}), HasSubstr("no tensor type for mlx2"));
  EXPECT_EQ(refusal("t", DType::kF32, {1}), "accepted");
  EXPECT_THAT(refusal("t", DType::kF32, {1}), HasSubstr("'t': it was added before"));
}

TEST_F(GgufWrite, RefusesKeysThatTheReaderWouldRefuse) {
  const auto refusal = [&](std::string key, GgufWriteValue value) {
    GgufWriter writer;
    writer.set(std::move(key), std::move(value));
    const Status status = writer.write(path_);
    return status.ok() ? std::string("accepted") : status.error().message;
  };
  EXPECT_THAT(refusal("", uint8_t{1}), HasSubstr("0 bytes"));
  EXPECT_THAT(refusal(std::string(65536, 'k'), uint8_t{1}), HasSubstr("65536 bytes"));
  EXPECT_THAT(refusal("a\xff", uint8_t{1}), HasSubstr("a\\xff"));
  EXPECT_THAT(refusal("general.alignment", uint32_t{64}), HasSubstr("only be the u32 32"));
  EXPECT_THAT(refusal("general.alignment", uint64_t{32}), HasSubstr("only be the u32 32"));
  EXPECT_EQ(files_in_folder(), 0u);
  EXPECT_EQ(refusal("general.alignment", uint32_t{32}), "accepted");
}

TEST_F(GgufWrite, FailureLeavesNothingBehind) {
  GgufWriter writer;
  ASSERT_TRUE(writer.add_tensor("a", DType::kF32, {4096}, keep_zero).ok());
  ASSERT_TRUE(writer
                  .add_tensor("b", DType::kF32, {1},
                              [](std::span<std::byte>) -> Status {
                                return make_error(ErrorCode::kNumeric, "not finite");
                              })
                  .ok());
  EXPECT_EQ(writer.write(path_).error().message, "not finite");
  EXPECT_EQ(files_in_folder(), 0u);

  // A file that was there before stays as it was.
  std::ofstream(path_) << "old";
  EXPECT_FALSE(writer.write(path_).ok());
  EXPECT_EQ(content(), "old");
  EXPECT_EQ(files_in_folder(), 1u);

  EXPECT_THAT(writer.write(folder_ + "/no/such.gguf").error().message, HasSubstr("No such file"));
}

// A limit on the file's size stands in for a full disk: both fail in write(2).
TEST_F(GgufWrite, FullDiskLeavesNothingBehind) {
  GgufWriter writer;
  ASSERT_TRUE(writer.add_tensor("a", DType::kF32, {1 << 20}, keep_zero).ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 16, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = writer.write(path_);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr(path_));
  EXPECT_EQ(files_in_folder(), 0u);
}

}  // namespace
}  // namespace tern
