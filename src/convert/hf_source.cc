// SPDX-License-Identifier: MIT
// A Hugging Face or MLX directory as a checkpoint: binds every tensor by name, refuses what is left over,
// settles the direction of scales and the tying of the head.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "convert/hf_config.h"
#include "convert/hf_linear.h"
#include "convert/hf_names.h"
#include "convert/hf_tokenizer.h"
#include "convert/metadata_json.h"
#include "core/printable.h"

namespace tern {
namespace {

constexpr uint64_t kConfigLimit = 16u << 20;

class HfReader {
 public:
  HfReader(HfConfig config, SharedShards shards, const ImportOptions& options)
      : config_(std::move(config)), shards_(std::move(shards)), options_(options) {}

  Result<Checkpoint> read();

 private:
  const SafetensorsTensor* find(const std::string& name);
  Status find_prefix();
  Status settle_scale_direction();
  Status read_embedding();
  Status read_head();
  Status read_layer(uint64_t layer);
  Status read_projection(uint64_t layer, const LayerPart& part);
  Status read_norm(const std::string& hf_name, const std::string& gguf_name, bool is_needed);
  Result<CheckpointTensor> matrix(const std::string& hf_stem, const std::string& name, uint64_t rows,
                                  uint64_t cols);
  Result<CheckpointTensor> packed_matrix(const SafetensorsTensor& weight, const std::string& hf_stem,
                                         const std::string& name, uint64_t rows, uint64_t cols);
  Status refuse_leftovers() const;
  void add_source_keys();

  HfConfig config_;
  SharedShards shards_;
  const ImportOptions& options_;
  std::string prefix_;  // "model." or ""
  std::set<std::string> used_;
  bool scale_divides_ = false;
  bool has_packed_ = false, has_ternary_by_value_ = false;
  std::string scale_dtype_, dense_dtype_;
  Checkpoint out_;
};

const SafetensorsTensor* HfReader::find(const std::string& name) {
  const SafetensorsTensor* tensor = shards_->find(name);
  if (tensor != nullptr) used_.insert(name);
  return tensor;
}

Status HfReader::find_prefix() {
  for (const char* prefix : {"model.", "", "language_model.model.", "language_model."}) {
    if (shards_->find(std::string(prefix) + "embed_tokens.weight") == nullptr) continue;
    prefix_ = prefix;
    return {};
  }
  return make_error(ErrorCode::kCorrupt,
                    "no tensor 'model.embed_tokens.weight': this is no language model checkpoint");
}

/// Which way weight_scale goes: the config's linear_class, or, where it has none, divide, provided that the
/// values can only mean that.
Status HfReader::settle_scale_direction() {
  if (config_.storage != LinearStorage::kPacked) return {};
  if (config_.scale_divides) {
    scale_divides_ = *config_.scale_divides;
  } else {
    scale_divides_ = true;  // `bitlinear` is the default of the format
    out_.doubts.push_back(
        "config.json: no quantization_config.linear_class: bitlinear assumed, weight_scale divides");
  }
  if (options_.scale_divides) return {};
  for (const auto& [name, tensor] : shards_->tensors()) {
    if (!name.ends_with(".weight_scale")) continue;
    TERN_TRY_ASSIGN(const float value, single_value(*tensor));
    // A scale is a mean magnitude of weights, far below 1 in trained models; its reciprocal is tens or more.
    // Values near 1 (BitNet-2B-4T has 1.5) fit both ways: then the config must say it.
    const float scale = scale_divides_ ? 1.0f / value : value;
    const bool is_absurd = !(scale <= 8.0f);
    const bool is_unclear = !config_.scale_divides && value < 8.0f;
    if (!is_absurd && !is_unclear) continue;
    return make_error(
        ErrorCode::kUnsupported,
        "tensor '{}' is {}: {} (config.json: quantization_config.linear_class is {}); say --weight-scale "
        "multiply or --weight-scale divide",
        printable(name), value,
        is_absurd ? fmt::format("weights of magnitude {} are far too large, it goes the other way", scale)
                  : "it may multiply or divide",
        config_.scale_divides ? (scale_divides_ ? "bitlinear: divide" : "autobitlinear: multiply")
                              : "missing");
  }
  return {};
}

Result<CheckpointTensor> HfReader::packed_matrix(const SafetensorsTensor& weight, const std::string& hf_stem,
                                                 const std::string& name, uint64_t rows, uint64_t cols) {
  const SafetensorsTensor* scale = find(hf_stem + ".weight_scale");
  if (scale == nullptr) {
    return make_error(ErrorCode::kCorrupt,
                      "tensor '{}.weight' is packed uint8, but '{}.weight_scale' is missing",
                      printable(hf_stem), printable(hf_stem));
  }
  if (config_.storage != LinearStorage::kPacked) {
    return make_error(
        ErrorCode::kCorrupt,
        "tensor '{}.weight' is packed uint8, but config.json has no quantization_config of quant_method "
        "bitnet: which way weight_scale goes is unknown",
        printable(hf_stem));
  }
  has_packed_ = true;
  scale_dtype_ = safetensors_dtype_name(scale->dtype);
  return packed_from(shards_, weight, *scale, scale_divides_, name, rows, cols);
}

Result<CheckpointTensor> HfReader::matrix(const std::string& hf_stem, const std::string& name, uint64_t rows,
                                          uint64_t cols) {
  const SafetensorsTensor* weight = find(hf_stem + ".weight");
  if (weight == nullptr) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}.weight' is missing", printable(hf_stem));
  }
  const bool is_projection = name.starts_with("blk.");
  if (weight->dtype == DType::kU8) return packed_matrix(*weight, hf_stem, name, rows, cols);
  CheckpointTensor tensor;
  if (weight->dtype == DType::kU32 && config_.storage == LinearStorage::kMlx) {
    const SafetensorsTensor *scales = find(hf_stem + ".scales"), *biases = find(hf_stem + ".biases");
    if (scales == nullptr || biases == nullptr) {
      return make_error(ErrorCode::kCorrupt, "tensor '{}.{}' is missing", printable(hf_stem),
                        scales == nullptr ? "scales" : "biases");
    }
    TERN_TRY_ASSIGN(tensor,
                    mlx_from(shards_, *weight, *scales, *biases, config_.mlx_bits, config_.mlx_group, name));
  } else {
    TERN_TRY_ASSIGN(tensor, dense_from(shards_, *weight, name));
  }
  if (tensor.shape.size() != 2 || tensor.cols() != cols || (rows != 0 && tensor.rows() != rows)) {
    return make_error(ErrorCode::kCorrupt,
                      "tensor '{}.weight' has shape [{}], expected [{}, {}] by config.json",
                      printable(hf_stem), fmt::join(weight->shape, ", "), rows, cols);
  }
  has_ternary_by_value_ = has_ternary_by_value_ || (is_projection && tensor.is_ternary());
  if (!is_projection || tensor.is_ternary()) return tensor;
  if (config_.storage == LinearStorage::kMaster) return master_from(std::move(tensor));
  TERN_TRY_ASSIGN(tensor, ternary_if_by_value(std::move(tensor)));
  has_ternary_by_value_ = has_ternary_by_value_ || tensor.is_ternary();
  return tensor;
}

Status HfReader::read_embedding() {
  TERN_TRY_ASSIGN(CheckpointTensor tensor,
                  matrix(prefix_ + "embed_tokens", "token_embd.weight", 0, config_.hidden));
  if (tensor.rows() != config_.vocab) {
    out_.doubts.push_back(
        fmt::format("config.json: vocab_size is {}, the embedding has {} rows: the embedding decides",
                    config_.vocab, tensor.rows()));
    config_.vocab = tensor.rows();
  }
  dense_dtype_ = safetensors_dtype_name(tensor.dtype);
  out_.tensors.push_back(std::move(tensor));
  return {};
}

Status HfReader::read_head() {
  const SafetensorsTensor* head = shards_->find("lm_head.weight");
  const SafetensorsTensor* embedding = shards_->find(prefix_ + "embed_tokens.weight");
  if (head == nullptr) {
    if (config_.is_tied || config_.is_embedding) return {};
    return make_error(
        ErrorCode::kCorrupt,
        "tensor 'lm_head.weight' is missing, but config.json says tie_word_embeddings false: the head is "
        "unknown; where it is tied after all, set tie_word_embeddings to true");
  }
  if (config_.is_tied) {
    used_.insert("lm_head.weight");
    if (head->dtype == embedding->dtype && std::ranges::equal(head->data, embedding->data)) return {};
    return make_error(
        ErrorCode::kCorrupt,
        "config.json says tie_word_embeddings true, but 'lm_head.weight' differs from the embedding: set "
        "tie_word_embeddings to false to use it, or remove the tensor");
  }
  TERN_TRY_ASSIGN(CheckpointTensor tensor, matrix("lm_head", "output.weight", config_.vocab, config_.hidden));
  out_.tensors.push_back(std::move(tensor));
  return {};
}

Status HfReader::read_norm(const std::string& hf_name, const std::string& gguf_name, bool is_needed) {
  const SafetensorsTensor* tensor = find(hf_name);
  if (tensor == nullptr) {
    if (!is_needed) return {};
    return make_error(ErrorCode::kCorrupt, "tensor '{}' is missing", printable(hf_name));
  }
  TERN_TRY_ASSIGN(CheckpointTensor norm, dense_from(shards_, *tensor, gguf_name));
  if (norm.shape.size() != 1) {
    return make_error(ErrorCode::kCorrupt, "tensor '{}' has shape [{}], expected one dimension",
                      printable(hf_name), fmt::join(tensor->shape, ", "));
  }
  out_.tensors.push_back(std::move(norm));
  return {};
}

Status HfReader::read_projection(uint64_t layer, const LayerPart& part) {
  const HfConfig& c = config_;
  const uint64_t heads = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const std::string_view gguf = part.gguf;
  const bool is_q = gguf == "attn_q", is_kv = gguf == "attn_k" || gguf == "attn_v";
  const uint64_t rows = is_q                                     ? heads
                        : is_kv                                  ? kv
                        : gguf == "ffn_gate" || gguf == "ffn_up" ? c.intermediate
                                                                 : c.hidden;
  const uint64_t cols = gguf == "attn_output" ? heads : gguf == "ffn_down" ? c.intermediate : c.hidden;
  const std::string hf = fmt::format("{}layers.{}.{}", prefix_, layer, part.hugging_face);
  const std::string name = fmt::format("blk.{}.{}", layer, gguf);
  TERN_TRY_ASSIGN(CheckpointTensor tensor, matrix(hf, name + ".weight", rows, cols));
  if (c.permutes_qk() && (is_q || gguf == "attn_k")) {
    tensor =
        with_row_map(std::move(tensor), [d = c.head_dim](uint64_t row) { return hf_row_of_gguf(row, d); });
  }
  out_.tensors.push_back(std::move(tensor));
  TERN_TRY(read_norm(hf + ".norm.weight", name + "_norm_in.weight", false));
  return read_norm(hf + ".rms_norm.weight", name + "_norm_in.weight", false);
}

Status HfReader::read_layer(uint64_t layer) {
  for (const LayerPart& part : kNorms) {
    const bool is_needed =
        (part.gguf == "attn_norm" || part.gguf == "ffn_norm") && config_.architecture != "bitllama";
    TERN_TRY(read_norm(fmt::format("{}layers.{}.{}.weight", prefix_, layer, part.hugging_face),
                       fmt::format("blk.{}.{}.weight", layer, part.gguf), is_needed));
  }
  for (const LayerPart& part : kProjections) TERN_TRY(read_projection(layer, part));
  return {};
}

Status HfReader::refuse_leftovers() const {
  std::string names;
  size_t count = 0;
  for (const auto& [name, tensor] : shards_->tensors()) {
    // Old checkpoints keep the RoPE frequencies that rope_theta says.
    if (used_.count(name) != 0 || name.ends_with(".rotary_emb.inv_freq")) continue;
    if (++count <= 3) names += (count == 1 ? "'" : ", '") + printable(name) + "'";
  }
  if (count == 0) return {};
  return make_error(
      ErrorCode::kUnsupported,
      "{} tensor(s) that architecture '{}' does not have ({}{}): a model without them would be wrong", count,
      config_.architecture, names, count > 3 ? ", ..." : "");
}

/// What a round trip needs beside the numbers: how the source stored them.
void HfReader::add_source_keys() {
  out_.set("tern.hf.prefix", prefix_);
  out_.set("tern.hf.dense_dtype", dense_dtype_);
  if (has_ternary_by_value_ && !config_.activations_are_int8) {
    out_.set("tern.activation", std::string("int16"));
    if (options_.activation_bits.empty()) {
      out_.doubts.push_back(
          fmt::format("the weights are {} and config.json says nothing of activations: taken as a "
                      "weight-only model (--act int8 "
                      "where it was trained with int8 activations)",
                      config_.storage == LinearStorage::kMlx ? "MLX words" : "ternary by value"));
    }
  }
  if (!has_packed_) return;
  out_.set("tern.hf.weight_scale", std::string(scale_divides_ ? "divide" : "multiply"));
  out_.set("tern.hf.scale_dtype", scale_dtype_);
  std::vector<float> stored;
  for (const CheckpointTensor& tensor : out_.tensors) {
    if (tensor.stored_scale) stored.push_back(*tensor.stored_scale);
  }
  out_.set("tern.hf.weight_scales", std::move(stored));
}

Result<Checkpoint> HfReader::read() {
  TERN_TRY(find_prefix());
  TERN_TRY(settle_scale_direction());
  TERN_TRY(read_embedding());
  // More layers than tensors cannot be: checked before a hostile count costs time.
  if (config_.layers > shards_->tensors().size()) {
    return make_error(ErrorCode::kCorrupt,
                      "config.json: num_hidden_layers is {}, but there are only {} tensors", config_.layers,
                      shards_->tensors().size());
  }
  for (uint64_t layer = 0; layer < config_.layers; ++layer) TERN_TRY(read_layer(layer));
  TERN_TRY(read_norm(prefix_ + "norm.weight", "output_norm.weight", true));
  TERN_TRY(read_head());
  TERN_TRY(refuse_leftovers());
  TERN_TRY_ASSIGN(out_.keys, hf_config_keys(config_));
  add_source_keys();
  out_.source_bytes = shards_->data_bytes();
  out_.fingerprint = shards_->fingerprint();
  return std::move(out_);
}

std::string_view storage_name(LinearStorage storage) {
  switch (storage) {
    case LinearStorage::kAsStored:
      return "as stored";
    case LinearStorage::kPacked:
      return "packed";
    case LinearStorage::kMaster:
      return "master weights";
    case LinearStorage::kMlx:
      return "MLX";
  }
  return "";
}

Result<Checkpoint> read_directory(const std::string& path, const ImportOptions& options) {
  TERN_TRY_ASSIGN(const auto config_text, read_small_file(path, "config.json", kConfigLimit));
  if (!config_text) {
    return make_error(ErrorCode::kNotFound,
                      "no config.json: expected a GGUF file or a Hugging Face directory");
  }
  TERN_TRY_ASSIGN(HfConfig config, parse_hf_config(*config_text, options));
  TERN_TRY_ASSIGN(const SharedShards shards, HfShards::open(path));
  const std::string kind = fmt::format("Hugging Face directory ({}, {} file(s))",
                                       storage_name(config.storage), shards->shard_count());
  const HfConfig facts = config;
  TERN_TRY_ASSIGN(Checkpoint checkpoint, HfReader(std::move(config), shards, options).read());
  checkpoint.kind = kind;
  TERN_TRY_ASSIGN(const auto metadata, read_small_file(path, kMetadataFile, 1u << 30));
  if (metadata) return with_metadata_file(std::move(checkpoint), *metadata);
  checkpoint.set("general.name", std::filesystem::weakly_canonical(path).filename().string());
  TERN_TRY(add_hf_text(path, facts, options, checkpoint));
  return checkpoint;
}

}  // namespace

Result<Checkpoint> open_hf_checkpoint(const std::string& path, const ImportOptions& options) {
  auto checkpoint = read_directory(path, options);
  if (!checkpoint.ok()) return std::move(checkpoint).error().in(printable(path, 512));
  return checkpoint;
}

}  // namespace tern
