// SPDX-License-Identifier: MIT
// Runs as a whole: resuming equals not stopping, refusals, exports that tern's engine computes as the trainer
// does.
#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/torch.h>

#include <csignal>
#include <filesystem>

#include "formats/safetensors.h"
#include "formats/ternary/codec.h"
#include "tests/tools/test_machine.h"
#include "tests/train/small_grammar.h"
#include "tests/train/temporary_folder.h"
#include "train/saved_run.h"

namespace tern::train {
namespace {

using test::TemporaryFolder;
using ::testing::HasSubstr;

class TrainerTest : public testing::Test {
 protected:
  TrainConfig config(const std::string& output, const std::string& more = {}) {
    folder_.write("text.txt", test::small_grammar(200));
    text_ =
        R"({"name": "t", "model": {"hidden_size": 128, "intermediate_size": 256, "layers": 2, "heads": 4, "kv_heads": 2,
      "context": 32}, "tokenizer": {"vocab_size": 300}, "data": {"sources": [{"path": "text.txt", "separator": "\n\n\n"}], "heldout": 0.1},
      "optimizer": {"steps": 6, "batch_tokens": 256, "warmup_steps": 2, "micro_batch_tokens": 64}, "checkpoint_every": 2,
      "eval_every": 3, "eval_rows": 4, "dtype": ")" +
        dtype_ + "\"" + more + R"(, "output": ")" + output + "\"}";
    const auto parsed = parse_train_config(text_, folder_ / "");
    EXPECT_TRUE(parsed.ok()) << parsed.error().message;
    return *parsed;
  }

  Result<std::unique_ptr<Trainer>> open(const TrainConfig& config, bool resume = false,
                                        int64_t stop_after = -1) {
    TERN_TRY_ASSIGN(const Prepared prepared, prepare(config));
    TrainOptions options;
    options.resume = resume;
    options.stop_after = stop_after;
    options.config_text = text_;
    options.config_base = folder_ / "";
    return Trainer::create(config, prepared, std::move(options));
  }

  void run(const TrainConfig& config, bool resume = false, int64_t stop_after = -1) {
    auto trainer = open(config, resume, stop_after);
    ASSERT_TRUE(trainer.ok()) << trainer.error().message;
    const Status status = (*trainer)->run();
    ASSERT_TRUE(status.ok()) << status.error().message;
  }

  std::string checkpoint(const std::string& output, int step) {
    return folder_ / fmt::format("{}/checkpoint-{:07}.safetensors", output, step);
  }

  /// Tensors of a checkpoint as bytes; the configuration text beside them names the output folder.
  std::string tensors_of(const std::string& path) {
    const std::string bytes = TemporaryFolder::read(path);
    const auto file = parse_safetensors(std::as_bytes(std::span(bytes)));
    EXPECT_TRUE(file.ok());
    std::string out;
    for (const SafetensorsTensor& t : file->tensors) {
      out += t.name + std::string(reinterpret_cast<const char*>(t.data.data()), t.data.size());
    }
    return out;
  }

  TemporaryFolder folder_;
  std::string text_, dtype_ = "f32";
};

TEST_F(TrainerTest, TwoThreadsGiveTheBitsOfOne) {
  dtype_ = "bf16";  // f32 products run on one thread
  TrainConfig one = config("one"), two = config("two");
  one.threads = 1, two.threads = 2;
  run(one);
  run(two);
  EXPECT_EQ(tensors_of(checkpoint("one", 6)), tensors_of(checkpoint("two", 6)));
}

TEST_F(TrainerTest, ResumingEqualsNotStopping) {
  run(config("whole"));
  TrainConfig parts = config("parts");
  parts.threads = 1;
  run(parts, false, 3);
  parts.threads = 2;  // another number of threads gives the same bits too
  run(parts, true, 1);
  run(parts, true);
  EXPECT_EQ(tensors_of(checkpoint("whole", 6)), tensors_of(checkpoint("parts", 6)));
  // Two checkpoints are kept.
  EXPECT_TRUE(std::filesystem::exists(checkpoint("parts", 4)));
  EXPECT_FALSE(std::filesystem::exists(checkpoint("parts", 3)));
  // Logs hold each step once.
  const std::string log = TemporaryFolder::read(folder_ / "parts/loss.csv");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 7);
  EXPECT_THAT(TemporaryFolder::read(folder_ / "parts/loss.svg"), HasSubstr("<svg"));
  EXPECT_THAT(TemporaryFolder::read(folder_ / "parts/eval.csv"), HasSubstr(",all\n"));
}

TEST_F(TrainerTest, BeginsWithTheWeightsOfAnotherRun) {
  run(config("first"));
  // No step: what the new run starts with is what the old one ended with.
  TrainConfig second = config("second", R"(, "init": "first")");
  EXPECT_EQ(second.tokenizer.path, folder_ / "first/tokenizer.json");
  auto trainer = open(second);
  ASSERT_TRUE(trainer.ok()) << trainer.error().message;
  EXPECT_EQ((*trainer)->step(), 0);
  auto old = open(config("first"), true);
  ASSERT_TRUE(old.ok());
  EXPECT_TRUE(torch::equal((*trainer)->model().values(), (*old)->model().values()));
  run(second);  // and it trains
  // A run that was interrupted goes on from its own checkpoint, not from the old weights.
  EXPECT_EQ((*open(second, true))->step(), 6);

  const auto other = open(config("third", R"(, "init": "first/checkpoint-0000099.safetensors")"));
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().message, HasSubstr("0000099"));
}

TEST_F(TrainerTest, Refusals) {
  const TrainConfig first = config("run");
  run(first, false, 2);
  auto again = open(first);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::kUsage);
  EXPECT_THAT(again.error().message, HasSubstr("--resume"));

  TrainConfig other_data = first;
  other_data.data.seed = 99;
  again = open(other_data, true);
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.error().message, HasSubstr("data"));

  TrainConfig wider = first;
  wider.model.intermediate_size = 384;
  again = open(wider, true);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(again.error().message, HasSubstr("another model"));

  TrainConfig explosive = config("explosive");
  explosive.ternary = false;
  explosive.optimizer.stage1_lr = 1e30;
  explosive.optimizer.grad_clip = 0;
  auto trainer = open(explosive);
  ASSERT_TRUE(trainer.ok());
  const Status status = (*trainer)->run();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kNumeric);
}

TEST_F(TrainerTest, AFullDiskLeavesTheLastCheckpoint) {
  const TrainConfig c = config("run");
  run(c, false, 2);
  const std::string before = TemporaryFolder::read(checkpoint("run", 2));
  auto trainer = open(c, true);
  ASSERT_TRUE(trainer.ok());
  struct rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit small = old;
  small.rlim_cur = 64 * 1024;  // less than a checkpoint: the write fails as on a full disk
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = (*trainer)->run();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("checkpoint-"));
  EXPECT_EQ(TemporaryFolder::read(checkpoint("run", 2)), before);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "run")) {
    files += entry.path().filename().string().starts_with("checkpoint-") ? 1 : 0;
  }
  EXPECT_EQ(files, 1);
  run(c, true);  // and the run goes on from it
}

/// Logits [tokens, vocab] of the engine.
std::vector<float> engine_logits(const std::string& path, std::span<const int32_t> tokens) {
  test::Machine machine;
  auto runner = test::make_runner(path, machine);
  EXPECT_TRUE(runner.ok()) << runner.error().message;
  Sequence sequence = (*runner)->new_sequence();
  const StepInput input{&sequence, tokens, LogitsWanted::kAll};
  const auto logits = (*runner)->step(std::span(&input, 1));
  EXPECT_TRUE(logits.ok()) << logits.error().message;
  return {logits->begin(), logits->end()};
}

Tensor trainer_logits(const SavedRun& run, const std::vector<int32_t>& tokens) {
  torch::NoGradGuard no_grad;
  Batch batch;
  batch.rows = 1;
  batch.context = static_cast<int32_t>(tokens.size());
  batch.tokens = tokens;
  batch.segments.assign(tokens.size(), 0);
  return run.model.logits(run.model.quantize(torch::kFloat), batch);
}

TEST_F(TrainerTest, TheEngineComputesTheTrainersLogits) {
  for (const bool ternary : {true, false}) {
    run(config(ternary ? "ternary" : "plain", ternary ? "" : R"(, "ternary": false)"));
    auto saved = open_saved_run(folder_ / (ternary ? "ternary" : "plain"));
    ASSERT_TRUE(saved.ok()) << saved.error().message;
    const ExportModel model = export_model_of(*saved);
    EncodeOptions plain;
    plain.add_bos = false;
    std::vector<int32_t> tokens = saved->tokenizer->encode("the cat sees the river. a fox likes", plain);
    tokens.resize(std::min<size_t>(tokens.size(), 30));
    const Tensor expected = trainer_logits(*saved, tokens);
    for (const std::string& type :
         ternary ? std::vector<std::string>{"i2_s", "iq2_bn"} : std::vector<std::string>{"f32"}) {
      ExportOptions options;
      options.type = type;
      options.embedding = "f32";
      const std::string path = folder_ / (type + ".gguf");
      const Status status = export_model(model, options, path);
      ASSERT_TRUE(status.ok()) << status.error().message;
      const std::vector<float> got = engine_logits(path, tokens);
      ASSERT_EQ(static_cast<int64_t>(got.size()), expected.numel());
      const Tensor logits = torch::from_blob(const_cast<float*>(got.data()), expected.sizes());
      // Both compute in f32, in other orders. Without int8 that is all: about 1e-6 of the logits, which are
      // below 10. With int8, a value within that distance of a rounding edge may take the next integer: one
      // step of 127 in one input of one linear, 1/127 of a value among 128 and more that add up with random
      // signs, 1e-3 of its output; some of the 4,000 inputs of a token do so, so 0.02 bounds the sum of them.
      const double tolerance = ternary ? 0.02 : 1e-4;
      const Tensor error = (logits - expected).abs();
      EXPECT_LT(error.max().item<double>(), tolerance) << type;
      EXPECT_LT(error.mean().item<double>(), 1e-3) << type;  // measured 1e-7 where nothing tips over
      EXPECT_TRUE(torch::equal(logits.argmax(1), expected.argmax(1))) << type;
    }
  }
}

TEST_F(TrainerTest, HuggingFaceFilesHoldTheTritsAndTheWeights) {
  run(config("run"));
  auto saved = open_saved_run(folder_ / "run");
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  const ExportModel model = export_model_of(*saved);
  ExportOptions options;
  options.to_hf = true;
  ASSERT_TRUE(export_model(model, options, folder_ / "packed").ok());
  options.master = true;
  ASSERT_TRUE(export_model(model, options, folder_ / "master").ok());
  const std::string packed_bytes = TemporaryFolder::read(folder_ / "packed/model.safetensors"),
                    master_bytes = TemporaryFolder::read(folder_ / "master/model.safetensors");
  const auto packed = parse_safetensors(std::as_bytes(std::span(packed_bytes)));
  const auto master = parse_safetensors(std::as_bytes(std::span(master_bytes)));
  ASSERT_TRUE(packed.ok() && master.ok());
  for (const ExportTensor& t : model.tensors) {
    const SafetensorsTensor *p = packed->find(t.name), *m = master->find(t.name);
    ASSERT_TRUE(p != nullptr && m != nullptr) << t.name;
    EXPECT_EQ(m->dtype, t.rows == 0 ? DType::kF32 : DType::kBF16);
    if (!t.ternary) continue;
    std::vector<int8_t> trits(t.rows * t.cols);
    ASSERT_TRUE(
        find_codec(DType::kHfU8)->decode(p->data, t.rows, t.cols, 0, t.rows, {}, trits.data(), nullptr).ok());
    EXPECT_EQ(trits, t.trits) << t.name;
    float scale = 0;
    std::memcpy(&scale, packed->find(t.name + "_scale")->data.data(), sizeof scale);
    EXPECT_EQ(scale, t.scale);
  }
  EXPECT_THAT(TemporaryFolder::read(folder_ / "packed/config.json"), HasSubstr("autobitlinear"));
  EXPECT_THAT(TemporaryFolder::read(folder_ / "packed/tokenizer_config.json"), HasSubstr("chat_template"));
  EXPECT_EQ(TemporaryFolder::read(folder_ / "packed/tokenizer.json"), saved->tokenizer_json);
}

}  // namespace
}  // namespace tern::train
