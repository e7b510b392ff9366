// SPDX-License-Identifier: MIT
// The byte order of I2_S files that do not say theirs: the three orders are run over a fixed text, and only a
// clearly better other order counts. A random model shows no difference and passes. Source: FORMATS.md A.4.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "convert/checkpoint.h"
#include "formats/weights.h"
#include "kernels/backend.h"

namespace tern {

struct OrderVerdict {
  I2sOrder assumed = I2sOrder::kX86_128;
  std::optional<I2sOrder> better;  // clearly better than the assumed one
  std::string comparison;  // "x86-128 3.21, arm-64 9.80 nats per token"; empty where nothing was compared
  std::string unchecked;   // why nothing was compared
};

/// "x86-128", "arm-64", "x86-1x4".
std::string_view i2s_order_name(I2sOrder order);

/// True for a file with I2_S tensors and no key that names their order.
bool has_unmarked_i2s(const GgufFile& file);

/// Compares the orders that the shapes allow. Errors: those of loading the model in the assumed order.
Result<OrderVerdict> compare_i2s_orders(const std::shared_ptr<const Weights>& weights, Backend& backend,
                                        I2sOrder assumed, const OpenTokenizer& open_tokenizer);

}  // namespace tern
