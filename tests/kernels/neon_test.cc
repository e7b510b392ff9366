// SPDX-License-Identifier: MIT
// The three NEON sets on the processor that runs this (under qemu: whichever it plays): each is active where
// the processor has its instructions and refused by name where it has not. What it has is found out by
// executing them, independently of the kernel's word for it. Built for aarch64 only.
#include <csetjmp>
#include <csignal>
#include <string_view>

#include "tests/kernels/table_test.h"

namespace tern {
namespace {

using namespace test;

sigjmp_buf after_trap;
void on_trap(int) { siglongjmp(after_trap, 1); }

/// Whether the processor executes what `instruction` does.
bool executes(void (*instruction)()) {
  struct sigaction trap = {}, before = {};
  trap.sa_handler = on_trap;
  sigaction(SIGILL, &trap, &before);
  volatile bool executed = false;
  if (sigsetjmp(after_trap, 1) == 0) {
    instruction();
    executed = true;
  }
  sigaction(SIGILL, &before, nullptr);
  return executed;
}

void sdot() { __asm__ volatile(".inst 0x4e829420" ::: "v0"); }   // sdot v0.4s, v1.16b, v2.16b
void smmla() { __asm__ volatile(".inst 0x4e82a420" ::: "v0"); }  // smmla v0.4s, v1.16b, v2.16b

uint64_t features_that_run() {
  return uint64_t{kCpuNeon} | (executes(sdot) ? uint64_t{kCpuDotprod} : 0) |
         (executes(smmla) ? uint64_t{kCpuI8mm} : 0);
}

TEST(Neon, WhatIsDetectedIsWhatRuns) {
  EXPECT_EQ(describe_cpu_features(features_that_run()), describe_cpu_features(detect_cpu_features()));
}

struct Set {
  const char* name;
  uint64_t needs;
};
constexpr Set kSets[] = {{"neon", kCpuNeon},
                         {"neon-dotprod", uint64_t{kCpuNeon} | kCpuDotprod},
                         {"neon-i8mm", uint64_t{kCpuNeon} | kCpuDotprod | kCpuI8mm}};

TEST(Neon, EachSetIsActiveWhereItRunsAndRefusedWhereNot) {
  const uint64_t features = features_that_run();
  const char* best = "scalar";
  for (const Set& set : kSets) {
    const auto chosen = choose_kernels(set.name, detect_cpu_features());
    const uint64_t missing = set.needs & ~features;
    if (missing == 0) {
      best = set.name;
      ASSERT_TRUE(chosen.ok()) << chosen.error().message;
      EXPECT_STREQ(set.name, chosen->name);
    } else {
      ASSERT_FALSE(chosen.ok()) << set.name;
      EXPECT_EQ(ErrorCode::kUnsupported, chosen.error().code);
      EXPECT_NE(std::string::npos, chosen.error().message.find(describe_cpu_features(missing)))
          << chosen.error().message;
    }
  }
  EXPECT_STREQ(best, choose_kernels("auto", detect_cpu_features())->name);
}

/// The higher sets bring the integer products, everything else stays the one of the first.
TEST(Neon, HigherSetsKeepTheOtherOps) {
  const KernelTable low = choose_kernels("neon", ~uint64_t{0}).value();
  for (const char* name : {"neon-dotprod", "neon-i8mm"}) {
    const KernelTable high = choose_kernels(name, ~uint64_t{0}).value();
    EXPECT_NE(low.ternary, high.ternary);
    EXPECT_NE(low.ternary16, high.ternary16);
    EXPECT_NE(scalar().dense_any, high.dense_any);
    EXPECT_EQ(low.dense_any, high.dense_any);
    EXPECT_EQ(low.quantize, high.quantize);
    EXPECT_EQ(low.attention_f16, high.attention_f16);
  }
}

}  // namespace
}  // namespace tern
