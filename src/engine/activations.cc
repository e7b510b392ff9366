// SPDX-License-Identifier: MIT
#include "engine/activations.h"

#include <algorithm>
#include <map>

#include "kernels/forwarding_backend.h"
#include "runtime/runner.h"

namespace tern {

namespace {

template <class T>
int64_t zeros_of(const T* values, int64_t count) {
  return std::count(values, values + count, T{0});
}

/// What is looked at on its way to the real backend: the inputs of ternary products and gates. Everything
/// else passes. The layer of a gate is that of the keys stored before it.
class CountingBackend final : public ForwardingBackend {
 public:
  /// `inner` and `report` are borrowed; `linears` says whose count a matrix belongs to.
  CountingBackend(Backend& inner, ActivationReport& report,
                  std::map<const PackedWeight*, LinearZeros*> linears)
      : ForwardingBackend(inner), report_(report), linears_(std::move(linears)) {}

  void ternary_matmul(const QuantizedRows& x, const PackedWeight& weight, int64_t rows, float* y) override {
    count_integers(x, weight, rows);
    inner_.ternary_matmul(x, weight, rows, y);
  }
  void ternary_matmul_f32(const float* x, const PackedWeight& weight, int64_t rows, float* y) override {
    const int64_t count = rows * weight.cols();
    inputs_of(weight) += {zeros_of(x, count), count};
    inner_.ternary_matmul_f32(x, weight, rows, y);
  }
  void append_kv(const KvView& kv, int64_t layer, std::span<const RowPlace> places, const float* k,
                 const float* v, uint8_t* bad) override {
    layer_ = layer;
    inner_.append_kv(kv, layer, places, k, v, bad);
  }
  void gate(GateKind kind, const float* g, const float* u, int64_t count, float* out) override {
    LayerZeros& layer = report_.layers[static_cast<size_t>(layer_)];
    if (kind == GateKind::kRelu2) {  // before the call: out may be g. Squares of tiny values are 0 too.
      const auto is_zero = [](float x) { return !(x > 0) || x * x == 0; };
      layer.gate += {std::count_if(g, g + count, is_zero), count};
    }
    inner_.gate(kind, g, u, count, out);
    layer.product += {zeros_of(out, count), count};
  }

 private:
  ZeroCount& inputs_of(const PackedWeight& weight) {
    const auto found = linears_.find(&weight);
    TERN_CHECK(found != linears_.end(), "a product with a matrix that is no linear of the model");
    return found->second->inputs;
  }

  void count_integers(const QuantizedRows& x, const PackedWeight& weight, int64_t rows) {
    ZeroCount seen{0, rows * weight.cols()};
    for (int64_t row = 0; row < rows; ++row) {
      const int8_t* high = x.q + row * x.planes * x.k_padded;
      if (x.planes == 1) {
        seen.zeros += zeros_of(high, weight.cols());
        continue;
      }
      // 16 bits are 256 * high + low with a signed low byte: 0 only where both are.
      for (int64_t i = 0; i < weight.cols(); ++i) seen.zeros += high[i] == 0 && high[x.k_padded + i] == 0;
    }
    inputs_of(weight) += seen;
  }

  ActivationReport& report_;
  std::map<const PackedWeight*, LinearZeros*> linears_;
  int64_t layer_ = 0;
};

ZeroCount zero_weights(const PackedWeight& weight) {
  constexpr int64_t kRowsAtOnce = 64;
  ZeroCount count;
  std::vector<int8_t> trits(static_cast<size_t>(kRowsAtOnce * weight.cols()));
  // Scales are not looked at, but unpack() writes them: at most one per 64 columns.
  std::vector<float> scales(static_cast<size_t>(kRowsAtOnce * (weight.cols() / 64 + 1)));
  for (int64_t row = 0; row < weight.rows(); row += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, weight.rows() - row);
    weight.unpack(row, rows, trits.data(), scales.data());
    count += {zeros_of(trits.data(), rows * weight.cols()), rows * weight.cols()};
  }
  return count;
}

/// Sizes the report and counts the weights. The map says which count the inputs of a matrix belong to.
std::map<const PackedWeight*, LinearZeros*> count_weights(const Model& model, ActivationReport& report) {
  std::map<const PackedWeight*, LinearZeros*> linears;
  const auto add = [&](const Linear& linear, LinearZeros& zeros) {
    if (!linear.ternary) return;
    zeros.weights = zero_weights(*linear.ternary);
    linears[linear.ternary.get()] = &zeros;
  };
  report.layers.resize(model.layers().size());
  for (size_t i = 0; i < model.layers().size(); ++i) {
    const Layer& layer = model.layers()[i];
    const std::array<const Linear*, kLayerLinears.size()> order = {
        &layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down};
    for (size_t n = 0; n < order.size(); ++n) add(*order[n], report.layers[i].linears[n]);
  }
  add(model.head(), report.head);
  return linears;
}

}  // namespace

ZeroCount& ZeroCount::operator+=(const ZeroCount& other) {
  zeros += other.zeros;
  total += other.total;
  return *this;
}

Result<ActivationReport> measure_activations(std::shared_ptr<const Model> model, Backend& backend,
                                             std::span<const int32_t> tokens, int64_t window, int32_t first,
                                             const std::function<bool(int64_t done)>& progress) {
  if (tokens.empty()) return make_error(ErrorCode::kUsage, "no tokens to run");
  if (window < 2) return make_error(ErrorCode::kUsage, "the window is {} tokens, expected 2 or more", window);
  ActivationReport report;
  CountingBackend counting(backend, report, count_weights(*model, report));
  RunnerOptions options;
  options.context = window;
  TERN_TRY_ASSIGN(const auto runner, Runner::create(model, counting, options));
  // Only a ternary head has an input to count, and it runs only where logits are wanted.
  const bool wants_head = model->head().ternary != nullptr;
  const int64_t chunk =
      wants_head ? std::min(runner->max_rows(), runner->max_logit_rows()) : runner->max_rows();

  const int64_t lead = first >= 0 ? 1 : 0;
  const auto total = static_cast<int64_t>(tokens.size());
  for (int64_t begin = 0; begin < total; begin += window - lead) {
    const auto part = tokens.subspan(static_cast<size_t>(begin),
                                     static_cast<size_t>(std::min(window - lead, total - begin)));
    std::vector<int32_t> fed(part.begin(), part.end());
    if (lead == 1) fed.insert(fed.begin(), first);
    Sequence sequence = runner->new_sequence();
    const auto size = static_cast<int64_t>(fed.size());
    for (int64_t done = 0; done < size; done += chunk) {
      const auto rows = std::span<const int32_t>(fed).subspan(
          static_cast<size_t>(done), static_cast<size_t>(std::min(chunk, size - done)));
      const StepInput input{&sequence, rows, wants_head ? LogitsWanted::kAll : LogitsWanted::kNone};
      TERN_TRY(runner->step({&input, 1}));
      if (progress && !progress(begin + std::min(done + chunk, size) - lead)) {
        return make_error(ErrorCode::kCancelled, "stopped");
      }
    }
    report.tokens += size;
  }
  return report;
}

}  // namespace tern
