// SPDX-License-Identifier: MIT
// What tern bench and tern profile compute from a run: labels of ops, sums, statistics, another engine's
// rate, energy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "bench/energy.h"
#include "bench/peer.h"
#include "bench/roof.h"
#include "bench/speed.h"
#include "bench/trace.h"
#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Summary, KnownValues) {
  const Summary odd = summarize({4, 1, 7});
  EXPECT_DOUBLE_EQ(odd.median, 4);
  EXPECT_DOUBLE_EQ(odd.mean, 4);
  EXPECT_DOUBLE_EQ(odd.deviation, 3);
  EXPECT_DOUBLE_EQ(odd.min, 1);
  EXPECT_DOUBLE_EQ(odd.max, 7);
  EXPECT_DOUBLE_EQ(summarize({1, 2, 3, 10}).median, 2.5);
  EXPECT_DOUBLE_EQ(summarize({5}).deviation, 0);
}

TEST(Peer, PlaceholdersAreFilledIn) {
  const SpeedCase what{.prompt = 512, .depth = 7, .chunk_rows = 128, .threads = 2};
  EXPECT_EQ(fill_command("b -p {p} -n {n} -d {d} -t {t} -b {b} -np {np} {x} {", what),
            "b -p 512 -n 0 -d 7 -t 2 -b 128 -np 1 {x} {");
}

TEST(Peer, RatesOfKnownOutputs) {
  EXPECT_DOUBLE_EQ(*parse_rate(R"([{"n_prompt": 512, "avg_ts": 128.5, "stddev_ts": 1.5}])"), 128.5);
  EXPECT_DOUBLE_EQ(
      *parse_rate("| bitnet 2B | 1.1 GiB | CPU | 2 | tg64 | 21.25 ± 0.31 |\n\nbuild: 1234567 (42)\n"), 21.25);
  EXPECT_DOUBLE_EQ(*parse_rate("tokens per second: 17\n"), 17);
  EXPECT_FALSE(parse_rate("no number").ok());
  EXPECT_FALSE(parse_rate("").ok());
  EXPECT_FALSE(parse_rate("\"avg_ts\": -3").ok());
  EXPECT_FALSE(parse_rate("\"avg_ts\":").ok());
}

TEST(Peer, FailingCommandsAreErrors) {
  EXPECT_DOUBLE_EQ(*run_peer("echo 12.5"), 12.5);
  EXPECT_THAT(run_peer("echo 3; exit 4").error().message, HasSubstr("status 4"));
  EXPECT_THAT(run_peer("kill -9 $$").error().message, HasSubstr("signal 9"));
}

TEST(Energy, CountersAndTheirWrap) {
  const TempFolder folder;
  auto write = [&](const std::string& name, const char* file, uint64_t value) {
    std::filesystem::create_directories(folder.file(name));
    std::ofstream(folder.file(name) + "/" + file) << value << '\n';
  };
  for (const char* package : {"intel-rapl:0", "intel-rapl:1"}) {
    write(package, "energy_uj", 900'000);
    write(package, "max_energy_range_uj", 1'000'000);
  }
  write("intel-rapl:0:0", "energy_uj", 5);  // a part of package 0
  write("intel-rapl:0:0", "max_energy_range_uj", 1'000'000);
  EnergyMeter meter(folder.file(""));
  ASSERT_TRUE(meter.is_available());
  write("intel-rapl:0", "energy_uj", 950'000);
  write("intel-rapl:1", "energy_uj", 100'000);  // wrapped
  EXPECT_NEAR(*meter.joules(), 0.05 + 0.2, 1e-9);
  EXPECT_NEAR(*meter.joules(), 0, 1e-9);
  EXPECT_FALSE(EnergyMeter(folder.file("none")).joules().has_value());
}

/// One recorded run of the tiny model.
class RecordTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(write_gguf(random_model(*find_shape("tiny"), 1), {}, folder_.file("m.gguf")).ok());
    auto weights = Weights::open(folder_.file("m.gguf"));
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    auto context = Context::create({.threads = 1, .pin = false});
    ASSERT_TRUE(context.ok()) << context.error().message;
    context_ = std::move(*context);
    auto model = Model::load(*weights, context_->backend(), {});
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = *model;
  }
  std::vector<OpEvent> record(const SpeedCase& what) {
    auto run = SpeedRun::create(what, model_, *context_, std::nullopt);
    EXPECT_TRUE(run.ok());
    EXPECT_TRUE((*run)->run().ok());  // not recorded
    auto events = (*run)->record();
    EXPECT_TRUE(events.ok());
    return *events;
  }

  TempFolder folder_;
  std::unique_ptr<Context> context_;
  std::shared_ptr<const Model> model_;
};

TEST_F(RecordTest, EveryOpOfAStepHasItsLayerAndName) {
  constexpr int64_t kSteps = 3;
  const auto events = record({.predict = kSteps, .depth = 5});
  const int64_t layers = model_->config().num_layers;
  std::map<std::string, int64_t> calls;
  std::set<int64_t> seen;
  for (const OpEvent& event : events) {
    ++calls[std::string(event.name)];
    seen.insert(event.layer);
    EXPECT_LE(event.begin_us, event.end_us);
    EXPECT_TRUE(event.op != OpClass::kTernary || event.layer >= 0);
  }
  for (const char* name :
       {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "attention"}) {
    EXPECT_EQ(calls[name], layers * kSteps) << name;
  }
  EXPECT_EQ(calls["output"], kSteps);
  EXPECT_EQ(calls["embed"], kSteps);
  EXPECT_EQ(seen.size(), static_cast<size_t>(layers) + 1) << "each layer, and -1";
}

TEST_F(RecordTest, SumsKeepTheBytesAndOperations) {
  const auto events = record({.prompt = 10, .chunk_rows = 4});  // three chunks
  double bytes = 0, operations = 0;
  for (const OpEvent& event : events) bytes += event.bytes, operations += event.operations;
  double share_bytes = 0, share_operations = 0;
  for (const ClassShare& share : shares_of(events, 1))
    share_bytes += share.bytes, share_operations += share.operations;
  EXPECT_NEAR(share_bytes, bytes, 1e-6 * bytes);
  EXPECT_NEAR(share_operations, operations, 1e-6 * operations);
  // The products of ten tokens, counted from the shapes; the head runs for the last token only.
  double expected = 0;
  for (const Layer& layer : model_->layers()) {
    for (const Linear* linear :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      expected += 2.0 * 10 * static_cast<double>(linear->rows() * linear->cols());
    }
  }
  double ternary = 0;
  for (const OpEvent& event : events) ternary += event.op == OpClass::kTernary ? event.operations : 0;
  EXPECT_DOUBLE_EQ(ternary, expected);
}

TEST_F(RecordTest, SequencesOfABatchReadTheirOwnCache) {
  const auto events = record({.predict = 1, .depth = 63, .sequences = 3});
  const Config& c = model_->config();
  const double element = default_kv_type(c) == KvType::kF16 ? 2 : 4;
  for (const OpEvent& event : events) {
    if (event.op != OpClass::kAttention) continue;
    EXPECT_EQ(event.rows, 3);
    EXPECT_DOUBLE_EQ(event.bytes, 3.0 * 64 * static_cast<double>(c.num_kv_heads * c.head_dim) * 2 * element);
  }
}

TEST_F(RecordTest, TracesAreWhatViewersRead) {
  const auto events = record({.predict = 2});
  const auto trace = chrome_trace(events, "m");
  size_t ops = 0;
  for (const auto& event : trace["traceEvents"])
    ops += event.value("tid", 0) == 2 && event["ph"] == "X" ? 1 : 0;
  EXPECT_EQ(ops, events.size());
  const std::string folded = folded_stacks(events);
  EXPECT_THAT(folded, HasSubstr("tern;layer 0;ffn_down "));
  EXPECT_THAT(folded, HasSubstr("tern;outside of layers;output "));
  const auto lines = profile_lines(events, 1e30);
  for (size_t i = 1; i < lines.size(); ++i) EXPECT_GE(lines[i - 1].seconds, lines[i].seconds);
  for (const ProfileLine& line : lines)
    EXPECT_FALSE(line.is_memory_bound) << "nothing reaches half of that roof";
}

TEST(Roof, FiguresArePositive) {
  auto context = Context::create({.threads = 1, .pin = false});
  ASSERT_TRUE(context.ok());
  const auto bandwidth = measure_read_bandwidth((*context)->pool(), 1 << 20, 3);
  ASSERT_TRUE(bandwidth.ok());
  EXPECT_GT(*bandwidth, 0);
  const auto rate = measure_ternary_rate((*context)->backend(), 1);
  ASSERT_TRUE(rate.ok());
  EXPECT_GT(*rate, 0);
}

}  // namespace
}  // namespace tern::test
