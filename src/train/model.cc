// SPDX-License-Identifier: MIT
#include "train/model.h"

#include <torch/torch.h>

#include <cmath>

#include "core/math.h"
#include "train/distill_loss.h"

namespace tern::train {

namespace {

Tensor as_tensor(const std::vector<int32_t>& values) {
  return torch::from_blob(const_cast<int32_t*>(values.data()), {static_cast<int64_t>(values.size())},
                          torch::kInt)
      .clone();
}

}  // namespace

void TrainModel::add(std::vector<Part> parts, int64_t cols, bool is_matrix) {
  Parameter parameter;
  int64_t rows = 0;
  for (Part& part : parts) {
    part.row = rows;
    rows += part.rows;
  }
  parameter.is_matrix = is_matrix;
  parameter.parts = std::move(parts);
  parameter.offset = parameters_.empty() ? 0 : parameters_.back().offset + parameters_.back().value.numel();
  // Only the shape counts until create() has made the flat vector.
  parameter.value = is_matrix ? torch::empty({rows, cols}, torch::kMeta) : torch::empty({cols}, torch::kMeta);
  parameters_.push_back(std::move(parameter));
}

void TrainModel::add_layer(int64_t layer) {
  const std::string stem = fmt::format("model.layers.{}.", layer);
  const int64_t hidden = shape_.hidden_size, ffn = shape_.intermediate_size;
  const int64_t heads = int64_t{shape_.heads} * shape_.head_dim,
                kv = int64_t{shape_.kv_heads} * shape_.head_dim;
  const auto part = [&](const char* name, int64_t rows) {
    return Part{stem + name + ".weight", 0, rows, ternary_};
  };
  const auto norm = [&](const char* name, int64_t cols) {
    add({Part{stem + name + ".weight", 0, 1, false}}, cols, false);
  };
  norm("input_layernorm", hidden);
  add({part("self_attn.q_proj", heads), part("self_attn.k_proj", kv), part("self_attn.v_proj", kv)}, hidden,
      true);
  norm("self_attn.attn_sub_norm", heads);
  add({part("self_attn.o_proj", hidden)}, heads, true);
  norm("post_attention_layernorm", hidden);
  add({part("mlp.gate_proj", ffn), part("mlp.up_proj", ffn)}, hidden, true);
  norm("mlp.ffn_sub_norm", ffn);
  add({part("mlp.down_proj", hidden)}, ffn, true);
}

void TrainModel::initialize(uint64_t seed) {
  torch::NoGradGuard no_grad;
  auto generator = at::detail::createCPUGenerator(seed);
  const double deviation = 0.02, into_stream = deviation / std::sqrt(2.0 * shape_.layers);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& p = parameters_[i];
    p.value = values_.narrow(0, p.offset, p.value.numel()).view(p.value.sizes());
    const bool narrow =
        i > 0 && i < final_norm() && ((i - 1) % kPerLayer == kOut || (i - 1) % kPerLayer == kDown);
    if (p.is_matrix) {
      p.value.normal_(0, narrow ? into_stream : deviation, generator);
    } else {
      p.value.fill_(1);
    }
  }
}

TrainModel TrainModel::create(const ModelShape& shape, bool ternary, uint64_t seed) {
  TrainModel model;
  model.shape_ = shape;
  model.ternary_ = ternary;
  model.add({Part{"model.embed_tokens.weight", 0, shape.vocab_size, false}}, shape.hidden_size, true);
  for (int64_t layer = 0; layer < shape.layers; ++layer) model.add_layer(layer);
  model.add({Part{"model.norm.weight", 0, 1, false}}, shape.hidden_size, false);
  if (!shape.tie_embeddings) {
    model.add({Part{"lm_head.weight", 0, shape.vocab_size, false}}, shape.hidden_size, true);
  }
  const Parameter& last = model.parameters_.back();
  model.values_ = torch::empty({last.offset + last.value.numel()}, torch::kFloat);
  model.initialize(seed);

  // The engine's tables: frequency and angle rounded to f32, then cos and sin (docs/numerics.md, RoPE).
  const int64_t half = shape.head_dim / 2;
  model.cos_ = torch::empty({shape.context, half}, torch::kFloat);
  model.sin_ = torch::empty({shape.context, half}, torch::kFloat);
  for (int64_t i = 0; i < half; ++i) {
    const auto frequency = static_cast<float>(
        portable_exp(-2.0 * static_cast<double>(i) / shape.head_dim * portable_log(shape.rope_theta)));
    for (int64_t t = 0; t < shape.context; ++t) {
      double sine, cosine;
      portable_sincos(static_cast<float>(t) * frequency, &sine, &cosine);
      model.cos_.data_ptr<float>()[t * half + i] = static_cast<float>(cosine);
      model.sin_.data_ptr<float>()[t * half + i] = static_cast<float>(sine);
    }
  }
  return model;
}

void TrainModel::quantize(torch::ScalarType type, StepWeights& out, size_t begin, size_t end) const {
  for (size_t i = begin; i < end; ++i) {
    const Parameter& p = parameters_[i];
    if (!p.is_matrix) {
      out.tensors[i] = p.value;
      continue;
    }
    if (!out.tensors[i].defined()) out.tensors[i] = torch::empty(p.value.sizes(), type);
    out.factors[i].clear();
    for (const Part& part : p.parts) {
      out.factors[i].push_back(quantize_weight(p.value.narrow(0, part.row, part.rows), part.ternary,
                                               out.tensors[i].narrow(0, part.row, part.rows)));
    }
  }
}

StepWeights TrainModel::quantize(torch::ScalarType type) const {
  StepWeights weights;
  weights.tensors.resize(parameters_.size());
  weights.factors.resize(parameters_.size());
  quantize(type, weights, 0, parameters_.size());
  return weights;
}

AttentionShape TrainModel::attention_shape(const Batch& batch) const {
  AttentionShape a;
  a.batch = batch.rows, a.time = batch.context;
  a.heads = shape_.heads, a.kv_heads = shape_.kv_heads, a.dim = shape_.head_dim;
  a.cos = cos_, a.sin = sin_;
  a.first = torch::empty({a.batch, a.time}, torch::kInt);
  auto* first = a.first.data_ptr<int32_t>();
  for (int64_t i = 0; i < a.batch * a.time; ++i) {
    const bool continues = i % a.time != 0 && batch.segments[i] == batch.segments[i - 1];
    first[i] = continues ? first[i - 1] : static_cast<int32_t>(i % a.time);
  }
  return a;
}

Tensor TrainModel::hidden(const StepWeights& weights, const Batch& batch) const {
  const std::vector<Tensor>& w = weights.tensors;
  const NormOptions quantized{shape_.rms_norm_eps, ternary_}, plain{shape_.rms_norm_eps, false};
  const AttentionShape shape = attention_shape(batch);
  Tensor h = embed(w[kEmbedding], as_tensor(batch.tokens));
  Quantized x = norm_quant(h, w[index(0, kAttnNorm)], quantized, w[kEmbedding].scalar_type());
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    const auto at = [&](InLayer what) -> const Tensor& { return w[index(layer, what)]; };
    const auto factor = [&](InLayer what, size_t part) { return weights.factors[index(layer, what)][part]; };
    const Tensor mixed = attention(product(x.q, at(kQkv)), x.scale,
                                   {factor(kQkv, 0), factor(kQkv, 1), factor(kQkv, 2)}, shape);
    const Quantized a = norm_quant(mixed, at(kAttnSubNorm), quantized, mixed.scalar_type());
    std::tie(h, x) =
        add_norm_quant(h, product(a.q, at(kOut)), a.scale, factor(kOut, 0), at(kFfnNorm), quantized);
    const Quantized f = gate_norm_quant(product(x.q, at(kGateUp)), x.scale, factor(kGateUp, 0),
                                        factor(kGateUp, 1), at(kFfnSubNorm), quantized);
    const bool is_last = layer + 1 == shape_.layers;
    const Tensor& next = is_last ? w[final_norm()] : w[index(layer + 1, kAttnNorm)];
    std::tie(h, x) = add_norm_quant(h, product(f.q, at(kDown)), f.scale, factor(kDown, 0), next,
                                    is_last ? plain : quantized);
  }
  return x.q;
}

Tensor TrainModel::loss(const StepWeights& weights, const Batch& batch, double scale, Tensor losses) const {
  if (batch.teacher_k > 0) return distill_loss(logits(weights, batch), batch, scale);
  const Tensor mask = torch::from_blob(const_cast<uint8_t*>(batch.mask.data()),
                                       {static_cast<int64_t>(batch.mask.size())}, torch::kByte)
                          .clone();
  return head_loss(hidden(weights, batch), weights.tensors[head_index()], as_tensor(batch.targets), mask,
                   scale, std::move(losses));
}

Tensor TrainModel::logits(const StepWeights& weights, const Batch& batch) const {
  return product(hidden(weights, batch), weights.tensors[head_index()]).to(torch::kFloat);
}

}  // namespace tern::train
