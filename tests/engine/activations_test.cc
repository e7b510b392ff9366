// SPDX-License-Identifier: MIT
// Counts of zeros against a recount from what the kernels were given, row by row, and from the trits that the
// model was made of; for every kind of input (int8, 16 bits, norms inside linears, a ternary head, none).
#include "engine/activations.h"

#include <gtest/gtest.h>

#include "tests/tools/recording_backend.h"
#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

/// Keeps, beside the integers of each quantisation, how many values of each gate call are zero.
class GateRecorder final : public RecordingBackend {
 public:
  using RecordingBackend::RecordingBackend;
  std::vector<int64_t> zero_gates, zero_products;

  void gate(GateKind kind, const float* g, const float* u, int64_t count, float* out) override {
    int64_t zero = 0;
    for (int64_t i = 0; i < count; ++i) {
      const float r = g[i] > 0 ? g[i] : 0;
      if (r * r == 0) ++zero;
    }
    zero_gates.push_back(zero);
    RecordingBackend::gate(kind, g, u, count, out);
    zero = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (out[i] == 0) ++zero;
    }
    zero_products.push_back(zero);
  }
};

int64_t zeros(const std::vector<int32_t>& values) {
  int64_t count = 0;
  for (const int32_t value : values) {
    if (value == 0) ++count;
  }
  return count;
}

bool same(const ZeroCount& a, const ZeroCount& b) { return a.zeros == b.zeros && a.total == b.total; }

/// The report that the definitions give, from one-row steps.
class Recount {
 public:
  Recount(const TestModel& source, std::shared_ptr<const Model> model, Machine& machine)
      : source_(source), model_(std::move(model)), backend_(machine.backend()) {
    report_.layers.resize(model_->layers().size());
  }

  ActivationReport run(const std::vector<int32_t>& tokens, int64_t window, int32_t first) {
    count_weights();
    const size_t step = static_cast<size_t>(window) - (first >= 0 ? 1 : 0);
    for (size_t begin = 0; begin < tokens.size(); begin += step) {
      RunnerOptions options;
      options.context = window;
      const auto runner = Runner::create(model_, backend_, options).value();
      Sequence sequence = runner->new_sequence();
      if (first >= 0) row(*runner, sequence, first);
      for (size_t i = begin; i < std::min(tokens.size(), begin + step); ++i)
        row(*runner, sequence, tokens[i]);
    }
    return report_;
  }

 private:
  void count_weights() {
    for (size_t i = 0; i < report_.layers.size(); ++i) {
      for (size_t n = 0; n < kLayerLinears.size(); ++n) {
        add_tensor(fmt::format("blk.{}.{}.weight", i, kLayerLinears[n]), report_.layers[i].linears[n]);
      }
    }
    if (model_->head().ternary) {
      add_tensor(source_.shape.is_tied ? "token_embd.weight" : "output.weight", report_.head);
    }
  }
  void add_tensor(const std::string& name, LinearZeros& zeros_of_linear) {
    const TestTensor& tensor = source_.tensor(name);
    if (!tensor.is_ternary()) return;
    for (const int8_t trit : tensor.trits()) {
      zeros_of_linear.weights += {trit == 0 ? 1 : 0, 1};
    }
  }

  void row(Runner& runner, Sequence& sequence, int32_t token) {
    backend_.recorded.clear();
    backend_.zero_gates.clear();
    backend_.zero_products.clear();
    const bool has_head = model_->head().ternary != nullptr;
    const StepInput input{&sequence, {&token, 1}, has_head ? LogitsWanted::kLast : LogitsWanted::kNone};
    ASSERT_TRUE(runner.step({&input, 1}).ok());
    ++report_.tokens;
    size_t next = 0;
    for (size_t i = 0; i < report_.layers.size(); ++i) {
      LayerZeros& layer = report_.layers[i];
      const int64_t width = model_->config().intermediate_size;
      if (model_->config().gate == GateKind::kRelu2) layer.gate += {backend_.zero_gates.at(i), width};
      layer.product += {backend_.zero_products.at(i), width};
      if (!source_.shape.is_ternary) continue;
      // q, k, v and gate, up share an input, unless a norm stands inside each.
      const bool is_own = source_.shape.has_linear_norms;
      const std::array<size_t, 7> place =
          is_own ? std::array<size_t, 7>{0, 1, 2, 3, 4, 5, 6} : std::array<size_t, 7>{0, 0, 0, 1, 2, 2, 3};
      for (size_t n = 0; n < place.size(); ++n) add_row(next + place[n], layer.linears[n]);
      next += is_own ? 7 : 4;
    }
    ++next;  // the check of the last residual
    if (has_head) add_row(next++, report_.head);
    EXPECT_EQ(next, backend_.recorded.size());
  }
  void add_row(size_t index, LinearZeros& linear) {
    const std::vector<int32_t>& q = backend_.recorded.at(index).q;
    linear.inputs += {zeros(q), static_cast<int64_t>(q.size())};
  }

  const TestModel& source_;
  std::shared_ptr<const Model> model_;
  GateRecorder backend_;
  ActivationReport report_;
};

void expect_same(const ActivationReport& found, const ActivationReport& expected) {
  EXPECT_EQ(found.tokens, expected.tokens);
  ASSERT_EQ(found.layers.size(), expected.layers.size());
  for (size_t i = 0; i < found.layers.size(); ++i) {
    for (size_t n = 0; n < kLayerLinears.size(); ++n) {
      const LinearZeros &a = found.layers[i].linears[n], &b = expected.layers[i].linears[n];
      EXPECT_TRUE(same(a.weights, b.weights)) << i << " " << kLayerLinears[n];
      EXPECT_TRUE(same(a.inputs, b.inputs))
          << i << " " << kLayerLinears[n] << " " << a.inputs.zeros << " of " << a.inputs.total << ", "
          << b.inputs.zeros << " of " << b.inputs.total;
    }
    EXPECT_TRUE(same(found.layers[i].gate, expected.layers[i].gate)) << i;
    EXPECT_TRUE(same(found.layers[i].product, expected.layers[i].product)) << i;
  }
  EXPECT_TRUE(same(found.head.weights, expected.head.weights));
  EXPECT_TRUE(same(found.head.inputs, expected.head.inputs));
}

class ActivationsOf : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    source_ = random_model(*find_shape(GetParam()), 3);
    path_ = folder_.file("model.gguf");
    ASSERT_TRUE(write_gguf(source_, gguf_options(source_, "auto", "f16").value(), path_).ok());
  }
  std::shared_ptr<const Model> load(Machine& machine) {
    auto model = load_model(path_, machine);
    EXPECT_TRUE(model.ok()) << model.error().message;
    return *model;
  }

  TempFolder folder_;
  std::string path_;
  TestModel source_;
};

TEST_P(ActivationsOf, EqualARecountRowByRow) {
  Machine machine;
  const auto model = load(machine);
  const std::vector<int32_t> tokens = test_tokens(50, model->config().vocab_size);
  for (const int32_t first : {-1, 1}) {
    const auto report = measure_activations(model, machine.backend(), tokens, 20, first);
    ASSERT_TRUE(report.ok()) << report.error().message;
    // 50 tokens in windows of 20, or of 19 behind the first one: 3 windows either way.
    EXPECT_EQ(report->tokens, first < 0 ? 50 : 53);
    expect_same(*report, Recount(source_, model, machine).run(tokens, 20, first));
  }
}

TEST_P(ActivationsOf, DoNotDependOnKernelsAndThreads) {
  Machine first("scalar");
  const auto model = load(first);
  const std::vector<int32_t> tokens = test_tokens(40, model->config().vocab_size);
  const auto expected = measure_activations(model, first.backend(), tokens, 64, -1);
  ASSERT_TRUE(expected.ok());
  Machine other("auto", 2);
  const auto found = measure_activations(load(other), other.backend(), tokens, 64, -1);
  ASSERT_TRUE(found.ok());
  expect_same(*found, *expected);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ActivationsOf,
                         ::testing::Values("tiny", "bitnet-ragged", "trilm-small", "bonsai-small",
                                           "ternary-bonsai-small", "embedding-small", "llama-dense-tiny"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class Activations : public ActivationsOf {};

TEST_P(Activations, SaySomething) {  // so that a recount that counts nothing cannot pass
  Machine machine;
  const auto model = load(machine);
  const auto report =
      measure_activations(model, machine.backend(), test_tokens(64, model->config().vocab_size), 64, -1);
  ASSERT_TRUE(report.ok());
  for (const LayerZeros& layer : report->layers) {
    for (const LinearZeros& linear : layer.linears) {
      EXPECT_NEAR(linear.weights.share(), 0.406, 0.02);  // random_model(); 4 sigma of 2^13 trits
      EXPECT_GT(linear.inputs.zeros, 0);
    }
    // Gates of random weights are as often negative as positive.
    EXPECT_NEAR(layer.gate.share(), 0.5, 0.15);
    EXPECT_GE(layer.product.zeros, layer.gate.zeros);
    // What a gate closed stays closed behind the sub-norm, so it is 0 in the input of ffn_down too.
    EXPECT_GE(layer.linears[6].inputs.zeros, layer.product.zeros);
    EXPECT_EQ(layer.linears[6].inputs.total, layer.product.total);
  }
  EXPECT_EQ(report->head.inputs.total, 0);  // dense
}

TEST_P(Activations, RefuseWhatCannotBeRun) {
  Machine machine;
  const auto model = load(machine);
  const auto code = [&](std::vector<int32_t> tokens, int64_t window) {
    const auto report = measure_activations(model, machine.backend(), tokens, window, -1);
    return report.ok() ? std::optional<ErrorCode>() : report.error().code;
  };
  EXPECT_EQ(code({}, 16), ErrorCode::kUsage);
  EXPECT_EQ(code({1, 2}, 1), ErrorCode::kUsage);
  EXPECT_EQ(code({1, static_cast<int32_t>(model->config().vocab_size)}, 16), ErrorCode::kUsage);
  EXPECT_EQ(code({-1}, 16), ErrorCode::kUsage);
}

TEST_P(Activations, StopWhenAsked) {
  Machine machine;
  const auto model = load(machine);
  int64_t calls = 0;
  const auto report =
      measure_activations(model, machine.backend(), test_tokens(100, 250), 10, -1, [&](int64_t done) {
        EXPECT_EQ(done, 10 * ++calls);
        return calls < 3;
      });
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(calls, 3);
}

INSTANTIATE_TEST_SUITE_P(Tiny, Activations, ::testing::Values("tiny"));

}  // namespace
}  // namespace tern::test
