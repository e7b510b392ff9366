// SPDX-License-Identifier: MIT
// Gradients of the trainer's operations against finite differences of their surrogates: the same function in
// double with rounding taken away and every quantisation scale held where it was. That is what a
// straight-through estimator claims to differentiate.
#include "train/ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "train/fused/kernels.h"

namespace tern::train {
namespace {

using Values = std::vector<double>;
using Surrogate = std::function<double(const Values&)>;

constexpr double kEps = 1e-5;

Tensor random_tensor(std::vector<int64_t> shape, double deviation, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return torch::empty(shape, torch::kFloat).normal_(0, deviation, generator);
}

Values values_of(const Tensor& tensor) {
  const Tensor flat = tensor.detach().to(torch::kDouble).flatten().contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// Central differences against `gradient`. The surrogates are smooth and computed in double, so a step of
/// 1e-4 leaves an error of about 1e-8; the gradient itself is f32 and sums some hundred terms: 1e-5 of its
/// size.
void expect_gradient(const Surrogate& surrogate, const Tensor& at, const Tensor& gradient) {
  Values x = values_of(at);
  const Values g = values_of(gradient);
  double size = 0;
  for (const double value : g) size = std::max(size, std::fabs(value));
  ASSERT_GT(size, 0);
  for (size_t i = 0; i < x.size(); ++i) {
    const double h = 1e-4, here = x[i];
    x[i] = here + h;
    const double above = surrogate(x);
    x[i] = here - h;
    const double below = surrogate(x);
    x[i] = here;
    EXPECT_NEAR(g[i], (above - below) / (2 * h), 2e-4 * size) << "element " << i;
  }
}

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// q before rounding: rows of x normalised, times weight, times the row's frozen scale.
Values norm_rows(const Values& x, const Values& weight, const Values& scale) {
  const size_t cols = weight.size();
  Values out(x.size());
  for (size_t r = 0; r < x.size() / cols; ++r) {
    double sum = 0;
    for (size_t i = 0; i < cols; ++i) sum += x[r * cols + i] * x[r * cols + i];
    const double root = 1 / std::sqrt(sum / static_cast<double>(cols) + kEps);
    for (size_t i = 0; i < cols; ++i) out[r * cols + i] = x[r * cols + i] * root * weight[i] * scale[r];
  }
  return out;
}

TEST(Ops, NormQuantRoundsAsTheEngine) {
  const Tensor x = random_tensor({5, 48}, 1, 1), weight = random_tensor({48}, 0.3, 2) + 1;
  const Quantized q = norm_quant(x, weight, {kEps, true}, torch::kBFloat16);
  const Values exact = norm_rows(values_of(x), values_of(weight), values_of(q.scale)), got = values_of(q.q);
  for (size_t r = 0; r < 5; ++r) {
    double largest = 0;
    for (size_t i = 0; i < 48; ++i) {
      EXPECT_EQ(got[r * 48 + i], std::nearbyint(got[r * 48 + i]));
      EXPECT_NEAR(got[r * 48 + i], exact[r * 48 + i], 0.5 + 1e-4);  // 127 * a few f32 roundings
      largest = std::max(largest, std::fabs(got[r * 48 + i]));
    }
    EXPECT_EQ(largest, 127);
  }
}

TEST(Ops, NormQuant) {
  const Tensor x = random_tensor({3, 20}, 1, 1).requires_grad_(true);
  const Tensor weight = (random_tensor({20}, 0.3, 2) + 1).requires_grad_(true);
  const Tensor direction = random_tensor({3, 20}, 1, 3);
  for (const bool quantize : {true, false}) {
    const Quantized q = norm_quant(x, weight, {kEps, quantize}, torch::kFloat);
    const auto gradients = torch::autograd::grad({(q.q * direction).sum()}, {x, weight});
    const Values w = values_of(weight), x0 = values_of(x), scale = values_of(q.scale),
                 d = values_of(direction);
    expect_gradient([&](const Values& v) { return dot(norm_rows(v, w, scale), d); }, x, gradients[0]);
    expect_gradient([&](const Values& v) { return dot(norm_rows(x0, v, scale), d); }, weight, gradients[1]);
  }
}

TEST(Ops, AddNormQuant) {
  const Tensor h = random_tensor({3, 20}, 1, 1).requires_grad_(true),
               s = random_tensor({3, 20}, 30, 2).requires_grad_(true);
  const Tensor s_scale = random_tensor({3}, 1, 3).abs() + 20,
               weight = (random_tensor({20}, 0.3, 4) + 1).requires_grad_(true);
  const Tensor to_q = random_tensor({3, 20}, 1, 5), to_sum = random_tensor({3, 20}, 40, 6);
  const double factor = 0.7;
  const auto [sum, q] = add_norm_quant(h, s, s_scale, factor, weight, {kEps, true});
  const auto gradients = torch::autograd::grad({(q.q * to_q).sum() + (sum * to_sum).sum()}, {h, s, weight});
  const Values h0 = values_of(h), s0 = values_of(s), w0 = values_of(weight), in_scale = values_of(s_scale),
               scale = values_of(q.scale), dq = values_of(to_q), dsum = values_of(to_sum);
  const auto surrogate = [&](const Values& hv, const Values& sv, const Values& wv) {
    Values x(hv.size());
    for (size_t i = 0; i < x.size(); ++i) x[i] = hv[i] + sv[i] * factor / in_scale[i / 20];
    return dot(norm_rows(x, wv, scale), dq) + dot(x, dsum);
  };
  expect_gradient([&](const Values& v) { return surrogate(v, s0, w0); }, h, gradients[0]);
  expect_gradient([&](const Values& v) { return surrogate(h0, v, w0); }, s, gradients[1]);
  expect_gradient([&](const Values& v) { return surrogate(h0, s0, v); }, weight, gradients[2]);
}

TEST(Ops, GateNormQuant) {
  const Tensor s = random_tensor({3, 32}, 30, 1).requires_grad_(true),
               s_scale = random_tensor({3}, 1, 2).abs() + 20;
  const Tensor weight = (random_tensor({16}, 0.3, 3) + 1).requires_grad_(true),
               direction = random_tensor({3, 16}, 1, 4);
  const Quantized q = gate_norm_quant(s, s_scale, 0.8, 1.3, weight, {kEps, true});
  const auto gradients = torch::autograd::grad({(q.q * direction).sum()}, {s, weight});
  const Values s0 = values_of(s), w0 = values_of(weight), in_scale = values_of(s_scale),
               scale = values_of(q.scale), d = values_of(direction);
  const auto surrogate = [&](const Values& sv, const Values& wv) {
    Values f(3 * 16);
    for (size_t r = 0; r < 3; ++r) {
      for (size_t i = 0; i < 16; ++i) {
        const double g = std::max(0.0, sv[r * 32 + i] * 0.8 / in_scale[r]),
                     u = sv[r * 32 + 16 + i] * 1.3 / in_scale[r];
        f[r * 16 + i] = g * g * u;
      }
    }
    return dot(norm_rows(f, wv, scale), d);
  };
  expect_gradient([&](const Values& v) { return surrogate(v, w0); }, s, gradients[0]);
  expect_gradient([&](const Values& v) { return surrogate(s0, v); }, weight, gradients[1]);
}

TEST(Ops, TernaryProduct) {
  // y = (q t^T) * factor / scale with t = W / factor and q = x * scale, both rounded: the surrogate is x W^T.
  const Tensor x = random_tensor({4, 12}, 1, 1).requires_grad_(true), ones = torch::ones({12});
  const Tensor w = random_tensor({6, 12}, 0.05, 2);
  Tensor trits = torch::empty({6, 12});
  const double factor = quantize_weight(w, true, trits);
  EXPECT_NEAR(factor, w.abs().mean().item<double>(), 1e-8);
  EXPECT_TRUE(torch::equal(trits, torch::clamp(torch::round(w / factor), -1, 1)));
  trits.requires_grad_(true);
  const Tensor direction = random_tensor({4, 6}, 1, 3);
  const Quantized q = norm_quant(x, ones, {kEps, true}, torch::kFloat);
  const Tensor y = product(q.q, trits) * factor / q.scale.unsqueeze(1);
  const auto gradients = torch::autograd::grad({(y * direction).sum()}, {q.q, trits});
  // By x, as through W: rows of direction times the quantised weight; by W: direction^T times the quantised
  // x.
  const Tensor x_hat = q.q.detach() / q.scale.unsqueeze(1), w_hat = trits.detach() * factor;
  EXPECT_TRUE(torch::allclose(gradients[0] * q.scale.unsqueeze(1), direction.mm(w_hat), 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(gradients[1] / factor, direction.t().mm(x_hat), 1e-5, 1e-5));
}

/// Attention in double, from the formula; keys first[t]..t of the one row.
double attention_surrogate(const Values& s, const AttentionShape& a, const Values& in_scale,
                           const std::array<double, 3>& f, const Values& direction) {
  const auto width = static_cast<size_t>((a.heads + 2 * a.kv_heads) * a.dim),
             time = static_cast<size_t>(a.time), dim = static_cast<size_t>(a.dim), half = dim / 2;
  const Values cos = values_of(a.cos), sin = values_of(a.sin), first = values_of(a.first);
  const auto head = [&](size_t t, size_t at, double factor, bool rotated) {
    Values out(dim);
    for (size_t i = 0; i < dim; ++i) out[i] = s[t * width + at * dim + i] * factor / in_scale[t];
    for (size_t i = 0; rotated && i < half; ++i) {
      const double x = out[i], y = out[i + half], c = cos[t * half + i], n = sin[t * half + i];
      out[i] = x * c - y * n;
      out[i + half] = y * c + x * n;
    }
    return out;
  };
  const auto heads = static_cast<size_t>(a.heads), kv = static_cast<size_t>(a.kv_heads);
  double total = 0;
  for (size_t h = 0; h < heads; ++h) {
    const size_t group = h / (heads / kv);
    for (size_t t = 0; t < time; ++t) {
      const Values q = head(t, h, f[0], true);
      const auto begin = static_cast<size_t>(first[t]);
      double sum = 0, mixed = 0;
      for (size_t j = begin; j <= t; ++j) {
        const double p =
            std::exp(dot(q, head(j, heads + group, f[1], true)) / std::sqrt(static_cast<double>(dim)));
        const Values v = head(j, heads + kv + group, f[2], false);
        sum += p;
        for (size_t i = 0; i < dim; ++i) mixed += p * v[i] * direction[(t * heads + h) * dim + i];
      }
      total += mixed / sum;
    }
  }
  return total;
}

TEST(Ops, Attention) {
  AttentionShape a{1, 7, 4, 2, 6, {}, {}, {}};
  a.cos = random_tensor({7, 3}, 1, 1).cos(), a.sin = random_tensor({7, 3}, 1, 1).sin();
  a.first = torch::tensor({0, 0, 0, 3, 3, 5, 5}, torch::kInt);
  const Tensor s = random_tensor({7, 48}, 20, 2).requires_grad_(true),
               s_scale = random_tensor({7}, 1, 3).abs() + 20;
  const std::array<double, 3> factors = {0.8, 1.1, 0.9};
  const Tensor direction = random_tensor({7, 24}, 1, 4), out = attention(s, s_scale, factors, a);
  const Values d = values_of(direction), scale = values_of(s_scale);
  EXPECT_NEAR((out * direction).sum().item<double>(), attention_surrogate(values_of(s), a, scale, factors, d),
              1e-4);
  const auto gradients = torch::autograd::grad({(out * direction).sum()}, {s});
  expect_gradient([&](const Values& v) { return attention_surrogate(v, a, scale, factors, d); }, s,
                  gradients[0]);
}

TEST(Ops, HeadLossAndEmbedding) {
  const Tensor hidden = random_tensor({5, 8}, 1, 1).requires_grad_(true),
               table = random_tensor({9, 8}, 1, 2).requires_grad_(true);
  const Tensor targets = torch::tensor({3, 0, 8, 4, 4}, torch::kInt),
               mask = torch::tensor({1, 1, 0, 1, 1}, torch::kByte);
  const auto surrogate = [&](const Values& x, const Values& e) {
    double total = 0;
    for (size_t r = 0; r < 5; ++r) {
      if (r == 2) continue;
      double sum = 0, wanted = 0;
      for (size_t v = 0; v < 9; ++v) {
        double logit = 0;
        for (size_t i = 0; i < 8; ++i) logit += x[r * 8 + i] * e[v * 8 + i];
        sum += std::exp(logit);
        if (v == static_cast<size_t>(targets[static_cast<int64_t>(r)].item<int>())) wanted = logit;
      }
      total += std::log(sum) - wanted;
    }
    return total * 0.25;
  };
  const Values x0 = values_of(hidden), e0 = values_of(table);
  const Tensor loss = head_loss(hidden, table, targets, mask, 0.25, {});
  EXPECT_NEAR(loss.item<double>(), surrogate(x0, e0), 1e-5);
  const auto gradients = torch::autograd::grad({loss}, {hidden, table});
  expect_gradient([&](const Values& v) { return surrogate(v, e0); }, hidden, gradients[0]);
  expect_gradient([&](const Values& v) { return surrogate(x0, v); }, table, gradients[1]);

  const Tensor direction = random_tensor({5, 8}, 1, 3);
  const auto of_table = torch::autograd::grad({(embed(table, targets) * direction).sum()}, {table});
  Tensor expected = torch::zeros({9, 8});
  expected.index_add_(0, targets.to(torch::kLong), direction);
  EXPECT_TRUE(torch::allclose(of_table[0], expected));
}

TEST(Kernels, EveryInstructionSetComputesTheSame) {
  // Different widths add in different orders: results agree to rounding, not bit for bit.
  const Kernels &a = baseline_kernels(), &b = kernels();
  const Tensor x = random_tensor({3, 77}, 1, 1), weight = random_tensor({77}, 1, 2);
  Tensor qa = torch::empty({3, 77}), qb = torch::empty({3, 77}), scale = torch::empty({3}),
         rstd = torch::empty({3});
  for (const auto& [table, out] : {std::pair{&a, &qa}, std::pair{&b, &qb}}) {
    NormArgs<float> n;
    n.rows = 3, n.cols = 77, n.h = x.data_ptr<float>(), n.weight = weight.data_ptr<float>(), n.eps = 1e-5f;
    n.quantize = false, n.q = out->data_ptr<float>(), n.scale = scale.data_ptr<float>(),
    n.rstd = rstd.data_ptr<float>();
    table->f32.norm(n);
  }
  EXPECT_TRUE(torch::allclose(qa, qb, 1e-6, 1e-7));
  EXPECT_NEAR(a.sum_squares(x.data_ptr<float>(), x.numel()), b.sum_squares(x.data_ptr<float>(), x.numel()),
              1e-4);
}

}  // namespace
}  // namespace tern::train
