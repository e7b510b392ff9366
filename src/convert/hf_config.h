// SPDX-License-Identifier: MIT
// config.json and model.safetensors.index.json of Hugging Face and MLX directories: pure parsers over text,
// which the fuzzer drives. Decides which architecture a checkpoint is, how its linears are stored, and which
// way its scales go. Source: FORMATS.md B.2 to B.7.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "convert/checkpoint.h"
#include "core/result.h"

namespace tern {

using Json = nlohmann::ordered_json;

/// Parses a JSON document of strangers: UTF-8, at most 256 levels deep. Errors: kCorrupt with `what` and
/// the reason.
Result<Json> parse_json(std::string_view text, std::string_view what);

/// How the projections of a checkpoint are stored.
enum class LinearStorage : uint8_t {
  kAsStored,  // dense, or ternary by value (TriLM): the tensors themselves show it
  kPacked,    // uint8 and weight_scale
  kMaster,    // latent weights of a ternary model: quantised by absmean
  kMlx,       // MLX affine quantisation: U32 words, scales, biases
};

struct HfConfig {
  Json json;
  std::string architecture;  // GGUF's name
  LinearStorage storage = LinearStorage::kAsStored;
  std::optional<bool> scale_divides;  // of linear_class; absent: the config does not name one
  bool activations_are_int8 = false;
  uint64_t hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
  bool is_tied = false;
  bool is_embedding = false;  // an encoder checkpoint: no head, pooled output
  uint32_t mlx_bits = 0, mlx_group = 0;

  bool permutes_qk() const { return architecture == "llama" || architecture == "bitllama"; }
};

/// Reads config.json. Errors: kUnsupported for an architecture or a feature that tern does not compute
/// (named, with the reason), kCorrupt with the JSON path for a value that cannot be.
Result<HfConfig> parse_hf_config(std::string_view text, const ImportOptions& options);

/// The hyperparameters as GGUF keys, architecture first.
Result<MetaList> hf_config_keys(const HfConfig& config);

/// weight_map of an index file: tensor name -> file name. Errors: kCorrupt for a file name that is not a
/// plain name in the same folder (no '/', no "..").
Result<std::map<std::string, std::string>> parse_shard_index(std::string_view text);

// Typed members: absent or null gives nullopt, another type an Error with the path.
Result<std::optional<uint64_t>> json_uint(const Json& object, const char* key);
Result<std::optional<double>> json_number(const Json& object, const char* key);
Result<std::optional<bool>> json_bool(const Json& object, const char* key);
Result<std::optional<std::string>> json_string(const Json& object, const char* key);

}  // namespace tern
