// SPDX-License-Identifier: MIT
// What the kernel tests share: one gtest parameter per kernel table, inputs that end where memory ends, bit
// equality.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "core/cpu_features.h"
#include "kernels/registry.h"

namespace tern::test {

inline const KernelTable& scalar() { return *kernel_tables()[0]; }

/// An array whose last element is followed by a page that cannot be read or written, in every build: a kernel
/// that looks one element too far dies here. Zeroed; aligned to alignof(T) only.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t count) : count_(static_cast<size_t>(count)) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t usable = (count_ * sizeof(T) + page - 1) / page * page;
    mapped_ = usable + page;
    base_ = static_cast<std::byte*>(
        ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || ::mprotect(base_ + usable, page, PROT_NONE) != 0) std::abort();
    data_ = reinterpret_cast<T*>(base_ + usable - count_ * sizeof(T));
  }
  explicit Guarded(const std::vector<T>& values) : Guarded(static_cast<int64_t>(values.size())) {
    std::copy(values.begin(), values.end(), data_);
  }
  ~Guarded() { ::munmap(base_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  T& operator[](int64_t i) { return data_[i]; }
  std::vector<T> copy() const { return std::vector<T>(data_, data_ + count_); }

 private:
  size_t count_, mapped_;
  std::byte* base_;
  T* data_;
};

/// Fails at the first element whose bits differ. Two NaNs are equal (kernel_table.h promises no more).
inline ::testing::AssertionResult same_bits(std::span<const float> expected, std::span<const float> actual) {
  if (expected.size() != actual.size()) return ::testing::AssertionFailure() << "sizes differ";
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i]) && std::isnan(actual[i])) continue;
    if (std::bit_cast<uint32_t>(expected[i]) == std::bit_cast<uint32_t>(actual[i])) continue;
    char text[128];
    std::snprintf(text, sizeof text, "element %zu of %zu: expected %a, found %a", i, expected.size(),
                  expected[i], actual[i]);
    return ::testing::AssertionFailure() << text;
  }
  return ::testing::AssertionSuccess();
}
inline ::testing::AssertionResult same_bits(const Guarded<float>& expected, const Guarded<float>& actual) {
  return same_bits(std::span(expected.data(), expected.size()), std::span(actual.data(), actual.size()));
}

/// Fills `out` with floats of one character. Every kind is finite but kOverflowing (sums reach infinity and
/// NaN).
enum class Values { kNormal, kDenormal, kHuge, kOverflowing, kMixed, kZeros, kSpike };
inline constexpr Values kAllValues[] = {Values::kNormal,      Values::kDenormal, Values::kHuge,
                                        Values::kOverflowing, Values::kMixed,    Values::kZeros,
                                        Values::kSpike};

inline void fill(Values kind, uint32_t seed, std::span<float> out) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < out.size(); ++i) {
    const float z = normal(rng);
    switch (kind) {
      case Values::kNormal:
        out[i] = z;
        break;
      case Values::kDenormal:
        out[i] = z * 0x1p-135f;
        break;
      case Values::kHuge:
        out[i] = z * 0x1p50f;
        break;
      case Values::kOverflowing:
        out[i] = z * 0x1p125f;
        break;
      case Values::kMixed:
        out[i] = std::ldexp(z, static_cast<int>(rng() % 60) - 40);
        break;
      case Values::kZeros:
        out[i] = rng() % 2 ? 0.0f : -0.0f;
        break;
      case Values::kSpike:
        out[i] = i == out.size() / 3 ? 1000.0f : z * 1e-4f;
        break;
    }
  }
}
inline Guarded<float> random_floats(Values kind, uint32_t seed, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  fill(kind, seed, values);
  return Guarded<float>(values);
}

/// Shapes that matter: around the vector widths, primes, and widths of real models.
inline constexpr int64_t kWidths[] = {1,  2,  3,  7,  8,   9,   15,  16,  17,  31,   32,   33,   47,   48,
                                      63, 64, 65, 97, 100, 127, 128, 172, 257, 1000, 2560, 5460, 6912, 8640};

/// A fixture with `table` = the parameter, every op filled in; skips where this machine cannot run it.
class TableTest : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  void SetUp() override {
    const uint64_t missing = GetParam()->needs & ~detect_cpu_features();
    if (missing != 0)
      GTEST_SKIP() << GetParam()->name << ": this machine lacks " << describe_cpu_features(missing);
    table = choose_kernels(GetParam()->name, detect_cpu_features()).value();
  }
  KernelTable table{};
};

inline std::string table_name(const ::testing::TestParamInfo<const KernelTable*>& info) {
  std::string name = info.param->name;
  std::replace(name.begin(), name.end(), '-', '_');  // gtest allows letters, digits and underscores
  return name;
}

/// All tables, and all but the scalar one (which is what the others are compared with).
inline auto every_table() { return ::testing::ValuesIn(kernel_tables().begin(), kernel_tables().end()); }
inline auto faster_tables() {
  return ::testing::ValuesIn(kernel_tables().begin() + 1, kernel_tables().end());
}

}  // namespace tern::test
