// SPDX-License-Identifier: MIT
// A training run of some ten seconds to two minutes of CPU time that must reach the entropy of its text: what
// a broken optimizer, schedule or estimator does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/train/small_grammar.h"
#include "tests/train/temporary_folder.h"
#include "train/trainer.h"

namespace tern::train {
namespace {

TEST(LongRun, ReachesTheEntropyOfTheText) {
  const test::TemporaryFolder folder;
  folder.write("text.txt", test::small_grammar(3000));
  const std::string text =
      R"({"model": {"hidden_size": 128, "intermediate_size": 256, "layers": 2, "heads": 4, "kv_heads": 2,
    "context": 64}, "tokenizer": {"vocab_size": 320}, "data": {"sources": [{"path": "text.txt", "separator": "\n\n\n"}],
    "heldout": 0.05}, "optimizer": {"steps": 240, "batch_tokens": 2048, "warmup_steps": 20, "stage1_lr": 4e-3, "stage2_lr": 2e-3,
    "micro_batch_tokens": 1024}, "checkpoint_every": 1000, "eval_every": 240, "eval_rows": 64, "output": "out"})";
  const auto config = parse_train_config(text, folder / "");
  ASSERT_TRUE(config.ok()) << config.error().message;
  const auto prepared = prepare(*config);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  TrainOptions options;
  options.config_text = text;
  options.config_base = folder / "";
  EvalReport last;
  options.on_eval = [&](const EvalReport& report) { last = report; };
  auto trainer = Trainer::create(*config, *prepared, std::move(options));
  ASSERT_TRUE(trainer.ok()) << trainer.error().message;
  const Status status = (*trainer)->run();
  ASSERT_TRUE(status.ok()) << status.error().message;

  // Tokens of the held-out documents: six sentences and an end mark each, which is certain.
  const SourceStats& source = (*trainer)->dataset().sources()[0];
  const double tokens =
      static_cast<double>(source.heldout_tokens) / static_cast<double>(source.heldout_documents);
  const double entropy = test::kSentencesPerDocument * test::nats_per_sentence() / tokens;
  RecordProperty("loss", std::to_string(last.loss));
  RecordProperty("entropy", std::to_string(entropy));
  std::printf("held-out loss %.4f, entropy %.4f nats per token\n", last.loss, entropy);
  EXPECT_LT(last.loss, entropy * 1.10);
  EXPECT_GT(last.loss, entropy * 0.90);  // below it the test itself, or the held-out split, would be wrong
}

}  // namespace
}  // namespace tern::train
