// SPDX-License-Identifier: MIT
// The Hugging Face side of export.h: the layout that transformers reads as BitNetForCausalLM, packed offline
// (autobitlinear: weight_scale multiplies) or as bf16 master weights that are quantised when they are loaded.
// Source: FORMATS.md B.2, B.3.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "formats/dense.h"
#include "formats/safetensors.h"
#include "formats/ternary/codec.h"
#include "train/export.h"

namespace tern::train {

namespace {

using Json = nlohmann::ordered_json;

Json stop_ids(const ExportModel& model) {
  Json ids = Json::array();
  for (const int32_t id : {model.end_of_text, model.im_end}) {
    if (id >= 0) ids.push_back(id);
  }
  return ids;
}

Json model_config(const ExportModel& model, const ExportOptions& options) {
  const ModelShape& s = model.shape;
  Json json = {{"architectures", {"BitNetForCausalLM"}},
               {"model_type", "bitnet"},
               {"hidden_size", s.hidden_size},
               {"intermediate_size", s.intermediate_size},
               {"num_hidden_layers", s.layers},
               {"num_attention_heads", s.heads},
               {"num_key_value_heads", s.kv_heads},
               {"head_dim", s.head_dim},
               {"vocab_size", s.vocab_size},
               {"max_position_embeddings", s.context},
               {"rope_theta", s.rope_theta},
               {"rms_norm_eps", s.rms_norm_eps},
               {"hidden_act", "relu2"},
               {"tie_word_embeddings", s.tie_embeddings},
               {"attention_bias", false},
               {"use_cache", true},
               {"torch_dtype", "bfloat16"},
               {"bos_token_id", nullptr},
               {"eos_token_id", model.end_of_text},
               {"pad_token_id", model.end_of_text}};
  if (model.ternary) {
    json["quantization_config"] = {{"quant_method", "bitnet"},
                                   {"linear_class", "autobitlinear"},
                                   {"quantization_mode", options.master ? "online" : "offline"}};
  }
  return json;
}

Json tokenizer_config(const ExportModel& model) {
  const auto text = [&](int32_t id) {
    return id >= 0 ? Json(model.spec.tokens[static_cast<size_t>(id)]) : Json();
  };
  Json json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"add_bos_token", false},
               {"add_eos_token", false},
               {"clean_up_tokenization_spaces", false},
               {"model_max_length", model.shape.context},
               {"bos_token", nullptr},
               {"eos_token", text(model.end_of_text)},
               {"pad_token", text(model.end_of_text)}};
  if (!model.chat_template.empty()) json["chat_template"] = model.chat_template;
  return json;
}

/// One tensor of the file with the bytes that it borrows.
struct Owned {
  SafetensorsTensor tensor;
  std::vector<std::byte> bytes;
};

Owned dense(const std::string& name, std::vector<uint64_t> shape, DType dtype, const ExportTensor& from) {
  Owned out{{name, dtype, std::move(shape), {}}, {}};
  out.bytes.resize(from.values.size() * (dtype == DType::kF32 ? 4 : 2));
  const Status encoded = quantize_row(dtype, from.values.data(), from.values.size(), out.bytes.data());
  TERN_CHECK(encoded.ok(), "plain floats hold every value");
  return out;
}

Status append(const ExportTensor& t, const ExportOptions& options, std::vector<Owned>& out) {
  std::vector<uint64_t> shape = {t.cols};
  if (t.rows > 0) shape.insert(shape.begin(), t.rows);
  if (!t.ternary || options.master) {
    // Norms and the table of an unpacked model stay what they were trained as where that costs little.
    out.push_back(dense(t.name, shape, t.rows == 0 ? DType::kF32 : DType::kBF16, t));
    return {};
  }
  const TernaryCodec* codec = find_codec(DType::kHfU8);
  Owned packed{{t.name, DType::kU8, {(t.rows + 3) / 4, t.cols}, {}}, {}};
  packed.bytes.resize((t.rows + 3) / 4 * t.cols);
  TERN_TRY(codec->encode(t.trits.data(), nullptr, t.rows, t.cols, {}, packed.bytes));
  out.push_back(std::move(packed));
  ExportTensor scale;
  scale.values = {t.scale};
  out.push_back(dense(t.name + "_scale", {1}, DType::kF32, scale));
  return {};
}

}  // namespace

Status export_hf(const ExportModel& model, const ExportOptions& options, const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return make_error(ErrorCode::kIo, "cannot make the folder '{}': {}", folder, failed.message());
  std::vector<Owned> owned;
  for (const ExportTensor& t : model.tensors) TERN_TRY(append(t, options, owned));
  std::vector<SafetensorsTensor> tensors;
  for (Owned& o : owned) {
    o.tensor.data = o.bytes;
    tensors.push_back(o.tensor);
  }
  TERN_TRY(write_safetensors(folder + "/model.safetensors", tensors, {{"format", "pt"}}));
  TERN_TRY(write_atomically(folder + "/config.json", model_config(model, options).dump(2) + "\n"));
  const Json generation = {{"eos_token_id", stop_ids(model)}, {"pad_token_id", model.end_of_text}};
  TERN_TRY(write_atomically(folder + "/generation_config.json", generation.dump(2) + "\n"));
  TERN_TRY(write_atomically(folder + "/tokenizer.json", model.tokenizer_json));
  return write_atomically(folder + "/tokenizer_config.json", tokenizer_config(model).dump(2) + "\n");
}

}  // namespace tern::train
