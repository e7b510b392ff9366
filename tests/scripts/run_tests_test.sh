#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Tests of scripts/run_tests.py: what it counts and that each way to go wrong is a failure. One small GoogleTest program does all
# of them by environment variables. Prints ok / not ok lines for ./test.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

cat >"$work/a.cc" <<'CODE'
#include <gtest/gtest.h>
#include <unistd.h>
#include <cstdlib>
bool asked(const char* what) { return std::getenv("DO") != nullptr && std::string(std::getenv("DO")) == what; }
TEST(A, Passes) { std::cout << "a line without an end"; }
TEST(A, KnowsFull) { EXPECT_EQ(std::getenv("TERN_FULL_TESTS") != nullptr, asked("full")); }
TEST(A, Skips) { GTEST_SKIP() << "no test data: corpus"; }
TEST(A, DISABLED_Sleeps) {}
TEST(B, Fails) { EXPECT_FALSE(asked("fail")) << "this is why"; }
TEST(C, Dies) {
  if (asked("die")) std::abort();
  if (asked("hang")) sleep(60);
  if (asked("exit")) std::atexit([] { _exit(3); });
}
CODE
g++ -std=c++20 -O0 "$work/a.cc" -lgtest -lgtest_main -o "$work/a_test"
printf 'add_test([=[a]=] "%s")\n' "$work/a_test" >"$work/CTestTestfile.cmake"

# expect NAME STATUS LAST_LINE TEXT [ENVIRONMENT] [ARGUMENTS...]
expect() {
  local name="$1" wanted="$2" last="$3" text="$4" environment="$5" status=0
  shift 5
  # shellcheck disable=SC2086
  env $environment "$root/scripts/run_tests.py" "$work" "$@" >"$work/out" 2>&1 || status=$?
  if [ "$status" -eq "$wanted" ] && [ "$(tail -n 1 "$work/out")" = "$last" ] && grep -qF -- "$text" "$work/out"; then
    echo "ok run_tests: $name"
  else
    echo "not ok run_tests: $name (status $status)"
    sed 's/^/    /' "$work/out"
    failures=1
  fi
}

expect "counts passed and skipped cases" 0 "4 passed, 0 failed, 2 skipped" "SKIPPED a: A.Skips: no test data: corpus" DO=
expect "--full is told to the program" 0 "4 passed, 0 failed, 2 skipped" "a: 4 passed" DO=full --full
expect "a failing case is a failure with its message" 1 "3 passed, 1 failed, 2 skipped" "this is why" DO=fail
expect "the number of shards changes nothing" 0 "4 passed, 0 failed, 2 skipped" "" DO= --shards 5
expect "a case that dies is named; the ones before it count" 1 "3 passed, 1 failed, 1 skipped" "FAILED a: C.Dies" DO=die --shards 1
expect "a program that fails at its exit" 1 "4 passed, 1 failed, 2 skipped" "ended with status 3" DO=exit --shards 1
expect "a case that hangs" 1 "3 passed, 1 failed, 1 skipped" "did not end within 1 s" DO=hang --shards 1 --timeout 1
expect "a filter" 0 "1 passed, 0 failed, 0 skipped" "" DO= --filter 'A.Passes'
expect "a filter that matches nothing is a failure" 1 "0 passed, 1 failed, 0 skipped" "no test case ran" DO= --filter 'Z*'

printf 'add_test([=[a]=] "%s")\nadd_test([=[b]=] "%s/b_test")\n' "$work/a_test" "$work" >"$work/CTestTestfile.cmake"
expect "a program that was not built" 1 "4 passed, 1 failed, 2 skipped" "was not built" DO=
expect "an entry that does not exist" 1 "run_tests.py: no such test in $work: c" "" DO= --only c
printf 'add_test([=[plain]=] "/bin/false")\nadd_test([=[skips]=] "/bin/sh" "-c" "echo no tool; exit 77")\nadd_test([=[good]=] "/bin/true")\n' \
  >"$work/CTestTestfile.cmake"
expect "entries that are no GoogleTest programs" 1 "1 passed, 1 failed, 1 skipped" "SKIPPED skips: skips: no tool" DO=
printf 'add_test([=[long]=] "/bin/true")\nset_tests_properties([=[long]=] PROPERTIES LABELS "full")\nadd_test([=[good]=] "/bin/true")\n' \
  >"$work/CTestTestfile.cmake"
expect "entries labelled full are left out, and named" 0 "1 passed, 0 failed, 0 skipped" "left out without --full: long" DO=
expect "--full runs them" 0 "2 passed, 0 failed, 0 skipped" "" DO= --full

exit "$failures"
