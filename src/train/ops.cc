// SPDX-License-Identifier: MIT
#include "train/ops.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include "core/check.h"
#include "train/fused/kernels.h"

namespace tern::train {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// An optional tensor that is not there: autograd functions take no undefined ones.
Tensor none() { return torch::empty({0}, torch::kFloat); }
bool is_there(const Tensor& tensor) { return tensor.defined() && tensor.numel() > 0; }

template <class T>
T* data(const Tensor& tensor) {
  return is_there(tensor) ? static_cast<T*>(tensor.data_ptr()) : nullptr;
}
float* floats(const Tensor& tensor) { return data<float>(tensor); }

/// Calls run with a null pointer of the C++ type behind a product type.
template <class Run>
void by_type(torch::ScalarType type, const Run& run) {
  TERN_CHECK(type == torch::kBFloat16 || type == torch::kFloat, "a product is f32 or bf16");
  if (type == torch::kBFloat16) {
    run(static_cast<uint16_t*>(nullptr));
  } else {
    run(static_cast<float*>(nullptr));
  }
}

Tensor f32_like(std::vector<int64_t> shape) { return torch::empty(shape, torch::kFloat); }

/// One function for the three uses of the pass: h alone, s alone, or both.
struct NormFunction : Function<NormFunction> {
  static variable_list forward(AutogradContext* ctx, Tensor h, Tensor s, Tensor s_scale, Tensor weight,
                               double factor, double eps, bool quantize, torch::ScalarType type) {
    const Tensor& like = is_there(h) ? h : s;
    const int64_t rows = like.size(0), cols = like.size(1);
    Tensor q = torch::empty({rows, cols}, type), scale = f32_like({rows}), rstd = f32_like({rows});
    Tensor sum = is_there(h) && is_there(s) ? f32_like({rows, cols}) : Tensor();
    by_type(type, [&]<class T>(T* tag) {
      NormArgs<T> a;
      a.rows = rows, a.cols = cols;
      a.h = floats(h), a.s = data<T>(s), a.s_scale = floats(s_scale), a.factor = static_cast<float>(factor);
      a.weight = floats(weight), a.eps = static_cast<float>(eps), a.quantize = quantize;
      a.h_out = floats(sum), a.q = data<T>(q), a.scale = floats(scale), a.rstd = floats(rstd);
      kernels().of(tag).norm(a);
    });
    const Tensor x = sum.defined() ? sum : h;
    ctx->save_for_backward({x, is_there(x) ? none() : s, s_scale, weight, scale, rstd});
    ctx->saved_data["factor"] = factor;
    ctx->saved_data["has_h"] = is_there(h);
    ctx->saved_data["has_s"] = is_there(s);
    ctx->mark_non_differentiable({scale});
    if (!sum.defined()) return {q, scale};
    return {q, scale, sum};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &s = saved[1], &s_scale = saved[2], &weight = saved[3];
    const Tensor dq = gradients[0].contiguous();
    const Tensor above =
        gradients.size() > 2 && gradients[2].defined() ? gradients[2].contiguous() : Tensor();
    const bool has_h = ctx->saved_data["has_h"].toBool(), has_s = ctx->saved_data["has_s"].toBool();
    const int64_t rows = dq.size(0), cols = dq.size(1);
    Tensor dh = has_h ? f32_like({rows, cols}) : Tensor();
    Tensor ds = has_s ? torch::empty({rows, cols}, dq.scalar_type()) : Tensor();
    Tensor dweight = torch::zeros({cols}, torch::kFloat);
    by_type(dq.scalar_type(), [&]<class T>(T* tag) {
      NormBackArgs<T> a;
      a.rows = rows, a.cols = cols;
      a.x = floats(x), a.s = data<T>(s), a.s_scale = floats(s_scale);
      a.factor = static_cast<float>(ctx->saved_data["factor"].toDouble());
      a.weight = floats(weight), a.scale = floats(saved[4]), a.rstd = floats(saved[5]);
      a.dq = data<T>(dq), a.dh_out = floats(above);
      a.dh = floats(dh), a.ds = data<T>(ds), a.dweight = floats(dweight);
      kernels().of(tag).norm_back(a);
    });
    return {dh, ds, Tensor(), dweight, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct GateFunction : Function<GateFunction> {
  template <class T>
  static GateArgs<T> arguments(const Tensor& s, const Tensor& s_scale, double gate_factor, double up_factor,
                               const Tensor& weight, const Tensor& scale, const Tensor& rstd,
                               const Tensor& scratch) {
    GateArgs<T> a;
    a.rows = s.size(0), a.cols = s.size(1) / 2;
    a.s = data<T>(s), a.s_scale = floats(s_scale);
    a.gate_factor = static_cast<float>(gate_factor), a.up_factor = static_cast<float>(up_factor);
    a.weight = floats(weight), a.scratch = floats(scratch);
    a.scale = floats(scale), a.rstd = floats(rstd);
    return a;
  }

  static variable_list forward(AutogradContext* ctx, Tensor s, Tensor s_scale, Tensor weight,
                               double gate_factor, double up_factor, double eps, bool quantize) {
    const int64_t rows = s.size(0), cols = s.size(1) / 2;
    Tensor q = torch::empty({rows, cols}, s.options()), scale = f32_like({rows}), rstd = f32_like({rows});
    by_type(s.scalar_type(), [&]<class T>(T* tag) {
      auto a = arguments<T>(s, s_scale, gate_factor, up_factor, weight, scale, rstd, f32_like({cols}));
      a.eps = static_cast<float>(eps), a.quantize = quantize, a.q = data<T>(q);
      const Tensor scratch = f32_like({cols});
      a.scratch = floats(scratch);
      kernels().of(tag).gate(a);
    });
    ctx->save_for_backward({s, s_scale, weight, scale, rstd});
    ctx->saved_data["gate"] = gate_factor;
    ctx->saved_data["up"] = up_factor;
    ctx->mark_non_differentiable({scale});
    return {q, scale};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor& s = saved[0];
    const Tensor dq = gradients[0].contiguous(), ds = torch::empty_like(s);
    const Tensor dweight = torch::zeros_like(saved[2]), scratch = f32_like({s.size(1) / 2});
    by_type(s.scalar_type(), [&]<class T>(T* tag) {
      GateBackArgs<T> a;
      a.forward = arguments<T>(s, saved[1], ctx->saved_data["gate"].toDouble(),
                               ctx->saved_data["up"].toDouble(), saved[2], saved[3], saved[4], scratch);
      a.dq = data<T>(dq), a.ds = data<T>(ds), a.dweight = floats(dweight);
      kernels().of(tag).gate_back(a);
    });
    return {ds, Tensor(), dweight, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct AttentionFunction : Function<AttentionFunction> {
  template <class T>
  static HeadsArgs<T> arguments(const AttentionShape& shape, const Tensor& s_scale,
                                const std::array<double, 3>& factors, const Tensor& s, const Tensor& q,
                                const Tensor& k, const Tensor& v) {
    HeadsArgs<T> a;
    a.batch = shape.batch, a.time = shape.time, a.heads = shape.heads, a.kv_heads = shape.kv_heads;
    a.dim = shape.dim, a.s_scale = floats(s_scale);
    a.q_factor = static_cast<float>(factors[0]), a.k_factor = static_cast<float>(factors[1]);
    a.v_factor = static_cast<float>(factors[2]);
    a.cos = floats(shape.cos), a.sin = floats(shape.sin);
    a.s = data<T>(s), a.q = data<T>(q), a.k = data<T>(k), a.v = data<T>(v);
    return a;
  }

  /// [batch, heads, time, dim] -> one row of the batch with the query heads of a group side by side:
  /// [kv_heads, group * time, dim]
  static Tensor grouped(const Tensor& heads, int64_t b, const AttentionShape& shape) {
    const int64_t group = heads.size(1) / shape.kv_heads;
    return heads[b].view({shape.kv_heads, group * shape.time, -1});
  }

  static Tensor forward(AutogradContext* ctx, Tensor s, Tensor s_scale, std::array<double, 3> factors,
                        AttentionShape a) {
    const auto options = s.options();
    Tensor q = torch::empty({a.batch, a.heads, a.time, a.dim}, options);
    Tensor k = torch::empty({a.batch, a.kv_heads, a.time, a.dim}, options), v = torch::empty_like(k);
    Tensor p = torch::empty({a.batch, a.heads, a.time, a.time}, options), mixed = torch::empty_like(q);
    Tensor out = torch::empty({a.batch * a.time, a.heads * a.dim}, options);
    by_type(s.scalar_type(), [&]<class T>(T* tag) {
      const auto& table = kernels().of(tag);
      table.split_heads(arguments<T>(a, s_scale, factors, s, q, k, v));
      for (int64_t b = 0; b < a.batch; ++b) {  // a row at a time: its scores fit the cache
        Tensor scores = grouped(p, b, a), mixed_row = grouped(mixed, b, a);
        torch::bmm_out(scores, grouped(q, b, a), k[b].transpose(1, 2));
        table.softmax({a.heads, a.time, data<int32_t>(a.first) + b * a.time, data<T>(scores)});
        torch::bmm_out(mixed_row, scores, v[b]);
      }
      table.merge_heads(data<T>(mixed), a.batch, a.heads, a.time, a.dim, data<T>(out));
    });
    ctx->save_for_backward({s_scale, q, k, v, p, a.cos, a.sin, a.first});
    ctx->saved_data["q"] = factors[0];
    ctx->saved_data["k"] = factors[1];
    ctx->saved_data["v"] = factors[2];
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &q = saved[1], &k = saved[2], &v = saved[3], &p = saved[4];
    const AttentionShape a{q.size(0), q.size(2), q.size(1), k.size(1),
                           q.size(3), saved[5],  saved[6],  saved[7]};
    const Tensor dout = gradients[0].contiguous();
    Tensor dmixed = torch::empty_like(q), dq = torch::empty_like(q), dk = torch::empty_like(k);
    Tensor dv = torch::empty_like(v), dscores = torch::empty_like(p[0]);
    Tensor ds = torch::empty({a.batch * a.time, (a.heads + 2 * a.kv_heads) * a.dim}, q.options());
    const std::array<double, 3> factors = {ctx->saved_data["q"].toDouble(), ctx->saved_data["k"].toDouble(),
                                           ctx->saved_data["v"].toDouble()};
    by_type(q.scalar_type(), [&]<class T>(T* tag) {
      const auto& table = kernels().of(tag);
      table.unmerge_heads(data<T>(dout), a.batch, a.heads, a.time, a.dim, data<T>(dmixed));
      for (int64_t b = 0; b < a.batch; ++b) {
        const Tensor scores = grouped(p, b, a), dmixed_row = grouped(dmixed, b, a);
        Tensor dp = dscores.view(scores.sizes()), dq_row = grouped(dq, b, a), dk_row = dk[b], dv_row = dv[b];
        torch::bmm_out(dv_row, scores.transpose(1, 2), dmixed_row);
        torch::bmm_out(dp, dmixed_row, v[b].transpose(1, 2));
        table.softmax_back(
            {a.heads, a.time, data<int32_t>(a.first) + b * a.time, data<T>(scores), data<T>(dp)});
        torch::bmm_out(dq_row, dp, k[b]);
        torch::bmm_out(dk_row, dp.transpose(1, 2), grouped(q, b, a));
      }
      table.split_heads_back(arguments<T>(a, saved[0], factors, ds, dq, dk, dv));
    });
    return {ds, Tensor(), Tensor(), Tensor()};
  }
};

struct ProductFunction : Function<ProductFunction> {
  static Tensor forward(AutogradContext* ctx, Tensor q, Tensor t) {
    ctx->save_for_backward({q, t});
    return torch::mm(q, t.t());
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor& ds = gradients[0];
    return {torch::mm(ds, saved[1]), torch::mm(ds.t(), saved[0])};
  }
};

struct EmbedFunction : Function<EmbedFunction> {
  static Tensor forward(AutogradContext* ctx, Tensor table, Tensor tokens) {
    const int64_t rows = tokens.numel(), cols = table.size(1);
    Tensor out = f32_like({rows, cols});
    by_type(table.scalar_type(), [&]<class T>(T* tag) {
      kernels().of(tag).embed(data<T>(table), data<int32_t>(tokens), rows, cols, floats(out));
    });
    ctx->save_for_backward({tokens});
    ctx->saved_data["vocab"] = table.size(0);
    ctx->saved_data["bf16"] = table.scalar_type() == torch::kBFloat16;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const Tensor tokens = ctx->get_saved_variables()[0], dout = gradients[0].contiguous();
    const int64_t cols = dout.size(1);
    Tensor sum = torch::zeros({ctx->saved_data["vocab"].toInt(), cols}, torch::kFloat);
    for (int64_t row = 0; row < tokens.numel(); ++row) {  // in order: the same bits every time
      kernels().f32.accumulate(floats(dout) + row * cols, cols, 1.0f,
                               floats(sum) + data<int32_t>(tokens)[row] * cols);
    }
    return {ctx->saved_data["bf16"].toBool() ? sum.to(torch::kBFloat16) : sum, Tensor()};
  }
};

struct LossFunction : Function<LossFunction> {
  static Tensor forward(AutogradContext* ctx, Tensor hidden, Tensor table, Tensor targets, Tensor mask,
                        double scale, Tensor losses, bool want_gradient) {
    Tensor logits = torch::mm(hidden, table.t());
    if (!is_there(losses)) losses = f32_like({hidden.size(0)});
    by_type(logits.scalar_type(), [&]<class T>(T* tag) {
      LossArgs<T> a;
      a.rows = logits.size(0), a.vocab = logits.size(1);
      a.targets = data<int32_t>(targets), a.mask = data<uint8_t>(mask);
      a.grad_scale = static_cast<float>(scale), a.want_gradient = want_gradient;
      a.logits = data<T>(logits), a.losses = floats(losses);
      kernels().of(tag).loss(a);
    });
    if (want_gradient) {
      const Tensor dhidden = torch::mm(logits, table), dtable = torch::mm(logits.t(), hidden);
      ctx->save_for_backward({dhidden, dtable});
    }
    return losses.sum(torch::kDouble) * scale;
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const double factor = gradients[0].item<double>();
    Tensor dhidden = saved[0], dtable = saved[1];
    if (factor != 1) dhidden = dhidden * factor, dtable = dtable * factor;
    return {dhidden, dtable, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Quantized norm_quant(const Tensor& x, const Tensor& weight, NormOptions options, torch::ScalarType type) {
  const bool is_stream = x.scalar_type() != type;
  const auto out = NormFunction::apply(is_stream ? x : none(), is_stream ? none() : x, none(), weight, 1.0,
                                       options.eps, options.quantize, type);
  return {out[0], out[1]};
}

std::pair<Tensor, Quantized> add_norm_quant(const Tensor& h, const Tensor& s, const Tensor& s_scale,
                                            double factor, const Tensor& weight, NormOptions options) {
  const auto out =
      NormFunction::apply(h, s, s_scale, weight, factor, options.eps, options.quantize, s.scalar_type());
  return {out[2], {out[0], out[1]}};
}

Quantized gate_norm_quant(const Tensor& s, const Tensor& s_scale, double gate_factor, double up_factor,
                          const Tensor& weight, NormOptions options) {
  const auto out =
      GateFunction::apply(s, s_scale, weight, gate_factor, up_factor, options.eps, options.quantize);
  return {out[0], out[1]};
}

Tensor attention(const Tensor& s, const Tensor& s_scale, std::array<double, 3> factors,
                 const AttentionShape& shape) {
  return AttentionFunction::apply(s, s_scale, factors, shape);
}

Tensor product(const Tensor& q, const Tensor& t) { return ProductFunction::apply(q, t); }

Tensor embed(const Tensor& table, const Tensor& tokens) { return EmbedFunction::apply(table, tokens); }

Tensor head_loss(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& mask,
                 double scale, Tensor losses) {
  return LossFunction::apply(hidden, table, targets, mask, scale, losses.defined() ? losses : none(),
                             torch::GradMode::is_enabled());
}

double quantize_weight(const Tensor& master, bool ternary, Tensor out) {
  double factor = 0;
  if (ternary) {
    const double mean =
        kernels().sum_abs(floats(master), master.numel()) / static_cast<double>(master.numel());
    factor = static_cast<double>(std::max(static_cast<float>(mean), 1e-5f));
  }
  by_type(out.scalar_type(), [&]<class T>(T* tag) {
    kernels().of(tag).trits(floats(master), master.numel(),
                            factor == 0 ? 0.0f : static_cast<float>(1.0 / factor), data<T>(out));
  });
  return ternary ? factor : 1.0;
}

}  // namespace tern::train
