// SPDX-License-Identifier: MIT
// A second opinion: the forward pass of every architecture in plain doubles, written from FORMATS.md C.1 and
// C.2 alone and sharing nothing with src/ but the description of the model (TestModel). One token at a time,
// no cache type, no blocks.
//
// int8 activations make the function jump: a value next to a rounding border becomes one integer here and its
// neighbour in f32, and no bound on floats survives that. So the integers are taken from the run under test
// (a RecordedRow per quantisation), and each is checked to be what this evaluation rounds to as well, up to
// float error around the border. Given the same integers the two must then agree to float error.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/tools/recording_backend.h"
#include "tests/tools/test_models.h"

namespace tern::test {

using Vector = std::vector<double>;

/// A projection as numbers: dense values, or trits with one scale per `group_cols` columns of each row.
struct ReferenceWeight {
  size_t rows = 0, cols = 0;
  Vector values;              // [rows, cols] of a dense one, else empty
  std::vector<int8_t> trits;  // [rows, cols]
  size_t group_cols = 0;
  Vector scales;  // [rows, cols / group_cols]

  static ReferenceWeight of(const TestTensor& t) {
    ReferenceWeight w{t.row_count(), t.cols, {}, {}, t.cols, {}};
    if (t.is_ternary()) {
      w.trits = t.trits();
      w.scales.assign(t.rows, double{t.scale});
    } else {
      const std::vector<float> values = t.values();
      w.values.assign(values.begin(), values.end());
    }
    return w;
  }
};

class Reference {
 public:
  explicit Reference(const TestModel& model) : shape_(model.shape) {
    for (const TestTensor& t : model.tensors) weights_[t.name] = ReferenceWeight::of(t);
    keys_.resize(shape_.layers);
    values_.resize(shape_.layers);
  }

  /// Replaces a projection, for models whose scales differ within a matrix.
  void set(const std::string& name, ReferenceWeight weight) { weights_[name] = std::move(weight); }

  /// The logits after one more token. `recorded`: the quantisations of this token's row, in order; unused
  /// ones stay.
  Vector step(int32_t token, const std::vector<RecordedRow>& recorded) {
    recorded_ = &recorded;
    next_ = 0;
    Vector h = table_row("token_embd.weight", static_cast<size_t>(token));
    for (size_t layer = 0; layer < shape_.layers; ++layer) {
      attention(layer, h);
      feed_forward(layer, h);
    }
    ++position_;
    const Vector x = rms_norm(h, weights_.at("output_norm.weight").values);
    const ReferenceWeight& head = weights_.at(shape_.is_tied ? "token_embd.weight" : "output.weight");
    return dense(head, x);
  }
  size_t used() const { return next_; }
  /// The farthest that a recorded integer was from this evaluation's real value; 0.5 is exact rounding.
  double worst_rounding() const { return worst_rounding_; }
  /// The largest relative difference of an activation scale.
  double worst_scale() const { return worst_scale_; }

 private:
  /// A projection's input: the real values and, once needed, their integers.
  struct Input {
    Vector x;
    const RecordedRow* row = nullptr;
  };

  Vector table_row(const std::string& name, size_t r) const {
    const ReferenceWeight& w = weights_.at(name);
    return Vector(w.values.begin() + static_cast<std::ptrdiff_t>(r * w.cols),
                  w.values.begin() + static_cast<std::ptrdiff_t>((r + 1) * w.cols));
  }

  Vector rms_norm(const Vector& x, const Vector& weight) const {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double r = 1 / std::sqrt(squares / static_cast<double>(x.size()) + double{shape_.rms_eps});
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * r * weight[i];
    return y;
  }

  static Vector dense(const ReferenceWeight& w, const Vector& x) {
    Vector y(w.rows);
    for (size_t r = 0; r < w.rows; ++r) {
      for (size_t c = 0; c < w.cols; ++c) y[r] += w.values[r * w.cols + c] * x[c];
    }
    return y;
  }

  /// The next recorded quantisation, checked against x: q = round(x * 127 / max(1e-5, max|x|)).
  const RecordedRow* quantised(const Vector& x) {
    if (next_ >= recorded_->size() || (*recorded_)[next_].q.size() != x.size()) {
      ADD_FAILURE() << "quantisation " << next_ << " of width " << x.size() << " was not recorded";
      return nullptr;
    }
    const RecordedRow& row = (*recorded_)[next_++];
    double largest = 1e-5;
    for (const double v : x) largest = std::max(largest, std::abs(v));
    const double s = 127 / largest;
    worst_scale_ = std::max(worst_scale_, std::abs(row.act_scale / s - 1));
    for (size_t i = 0; i < x.size(); ++i) {
      worst_rounding_ = std::max(worst_rounding_, std::abs(x[i] * s - row.q[i]));
    }
    return &row;
  }

  /// y = S * scale / s with S the sum of trit * q.
  static Vector ternary(const ReferenceWeight& w, const RecordedRow& row) {
    const size_t groups = w.cols / w.group_cols;
    Vector y(w.rows);
    for (size_t r = 0; r < w.rows; ++r) {
      for (size_t g = 0; g < groups; ++g) {
        double sum = 0;
        for (size_t c = g * w.group_cols; c < (g + 1) * w.group_cols; ++c) {
          sum += static_cast<double>(w.trits[r * w.cols + c]) * row.q[c];
        }
        y[r] += sum * w.scales[r * groups + g] / row.act_scale;
      }
    }
    return y;
  }

  Vector project(size_t layer, const char* part, Input& input) {
    const ReferenceWeight& w = weights_.at(fmt::format("blk.{}.{}.weight", layer, part));
    if (shape_.architecture ==
        "bitllama") {  // every linear normalises its own input: x / max(||x||, 1e-12) / sqrt(n)
      double squares = 0;
      for (const double v : input.x) squares += v * v;
      const double divide =
          std::max(std::sqrt(squares), 1e-12) * std::sqrt(static_cast<double>(input.x.size()));
      Vector x = input.x;
      for (double& v : x) v /= divide;
      const RecordedRow* row = quantised(x);
      return row == nullptr ? Vector(w.rows) : ternary(w, *row);
    }
    if (!w.values.empty()) return dense(w, input.x);
    if (input.row == nullptr) input.row = quantised(input.x);  // one q for all projections of an input
    return input.row == nullptr ? Vector(w.rows) : ternary(w, *input.row);
  }

  void rope(Vector& x) const {
    const size_t d = shape_.head_dim;
    const bool split_halves = shape_.architecture.starts_with("bitnet");
    for (size_t begin = 0; begin < x.size(); begin += d) {
      for (size_t i = 0; i < d / 2; ++i) {
        const double angle =
            static_cast<double>(position_) *
            std::pow(double{shape_.rope_theta}, -2.0 * static_cast<double>(i) / static_cast<double>(d));
        double& a = x[begin + (split_halves ? i : 2 * i)];
        double& b = x[begin + (split_halves ? i + d / 2 : 2 * i + 1)];
        const double rotated = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a * std::sin(angle);
        a = rotated;
      }
    }
  }

  Vector norm_of(size_t layer, const char* part, const Vector& x) const {
    return rms_norm(x, weights_.at(fmt::format("blk.{}.{}.weight", layer, part)).values);
  }

  void attention(size_t layer, Vector& h) {
    Input in{shape_.has_block_norms() ? norm_of(layer, "attn_norm", h) : h};
    Vector q = project(layer, "attn_q", in), k = project(layer, "attn_k", in),
           v = project(layer, "attn_v", in);
    rope(q);
    rope(k);
    keys_[layer].push_back(k);
    values_[layer].push_back(v);
    const size_t d = shape_.head_dim, group = shape_.heads / shape_.kv_heads;
    Vector a(shape_.heads * d);
    for (size_t head = 0; head < shape_.heads; ++head) {
      const size_t from = head / group * d;
      Vector p;
      for (const Vector& key : keys_[layer]) {
        double dot = 0;
        for (size_t i = 0; i < d; ++i) dot += q[head * d + i] * key[from + i];
        p.push_back(dot / std::sqrt(static_cast<double>(d)));
      }
      const double largest = *std::max_element(p.begin(), p.end());
      double total = 0;
      for (double& x : p) total += x = std::exp(x - largest);
      for (size_t j = 0; j < p.size(); ++j) {
        for (size_t i = 0; i < d; ++i) a[head * d + i] += p[j] / total * values_[layer][j][from + i];
      }
    }
    Input out{shape_.has_sub_norms() ? norm_of(layer, "attn_sub_norm", a) : a};
    const Vector y = project(layer, "attn_output", out);
    for (size_t i = 0; i < h.size(); ++i) h[i] += y[i];
  }

  void feed_forward(size_t layer, Vector& h) {
    Input in{shape_.has_block_norms() ? norm_of(layer, "ffn_norm", h) : h};
    const Vector g = project(layer, "ffn_gate", in), u = project(layer, "ffn_up", in);
    Vector f(g.size());
    for (size_t i = 0; i < f.size(); ++i) {
      const bool is_relu2 = shape_.architecture == "bitnet-b1.58";
      const double gate = is_relu2 ? std::max(g[i], 0.0) * std::max(g[i], 0.0) : g[i] / (1 + std::exp(-g[i]));
      f[i] = gate * u[i];
    }
    Input down{shape_.has_sub_norms() ? norm_of(layer, "ffn_sub_norm", f) : f};
    const Vector y = project(layer, "ffn_down", down);
    for (size_t i = 0; i < h.size(); ++i) h[i] += y[i];
  }

  ModelShape shape_;
  std::map<std::string, ReferenceWeight> weights_;
  std::vector<std::vector<Vector>> keys_, values_;  // [layer][position]
  size_t position_ = 0;
  const std::vector<RecordedRow>* recorded_ = nullptr;
  size_t next_ = 0;
  double worst_rounding_ = 0, worst_scale_ = 0;
};

}  // namespace tern::test
