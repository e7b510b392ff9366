// SPDX-License-Identifier: MIT
#include "cli/container_facts.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "core/printable.h"

namespace tern::cli {
namespace {

constexpr const char* kLittleEndian = "little-endian";

/// "one per row", "one per 128 columns"; where a `.scale` tensor takes part, its shape.
std::string scales_text(const TernaryView& view) {
  std::string text = view.scale_scope == ScaleScope::kTensor ? "one per tensor"
                     : view.scale_scope == ScaleScope::kRow
                         ? "one per row"
                         : fmt::format("one per {} columns", view.group_cols);
  if (view.companions.size() == 2) return text + ", in .scales and .biases";
  if (view.companions.size() == 1)
    text += fmt::format(", times .scale [{}]", fmt::join(view.companions[0]->shape, ", "));
  return text;
}

/// How the bytes of a type lie, as far as the file leaves it open.
std::string order_text(const GgufFile& file, DType dtype, std::optional<I2sOrder> order, bool has_tiles) {
  if (dtype == DType::kTL1 || dtype == DType::kTL2)
    return has_tiles ? "tiles of --tl-config" : "tiles unknown";
  if (dtype != DType::kI2_S) return kLittleEndian;
  constexpr const char* kNames[] = {"x86-128", "arm-64", "x86-1x4"};
  if (order) return fmt::format("{} (--i2s-order)", kNames[static_cast<int>(*order)]);
  const auto key = file.get_string("tern.i2_s.order");
  if (key.ok() && key->has_value()) return fmt::format("{} (tern.i2_s.order)", printable(**key, 20));
  return "x86-128 (assumed)";
}

/// True where the padded sizes of Q2_0 with groups of 64 and of 128 are the same: then id 42 does not say
/// which.
bool is_undecided(const GgufTensorInfo& tensor, uint64_t alignment) {
  const auto g64 = tensor_byte_size(DType::kQ2_0_G64, tensor.rows(), tensor.cols());
  const auto g128 = tensor_byte_size(DType::kQ2_0_G128, tensor.rows(), tensor.cols());
  return tensor.type_id == 42 && g64.ok() && g128.ok() &&
         gguf_padded(*g64, alignment) == gguf_padded(*g128, alignment);
}

/// How many tensors a doubt concerns, and the first of them.
struct Doubt {
  uint64_t tensors = 0;
  std::string first;
  void add(const GgufTensorInfo& tensor) {
    if (tensors++ == 0) first = printable(tensor.name, 80);
  }
  void report(std::string_view text, std::vector<std::string>& doubts) const {
    if (tensors > 0) doubts.push_back(fmt::format("{} ({} tensor(s), first '{}')", text, tensors, first));
  }
};

std::vector<std::string> type_doubts(const GgufFile& file, bool has_tiles) {
  Doubt straddling, tiles, undecided, legacy, levels;
  for (const GgufTensorInfo& tensor : file.tensors) {
    if (!is_ternary(tensor.dtype)) continue;
    const bool is_tiled = tensor.dtype == DType::kTL1 || tensor.dtype == DType::kTL2;
    if (is_tiled && !has_tiles) tiles.add(tensor);
    if (tensor.dtype == DType::kI2_S && tensor.cols() % 128 != 0) straddling.add(tensor);
    if (is_undecided(tensor, file.alignment)) undecided.add(tensor);
    if (tensor.type_id == 42 && tensor.dtype == DType::kQ2_0_G128) legacy.add(tensor);
    if (find_codec(tensor.dtype)->has_two) levels.add(tensor);
  }
  std::vector<std::string> doubts;
  tiles.report(
      "TL1 and TL2 tensors need the tile sizes they were built with, which are not in the file: --tl-config",
      doubts);
  straddling.report(
      "I2_S blocks do not divide the columns: read as blocks over the flattened matrix, as its writers lay "
      "them",
      doubts);
  undecided.report(
      "type id 42 does not say whether groups are of 64 or 128, and sizes this small do not either: "
      "read as 64 (--type-id 42=q2_0_g128 overrides)",
      doubts);
  legacy.report("type id 42 with groups of 128, by the byte span: an early file of the Prism fork", doubts);
  levels.report("Q2_0 has a fourth level, +2: a ternary file does not use it, one that does is read with it",
                doubts);
  return doubts;
}

/// The companion tensors that say how safetensors weights are quantised.
std::string safetensors_scales(const SafetensorsFile& file, const std::string& stem) {
  if (file.find(stem + ".weight_scale") != nullptr) return "one per tensor, in .weight_scale";
  if (file.find(stem + ".scales") != nullptr && file.find(stem + ".biases") != nullptr)
    return "in groups, in .scales and .biases";
  return "";
}

}  // namespace

Json ContainerFacts::ternary_json() const {
  Json list = Json::array();
  for (const TernaryFact& fact : ternary) {
    list.push_back({{"type", fact.type},
                    {"tensors", fact.tensors},
                    {"byte_order", fact.byte_order},
                    {"scales", fact.scales}});
  }
  return list;
}

ContainerFacts gguf_facts(const Weights& weights, std::optional<I2sOrder> order) {
  const GgufFile& file = weights.gguf();
  ContainerFacts facts;
  facts.container = fmt::format("GGUF v{}", file.version);
  facts.byte_order = kLittleEndian;
  facts.doubts = type_doubts(file, weights.has_tl_config());
  std::map<std::pair<DType, std::string>, uint64_t> counts;
  for (const GgufTensorInfo& tensor : file.tensors) {
    if (!is_ternary(tensor.dtype)) continue;
    const auto view = weights.ternary(tensor);
    if (!view.ok()) facts.doubts.push_back(view.error().message);
    counts[{tensor.dtype, view.ok() ? scales_text(*view) : "unknown"}] += 1;
  }
  for (const auto& [key, count] : counts) {
    facts.ternary.push_back({std::string(dtype_name(key.first)), count,
                             order_text(file, key.first, order, weights.has_tl_config()), key.second});
  }
  return facts;
}

ContainerFacts safetensors_facts(const SafetensorsFile& file) {
  ContainerFacts facts;
  facts.container = "safetensors";
  facts.byte_order = kLittleEndian;
  facts.doubts.push_back(
      "a safetensors file alone has no configuration and no tokenizer: tern reads the directory it belongs "
      "to "
      "(tern convert)");
  std::map<std::pair<std::string, std::string>, uint64_t> counts;
  constexpr std::string_view kWeight = ".weight";
  for (const SafetensorsTensor& tensor : file.tensors) {
    if (!tensor.name.ends_with(kWeight) || (tensor.dtype != DType::kU8 && tensor.dtype != DType::kU32))
      continue;
    const std::string scales =
        safetensors_scales(file, tensor.name.substr(0, tensor.name.size() - kWeight.size()));
    const char* type = tensor.dtype == DType::kU8 ? "hf_u8" : "mlx";
    if (scales.empty()) {
      facts.doubts.push_back(fmt::format("tensor '{}' looks packed ({}), but has no scale beside it",
                                         printable(tensor.name, 80), type));
    }
    counts[{type, scales.empty() ? "unknown" : scales}] += 1;
  }
  for (const auto& [key, count] : counts)
    facts.ternary.push_back({key.first, count, kLittleEndian, key.second});
  return facts;
}

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  return bytes.size() >= 9 && bytes[8] == std::byte{'{'} && std::memcmp(bytes.data(), "GGUF", 4) != 0;
}

}  // namespace tern::cli
