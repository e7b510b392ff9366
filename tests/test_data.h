// SPDX-License-Identifier: MIT
// Where third-party test data lies: $TERN_TEST_DATA, else ../shared/data beside the checkout. Tests that need
// it say SKIPPED where it is absent; none of it is ever copied into the repository.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace tern::test {

/// The folder of the test data, or an empty path where there is none.
inline std::filesystem::path test_data_dir() {
  if (const char* dir = std::getenv("TERN_TEST_DATA"); dir != nullptr && *dir != '\0') return dir;
  const auto beside = std::filesystem::path(TERN_SOURCE_DIR) / ".." / "shared" / "data";
  return std::filesystem::is_directory(beside) ? beside : std::filesystem::path();
}

}  // namespace tern::test

/// Skips the current test where `relative` (below the test data folder) is absent.
#define TERN_REQUIRE_DATA(variable, relative)                                        \
  const std::filesystem::path variable = ::tern::test::test_data_dir() / (relative); \
  if (::tern::test::test_data_dir().empty() || !std::filesystem::exists(variable))   \
  GTEST_SKIP() << "no test data: set TERN_TEST_DATA (missing: " << (relative) << ")"
