// SPDX-License-Identifier: MIT
// A checkpoint into a Hugging Face directory: the reverse of hf_source.cc. A matrix with one scale becomes
// packed uint8 and weight_scale; one with several becomes dense values, which are ternary by value and read
// back as such.
#include "convert/hf_target.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "convert/convert.h"
#include "convert/hf_names.h"
#include "convert/hf_tokenizer.h"
#include "convert/metadata_json.h"
#include "core/atomic_file.h"
#include "core/float16.h"
#include "core/printable.h"
#include "formats/dense.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kShardBytes = uint64_t{5} << 30;
constexpr uint64_t kPieceWeights = 1 << 20;

bool fits(DType dtype, float value) {
  if (dtype == DType::kF32) return true;
  if (dtype == DType::kF16) return fits_f16(value);
  return std::bit_cast<uint32_t>(bf16_to_f32(f32_to_bf16(value))) == std::bit_cast<uint32_t>(value);
}

uint64_t bytes_per_value(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

std::optional<DType> plain_named(std::string_view name) {
  return name == "F32"    ? std::optional(DType::kF32)
         : name == "F16"  ? std::optional(DType::kF16)
         : name == "BF16" ? std::optional(DType::kBF16)
                          : std::nullopt;
}

class HfTarget {
 public:
  HfTarget(const Checkpoint& checkpoint, const std::string& path, const ConvertOptions& options,
           ConvertReport& report)
      : in_(checkpoint), path_(path), options_(options), report_(report) {}
  Status write();

 private:
  Result<std::string> name_of(const CheckpointTensor& tensor) const;
  Status plan_tensor(const CheckpointTensor& tensor);
  Status plan_packed(const CheckpointTensor& tensor, const std::string& name, float scale);
  Status plan_dense(const CheckpointTensor& tensor, const std::string& name, DType dtype);
  Result<DType> vector_type(const CheckpointTensor& tensor) const;
  Result<float> stored_scale(float scale);
  CheckpointTensor in_hf_order(const CheckpointTensor& tensor) const;
  Status write_folder(const std::string& folder);
  Status write_text(const std::string& folder, const char* name, std::string_view text) const;

  const Checkpoint& in_;
  const std::string& path_;
  const ConvertOptions& options_;
  ConvertReport& report_;
  bool scale_divides_ = false, has_packed_ = false;
  size_t next_scale_ = 0;  // of tern.hf.weight_scales
  uint64_t done_ = 0, total_ = 0;
  std::vector<SafetensorsPlan> plans_;
};

/// Hugging Face's name, without ".weight" for projections too: the caller adds what it needs.
Result<std::string> HfTarget::name_of(const CheckpointTensor& tensor) const {
  const GgufWriteValue* kept = in_.find("tern.hf.prefix");
  const std::string prefix = kept == nullptr ? "model." : std::string(in_.text("tern.hf.prefix"));
  if (tensor.name == "token_embd.weight") return prefix + "embed_tokens.weight";
  if (tensor.name == "output_norm.weight") return prefix + "norm.weight";
  if (tensor.name == "output.weight") return std::string("lm_head.weight");
  const size_t dot = tensor.name.find('.', 4);
  const bool is_old_bitnet = in_.text("general.architecture") == "bitnet";
  if (tensor.name.starts_with("blk.") && dot != std::string::npos && tensor.name.ends_with(".weight")) {
    const std::string layer = prefix + "layers." + tensor.name.substr(4, dot - 4) + ".";
    const std::string part = tensor.name.substr(dot + 1, tensor.name.size() - dot - 1 - 7);
    std::string_view found;
    for (const LayerPart& norm : kNorms) {  // two spellings stand side by side: the second is 1bitLLM's
      if (norm.gguf == part && (found.empty() || is_old_bitnet)) found = norm.hugging_face;
    }
    for (const LayerPart& projection : kProjections) {
      if (projection.gguf == part) found = projection.hugging_face;
      if (std::string(projection.gguf) + "_norm_in" == part) {
        return layer + std::string(projection.hugging_face) + ".norm.weight";
      }
    }
    if (!found.empty()) return layer + std::string(found) + ".weight";
  }
  return make_error(ErrorCode::kUnsupported, "tensor '{}' has no place in a Hugging Face directory",
                    printable(tensor.name));
}

/// q and k of `llama` back into the order of split halves.
CheckpointTensor HfTarget::in_hf_order(const CheckpointTensor& tensor) const {
  const std::string architecture(in_.text("general.architecture"));
  const bool is_qk = tensor.name.ends_with(".attn_q.weight") || tensor.name.ends_with(".attn_k.weight");
  if (!is_qk || (architecture != "llama" && architecture != "bitllama")) return tensor;
  const uint64_t heads = in_.number(architecture + ".attention.head_count").value_or(1);
  const uint64_t even =
      in_.number(architecture + ".embedding_length").value_or(heads) / std::max<uint64_t>(1, heads);
  const uint64_t head_dim =
      std::max<uint64_t>(2, in_.number(architecture + ".attention.key_length").value_or(even));
  return with_row_map(tensor, [head_dim](uint64_t row) { return gguf_row_of_hf(row, head_dim); });
}

/// weight_scale for a multiply scale: the source's own where it is kept and still means this scale.
Result<float> HfTarget::stored_scale(float scale) {
  const GgufWriteValue* kept = in_.find("tern.hf.weight_scales");
  const auto* values = kept == nullptr ? nullptr : std::get_if<std::vector<float>>(kept);
  const auto means = [&](float stored) { return (scale_divides_ ? 1.0f / stored : stored) == scale; };
  const size_t index = next_scale_++;
  if (values != nullptr && index < values->size() && means((*values)[index])) return (*values)[index];
  if (!scale_divides_) return scale;
  float guess = 1.0f / scale;
  for (int step = 0; step < 3 && !means(guess); ++step) {
    const float up = std::nextafter(guess, INFINITY), down = std::nextafter(guess, 0.0f);
    guess = means(up) ? up : means(down) ? down : up;
  }
  if (means(guess)) return guess;
  return make_error(ErrorCode::kUnsupported,
                    "scale {} is no reciprocal of a float: weight_scale cannot divide by one", scale);
}

Status HfTarget::plan_packed(const CheckpointTensor& tensor, const std::string& name, float scale) {
  const uint64_t rows = tensor.rows(), cols = tensor.cols(), quarter = (rows + 3) / 4;
  SafetensorsPlan plan;
  plan.name = name;
  plan.dtype = DType::kU8;
  plan.shape = {quarter, cols};
  plan.bytes = quarter * cols;
  plan.produce = [source = in_hf_order(tensor), rows, cols,
                  quarter](const SafetensorsPlan::Sink& sink) -> Status {
    const TernaryCodec* codec = find_codec(DType::kHfU8);
    const uint64_t step = std::max<uint64_t>(1, kPieceWeights / cols / 4);
    std::vector<int8_t> trits;
    std::vector<float> scales(step);
    std::vector<std::byte> packed;
    for (uint64_t begin = 0; begin < quarter; begin += step) {
      const uint64_t count = std::min(step, quarter - begin);
      trits.assign(4 * count * cols, -1);  // fields of rows that do not exist are 0, the code of -1
      for (uint64_t field = 0; field < 4; ++field) {
        const uint64_t first = begin + field * quarter;
        const uint64_t there = first >= rows ? 0 : std::min(count, rows - first);
        if (there > 0)
          TERN_TRY(source.read_trits(first, there, trits.data() + field * count * cols, scales.data()));
      }
      packed.resize(count * cols);
      TERN_TRY(codec->encode(trits.data(), nullptr, 4 * count, cols, I2sOrder::kX86_128, packed));
      TERN_TRY(sink(packed));
    }
    source.release();
    return {};
  };
  plans_.push_back(std::move(plan));
  has_packed_ = true;
  TERN_TRY_ASSIGN(const float stored, stored_scale(scale));
  SafetensorsPlan one;
  one.name = name + "_scale";
  one.dtype = plain_named(in_.text("tern.hf.scale_dtype")).value_or(DType::kBF16);
  if (!fits(one.dtype, stored)) one.dtype = DType::kF32;
  one.shape = {1};
  one.bytes = bytes_per_value(one.dtype);
  one.produce = [stored, dtype = one.dtype](const SafetensorsPlan::Sink& sink) -> Status {
    std::vector<std::byte> bytes(bytes_per_value(dtype));
    TERN_TRY(quantize_row(dtype, &stored, 1, bytes.data()));
    return sink(bytes);
  };
  plans_.push_back(std::move(one));
  return {};
}

/// The narrowest type that keeps a vector exactly, the source's first.
Result<DType> HfTarget::vector_type(const CheckpointTensor& tensor) const {
  std::vector<float> values(tensor.cols());
  TERN_TRY(tensor.read_values(0, 1, values.data()));
  const DType first = plain_named(in_.text("tern.hf.dense_dtype")).value_or(DType::kF32);
  const bool all_fit = std::all_of(values.begin(), values.end(), [&](float v) { return fits(first, v); });
  return all_fit ? first : DType::kF32;
}

Status HfTarget::plan_dense(const CheckpointTensor& tensor, const std::string& name, DType dtype) {
  SafetensorsPlan plan;
  plan.name = name;
  plan.dtype = dtype;
  plan.shape.assign(tensor.shape.rbegin(), tensor.shape.rend());
  plan.bytes = tensor.rows() * tensor.cols() * bytes_per_value(dtype);
  plan.produce = [source = in_hf_order(tensor), dtype](const SafetensorsPlan::Sink& sink) -> Status {
    const uint64_t cols = source.cols(), groups = source.scales_per_row(), width = cols / groups;
    std::vector<float> values(cols), scales(groups);
    std::vector<int8_t> trits(source.is_ternary() ? cols : 0);
    std::vector<std::byte> bytes(cols * bytes_per_value(dtype));
    for (uint64_t row = 0; row < source.rows(); ++row) {
      if (source.is_ternary()) {
        TERN_TRY(source.read_trits(row, 1, trits.data(), scales.data()));
        for (uint64_t c = 0; c < cols; ++c) values[c] = static_cast<float>(trits[c]) * scales[c / width];
      } else {
        TERN_TRY(source.read_values(row, 1, values.data()));
      }
      TERN_TRY(quantize_row(dtype, values.data(), cols, bytes.data()));
      TERN_TRY(sink(bytes));
    }
    source.release();
    return {};
  };
  plans_.push_back(std::move(plan));
  return {};
}

Status HfTarget::plan_tensor(const CheckpointTensor& tensor) {
  TERN_TRY_ASSIGN(const std::string name, name_of(tensor));
  if (tensor.is_ternary()) {
    TERN_TRY_ASSIGN(const ScaleFacts scales, scales_of(tensor));
    const bool is_projection = tensor.name.starts_with("blk.");
    if (is_projection && scales.scope == ScaleScope::kTensor) return plan_packed(tensor, name, scales.value);
    return plan_dense(tensor, name, scales.fits_f16 ? DType::kF16 : DType::kF32);
  }
  if (tensor.shape.size() == 1) {
    TERN_TRY_ASSIGN(const DType dtype, vector_type(tensor));
    return plan_dense(tensor, name, dtype);
  }
  const bool is_plain = dense_block_cols(tensor.dtype) == 1;
  return plan_dense(tensor, name,
                    is_plain ? tensor.dtype : DType::kF32);  // block types: their values, exactly
}

Status HfTarget::write_text(const std::string& folder, const char* name, std::string_view text) const {
  return write_atomically((fs::path(folder) / name).string(), text);
}

Status HfTarget::write_folder(const std::string& folder) {
  TERN_TRY_ASSIGN(const std::string config, hf_config_text(in_, has_packed_, scale_divides_));
  TERN_TRY(write_text(folder, "config.json", config));
  const bool was_hf = in_.find("tern.hf.config") != nullptr;
  for (const CarriedFile& file : kCarriedFiles) {
    const GgufWriteValue* value = in_.find(file.key);
    if (value == nullptr || std::string_view(file.name) == "config.json") continue;
    if (const auto* text = std::get_if<std::string>(value)) TERN_TRY(write_text(folder, file.name, *text));
    if (const auto* bytes = std::get_if<std::vector<uint8_t>>(value)) {
      TERN_TRY(write_text(folder, file.name, {reinterpret_cast<const char*>(bytes->data()), bytes->size()}));
    }
  }
  if (!was_hf) {
    TERN_TRY_ASSIGN(const std::string metadata, metadata_to_json(in_.keys));
    TERN_TRY(write_text(folder, kMetadataFile, metadata));
  }
  return write_safetensors_files(folder, plans_, kShardBytes, [this](uint64_t bytes) -> Status {
    if (options_.cancel != nullptr && options_.cancel->load())
      return make_error(ErrorCode::kCancelled, "stopped");
    done_ += bytes;
    if (options_.progress) {
      options_.progress("converting", static_cast<int64_t>(done_), static_cast<int64_t>(total_));
    }
    return {};
  });
}

Status HfTarget::write() {
  if (options_.target.type != "auto" || options_.target.head != "auto" || !options_.target.engine.empty()) {
    return make_error(ErrorCode::kUsage,
                      "--to hf keeps what the source holds: --type, --head and --for are GGUF's");
  }
  std::error_code error;
  if (fs::exists(path_, error)) {
    return make_error(ErrorCode::kUsage, "'{}' exists: --force does not replace directories",
                      printable(path_, 512));
  }
  scale_divides_ = in_.text("tern.hf.weight_scale") == "divide";
  for (const CheckpointTensor& tensor : in_.tensors) TERN_TRY(plan_tensor(tensor));
  for (const SafetensorsPlan& plan : plans_) total_ += plan.bytes;
  const std::string folder = fmt::format("{}.partial-{}", path_, ::getpid());
  TERN_TRY(check_free_space(path_, total_));
  if (!fs::create_directory(folder, error))
    return make_error(ErrorCode::kIo, "cannot create '{}': {}", printable(folder, 512), error.message());
  const auto begin = std::chrono::steady_clock::now();
  Status status = write_folder(folder);
  if (status.ok()) {
    fs::rename(folder, path_, error);
    if (error)
      status = make_error(ErrorCode::kIo, "cannot create '{}': {}", printable(path_, 512), error.message());
  }
  if (!status.ok()) fs::remove_all(folder, error);
  report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report_.written_bytes = total_;
  return status;
}

}  // namespace

Status write_hf_target(const Checkpoint& checkpoint, const std::string& target, const ConvertOptions& options,
                       ConvertReport& report) {
  return HfTarget(checkpoint, target, options, report).write();
}

}  // namespace tern
