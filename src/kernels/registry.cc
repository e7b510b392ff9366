// SPDX-License-Identifier: MIT
#include "kernels/registry.h"

#include <fmt/format.h>

#include <array>

#include "core/cpu_features.h"

namespace tern {

// Each ISA folder defines exactly one symbol, its table (a file compiled for an ISA must not leave other code
// behind that the linker could pick for the whole program).
namespace scalar {
extern const KernelTable kTable;
}
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
namespace neon {
extern const KernelTable kTables[3];
}

namespace {

// THE list, in ascending priority.
constexpr const KernelTable* kTables[] = {
    &scalar::kTable,
#if defined(TERN_HAVE_X86)
    &avx2::kTable,
    &avx512::kTable,
#elif defined(TERN_HAVE_ARM)
    &neon::kTables[0],
    &neon::kTables[1],
    &neon::kTables[2],
#endif
};

/// Calls visit(name, member) for every op of a table.
template <class Visit>
void for_each_op(Visit visit) {
  visit("ternary", &KernelTable::ternary);
  visit("dense_f32", &KernelTable::dense_f32);
  visit("dense_f16", &KernelTable::dense_f16);
  visit("dense_bf16", &KernelTable::dense_bf16);
  visit("dense_q8_0", &KernelTable::dense_q8_0);
  visit("dense_any", &KernelTable::dense_any);
  visit("rms_norm", &KernelTable::rms_norm);
  visit("quantize", &KernelTable::quantize);
  visit("add", &KernelTable::add);
  visit("gate_relu2", &KernelTable::gate_relu2);
  visit("gate_silu", &KernelTable::gate_silu);
  visit("rope", &KernelTable::rope);
  visit("kv_append_f16", &KernelTable::kv_append_f16);
  visit("kv_append_f32", &KernelTable::kv_append_f32);
  visit("attention_f16", &KernelTable::attention_f16);
  visit("attention_f32", &KernelTable::attention_f32);
  visit("ternary16", &KernelTable::ternary16);
  visit("quantize16", &KernelTable::quantize16);
}

/// Takes over every op that `table` offers; the others stay.
void overlay(const KernelTable& table, KernelTable* chosen) {
  for_each_op([&](const char*, auto op) {
    if (table.*op != nullptr) chosen->*op = table.*op;
  });
  chosen->name = table.name;
  chosen->needs |= table.needs;
}

}  // namespace

std::span<const KernelTable* const> kernel_tables() { return kTables; }

std::string known_isas() {
  std::string names = "auto";
  for (const KernelTable* table : kTables) names += fmt::format(", {}", table->name);
  return names;
}

Result<KernelTable> choose_kernels(std::string_view isa, uint64_t features) {
  const KernelTable* last = nullptr;  // the table called `isa`
  for (const KernelTable* table : kTables) {
    if (isa == table->name) last = table;
  }
  if (last == nullptr && isa != "auto") {
    return make_error(ErrorCode::kUsage, "unknown instruction set '{}': expected one of {}", isa,
                      known_isas());
  }
  if (last != nullptr && (last->needs & ~features) != 0) {
    return make_error(ErrorCode::kUnsupported,
                      "this machine cannot run the instruction set '{}': it lacks {}; use --isa auto", isa,
                      describe_cpu_features(last->needs & ~features));
  }
  KernelTable chosen = *kTables[0];
  for (const KernelTable* table : kTables) {
    if ((table->needs & ~features) == 0) overlay(*table, &chosen);
    if (table == last) break;
  }
  return chosen;
}

std::string describe_kernels(const KernelTable& chosen, uint64_t features) {
  std::string text;
  bool is_beyond_chosen = false;  // tables after the one that was asked for
  for (const KernelTable* table : kTables) {
    std::string ops;
    for_each_op([&](const char* name, auto op) {
      if (table->*op != nullptr && table->*op == chosen.*op) ops += fmt::format(" {}", name);
    });
    const uint64_t missing = table->needs & ~features;
    const bool is_chosen = chosen.name == std::string_view(table->name);
    std::string line;
    if (missing != 0) {
      line = fmt::format("not used: this machine lacks {}", describe_cpu_features(missing));
    } else if (is_beyond_chosen) {
      line = fmt::format("not used: --isa {} stops before it", chosen.name);
    } else if (ops.empty()) {
      line = fmt::format("not used: {} has every op of it", chosen.name);
    } else {
      line = fmt::format("{}:{}", is_chosen ? "in use" : "in use where no faster set has the op", ops);
    }
    is_beyond_chosen = is_beyond_chosen || is_chosen;
    text += fmt::format("{:<7} {}\n", table->name, line);
  }
  return text;
}

}  // namespace tern
