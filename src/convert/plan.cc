// SPDX-License-Identifier: MIT
#include "convert/plan.h"

#include <algorithm>
#include <array>

#include "core/printable.h"
#include "formats/dense.h"
#include "formats/gguf.h"

namespace tern {
namespace {

constexpr std::array<DType, 6> kDenseTypes = {DType::kF32,  DType::kF16,  DType::kBF16,
                                              DType::kQ8_0, DType::kQ4_0, DType::kQ6_K};
// What `auto` tries for a matrix that has no GGUF type yet, best first.
constexpr std::array<DType, 6> kAutoTypes = {DType::kI2_S,      DType::kIQ2_BN,   DType::kTQ2_0,
                                             DType::kQ2_0_G128, DType::kQ2_0_G64, DType::kQ1_0};

bool is_head(std::string_view name) { return name == "token_embd.weight" || name == "output.weight"; }
bool is_projection(const CheckpointTensor& tensor) {
  return tensor.shape.size() == 2 && tensor.name.starts_with("blk.");
}

std::optional<DType> dense_named(std::string_view name) {
  for (const DType dtype : kDenseTypes) {
    if (dtype_name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

/// Types that files can be written in: all with scales of their own and an id, but for those whose layout
/// needs more than the file says.
bool is_target(const TernaryCodec& codec) {
  return codec.has_scale && gguf_type_id(codec.dtype).ok() && !dtype_name(codec.dtype).starts_with("tl");
}

std::optional<DType> ternary_named(std::string_view name) {
  if (name == "q2_0") name = dtype_name(DType::kQ2_0_G64);
  for (const TernaryCodec& codec : ternary_codecs()) {
    if (is_target(codec) && dtype_name(codec.dtype) == name) return codec.dtype;
  }
  return std::nullopt;
}

struct Fit {
  bool fits = false;
  bool separate_scale = false;
  bool rounds = false;  // only with permission
  std::string why_not;  // "5460 columns are no multiple of 128"
};

/// Whether a type holds a matrix of these scales exactly.
Fit fit(DType dtype, const CheckpointTensor& t, const ScaleFacts& scales, I2sOrder order) {
  const TernaryCodec& codec = *find_codec(dtype);
  Fit fit;
  if (dtype == DType::kI2_S && order == I2sOrder::kX86_1x4) {
    if (t.rows() % 4 != 0) fit.why_not = fmt::format("{} rows are no multiple of 4", t.rows());
  } else if (t.rows() % codec.block_rows != 0) {
    fit.why_not = fmt::format("{} rows are no multiple of {}", t.rows(), codec.block_rows);
  } else if (t.cols() % codec.block_cols != 0) {
    fit.why_not = fmt::format("{} columns are no multiple of {}", t.cols(), codec.block_cols);
  }
  if (!fit.why_not.empty()) return fit;
  const bool is_by_row = scales.scope == ScaleScope::kRow, is_by_group = scales.scope == ScaleScope::kGroup;
  if (codec.scale_scope == ScaleScope::kTensor && scales.scope != ScaleScope::kTensor) {
    fit.why_not =
        fmt::format("it has one scale, the tensor one per {}", is_by_row ? "row" : "group of columns");
  } else if (codec.scale_scope == ScaleScope::kRow && is_by_group) {
    fit.why_not = fmt::format("it has one scale per row, the tensor one per {} columns", t.group_cols);
  } else if (codec.scale_scope == ScaleScope::kGroup && is_by_group && t.group_cols % codec.group_cols != 0) {
    fit.why_not =
        fmt::format("it has one scale per {} columns, the tensor one per {}", codec.group_cols, t.group_cols);
  }
  if (!fit.why_not.empty()) return fit;
  fit.fits = true;
  if (!codec.f16_scale || scales.fits_f16) return fit;
  fit.separate_scale = scales.scope == ScaleScope::kTensor;
  fit.rounds = !fit.separate_scale;
  return fit;
}

class Planner {
 public:
  Planner(const Checkpoint& checkpoint, const TargetOptions& options) : in_(checkpoint), options_(options) {}
  Result<FilePlan> plan();

 private:
  Status read_choices();
  Status choose_i2s_order();
  Status add_tensor(const CheckpointTensor& tensor);
  Status add_ternary(const CheckpointTensor& tensor);
  Result<DType> auto_type(const CheckpointTensor& tensor, const ScaleFacts& scales) const;
  Result<DType> dense_type(const CheckpointTensor& tensor) const;
  Error does_not_fit(const CheckpointTensor& t, DType dtype, const ScaleFacts& scales,
                     const std::string& why) const;
  void add_keys();

  const Checkpoint& in_;
  const TargetOptions& options_;
  std::optional<DType> type_, head_;  // absent: auto
  I2sOrder order_ = I2sOrder::kX86_128;
  bool for_llama_cpp_ = false;
  FilePlan out_;
};

Status Planner::read_choices() {
  if (!options_.engine.empty() && options_.engine != "llama.cpp") {
    return make_error(ErrorCode::kUsage, "--for '{}': expected llama.cpp", options_.engine);
  }
  for_llama_cpp_ = !options_.engine.empty();
  if (options_.type != "auto") {
    type_ = ternary_named(options_.type);
    if (!type_) type_ = dense_named(options_.type);
    if (!type_) {
      return make_error(ErrorCode::kUsage, "--type '{}': expected auto, {} or, for dense models, {}",
                        options_.type, known_ternary_types(), known_head_types());
    }
  } else if (for_llama_cpp_) {
    type_ = DType::kTQ2_0;
  }
  const bool is_readable = !type_ || !is_ternary(*type_) || *type_ == DType::kTQ1_0 ||
                           *type_ == DType::kTQ2_0 || *type_ == DType::kQ1_0 || *type_ == DType::kQ2_0_G64;
  if (for_llama_cpp_ && !is_readable) {
    return make_error(ErrorCode::kUsage, "--for llama.cpp: it reads tq1_0, tq2_0, q1_0 and q2_0, not {}",
                      options_.type);
  }
  if (options_.head != "auto") {
    head_ = dense_named(options_.head);
    if (!head_) {
      return make_error(ErrorCode::kUsage, "--head '{}': expected auto, {}", options_.head,
                        known_head_types());
    }
  }
  return {};
}

/// One byte order for the file. x86-128 is what others read; widths that 64 does not divide (1bitLLM xl:
/// 5460) have only the order by four rows.
Status Planner::choose_i2s_order() {
  for (const CheckpointTensor& t : in_.tensors) {
    if (!t.is_ternary() || !is_projection(t) || t.cols() % 64 == 0) continue;
    order_ = I2sOrder::kX86_1x4;
  }
  return {};
}

Error Planner::does_not_fit(const CheckpointTensor& t, DType dtype, const ScaleFacts& scales,
                            const std::string& why) const {
  std::string others;
  for (const TernaryCodec& codec : ternary_codecs()) {
    const Fit other = is_target(codec) ? fit(codec.dtype, t, scales, order_) : Fit{};
    if (!other.fits || other.rounds || !codec.has_zero) continue;
    others += fmt::format("{}{}", others.empty() ? "" : ", ", dtype_name(codec.dtype));
  }
  return make_error(ErrorCode::kUnsupported, "tensor '{}' cannot be {}: {}; types that hold it: {}",
                    printable(t.name), dtype_name(dtype), why,
                    others.empty() ? "none (--type f16 --lossy expands it)" : others);
}

Result<DType> Planner::auto_type(const CheckpointTensor& t, const ScaleFacts& scales) const {
  const TernaryCodec* own = find_codec(t.dtype);
  if (own != nullptr && is_target(*own)) {
    const Fit kept = fit(t.dtype, t, scales, order_);
    if (kept.fits && !kept.rounds) return t.dtype;
  }
  if (order_ == I2sOrder::kX86_1x4 && fit(DType::kI2_S, t, scales, order_).fits) return DType::kI2_S;
  for (const DType dtype : kAutoTypes) {
    const Fit found = fit(dtype, t, scales, order_);
    if (found.fits && !found.rounds) return dtype;
  }
  return does_not_fit(t, DType::kI2_S, scales, fit(DType::kI2_S, t, scales, order_).why_not);
}

Status Planner::add_ternary(const CheckpointTensor& tensor) {
  TERN_TRY_ASSIGN(const ScaleFacts scales, scales_of(tensor));
  DType dtype = type_.value_or(DType::kI2_S);
  if (!type_) {
    TERN_TRY_ASSIGN(dtype, auto_type(tensor, scales));
  }
  const Fit found = fit(dtype, tensor, scales, order_);
  if (!found.fits) return does_not_fit(tensor, dtype, scales, found.why_not);
  TensorPlan plan;
  plan.source = &tensor;
  plan.name = tensor.name;
  plan.dtype = dtype;
  plan.order = order_;
  plan.separate_scale = found.separate_scale;
  plan.scale = scales.value;
  // llama.cpp knows .scale tensors for its bitnet architecture only.
  if (for_llama_cpp_ && found.separate_scale && !in_.text("general.architecture").starts_with("bitnet")) {
    plan.separate_scale = false;
    plan.may_round = true;
  } else if (found.rounds) {
    if (!options_.lossy && !for_llama_cpp_) {
      return does_not_fit(tensor, dtype, scales,
                          "it stores scales as f16, which cannot hold them all exactly (--lossy rounds)");
    }
    plan.may_round = true;
  }
  out_.tensors.push_back(std::move(plan));
  return {};
}

Result<DType> Planner::dense_type(const CheckpointTensor& t) const {
  if (t.shape.size() == 1) return DType::kF32;  // norms and frequencies: every reader wants them so
  std::optional<DType> wanted = is_head(t.name) ? head_ : is_projection(t) ? type_ : std::nullopt;
  if (wanted && is_ternary(*wanted)) wanted.reset();  // a dense projection stays dense
  if (t.is_ternary() && wanted && !options_.lossy && is_projection(t)) {
    return make_error(
        ErrorCode::kUnsupported,
        "tensor '{}' is ternary: as {} its inputs would no longer be quantised to int8 as in training, "
        "which gives other logits; --lossy accepts that",
        printable(t.name), dtype_name(*wanted));
  }
  if (!wanted && t.is_ternary()) {  // a ternary embedding: f16 holds trit * scale where it holds the scale
    TERN_TRY_ASSIGN(const ScaleFacts scales, scales_of(t));
    wanted = scales.fits_f16 ? DType::kF16 : DType::kF32;
  }
  const DType dtype = wanted.value_or(t.dtype);
  if (dense_block_cols(dtype) == 0 || t.cols() % dense_block_cols(dtype) != 0) {
    return make_error(ErrorCode::kUnsupported, "tensor '{}' cannot be {}: {} columns are no multiple of {}",
                      printable(t.name), dtype_name(dtype), t.cols(), dense_block_cols(dtype));
  }
  return dtype;
}

Status Planner::add_tensor(const CheckpointTensor& tensor) {
  const bool stays_ternary = tensor.is_ternary() && is_projection(tensor) && (!type_ || is_ternary(*type_));
  if (stays_ternary) return add_ternary(tensor);
  TensorPlan plan;
  plan.source = &tensor;
  plan.name = tensor.name;
  TERN_TRY_ASSIGN(plan.dtype, dense_type(tensor));
  plan.may_round = options_.lossy;
  out_.tensors.push_back(std::move(plan));
  return {};
}

void Planner::add_keys() {
  const std::string architecture(in_.text("general.architecture"));
  const bool renames = for_llama_cpp_ && (architecture == "bitnet-b1.58" || architecture == "bitnet-25");
  for (const auto& [key, value] : in_.keys) {
    if (for_llama_cpp_ && (key.starts_with("tern.hf.") || key == "tokenizer.huggingface.json")) continue;
    const bool is_own = renames && key.starts_with(architecture + ".");
    out_.keys.emplace_back(is_own ? "bitnet" + key.substr(architecture.size()) : key, value);
  }
  const auto set = [&](std::string_view key, GgufWriteValue value) {
    const auto at =
        std::find_if(out_.keys.begin(), out_.keys.end(), [&](const auto& e) { return e.first == key; });
    if (at != out_.keys.end()) at->second = std::move(value);
    if (at == out_.keys.end()) out_.keys.emplace_back(key, std::move(value));
  };
  if (renames) {
    set("general.architecture", std::string("bitnet"));
    if (in_.find(architecture + ".hidden_activation") == nullptr) {
      set("bitnet.hidden_activation", std::string("relu2"));
    }
    out_.notes.push_back(
        "for llama.cpp: architecture 'bitnet' with the key bitnet.hidden_activation; versions of before July "
        "2026 ignore "
        "it and run SiLU, which is wrong for this model");
  }
  const bool has_i2s = std::any_of(out_.tensors.begin(), out_.tensors.end(),
                                   [](const TensorPlan& t) { return t.dtype == DType::kI2_S; });
  if (has_i2s) set("tern.i2_s.order", std::string(order_ == I2sOrder::kX86_1x4 ? "x86-1x4" : "x86-128"));
  if (for_llama_cpp_) {
    set("general.file_type", uint32_t{type_ == DType::kTQ1_0 ? 36u : type_ == DType::kTQ2_0 ? 37u : 1u});
    set("general.quantization_version", uint32_t{2});
    out_.notes.push_back(
        "for llama.cpp: it quantises activations per 256 columns instead of per token, so its logits differ "
        "from the "
        "model's by more than rounding");
  }
}

Result<FilePlan> Planner::plan() {
  TERN_TRY(read_choices());
  TERN_TRY(choose_i2s_order());
  for (const CheckpointTensor& tensor : in_.tensors) TERN_TRY(add_tensor(tensor));
  add_keys();
  return std::move(out_);
}

}  // namespace

std::string known_ternary_types() {
  std::string names;
  for (const TernaryCodec& codec : ternary_codecs()) {
    if (is_target(codec)) names += fmt::format("{}{}", names.empty() ? "" : ", ", dtype_name(codec.dtype));
  }
  return names;
}

std::string known_head_types() {
  std::string names;
  for (const DType dtype : kDenseTypes)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", dtype_name(dtype));
  return names;
}

Result<FilePlan> plan_gguf(const Checkpoint& checkpoint, const TargetOptions& options) {
  return Planner(checkpoint, options).plan();
}

}  // namespace tern
