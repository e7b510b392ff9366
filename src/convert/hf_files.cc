// SPDX-License-Identifier: MIT
// config.json and streamed safetensors files for the Hugging Face writer.
#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "convert/hf_config.h"
#include "convert/hf_target.h"
#include "core/atomic_file.h"
#include "core/printable.h"
#include "formats/safetensors.h"

namespace tern {
namespace {

struct ArchitectureNames {
  std::string_view gguf, class_name, model_type;
};
constexpr std::array<ArchitectureNames, 6> kClasses = {{{"bitnet-b1.58", "BitNetForCausalLM", "bitnet"},
                                                        {"bitnet-25", "BitNetForCausalLM", "bitnet"},
                                                        {"bitnet", "BitnetForCausalLM", "bitnet"},
                                                        {"llama", "LlamaForCausalLM", "llama"},
                                                        {"qwen3", "Qwen3ForCausalLM", "qwen3"},
                                                        {"bitllama", "TernBitLlamaForCausalLM", "bitllama"}}};

Json number_json(const GgufWriteValue& value) {
  return std::visit(
      []<class T>(const T& v) -> Json {
        if constexpr (std::is_same_v<T, float>) {
          return Json::parse(
              fmt::format("{}", v));  // the shortest text: 1e-05, not what its double looks like
        } else if constexpr (std::is_arithmetic_v<T>) {
          return v;
        } else if constexpr (std::is_same_v<T, std::string>) {
          return v;
        } else {
          return nullptr;
        }
      },
      value);
}

Result<Json> config_from_keys(const Checkpoint& in) {
  const std::string architecture(in.text("general.architecture"));
  const auto at = std::find_if(kClasses.begin(), kClasses.end(),
                               [&](const ArchitectureNames& names) { return names.gguf == architecture; });
  if (at == kClasses.end()) {
    return make_error(ErrorCode::kUnsupported, "architecture '{}' has no Hugging Face spelling",
                      printable(architecture));
  }
  Json json = {{"architectures", {std::string(at->class_name)}}, {"model_type", std::string(at->model_type)}};
  const auto copy = [&](const char* to, const char* from) {
    const GgufWriteValue* value = in.find(architecture + "." + from);
    if (value != nullptr) json[to] = number_json(*value);
  };
  copy("hidden_size", "embedding_length");
  copy("intermediate_size", "feed_forward_length");
  copy("num_hidden_layers", "block_count");
  copy("num_attention_heads", "attention.head_count");
  copy("num_key_value_heads", "attention.head_count_kv");
  copy("head_dim", "attention.key_length");
  copy("max_position_embeddings", "context_length");
  copy("rms_norm_eps", "attention.layer_norm_rms_epsilon");
  copy("rope_theta", "rope.freq_base");
  copy("hidden_act", "hidden_activation");
  copy("linear_norm_eps", "linear_norm_epsilon");
  if (!json.contains("rope_theta")) json["rope_theta"] = 10000.0;
  if (!json.contains("hidden_act"))
    json["hidden_act"] = at->model_type == "bitnet" && architecture != "bitnet" ? "relu2" : "silu";
  if (in.find(architecture + ".rope.scaling.type") != nullptr) {
    json["rope_scaling"] = {{"rope_type", std::string(in.text(architecture + ".rope.scaling.type"))}};
    const GgufWriteValue* factor = in.find(architecture + ".rope.scaling.factor");
    if (factor != nullptr) json["rope_scaling"]["factor"] = number_json(*factor);
  }
  json["vocab_size"] = in.find_tensor("token_embd.weight")->rows();
  json["tie_word_embeddings"] = in.find_tensor("output.weight") == nullptr;
  for (const char* name : {"bos_token_id", "eos_token_id"}) {
    if (const auto id = in.number(std::string("tokenizer.ggml.") + name)) json[name] = *id;
  }
  return json;
}

/// The shards: which tensors go into which file.
std::vector<std::vector<const SafetensorsPlan*>> split_shards(const std::vector<SafetensorsPlan>& tensors,
                                                              uint64_t shard_bytes) {
  std::vector<std::vector<const SafetensorsPlan*>> shards(1);
  uint64_t bytes = 0;
  for (const SafetensorsPlan& tensor : tensors) {
    if (bytes > 0 && bytes + tensor.bytes > shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(&tensor);
    bytes += tensor.bytes;
  }
  return shards;
}

std::string header_of(const std::vector<const SafetensorsPlan*>& tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t offset = 0;
  for (const SafetensorsPlan* tensor : tensors) {
    header[tensor->name] = {{"dtype", std::string(safetensors_dtype_name(tensor->dtype))},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, offset + tensor->bytes}}};
    offset += tensor->bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  uint64_t length = text.size();
  std::string head(sizeof length, '\0');
  std::memcpy(head.data(), &length, sizeof length);
  return head + text;
}

}  // namespace

Result<std::string> hf_config_text(const Checkpoint& checkpoint, bool has_packed, bool scale_divides) {
  const std::string original(checkpoint.text("tern.hf.config"));
  Json json;
  if (original.empty()) {
    TERN_TRY_ASSIGN(json, config_from_keys(checkpoint));
  } else {
    TERN_TRY_ASSIGN(json, parse_json(original, "config.json"));
    const bool was_packed = checkpoint.find("tern.hf.weight_scale") != nullptr;
    if (was_packed == has_packed && json.is_object() && !json.contains("quantization")) return original;
    json.erase("quantization");
    json.erase("weight_bits");
  }
  const bool any_ternary =
      std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                  [](const auto& t) { return t.is_ternary() && t.name.starts_with("blk."); });
  // Also where all linears are expanded: they are ternary by value, not masters to be quantised again.
  if (any_ternary) {
    json["quantization_config"] = {{"quant_method", "bitnet"},
                                   {"linear_class", scale_divides ? "bitlinear" : "autobitlinear"},
                                   {"quantization_mode", "offline"}};
  }
  return json.dump(2) + "\n";
}

Status write_safetensors_files(const std::string& folder, const std::vector<SafetensorsPlan>& tensors,
                               uint64_t shard_bytes, const std::function<Status(uint64_t)>& wrote) {
  const auto shards = split_shards(tensors, shard_bytes);
  Json map = Json::object();
  uint64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shards.size() == 1
                                 ? "model.safetensors"
                                 : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    TERN_TRY_ASSIGN(AtomicFile file, AtomicFile::create((std::filesystem::path(folder) / name).string()));
    TERN_TRY(file.write(header_of(shards[i])));
    for (const SafetensorsPlan* tensor : shards[i]) {
      map[tensor->name] = name;
      uint64_t written = 0;
      TERN_TRY(tensor->produce([&](std::span<const std::byte> bytes) -> Status {
        TERN_TRY(file.write(bytes));
        written += bytes.size();
        return wrote(bytes.size());
      }));
      TERN_CHECK(written == tensor->bytes, "a tensor of another size than planned");
      total += written;
    }
    TERN_TRY(file.commit());
  }
  if (shards.size() == 1) return {};
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  return write_atomically((std::filesystem::path(folder) / "model.safetensors.index.json").string(),
                          index.dump(2) + "\n");
}

}  // namespace tern
