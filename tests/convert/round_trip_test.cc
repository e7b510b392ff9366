// SPDX-License-Identifier: MIT
// Containers into containers and back: trits, scales, norms, metadata and tokenizer are the same afterwards.
// Over random models of all small shapes and every container that can hold them.
#include <gtest/gtest.h>

#include <cctype>
#include <fstream>

#include "formats/safetensors.h"
#include "tests/convert/convert_fixture.h"

namespace tern::test {
namespace {

std::vector<const ModelShape*> small_shapes() {
  std::vector<const ModelShape*> shapes;
  for (const ModelShape& shape : known_shapes()) {
    if (shape.hidden <= 256 && shape.vocab <= 1024 && !shape.has_ternary_tables) shapes.push_back(&shape);
  }
  return shapes;
}

std::vector<const Container*> containers_of(const TestModel& model) {
  std::vector<const Container*> containers;
  for (const Container& container : ternary_containers()) {
    const bool has_unstated_tiles = container.dtype == DType::kTL1 || container.dtype == DType::kTL2;
    if (model.shape.is_ternary && !has_unstated_tiles && can_hold(container, model)) {
      containers.push_back(&container);
    }
  }
  return containers;
}

/// False for types that are only read.
bool is_written(const Container& container) {
  return known_ternary_types().find(dtype_name(container.dtype)) != std::string::npos;
}

class RoundTrip : public ::testing::TestWithParam<const ModelShape*> {};

TEST_P(RoundTrip, EveryPairOfContainersKeepsTheNumbers) {
  const TestModel model = random_model(*GetParam(), 3);
  TempFolder folder;
  const auto containers = containers_of(model);
  // I2_S with blocks that straddle rows is read, not written.
  const bool is_multiple_of_128 = model.shape.hidden % 128 == 0 && model.shape.intermediate % 128 == 0;
  for (const Container* from : containers) {
    GgufOptions options;
    options.container = *from;
    const std::string source = folder.file(from->name + ".gguf");
    ASSERT_TRUE(write_gguf(model, options, source).ok());
    for (const Container* to : containers) {
      if (!is_written(*to) || (to->dtype == DType::kI2_S && !is_multiple_of_128) ||
          to->layout.i2s_order != I2sOrder::kX86_128)
        continue;
      ConvertOptions convert_to = with_type(std::string(dtype_name(to->dtype)));
      convert_to.skip_self_check = true;
      convert_to.force = true;
      const std::string message = convert(source, folder.file("to.gguf"), convert_to);
      ASSERT_EQ(message, "") << from->name << " to " << to->name;
      expect_same_numbers(source, folder.file("to.gguf"));
    }
  }
}

TEST_P(RoundTrip, HuggingFaceAndBackIsTheIdentity) {
  const TestModel model = random_model(*GetParam(), 4);
  TempFolder folder;
  GgufOptions options;
  if (model.shape.is_ternary) {
    const auto containers = containers_of(model);
    ASSERT_FALSE(containers.empty());
    options.container = *containers[0];
  }
  ASSERT_TRUE(write_gguf(model, options, folder.file("a.gguf")).ok());
  ConvertOptions to_hf = convert_options();
  to_hf.to_hf = true;
  ASSERT_EQ(convert(folder.file("a.gguf"), folder.file("hf"), to_hf), "");
  ASSERT_EQ(convert(folder.file("hf"), folder.file("b.gguf")), "");
  expect_same_numbers(folder.file("a.gguf"), folder.file("b.gguf"));
  EXPECT_EQ(metadata_of(folder.file("a.gguf")), metadata_of(folder.file("b.gguf")));
  EXPECT_EQ(logits_of(folder.file("a.gguf")), logits_of(folder.file("b.gguf")));
}

INSTANTIATE_TEST_SUITE_P(Shapes, RoundTrip, ::testing::ValuesIn(small_shapes()), [](const auto& info) {
  std::string name = info.param->name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
});

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Every tensor of model.safetensors: type, shape and bytes.
std::map<std::string, std::tuple<DType, std::vector<uint64_t>, std::string>> tensors_in(
    const std::string& folder) {
  std::map<std::string, std::tuple<DType, std::vector<uint64_t>, std::string>> all;
  const std::string bytes = slurp(folder + "/model.safetensors");
  const auto file = parse_safetensors(std::as_bytes(std::span(bytes.data(), bytes.size())));
  EXPECT_TRUE(file.ok());
  if (!file.ok()) return all;
  for (const SafetensorsTensor& t : file->tensors) {
    all[t.name] = {t.dtype, t.shape,
                   std::string(reinterpret_cast<const char*>(t.data.data()), t.data.size())};
  }
  return all;
}

TEST(HuggingFaceRoundTrip, FilesComeBackByteForByte) {
  for (const HfStorage storage : {HfStorage::kPackedMultiply, HfStorage::kPackedDivide}) {
    TempFolder folder;
    TestModel model = random_model(*find_shape("llama-ternary-small"), 9);
    HfOptions options;
    options.storage = storage;
    HfDirectory directory = hf_directory(model, options);
    directory.files["generation_config.json"] = "{ \"do_sample\" : true }\n";
    directory.write(folder.file("a"));
    ASSERT_EQ(convert(folder.file("a"), folder.file("m.gguf")), "");
    ConvertOptions to_hf = convert_options();
    to_hf.to_hf = true;
    ASSERT_EQ(convert(folder.file("m.gguf"), folder.file("b"), to_hf), "");
    for (const char* name : {"config.json", "generation_config.json"}) {
      EXPECT_EQ(slurp(folder.file(std::string("a/") + name)), slurp(folder.file(std::string("b/") + name)))
          << name;
    }
    const auto a = tensors_in(folder.file("a")), b = tensors_in(folder.file("b"));
    ASSERT_EQ(a.size(), b.size());
    for (const auto& [name, tensor] : a) {
      ASSERT_TRUE(b.count(name)) << name;
      // A norm may come back in another float type that holds the same values: the linears never do.
      if (name.find("proj") == std::string::npos) continue;
      EXPECT_TRUE(tensor == b.at(name)) << name;
    }
  }
}

}  // namespace
}  // namespace tern::test
