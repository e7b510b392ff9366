// SPDX-License-Identifier: MIT
#include "cli/container_flags.h"

#include <charconv>

#include "core/printable.h"
#include "model/model.h"

namespace tern::cli {
namespace {

/// The block types by name: what an unknown id can stand for.
Result<DType> block_type(std::string_view name) {
  std::string names;
  for (int i = static_cast<int>(DType::kQ8_0); i <= static_cast<int>(DType::kHfU8); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!gguf_type_id(dtype).ok()) continue;
    if (dtype_name(dtype) == name) return dtype;
    names += names.empty() ? "" : ", ";
    names += dtype_name(dtype);
  }
  return make_error(ErrorCode::kUsage, "type '{}' is unknown: expected one of {}", printable(name, 40),
                    names);
}

Result<std::pair<int32_t, DType>> parse_type_id(const std::string& text) {
  int32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const auto equals = static_cast<size_t>(end - text.data());
  if (error != std::errc() || equals >= text.size() || text[equals] != '=') {
    return make_error(ErrorCode::kUsage, "'{}': expected ID=TYPE, for example 42=q2_0_g128",
                      printable(text, 40));
  }
  TERN_TRY_ASSIGN(const DType dtype, block_type(std::string_view(text).substr(equals + 1)));
  return std::pair(id, dtype);
}

}  // namespace

void ContainerFlags::add_to(CLI::App& command) {
  command.add_option("--i2s-order", i2s_order, "byte order of I2_S tensors: x86-128, arm-64 or x86-1x4");
  command.add_option(
      "--tl-config", tl_config,
      "tiles of TL1 and TL2 tensors: a kernel_config.ini of bitnet.cpp, or " + TlConfig::known_names());
  command
      .add_option("--type-id", type_ids,
                  "ID=TYPE: read tensors of this GGUF type id as TYPE, may be repeated")
      ->allow_extra_args(false);
}

Result<WeightsOptions> ContainerFlags::weights_options() const {
  WeightsOptions options;
  if (!tl_config.empty()) {
    auto config = TlConfig::load(tl_config);
    if (!config.ok()) return std::move(config).error().in("--tl-config");
    options.tl_config = std::move(config).value();
  }
  for (const std::string& text : type_ids) {
    auto type = parse_type_id(text);
    if (!type.ok()) return std::move(type).error().in("--type-id");
    options.gguf.types.push_back(*type);
  }
  return options;
}

Result<std::optional<I2sOrder>> ContainerFlags::order() const {
  if (i2s_order.empty()) return std::optional<I2sOrder>();
  TERN_TRY_ASSIGN(const I2sOrder order, parse_i2s_order(i2s_order));
  return std::optional<I2sOrder>(order);
}

}  // namespace tern::cli
