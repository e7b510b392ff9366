// SPDX-License-Identifier: MIT
// Law 3 on whole models: the logits after a given prefix are the same BITS for every container, instruction
// set, number of threads, prompt chunking, batch composition, fork and rollback. Everything is compared by
// memcmp with one run: scalar kernels, one thread, one token per step, one sequence, one container. No
// tolerances here.
//
// What is crossed, to stay within seconds (scalar is slow): containers x instruction sets; instruction sets x
// threads x chunks on long texts; instruction sets x batch compositions. Ops alone are crossed in
// tests/kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <list>

#include "tests/test_data.h"
#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

/// A model under test: a trained one from the test data, or a random shape.
struct Subject {
  const char* name;
  const char* data;           // below data/models, or null: `name` is a shape of random_model
  DType dense = DType::kF32;  // storage of dense projections, embedding and head
  size_t tokens = 200;        // of the long texts
};

void PrintTo(const Subject& s, std::ostream* out) { *out << s.name << " " << dtype_name(s.dense); }

constexpr Subject kSubjects[] = {
    {"stories260K", "stories260K.bin", DType::kF32, 300},
    {"bitllama2_1M", "bitllama2_1M_msb.bin", DType::kF32, 500},
    {"bitllama2_3M", "bitllama2_3M_msb.bin", DType::kF32, 200},
    {"tiny", nullptr, DType::kF16},
    {"bitnet-odd", nullptr, DType::kBF16},
    {"bitnet-ragged", nullptr, DType::kF32},
    {"llama-ternary-small", nullptr, DType::kQ8_0},
    {"llama-dense-tiny", nullptr, DType::kF16},
    {"llama-dense-tiny", nullptr, DType::kBF16},
    {"llama-dense-tiny", nullptr, DType::kQ8_0},
    {"llama-dense-odd", nullptr, DType::kF32},
    {"bitllama-small", nullptr, DType::kF32},
    {"trilm-small", nullptr, DType::kF16, 100},
    {"bonsai-small", nullptr, DType::kF32, 100},
    {"ternary-bonsai-small", nullptr, DType::kF32, 100},
    {"embedding-small", nullptr, DType::kF16, 100},
};

Result<TestModel> make_subject(const Subject& s) {
  if (s.data == nullptr) return random_model(*find_shape(s.name), 7);
  const std::string path = (test_data_dir() / "models" / s.data).string();
  return std::string_view(s.name) == "stories260K" ? import_llama2c(path) : import_bitllama2(path, true);
}

std::span<const float> row(const std::vector<float>& logits, size_t vocab, size_t index) {
  return std::span(logits).subspan(index * vocab, vocab);
}

/// Compares bits; says where the first difference is.
void expect_same_bits(const std::vector<float>& expected, const std::vector<float>& found, size_t vocab,
                      const std::string& what) {
  ASSERT_EQ(expected.size(), found.size()) << what;
  if (std::memcmp(expected.data(), found.data(), expected.size() * sizeof(float)) == 0) return;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::memcmp(&expected[i], &found[i], sizeof(float)) == 0) continue;
    FAIL() << what << ": logit " << i % vocab << " after token " << i / vocab << " is " << found[i]
           << ", expected " << expected[i];
  }
}

/// The logits after each of `tokens`, fed to `sequence` in steps of `chunk`.
std::vector<float> feed_all(Runner& runner, Sequence& sequence, std::span<const int32_t> tokens,
                            size_t chunk) {
  std::vector<float> all;
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const auto part = tokens.subspan(begin, std::min(chunk, tokens.size() - begin));
    const StepInput input{&sequence, part, LogitsWanted::kAll};
    const auto logits = runner.step({&input, 1});
    EXPECT_TRUE(logits.ok()) << logits.error().message;
    if (!logits.ok()) return {};
    all.insert(all.end(), logits->begin(), logits->end());
  }
  return all;
}

std::vector<float> feed_new(Runner& runner, std::span<const int32_t> tokens, size_t chunk) {
  Sequence sequence = runner.new_sequence();
  return feed_all(runner, sequence, tokens, chunk);
}

class EqualityTest : public testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    const Subject& s = GetParam();
    if (s.data != nullptr) {
      TERN_REQUIRE_DATA(source, std::filesystem::path("models") / s.data);
    }
    auto model = make_subject(s);
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = std::move(*model);
    for (const Container& container : ternary_containers()) {
      if (model_.shape.is_ternary ? can_hold(container, model_) : container.name == "i2_s") {
        containers_.push_back(container);
      }
    }
    ASSERT_FALSE(containers_.empty());
  }

  std::unique_ptr<Runner> open(const Container& container, Machine& machine, KvType kv = KvType::kF16) {
    const std::string path = folder_.file(container.name + ".gguf");
    if (!std::filesystem::exists(path)) {
      const Status written = write_gguf(model_, {container, GetParam().dense, GetParam().dense}, path);
      EXPECT_TRUE(written.ok()) << written.error().message;
    }
    auto runner =
        make_runner(path, machine, {.context = 2048, .kv_type = kv, .max_rows = 256, .max_logit_rows = 256},
                    weights_options(container, model_));
    EXPECT_TRUE(runner.ok()) << runner.error().message;
    return runner.ok() ? std::move(*runner) : nullptr;
  }

  std::vector<int32_t> text(size_t count, uint32_t seed) const {
    return test_tokens(count, static_cast<int64_t>(model_.shape.vocab), seed);
  }

  /// The run that all others must repeat.
  std::vector<float> reference(std::span<const int32_t> tokens, KvType kv = KvType::kF16) {
    if (!scalar_ || scalar_->cache().type() != kv) scalar_ = open(containers_[0], scalar_machine_, kv);
    return scalar_ ? feed_new(*scalar_, tokens, 1) : std::vector<float>();
  }

  /// The same run on the fastest kernels, whose equality the tests of instruction sets show.
  std::vector<float> alone(std::span<const int32_t> tokens) {
    if (!fast_) fast_ = open(containers_[0], fast_machine_);
    return fast_ ? feed_new(*fast_, tokens, 1) : std::vector<float>();
  }

  size_t vocab() const { return model_.shape.vocab; }

  TestModel model_;
  std::vector<Container> containers_;
  TempFolder folder_;
  Machine scalar_machine_{"scalar"}, fast_machine_;
  std::unique_ptr<Runner> scalar_, fast_;  // after the machines they run on
};

TEST_P(EqualityTest, EveryContainerOnEveryInstructionSet) {
  const auto tokens = text(96, 1);  // more than one page of the cache
  const auto expected = reference(tokens);
  for (const Container& container : containers_) {
    for (const std::string& isa : runnable_isas()) {
      Machine machine(isa);
      const auto runner = open(container, machine);
      ASSERT_NE(runner, nullptr);
      expect_same_bits(expected, feed_new(*runner, tokens, 32), vocab(), container.name + " on " + isa);
    }
  }
}

/// Each number of threads and each chunk size, not every pair.
const std::vector<std::pair<size_t, std::vector<size_t>>> kSplits = {{1, {3, 64}}, {2, {1, 64}}, {3, {7}}};

TEST_P(EqualityTest, EveryNumberOfThreadsAndChunkSizeOnALongText) {
  const auto tokens = text(GetParam().tokens, 2);
  const auto expected = reference(tokens);
  for (const std::string& isa : runnable_isas()) {
    for (const auto& [threads, chunks] : kSplits) {
      Machine machine(isa, threads);
      const auto runner = open(containers_[0], machine);
      ASSERT_NE(runner, nullptr);
      for (const size_t chunk : chunks) {
        if (isa == "scalar" && chunk != 64) continue;  // its own chunks of 1 are the reference
        expect_same_bits(expected, feed_new(*runner, tokens, chunk), vocab(),
                         fmt::format("{}, {} threads, chunks of {}", isa, threads, chunk));
      }
    }
  }
}

TEST_P(EqualityTest, TheF32CacheOnEveryInstructionSet) {
  const auto tokens = text(130, 3);
  const auto expected = reference(tokens, KvType::kF32);
  for (const std::string& isa : runnable_isas()) {
    Machine machine(isa, 2);
    const auto runner = open(containers_[0], machine, KvType::kF32);
    ASSERT_NE(runner, nullptr);
    expect_same_bits(expected, feed_new(*runner, tokens, 50), vocab(), isa);
  }
}

/// Sequence i has text i, has been fed to its own depth, and goes on together with the others: in step n it
/// gives 1 + (i + n) % 4 tokens, and sits out where (i + n) % 5 == 4.
TEST_P(EqualityTest, AnyCompanyInTheBatch) {
  constexpr size_t kSequences = 6, kLength = 80;
  std::vector<std::vector<int32_t>> texts;
  std::vector<std::vector<float>> expected;
  for (size_t i = 0; i < kSequences; ++i) {
    texts.push_back(text(kLength, static_cast<uint32_t>(10 + i)));
    expected.push_back(alone(texts[i]));
  }
  for (const std::string& isa : runnable_isas()) {
    Machine machine(isa, 2);
    const auto runner = open(containers_[0], machine);
    ASSERT_NE(runner, nullptr);
    for (size_t company = 2; company <= kSequences; ++company) {
      if (isa != runnable_isas().back() && company != 3) continue;
      std::vector<Sequence> sequences;
      std::vector<std::vector<float>> found(company);
      for (size_t i = 0; i < company; ++i) {
        sequences.push_back(runner->new_sequence());
        found[i] =
            feed_all(*runner, sequences[i], std::span(texts[i]).first(i * 13), 64);  // depths 0, 13, ... 65
      }
      for (size_t step = 0; step < 200; ++step) {
        std::vector<StepInput> inputs;
        std::vector<size_t> who;
        for (size_t i = 0; i < company; ++i) {
          const auto done = static_cast<size_t>(sequences[i].length());
          if ((i + step) % 5 == 4 || done == kLength) continue;
          const size_t count = std::min(1 + (i + step) % 4, kLength - done);
          inputs.push_back({&sequences[i], std::span(texts[i]).subspan(done, count), LogitsWanted::kAll});
          who.push_back(i);
        }
        if (inputs.empty()) continue;
        const auto logits = runner->step(inputs);
        ASSERT_TRUE(logits.ok()) << logits.error().message;
        size_t at = 0;
        for (size_t n = 0; n < inputs.size(); ++n) {
          const auto part = logits->subspan(at, inputs[n].tokens.size() * vocab());
          found[who[n]].insert(found[who[n]].end(), part.begin(), part.end());
          at += part.size();
        }
      }
      for (size_t i = 0; i < company; ++i) {
        expect_same_bits(expected[i], found[i], vocab(),
                         fmt::format("{}, sequence {} of {}", isa, i, company));
      }
    }
  }
}

TEST_P(EqualityTest, ForkedSequencesGoOnAsIfAlone) {
  for (const size_t shared : {1, 63, 64, 70}) {  // inside a page, at its end, and past it
    std::vector<std::vector<int32_t>> texts;
    std::vector<std::vector<float>> expected;
    const auto past = text(shared, 20);
    for (uint32_t i = 0; i < 3; ++i) {
      const auto own = text(20, 30 + i);
      texts.push_back(past);
      texts[i].insert(texts[i].end(), own.begin(), own.end());
      expected.push_back(alone(texts[i]));
    }
    Machine machine("auto", 2);
    const auto runner = open(containers_[0], machine);
    ASSERT_NE(runner, nullptr);
    std::vector<Sequence> sequences;
    sequences.push_back(runner->new_sequence());
    feed_all(*runner, sequences[0], past, 64);
    sequences.push_back(sequences[0].fork());
    sequences.push_back(sequences[1].fork());
    for (size_t at = shared; at < shared + 20;
         ++at) {  // all three in one step: each must get its own copy of the page
      std::vector<StepInput> inputs;
      for (size_t i = 0; i < 3; ++i) {
        inputs.push_back({&sequences[i], std::span(texts[i]).subspan(at, 1), LogitsWanted::kAll});
      }
      const auto logits = runner->step(inputs);
      ASSERT_TRUE(logits.ok()) << logits.error().message;
      for (size_t i = 0; i < 3; ++i) {
        const auto e = row(expected[i], vocab(), at);
        const auto f = logits->subspan(i * vocab(), vocab());
        ASSERT_EQ(std::memcmp(e.data(), f.data(), vocab() * sizeof(float)), 0)
            << "sequence " << i << " after token " << at << ", forked at " << shared;
      }
    }
  }
}

TEST_P(EqualityTest, RolledBackIsAsIfItHadNeverBeen) {
  const auto first = text(140, 40), other = text(60, 41);
  Machine machine("auto", 2);
  const auto runner = open(containers_[0], machine);
  ASSERT_NE(runner, nullptr);
  for (const int64_t kept : {0, 1, 63, 64, 65, 128, 139}) {
    std::vector<int32_t> joined(first.begin(), first.begin() + kept);
    joined.insert(joined.end(), other.begin(), other.end());
    const auto expected = alone(joined);

    Sequence sequence = runner->new_sequence();
    auto found = feed_all(*runner, sequence, first, 33);
    sequence.truncate(kept);
    found.resize(static_cast<size_t>(kept) * vocab());
    const auto rest = feed_all(*runner, sequence, other, 11);
    found.insert(found.end(), rest.begin(), rest.end());
    expect_same_bits(expected, found, vocab(), fmt::format("rolled back to {}", kept));
    EXPECT_EQ(sequence.tokens(), joined);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EqualityTest, testing::ValuesIn(kSubjects), [](const auto& info) {
  std::string name = fmt::format("{}_{}", info.param.name, dtype_name(info.param.dense));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Equality, TheLsbFileOfThe3MModelGivesTheBitsOfTheMsbFile) {
  TERN_REQUIRE_DATA(msb, "models/bitllama2_3M_msb.bin");
  TERN_REQUIRE_DATA(lsb, "models/bitllama2_3M_lsb.bin");
  const auto tokens = test_tokens(64, 512);
  TempFolder folder;
  Machine machine;
  std::vector<float> logits[2];
  for (const bool is_msb : {false, true}) {
    const auto model = import_bitllama2((is_msb ? msb : lsb).string(), is_msb);
    ASSERT_TRUE(model.ok()) << model.error().message;
    ASSERT_TRUE(write_gguf(*model, {}, folder.file("m.gguf")).ok());
    const auto runner = make_runner(folder.file("m.gguf"), machine);
    ASSERT_TRUE(runner.ok()) << runner.error().message;
    logits[is_msb] = feed_new(**runner, tokens, 64);
  }
  expect_same_bits(logits[0], logits[1], 512, "lsb against msb");
}

/// The ternary tensors of `whole` as MLX stores them at 2 bits: codes, scales and biases [groups, rows] in
/// f32, the groups of every other row with the signs turned round. `memory` keeps the bytes.
Result<GgufFile> as_mlx(const Weights& whole, std::list<std::vector<std::byte>>& memory) {
  constexpr uint64_t kGroup = 64;
  GgufFile file = whole.gguf();
  file.tensors.clear();
  const auto add = [&](GgufTensorInfo info, DType dtype, std::vector<uint64_t> shape,
                       std::vector<std::byte> bytes) {
    info.dtype = dtype;
    info.shape = std::move(shape);
    info.byte_size = bytes.size();
    info.data = memory.emplace_back(std::move(bytes));
    file.tensors.push_back(std::move(info));
  };
  for (const GgufTensorInfo& tensor : whole.gguf().tensors) {
    if (!is_ternary(tensor.dtype)) {
      file.tensors.push_back(tensor);
      continue;
    }
    TERN_TRY_ASSIGN(const TernaryView view, whole.ternary(tensor));
    std::vector<int8_t> trits(view.rows * view.cols);
    std::vector<float> scales(view.rows), groups, biases;
    TERN_TRY(view.read(0, view.rows, trits.data(), scales.data()));
    for (uint64_t r = 0; r < view.rows; ++r) {
      const float sign = r % 2 == 0 ? 1.0f : -1.0f;
      for (uint64_t c = 0; c < view.cols; ++c)
        trits[r * view.cols + c] = static_cast<int8_t>(trits[r * view.cols + c] * sign);
      groups.insert(groups.end(), view.cols / kGroup, sign * scales[r]);
      biases.insert(biases.end(), view.cols / kGroup, -sign * scales[r]);
    }
    std::vector<std::byte> codes(view.rows * view.cols / 4);
    TERN_TRY(find_codec(DType::kMlx2)->encode(trits.data(), nullptr, view.rows, view.cols, {}, codes));
    add(tensor, DType::kMlx2, {view.cols, view.rows}, std::move(codes));
    const std::string stem = tensor.name.substr(0, tensor.name.rfind(".weight"));
    for (const auto& [suffix, values] : {std::pair(".scales", &groups), {".biases", &biases}}) {
      const auto bytes = std::as_bytes(std::span(*values));
      GgufTensorInfo info = tensor;
      info.name = stem + suffix;
      add(info, DType::kF32, {view.cols / kGroup, view.rows}, {bytes.begin(), bytes.end()});
    }
  }
  TERN_TRY(file.index_names());
  return file;
}

TEST(Equality, MlxGroupsGiveTheBitsOfI2s) {
  for (const char* name : {"tiny", "bitnet-odd", "llama-ternary-small"}) {
    const TestModel model = random_model(*find_shape(name), 5);
    const auto tokens = test_tokens(40, static_cast<int64_t>(model.shape.vocab));
    TempFolder folder;
    Machine machine;
    ASSERT_TRUE(write_gguf(model, {*find_container("i2_s")}, folder.file("m.gguf")).ok());
    const auto whole = Weights::open(folder.file("m.gguf"));
    ASSERT_TRUE(whole.ok()) << whole.error().message;
    std::list<std::vector<std::byte>> memory;
    auto file = as_mlx(**whole, memory);
    ASSERT_TRUE(file.ok()) << file.error().message;
    std::vector<float> logits[2];
    const std::shared_ptr<const Weights> both[] = {*whole, Weights::part(**whole, std::move(*file))};
    for (int i = 0; i < 2; ++i) {
      auto loaded = Model::load(both[i], machine.backend(), {});
      ASSERT_TRUE(loaded.ok()) << loaded.error().message;
      const auto runner = Runner::create(std::move(*loaded), machine.backend(), {});
      ASSERT_TRUE(runner.ok()) << runner.error().message;
      logits[i] = feed_new(**runner, tokens, 16);
    }
    expect_same_bits(logits[0], logits[1], model.shape.vocab, fmt::format("mlx2 of {}", name));
  }
}

/// Containers that round nothing must also agree on the dense parts: random weights fit f16 and bf16 exactly.
TEST(Equality, ExactDenseTypesGiveTheSameBits) {
  const auto tokens = test_tokens(40, 258);
  const TestModel model = random_model(*find_shape("llama-dense-tiny"), 3);
  TempFolder folder;
  std::vector<float> expected;
  for (const std::string& isa : runnable_isas()) {
    Machine machine(isa);
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      ASSERT_TRUE(write_gguf(model, {{}, dtype, dtype}, folder.file("m.gguf")).ok());
      const auto runner = make_runner(folder.file("m.gguf"), machine);
      ASSERT_TRUE(runner.ok()) << runner.error().message;
      const auto found = feed_new(**runner, tokens, 16);
      if (expected.empty()) expected = found;
      expect_same_bits(expected, found, 258, fmt::format("{} on {}", dtype_name(dtype), isa));
    }
  }
}

}  // namespace
}  // namespace tern::test
