// SPDX-License-Identifier: MIT
// Loading: binds every tensor of the file by name and exact shape, checks what can be checked, packs ternary
// matrices.
#include "model/model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <set>

#include "core/math.h"
#include "formats/dense.h"

namespace tern {

namespace {

constexpr const char* kI2sOrderKey = "tern.i2_s.order";

Result<I2sOrder> i2s_order_of(const GgufFile& file, const LoadOptions& options) {
  if (options.i2s_order) return *options.i2s_order;
  TERN_TRY_ASSIGN(const auto name, file.get_string(kI2sOrderKey));
  if (!name) return I2sOrder::kX86_128;
  TERN_TRY_ASSIGN(const I2sOrder order, parse_i2s_order(*name));
  return order;
}

/// The row function of a dense type, as a plain pointer that kernels can call.
template <DType kType>
void dequantize_row_of(const std::byte* row, uint64_t cols, float* out) {
  dequantize_row(kType, row, cols, out);
}

auto row_function(DType dtype) -> decltype(DenseWeight::dequantize) {
  switch (dtype) {
    case DType::kF32:
      return dequantize_row_of<DType::kF32>;
    case DType::kF16:
      return dequantize_row_of<DType::kF16>;
    case DType::kBF16:
      return dequantize_row_of<DType::kBF16>;
    case DType::kQ8_0:
      return dequantize_row_of<DType::kQ8_0>;
    case DType::kQ4_0:
      return dequantize_row_of<DType::kQ4_0>;
    case DType::kQ4_K:
      return dequantize_row_of<DType::kQ4_K>;
    case DType::kQ6_K:
      return dequantize_row_of<DType::kQ6_K>;
    default:
      return nullptr;
  }
}

Result<DenseWeight> bind_dense(const GgufTensorInfo& tensor) {
  const auto function = row_function(tensor.dtype);
  if (function == nullptr) {
    return make_error(ErrorCode::kUnsupported,
                      "tensor '{}' has type {}: tern reads f32, f16, bf16, q8_0, q4_0, q4_k "
                      "and q6_k here",
                      tensor.name, dtype_name(tensor.dtype));
  }
  const auto rows = static_cast<int64_t>(tensor.rows()), cols = static_cast<int64_t>(tensor.cols());
  return DenseWeight{tensor.dtype,       rows,    cols, static_cast<int64_t>(tensor.byte_size) / rows,
                     tensor.data.data(), function};
}

/// Embeddings and head are ternary in weight-only models alone; elsewhere int8 activations of the head would
/// be a guess.
Status check_tables(const GgufFile& file, const Config& c) {
  for (const char* name : {"token_embd.weight", "output.weight"}) {
    const GgufTensorInfo* tensor = file.find_tensor(name);
    if (tensor == nullptr || !is_ternary(tensor->dtype) || c.activation_bits != ActivationBits::kInt8)
      continue;
    return make_error(
        ErrorCode::kUnsupported,
        "tensor '{}' has type {}: tern computes ternary embeddings and heads with activations of 16 bits "
        "or floats only (--act int16, --act f32)",
        name, dtype_name(tensor->dtype));
  }
  return {};
}

/// What the header leaves open about tensors, added to the configuration's doubts.
Status add_file_facts(const GgufFile& file, bool i2s_order_is_given, Config& c) {
  const GgufTensorInfo* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) return make_error(ErrorCode::kCorrupt, "tensor 'token_embd.weight' is missing");
  c.vocab_size = static_cast<int64_t>(embedding->rows());
  if (c.vocab_size < 1 || c.vocab_size > (1 << 24)) {
    return make_error(ErrorCode::kCorrupt, "the embedding has {} rows, expected 1 to {}", c.vocab_size,
                      1 << 24);
  }
  TERN_TRY_ASSIGN(const auto stated, file.get_uint(arch_key(c, "vocab_size")));
  if (stated && *stated != static_cast<uint64_t>(c.vocab_size)) {
    c.doubts.push_back(fmt::format("key '{}' says {}, the embedding has {} rows: the embedding decides",
                                   arch_key(c, "vocab_size"), *stated, c.vocab_size));
  }
  const bool has_i2s = std::any_of(file.tensors.begin(), file.tensors.end(),
                                   [](const GgufTensorInfo& tensor) { return tensor.dtype == DType::kI2_S; });
  if (has_i2s && !i2s_order_is_given && file.find(kI2sOrderKey) == nullptr) {
    c.doubts.push_back(
        "I2_S files do not say their byte order: x86-128 assumed, the order of the published files "
        "(--i2s-order overrides)");
  }
  return {};
}

/// Turns per position of pair i, times 2 pi, before the divisors of rope_freqs.
double rope_frequency(const Config& c, int64_t i) {
  const double dim = static_cast<double>(c.rope_dim), log_theta = portable_log(c.rope_theta);
  const double frequency = portable_exp(-2.0 * static_cast<double>(i) / dim * log_theta);
  if (!c.rope_yarn) return frequency;
  // The pair that turns `turns` times within the original context, as a real number.
  const auto pair_of = [&](double turns) {
    constexpr double kTwoPi = 6.283185307179586;
    return dim * portable_log(static_cast<double>(c.rope_yarn->original_context) / (turns * kTwoPi)) /
           (2 * log_theta);
  };
  const double low = std::max(std::floor(pair_of(YarnScaling::kFastTurns)), 0.0);
  const double high = std::min(std::ceil(pair_of(YarnScaling::kSlowTurns)), dim - 1);
  const double ramp = std::clamp((static_cast<double>(i) - low) / std::max(high - low, 0.001), 0.0, 1.0);
  return frequency * ((1 - ramp) + ramp / c.rope_yarn->factor);
}

}  // namespace

Result<Config> inspect_config(const Weights& weights) {
  TERN_TRY_ASSIGN(Config config, read_config(weights.gguf()));
  TERN_TRY(add_file_facts(weights.gguf(), false, config));
  return config;
}

Result<I2sOrder> parse_i2s_order(std::string_view name) {
  if (name == "x86-128") return I2sOrder::kX86_128;
  if (name == "arm-64") return I2sOrder::kArm_64;
  if (name == "x86-1x4") return I2sOrder::kX86_1x4;
  return make_error(ErrorCode::kUsage, "I2_S byte order '{}' is unknown: expected x86-128, arm-64 or x86-1x4",
                    name);
}

/// One load. Lives only inside Model::load.
class ModelLoader {
 public:
  ModelLoader(std::shared_ptr<const Weights> weights, Backend& backend, const LoadOptions& options)
      : weights_(std::move(weights)), backend_(backend), options_(options) {}

  Result<std::shared_ptr<const Model>> load();

 private:
  using Shape = std::vector<uint64_t>;

  Status bind_layer(int64_t index);
  Status bind_linear(const std::string& stem, int64_t rows, int64_t cols, Linear* linear);
  Status bind_ternary(const GgufTensorInfo& tensor, Linear* linear);
  Status bind_table(const GgufTensorInfo& tensor, Linear* linear);
  Status bind_head();
  Status check_activations(const GgufTensorInfo& tensor) const;
  Result<const float*> bind_norm(const std::string& name, int64_t width);
  Result<const GgufTensorInfo*> get(const std::string& name, const Shape& shape);
  Result<const GgufTensorInfo*> find(const std::string& name, const Shape& shape);
  Status fill_rope_frequencies();
  Status refuse_unbound() const;
  const float* own(std::vector<float> values);

  std::shared_ptr<const Weights> weights_;
  Backend& backend_;
  const LoadOptions& options_;
  I2sOrder i2s_order_ = I2sOrder::kX86_128;
  std::set<std::string_view> bound_;
  int64_t done_bytes_ = 0;
  std::shared_ptr<Model> model_ = std::shared_ptr<Model>(new Model());
};

Result<const GgufTensorInfo*> ModelLoader::get(const std::string& name, const Shape& shape) {
  TERN_TRY_ASSIGN(const GgufTensorInfo* tensor, weights_->get(name, shape));
  bound_.insert(tensor->name);
  return tensor;
}

Result<const GgufTensorInfo*> ModelLoader::find(const std::string& name, const Shape& shape) {
  TERN_TRY_ASSIGN(const GgufTensorInfo* tensor, weights_->find(name, shape));
  if (tensor != nullptr) bound_.insert(tensor->name);
  return tensor;
}

const float* ModelLoader::own(std::vector<float> values) {
  return model_->floats_.emplace_back(std::move(values)).data();
}

Result<const float*> ModelLoader::bind_norm(const std::string& name, int64_t width) {
  TERN_TRY_ASSIGN(const GgufTensorInfo* tensor, get(name, {static_cast<uint64_t>(width)}));
  TERN_TRY_ASSIGN(const DenseWeight row, bind_dense(*tensor));
  std::vector<float> values(static_cast<size_t>(width));
  row.dequantize(row.bytes, static_cast<uint64_t>(width), values.data());
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return make_error(ErrorCode::kCorrupt, "tensor '{}' holds a value that is not finite", name);
    }
  }
  return own(std::move(values));
}

Status ModelLoader::check_activations(const GgufTensorInfo& tensor) const {
  const ActivationBits bits = model_->config_.activation_bits;
  if (bits == ActivationBits::kUnknown) {
    return make_error(
        ErrorCode::kUnsupported,
        "tensor '{}' has type {}, which BitNet models (activations of int8) and weight-only models are both "
        "stored "
        "in, and the file does not say which (key 'tern.activation'): pass --act int8 or --act int16",
        tensor.name, dtype_name(tensor.dtype));
  }
  if (bits == ActivationBits::kInt16 && tensor.cols() > static_cast<uint64_t>(kMaxColumns16)) {
    return make_error(
        ErrorCode::kUnsupported,
        "tensor '{}' has {} columns: sums with activations of 16 bits are proven to fit 32 bits up to {} "
        "columns only (--act f32 has no limit)",
        tensor.name, tensor.cols(), kMaxColumns16);
  }
  return {};
}

Status ModelLoader::bind_ternary(const GgufTensorInfo& tensor, Linear* linear) {
  TERN_TRY(check_activations(tensor));
  TERN_TRY_ASSIGN(const TernaryView view, weights_->ternary(tensor, i2s_order_));
  TernarySource source;
  source.rows = static_cast<int64_t>(view.rows);
  source.cols = static_cast<int64_t>(view.cols);
  source.scale_kind = view.scale_scope == ScaleScope::kTensor ? WeightScale::kTensor
                      : view.scale_scope == ScaleScope::kRow  ? WeightScale::kRow
                                                              : WeightScale::kGroup;
  source.group_cols = static_cast<int64_t>(view.group_cols);
  source.read = [&view](int64_t begin, int64_t count, int8_t* trits, float* scales) {
    return view.read(static_cast<uint64_t>(begin), static_cast<uint64_t>(count), trits, scales);
  };
  auto packed = backend_.pack_ternary(source);
  if (!packed.ok()) return std::move(packed).error().in(fmt::format("tensor '{}'", tensor.name));
  linear->ternary = std::move(packed).value();
  for (const GgufTensorInfo* companion : view.companions) bound_.insert(companion->name);
  weights_->release(tensor);
  done_bytes_ += static_cast<int64_t>(tensor.byte_size);
  if (options_.progress) options_.progress(done_bytes_, static_cast<int64_t>(weights_->file_bytes()));
  return {};
}

Status ModelLoader::bind_linear(const std::string& stem, int64_t rows, int64_t cols, Linear* linear) {
  TERN_TRY_ASSIGN(const GgufTensorInfo* tensor,
                  get(stem + ".weight", {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)}));
  if (const auto& eps = model_->config_.linear_norm_eps) {
    linear->norm_in = own(std::vector<float>(static_cast<size_t>(cols), 1.0f / static_cast<float>(cols)));
    linear->norm_in_eps = *eps * *eps / static_cast<float>(cols);
  }
  if (model_->config_.has_linear_norms) {
    TERN_TRY_ASSIGN(linear->norm_in, bind_norm(stem + "_norm_in.weight", cols));
    linear->norm_in_eps = model_->config_.rms_norm_eps;
  }
  return bind_table(*tensor, linear);
}

Status ModelLoader::bind_table(const GgufTensorInfo& tensor, Linear* linear) {
  linear->dtype = tensor.dtype;
  if (is_ternary(tensor.dtype)) return bind_ternary(tensor, linear);
  TERN_TRY_ASSIGN(linear->dense, bind_dense(tensor));
  return {};
}

Status ModelLoader::bind_layer(int64_t index) {
  const Config& c = model_->config_;
  Layer& layer = model_->layers_[static_cast<size_t>(index)];
  const std::string prefix = fmt::format("blk.{}.", index);
  const int64_t heads = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  if (c.has_block_norms) {
    TERN_TRY_ASSIGN(layer.attn_norm, bind_norm(prefix + "attn_norm.weight", c.hidden_size));
    TERN_TRY_ASSIGN(layer.ffn_norm, bind_norm(prefix + "ffn_norm.weight", c.hidden_size));
  }
  if (c.has_sub_norms) {
    TERN_TRY_ASSIGN(layer.attn_sub_norm, bind_norm(prefix + "attn_sub_norm.weight", heads));
    TERN_TRY_ASSIGN(layer.ffn_sub_norm, bind_norm(prefix + "ffn_sub_norm.weight", c.intermediate_size));
  }
  if (c.has_qk_norm) {
    TERN_TRY_ASSIGN(layer.q_norm, bind_norm(prefix + "attn_q_norm.weight", c.head_dim));
    TERN_TRY_ASSIGN(layer.k_norm, bind_norm(prefix + "attn_k_norm.weight", c.head_dim));
  }
  struct Part {
    const char* name;
    int64_t rows, cols;
    Linear* linear;
  };
  const std::array<Part, 7> parts = {{{"attn_q", heads, c.hidden_size, &layer.q},
                                      {"attn_k", kv, c.hidden_size, &layer.k},
                                      {"attn_v", kv, c.hidden_size, &layer.v},
                                      {"attn_output", c.hidden_size, heads, &layer.o},
                                      {"ffn_gate", c.intermediate_size, c.hidden_size, &layer.gate},
                                      {"ffn_up", c.intermediate_size, c.hidden_size, &layer.up},
                                      {"ffn_down", c.hidden_size, c.intermediate_size, &layer.down}}};
  for (const Part& part : parts) TERN_TRY(bind_linear(prefix + part.name, part.rows, part.cols, part.linear));
  return {};
}

Status ModelLoader::bind_head() {
  const Config& c = model_->config_;
  const Shape shape = {static_cast<uint64_t>(c.hidden_size), static_cast<uint64_t>(c.vocab_size)};
  TERN_TRY_ASSIGN(const GgufTensorInfo* embedding, get("token_embd.weight", shape));
  TERN_TRY(bind_table(*embedding, &model_->embedding_));
  TERN_TRY_ASSIGN(const GgufTensorInfo* head, find("output.weight", shape));
  model_->is_tied_ = head == nullptr;
  model_->head_ = model_->embedding_;  // a ternary one is shared
  if (head != nullptr) TERN_TRY(bind_table(*head, &model_->head_));
  TERN_TRY_ASSIGN(model_->output_norm_, bind_norm("output_norm.weight", c.hidden_size));
  return {};
}

Status ModelLoader::fill_rope_frequencies() {
  const Config& c = model_->config_;
  const int64_t half = c.rope_dim / 2;
  TERN_TRY_ASSIGN(const GgufTensorInfo* divisors, find("rope_freqs.weight", {static_cast<uint64_t>(half)}));
  std::vector<float> divide(static_cast<size_t>(half), 1.0f);
  if (divisors != nullptr) {
    TERN_TRY_ASSIGN(const DenseWeight row, bind_dense(*divisors));
    row.dequantize(row.bytes, static_cast<uint64_t>(half), divide.data());
  }
  for (int64_t i = 0; i < half; ++i) {
    if (!std::isfinite(divide[i]) || divide[i] <= 0) {
      return make_error(ErrorCode::kCorrupt,
                        "tensor 'rope_freqs.weight': entry {} is {}, expected a positive number", i,
                        divide[i]);
    }
    model_->rope_inv_freq_.push_back(static_cast<float>(rope_frequency(c, i)) / divide[i]);
    // portable_sincos is exact below 2^30; real models stay below 2^20.
    const double angle =
        model_->rope_inv_freq_.back() * static_cast<double>(c.max_seq_len) / c.rope_linear_factor;
    if (!(angle < 0x1p30)) {
      return make_error(
          ErrorCode::kCorrupt,
          "RoPE angle {} at position {} is {:g}: rope.freq_base, rope.scaling.factor or rope_freqs is wrong",
          i, c.max_seq_len, angle);
    }
  }
  return {};
}

Status ModelLoader::refuse_unbound() const {
  std::string names;
  size_t count = 0;
  for (const auto& tensor : weights_->gguf().tensors) {
    if (bound_.count(tensor.name) != 0) continue;
    if (++count <= 3) names += (count == 1 ? "'" : ", '") + tensor.name + "'";
  }
  if (count == 0) return {};
  return make_error(
      ErrorCode::kUnsupported,
      "{} tensor(s) that architecture '{}' does not use ({}{}): computing without them would be wrong", count,
      model_->config_.architecture, names, count > 3 ? ", ..." : "");
}

Result<std::shared_ptr<const Model>> ModelLoader::load() {
  const GgufFile& file = weights_->gguf();
  TERN_TRY_ASSIGN(model_->config_, read_config(file));
  TERN_TRY_ASSIGN(i2s_order_, i2s_order_of(file, options_));
  model_->weights_ = weights_;
  // A file cannot describe more layers than it has tensors: checked before anything of that size is
  // allocated.
  if (model_->config_.num_layers > static_cast<int64_t>(file.tensors.size())) {
    return make_error(ErrorCode::kCorrupt, "block_count is {}, but the file has only {} tensors",
                      model_->config_.num_layers, file.tensors.size());
  }
  if (options_.activations) model_->config_.activation_bits = *options_.activations;
  TERN_TRY(check_tables(file, model_->config_));
  TERN_TRY(add_file_facts(file, options_.i2s_order.has_value(), model_->config_));
  TERN_TRY(bind_head());
  TERN_TRY(fill_rope_frequencies());
  model_->layers_.resize(static_cast<size_t>(model_->config_.num_layers));
  for (int64_t i = 0; i < model_->config_.num_layers; ++i) TERN_TRY(bind_layer(i));
  TERN_TRY(refuse_unbound());
  return std::shared_ptr<const Model>(model_);
}

Result<std::shared_ptr<const Model>> Model::load(std::shared_ptr<const Weights> weights, Backend& backend,
                                                 const LoadOptions& options) {
  const std::string path = weights->path();
  auto model = ModelLoader(std::move(weights), backend, options).load();
  if (!model.ok()) return std::move(model).error().in(path);
  return model;
}

size_t Model::packed_bytes() const {
  size_t total = 0;
  if (embedding_.ternary) total += embedding_.ternary->resident_bytes();
  if (head_.ternary && !is_tied_) total += head_.ternary->resident_bytes();
  for (const Layer& layer : layers_) {
    for (const Linear* linear :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      if (linear->ternary) total += linear->ternary->resident_bytes();
    }
  }
  return total;
}

}  // namespace tern
