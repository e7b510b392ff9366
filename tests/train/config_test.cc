// SPDX-License-Identifier: MIT
// A configuration is read completely, and every way of writing it wrongly is refused with its JSON path.
#include "train/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tern::train {
namespace {

using ::testing::HasSubstr;

constexpr const char* kSmall = R"({
  "model": {"hidden_size": 64, "intermediate_size": 128, "layers": 2, "heads": 4},
  "data": {"sources": [{"path": "a.txt"}]},
  "optimizer": {"steps": 10},
  "output": "out"
})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

std::string message_of(const std::string& json) {
  const auto config = parse_train_config(json, "");
  return config.ok() ? "no error" : config.error().message;
}

TEST(TrainConfig, DefaultsAndRelativePaths) {
  const auto config = parse_train_config(kSmall, "/base/dir");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->model.kv_heads, 4);
  EXPECT_EQ(config->model.head_dim, 16);
  EXPECT_EQ(config->model.context, 512);
  EXPECT_EQ(config->data.sources[0].path, "/base/dir/a.txt");
  EXPECT_EQ(config->data.sources[0].format, "plain");
  EXPECT_EQ(config->output, "/base/dir/out");
  EXPECT_EQ(config->name, "out");
  EXPECT_EQ(config->optimizer.warmup_steps, 10);  // no more than there are steps
  EXPECT_EQ(config->optimizer.micro_batch_tokens, config->optimizer.batch_tokens);
  EXPECT_EQ(config->rows_per_step(), 32);
  EXPECT_TRUE(config->ternary);
}

TEST(TrainConfig, EveryKeyArrives) {
  const auto config = parse_train_config(R"({
    "model": {"hidden_size": 96, "intermediate_size": 200, "layers": 3, "heads": 6, "kv_heads": 2, "head_dim": 32,
              "context": 128, "rope_theta": 5e5, "rms_norm_eps": 1e-6, "tie_embeddings": false},
    "data": {"heldout": 0.25, "seed": 77, "sources": [
      {"path": "/x/*.txt", "kind": "text", "weight": 0.5, "format": "plain", "separator": "\n\n\n", "heldout": 0, "lossy": true},
      {"path": "/y", "kind": "chat", "weight": 2, "format": "jsonl"}]},
    "tokenizer": {"vocab_size": 1000, "pre": "llama-bpe", "special": ["<|tool|>"]},
    "optimizer": {"stage1_lr": 1, "stage2_lr": 0.5, "final_lr": 0.25, "stage1_weight_decay": 0.2,
                  "stage2_weight_decay": 0.01, "stage_boundary": 0.75, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6,
                  "steps": 500, "warmup_steps": 7, "batch_tokens": 1024, "micro_batch_tokens": 512, "grad_clip": 3},
    "checkpoint_every": 11, "eval_every": 12, "eval_rows": 13, "output": "/o", "name": "n", "threads": 2,
    "dtype": "bf16", "ternary": false, "seed": 9
  })",
                                         "/base");
  ASSERT_TRUE(config.ok()) << config.error().message;
  const ModelShape& m = config->model;
  EXPECT_EQ(m.hidden_size, 96);
  EXPECT_EQ(m.intermediate_size, 200);
  EXPECT_EQ(m.layers, 3);
  EXPECT_EQ(m.heads, 6);
  EXPECT_EQ(m.kv_heads, 2);
  EXPECT_EQ(m.head_dim, 32);
  EXPECT_EQ(m.context, 128);
  EXPECT_EQ(m.rope_theta, 5e5);
  EXPECT_EQ(m.rms_norm_eps, 1e-6);
  EXPECT_FALSE(m.tie_embeddings);
  const DataSource& text = config->data.sources[0];
  EXPECT_EQ(text.path, "/x/*.txt");
  EXPECT_EQ(text.weight, 0.5);
  EXPECT_EQ(text.separator, "\n\n\n");
  EXPECT_EQ(text.heldout, 0.0);
  EXPECT_TRUE(text.lossy);
  const DataSource& chat = config->data.sources[1];
  EXPECT_EQ(chat.kind, SourceKind::kChat);
  EXPECT_EQ(chat.format, "jsonl");
  EXPECT_EQ(chat.heldout, std::nullopt);
  EXPECT_EQ(config->data.heldout, 0.25);
  EXPECT_EQ(config->data.seed, 77u);
  EXPECT_EQ(config->tokenizer.vocab_size, 1000);
  EXPECT_EQ(config->tokenizer.pre, "llama-bpe");
  EXPECT_EQ(config->tokenizer.special, std::vector<std::string>{"<|tool|>"});
  const OptimizerConfig& o = config->optimizer;
  EXPECT_EQ(std::tie(o.stage1_lr, o.stage2_lr, o.final_lr), std::make_tuple(1.0, 0.5, 0.25));
  EXPECT_EQ(std::tie(o.stage1_weight_decay, o.stage2_weight_decay), std::make_tuple(0.2, 0.01));
  EXPECT_EQ(std::tie(o.stage_boundary, o.beta1, o.beta2, o.epsilon), std::make_tuple(0.75, 0.8, 0.99, 1e-6));
  EXPECT_EQ(std::tie(o.steps, o.warmup_steps, o.batch_tokens, o.micro_batch_tokens),
            std::make_tuple(500, 7, 1024, 512));
  EXPECT_EQ(o.grad_clip, 3);
  EXPECT_EQ(std::tie(config->checkpoint_every, config->eval_every, config->eval_rows),
            std::make_tuple(11, 12, 13));
  EXPECT_EQ(config->output, "/o");
  EXPECT_EQ(config->name, "n");
  EXPECT_EQ(config->threads, 2);
  EXPECT_EQ(config->dtype, TrainDtype::kBf16);
  EXPECT_FALSE(config->ternary);
  EXPECT_EQ(config->seed, 9u);
}

TEST(TrainConfig, WrongMembersAreRefusedWithTheirPath) {
  const struct {
    const char *from, *to, *expected;
  } cases[] = {
      {"\"layers\": 2", "\"layers\": 2.5", "$.model.layers: expected an integer from 1 to 1024, found 2.5"},
      {"\"layers\": 2", "\"layers\": 0", "$.model.layers: expected an integer"},
      {"\"layers\": 2", "\"layers\": \"2\"", "$.model.layers: expected an integer"},
      {"\"layers\": 2", "\"layers\": 2, \"layers\": 3", "$.model: \"layers\" stands there twice"},
      {"\"layers\": 2", "\"Layers\": 2", "$.model: no \"layers\""},
      {"\"layers\": 2", "\"layers\": 2, \"speed\": 9", "$.model: unknown key \"speed\""},
      {"\"heads\": 4", "\"heads\": 4, \"kv_heads\": 3",
       "$.model.kv_heads: expected a divisor of heads (4), found 3"},
      {"\"heads\": 4", "\"heads\": 5", "$.model.head_dim: needed"},
      {"\"heads\": 4", "\"heads\": 4, \"head_dim\": 3", "$.model.head_dim: expected an even number"},
      {"\"heads\": 4", "\"heads\": 4, \"tie_embeddings\": 1",
       "$.model.tie_embeddings: expected true or false"},
      {"\"hidden_size\": 64", "\"hidden_size\": 60",
       "$.model.hidden_size: expected a multiple of 8, found 60"},
      {"{\"path\": \"a.txt\"}", "", "$.data.sources: expected a list of at least one source"},
      {"{\"path\": \"a.txt\"}", "7", "$.data.sources[0]: expected an object, found 7"},
      {"{\"path\": \"a.txt\"}", "{}", "$.data.sources[0]: no \"path\""},
      {"{\"path\": \"a.txt\"}", "{\"path\": \"\"}", "$.data.sources[0].path"},
      {"\"a.txt\"}", "\"a\"}, {\"path\": \"b\", \"kind\": \"prose\"}",
       "$.data.sources[1].kind: expected one of \"text\" \"chat\", found \"prose\""},
      {"\"a.txt\"", "\"a\", \"kind\": \"chat\", \"format\": \"plain\"",
       "$.data.sources[0].format: expected one of \"jsonl\""},
      {"\"a.txt\"", "\"a\", \"kind\": \"chat\", \"separator\": \"x\"", "$.data.sources[0].separator"},
      {"\"a.txt\"", "\"a\", \"weight\": -1", "$.data.sources[0].weight: expected a number from 0"},
      {"\"a.txt\"", "\"a\", \"weight\": 0", "$.data.sources: every weight is 0"},
      {"\"a.txt\"", "\"a\", \"heldout\": 1.5", "$.data.sources[0].heldout: expected a number from 0 to 1"},
      {"\"steps\": 10", "\"steps\": 10, \"beta2\": 1", "$.optimizer.beta2"},
      {"\"steps\": 10", "\"steps\": 10, \"warmup_steps\": 11", "$.optimizer.warmup_steps"},
      {"\"steps\": 10", "\"steps\": 10, \"batch_tokens\": 1000",
       "$.optimizer.batch_tokens: expected a multiple"},
      {"\"steps\": 10", "\"steps\": 10, \"micro_batch_tokens\": 1536", "$.optimizer.micro_batch_tokens"},
      {"\"steps\": 10", "\"beta1\": 0.5", "$.optimizer: no \"steps\""},
      {"\"out\"", "\"\"", "$.output: expected a folder"},
      {"\"out\"", "\"o\", \"dtype\": \"f16\"",
       "$.dtype: expected one of \"auto\" \"f32\" \"bf16\", found \"f16\""},
      {"\"out\"", "\"o\", \"tokenizer\": {\"vocab_size\": 100}",
       "$.tokenizer.vocab_size: expected an integer from 260"},
      {"\"out\"", "\"o\", \"tokenizer\": {\"special\": [1]}", "$.tokenizer.special: expected strings"},
      {"\"out\"", "\"o\", \"seed\": -1", "$.seed"},
      {"\"output\"", "\"outptu\"", "$: no \"output\""},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(message_of(replaced(kSmall, c.from, c.to)), HasSubstr(c.expected)) << c.to;
  }
  EXPECT_THAT(message_of("[1]"), HasSubstr("$: expected an object"));
  EXPECT_THAT(message_of("{"), HasSubstr("not JSON"));
  EXPECT_THAT(message_of(""), HasSubstr("not JSON"));
}

// A hostile value cannot forge a second line.
TEST(TrainConfig, MessagesStayOneLine) {
  const std::string message = message_of(replaced(kSmall, "\"layers\"", "\"a\\nb\": 1, \"layers\""));
  EXPECT_THAT(message, HasSubstr("unknown key"));
  EXPECT_EQ(message.find('\n'), message.npos);
}

}  // namespace
}  // namespace tern::train
