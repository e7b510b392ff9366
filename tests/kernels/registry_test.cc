// SPDX-License-Identifier: MIT
// The choice of kernel tables: the forced one is the active one, and what cannot run is refused by name.
#include "kernels/registry.h"

#include <cstring>

#include "tests/kernels/table_test.h"

namespace tern {
namespace {

using namespace test;

TEST(Registry, ScalarComesFirstAndIsComplete) {
  const KernelTable& first = *kernel_tables()[0];
  EXPECT_STREQ("scalar", first.name);
  EXPECT_EQ(0u, first.needs);
  EXPECT_TRUE(first.ternary && first.dense_f32 && first.dense_f16 && first.dense_bf16 && first.dense_q8_0 &&
              first.dense_any && first.rms_norm && first.quantize && first.add && first.gate_relu2 &&
              first.gate_silu && first.rope && first.kv_append_f16 && first.kv_append_f32 &&
              first.attention_f16 && first.attention_f32);
}

TEST(Registry, KnownIsasListsEveryTable) {
  std::string expected = "auto";
  for (const KernelTable* table : kernel_tables()) expected += std::string(", ") + table->name;
  EXPECT_EQ(expected, known_isas());
#if defined(__x86_64__)
  EXPECT_EQ("auto, scalar, avx2, avx512", expected);
#elif defined(__aarch64__)
  EXPECT_EQ("auto, scalar, neon, neon-dotprod, neon-i8mm", expected);
#endif
}

TEST(Registry, ScalarRunsWithoutAnyFeature) {
  const auto chosen = choose_kernels("scalar", 0);
  ASSERT_TRUE(chosen.ok());
  EXPECT_STREQ("scalar", chosen->name);
  const auto automatic = choose_kernels("auto", 0);
  ASSERT_TRUE(automatic.ok());
  EXPECT_STREQ("scalar", automatic->name);
  EXPECT_EQ(scalar().attention_f16, automatic->attention_f16);
}

/// What the choice must contain: for each op the last table up to the forced one that offers it.
template <class Op>
Op expected_op(const KernelTable* forced, uint64_t features, Op KernelTable::* op) {
  Op result = nullptr;
  for (const KernelTable* table : kernel_tables()) {
    if ((table->needs & ~features) == 0 && table->*op != nullptr) result = table->*op;
    if (table == forced) break;
  }
  return result;
}

TEST(Registry, TheForcedTableIsTheActiveOne) {
  constexpr uint64_t kAll =
      ~uint64_t{0};  // pointers only: nothing is called, so no CPU needs to have the features
  for (const KernelTable* table : kernel_tables()) {
    const auto chosen = choose_kernels(table->name, kAll);
    ASSERT_TRUE(chosen.ok()) << table->name;
    EXPECT_STREQ(table->name, chosen->name);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::ternary), chosen->ternary);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::dense_f32), chosen->dense_f32);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::dense_f16), chosen->dense_f16);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::dense_bf16), chosen->dense_bf16);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::dense_q8_0), chosen->dense_q8_0);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::dense_any), chosen->dense_any);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::rms_norm), chosen->rms_norm);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::quantize), chosen->quantize);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::add), chosen->add);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::gate_relu2), chosen->gate_relu2);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::gate_silu), chosen->gate_silu);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::rope), chosen->rope);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::kv_append_f16), chosen->kv_append_f16);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::kv_append_f32), chosen->kv_append_f32);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::attention_f16), chosen->attention_f16);
    EXPECT_EQ(expected_op(table, kAll, &KernelTable::attention_f32), chosen->attention_f32);
    if (table->needs == 0) continue;
    EXPECT_EQ(table->ternary, chosen->ternary) << "each ISA brings its own ternary kernel";
    EXPECT_NE(scalar().ternary, chosen->ternary);
  }
}

TEST(Registry, AutoTakesTheLastTableThatRuns) {
  for (const KernelTable* table : kernel_tables()) {
    const auto chosen = choose_kernels("auto", table->needs);
    ASSERT_TRUE(chosen.ok());
    EXPECT_STREQ(table->name, chosen->name);
  }
}

TEST(Registry, RefusesWhatItDoesNotKnow) {
  for (const char* name : {"", "AVX2", "avx", "amx", "scalar "}) {
    const auto chosen = choose_kernels(name, ~uint64_t{0});
    ASSERT_FALSE(chosen.ok()) << name;
    EXPECT_EQ(ErrorCode::kUsage, chosen.error().code);
    EXPECT_NE(std::string::npos, chosen.error().message.find(known_isas())) << chosen.error().message;
  }
}

TEST(Registry, RefusesWhatTheMachineLacks) {
  for (const KernelTable* table : kernel_tables()) {
    if (table->needs == 0) continue;
    for (uint64_t bit = 1; bit != 0; bit <<= 1) {
      if ((table->needs & bit) == 0) continue;
      const auto chosen = choose_kernels(table->name, table->needs & ~bit);
      ASSERT_FALSE(chosen.ok());
      EXPECT_EQ(ErrorCode::kUnsupported, chosen.error().code);
      EXPECT_NE(std::string::npos, chosen.error().message.find(describe_cpu_features(bit)))
          << chosen.error().message;
    }
  }
}

TEST(Registry, DescribeSaysWhichTableServesAndWhyOthersDoNot) {
  const std::string text = describe_kernels(choose_kernels("auto", 0).value(), 0);
  EXPECT_NE(std::string::npos, text.find("scalar  in use: ternary ")) << text;
  const uint64_t all = ~uint64_t{0};
  for (const KernelTable* table : kernel_tables()) {
    if (table->needs == 0) continue;
    const std::string name = fmt::format("{:<7} ", table->name);
    EXPECT_NE(std::string::npos, text.find(name + "not used: this machine lacks ")) << text;
    const std::string forced = describe_kernels(choose_kernels(table->name, all).value(), all);
    EXPECT_NE(std::string::npos, forced.find(name + "in use: ternary ")) << forced;
    const std::string lower = describe_kernels(choose_kernels("scalar", all).value(), all);
    EXPECT_NE(std::string::npos, lower.find(name + "not used: --isa scalar stops before it")) << lower;
  }
}

}  // namespace
}  // namespace tern
