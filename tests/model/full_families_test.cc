// SPDX-License-Identifier: MIT
// Random models of the exact shapes of every family, in the containers that they come in: each is written,
// loaded and run by the two fastest instruction sets of this machine, with the same bits for the prompt in
// one step and token by token. Takes minutes and gigabytes; run by ./test --full only (CTest label `full`).
#include <gtest/gtest.h>

#include <cstring>

#include "runtime/sampler.h"
#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

struct FullCase {
  const char *shape, *container;
};
void PrintTo(const FullCase& c, std::ostream* out) { *out << c.shape << " " << c.container; }

constexpr FullCase kCases[] = {{"trilm-99m", "tq1_0"},     {"embedding-0.6b", "i2_s"},
                               {"bitnet-large", "iq2_bn"}, {"bitnet-xl", "i2_s"},
                               {"falcon-e-1b", "i2_s"},    {"falcon3-1b", "i2_s"},
                               {"bonsai-1.7b", "q1_0"},    {"ternary-bonsai-1.7b", "q2_0_g128"},
                               {"bitnet-3b", "i2_s"},      {"trilm-3.9b", "tq2_0"}};

class FullFamilies : public testing::TestWithParam<FullCase> {};

/// The logits after the prompt, fed in steps of `chunk`, and after eight greedy tokens more.
std::vector<float> logits_of(Runner& runner, size_t chunk, std::vector<int32_t>* answer) {
  Sequence sequence = runner.new_sequence();
  const std::vector<int32_t> prompt = test_tokens(12, runner.model().config().vocab_size);
  std::vector<float> all;
  for (size_t at = 0; at < prompt.size(); at += chunk) {
    const size_t count = std::min(chunk, prompt.size() - at);
    const auto logits = runner.feed(sequence, std::span(prompt).subspan(at, count));
    EXPECT_TRUE(logits.ok()) << logits.error().message;
    if (!logits.ok()) return {};
    all.assign(logits->begin(), logits->end());
  }
  for (int i = 0; i < 8; ++i) {
    answer->push_back(greedy_token(std::span<const float>(all).last(runner.model().config().vocab_size)));
    const auto logits = runner.feed(sequence, std::span(*answer).last(1));
    EXPECT_TRUE(logits.ok()) << logits.error().message;
    if (!logits.ok()) return {};
    all.insert(all.end(), logits->begin(), logits->end());
  }
  return all;
}

TEST_P(FullFamilies, LoadsAndRunsWithTheSameBits) {
  const ModelShape& shape = *find_shape(GetParam().shape);
  TempFolder folder;
  const std::string path = folder.file("m.gguf");
  {
    const TestModel model = random_model(shape, 1);
    const auto options = gguf_options(model, GetParam().container, "f16");
    ASSERT_TRUE(options.ok()) << options.error().message;
    const uint64_t disk = std::filesystem::space(std::filesystem::temp_directory_path()).available;
    if (disk < (uint64_t{3} << 30))
      GTEST_SKIP() << "3 GiB of disk needed, " << (disk >> 30) << " GiB available";
    const Status written = write_contents(gguf_contents(model, *options), path);
    ASSERT_TRUE(written.ok()) << written.error().message;
  }
  std::vector<std::string> isas = runnable_isas();
  std::reverse(isas.begin(), isas.end());
  if (isas.size() > 2) isas.resize(2);
  std::vector<float> expected;
  for (const std::string& isa : isas) {
    Machine machine(isa, detect_topology().default_threads);
    const auto runner = make_runner(path, machine, {.context = 256});
    ASSERT_TRUE(runner.ok()) << runner.error().message;
    std::vector<int32_t> answer, again;
    const auto found = logits_of(**runner, 12, &answer);
    ASSERT_FALSE(found.empty());
    if (expected.empty()) {
      expected = found;
      EXPECT_EQ(std::memcmp(found.data(), logits_of(**runner, 5, &again).data(), found.size() * 4), 0);
      const auto [low, high] = std::minmax_element(found.begin(), found.end());
      fmt::print("{}: file {} MB, logits {:.3g} to {:.3g}\n", GetParam().shape,
                 std::filesystem::file_size(path) / 1000000, *low, *high);
      EXPECT_GT(*high - *low, 1);
    }
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size() * 4), 0) << isa;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, FullFamilies, testing::ValuesIn(kCases), [](const auto& info) {
  std::string name = info.param.shape;
  std::replace_if(name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
});

}  // namespace
}  // namespace tern::test
