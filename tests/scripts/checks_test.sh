#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Tests of the check scripts: each must accept a good small tree and reject each kind of bad one. A check that cannot fail is
# worth nothing. Prints ok / not ok / skip lines for ./test; works in a temporary folder.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
scripts="$root/scripts"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# put FILE: writes stdin to the file of the tree, making its folders.
put() { mkdir -p "$tree/$(dirname "$1")" && cat >"$tree/$1"; }
new_tree() { tree="$work/tree"; rm -rf "$tree"; mkdir -p "$tree"; }

report() {
  if [ "$1" = yes ]; then echo "ok $2"; else echo "not ok $2"; sed 's/^/    /' "$work/out"; failures=1; fi
}
accepts() {
  local name="$1"
  shift
  if "$@" >"$work/out" 2>&1; then report yes "$name"; else report no "$name"; fi
}
# rejects NAME TEXT COMMAND...: the command must fail and its output must hold TEXT, so that it fails for the right reason.
rejects() {
  local name="$1" text="$2"
  shift 2
  if ! "$@" >"$work/out" 2>&1 && grep -qF -- "$text" "$work/out"; then report yes "$name"; else report no "$name"; fi
}

# ---- include directions ----
good_tree() {
  new_tree
  put src/core/result.h <<<'#include <string>'
  put src/kernels/backend.h <<<'#include "core/result.h"'
  put src/kernels/registry.h <<<'#include "kernels/backend.h"'
  put src/kernels/cpu/kernel_table.h <<<'#include <cstdint>'
  put src/kernels/cpu/avx2/detail.h <<<'#include <immintrin.h>'
  put src/kernels/cpu/avx2/gemm.cc <<<$'#include "kernels/cpu/avx2/detail.h"\n#include "detail.h"\n#include "kernels/cpu/kernel_table.h"'
  put src/kernels/cpu/scalar/gemm.cc <<<$'#include <algorithm>\n#include "core/result.h"\n#include "kernels/cpu/kernel_table.h"'
  put src/kernels/cpu/avx512/detail.h <<<'#include <immintrin.h>'
  put src/model/model.h <<<'#include "kernels/registry.h"'
  put src/runtime/step.h <<<$'#include "kernels/backend.h"\n#include "model/model.h"'
  put src/cli/main.cc <<<$'#include <iostream>\n#include "runtime/step.h"'
}
# bad_include NAME TEXT FILE LINE: the good tree with one more include line must be rejected.
bad_include() {
  good_tree
  mkdir -p "$tree/$(dirname "$3")"
  echo "$4" >>"$tree/$3"
  rejects "includes: $1" "$2" "$scripts/check_includes.py" "$tree"
}
good_tree
accepts "includes: a good tree" "$scripts/check_includes.py" "$tree"
bad_include "core may not see model" "core may include only" src/core/result.h '#include "model/model.h"'
bad_include "kernels may not see model" "kernels may include only" src/kernels/backend.h '  #  include "model/model.h"'
bad_include "runtime sees of kernels backend.h alone" "runtime may include only" src/runtime/step.h '#include "kernels/registry.h"'
bad_include "a file that does not exist" "no such file" src/core/result.h '#include "nothing.h"'
bad_include "an include that climbs out of its folder" "" src/core/result.h '#include "../model/model.h"'
bad_include "an ISA file may not see core" "only kernels/cpu/kernel_table.h" src/kernels/cpu/avx2/gemm.cc '#include "core/result.h"'
bad_include "an ISA file may not see the standard library" "<vector>" src/kernels/cpu/avx2/gemm.cc '#include <vector>'
bad_include "an ISA header neither" "<algorithm>" src/kernels/cpu/avx2/detail.h '#include <algorithm>'
bad_include "an ISA file may not see another ISA" "headers of its own folder" src/kernels/cpu/avx2/gemm.cc '#include "kernels/cpu/avx512/detail.h"'
bad_include "the scalar folder may not see the rest of kernels" "headers of its own folder" src/kernels/cpu/scalar/gemm.cc '#include "kernels/registry.h"'
bad_include "iostream in a library" "<iostream>" src/core/result.h '#include <iostream>'
bad_include "a folder that the table does not know" "no line in ALLOWED" src/utils/misc.h '#include <string>'
good_tree
put include/tern/tern.h <<<'#include <cstdint>'
put src/engine/c_api.cc <<<'#include "tern/tern.h"'
accepts "includes: a public header in engine" "$scripts/check_includes.py" "$tree"
echo '#include "tern/tern.h"' >>"$tree/src/core/result.h"
rejects "includes: public headers below engine" "may not include the public headers" "$scripts/check_includes.py" "$tree"
new_tree
rejects "includes: an empty tree" "no source file" "$scripts/check_includes.py" "$tree"

# ---- sizes ----
# body N: a function of N lines from brace to brace.
body() { echo "int f(int x) {"; for ((i = 2; i < $1; ++i)); do echo "  x += $i;  // {"; done; echo "}"; }
new_tree
put src/core/a.cc < <(body 60)
put src/kernels/k.cc < <(body 150)
put src/core/long.cc < <(for ((i = 0; i < 600; ++i)); do echo "int v$i;"; done)
put src/core/table.cc < <(echo "constexpr int kTable[] = {"; for ((i = 0; i < 100; ++i)); do echo "  $i,"; done; echo "};")
accepts "sizes: just within the limits" "$scripts/check_size.py" "$tree"
put src/core/a.cc < <(body 61)
rejects "sizes: a function of 61 lines" "f has 61 lines" "$scripts/check_size.py" "$tree"
put src/core/a.cc < <(echo "namespace tern { struct S {"; body 61; echo "}; }")
rejects "sizes: a long member function" "f has 61 lines" "$scripts/check_size.py" "$tree"
put src/core/a.cc < <(echo "const auto g = [](int x) {"; for ((i = 0; i < 70; ++i)); do echo "  x += $i;"; done; echo "};")
rejects "sizes: a long lambda" "a lambda has" "$scripts/check_size.py" "$tree"
put src/core/a.cc < <(body 20)
put src/kernels/k.cc < <(body 151)
rejects "sizes: a kernel of 151 lines" "at most 150" "$scripts/check_size.py" "$tree"
put src/kernels/k.cc < <(body 20)
put src/core/long.cc < <(for ((i = 0; i < 601; ++i)); do echo "int v$i;"; done)
rejects "sizes: a file of 601 lines" "601 lines, at most 600" "$scripts/check_size.py" "$tree"
new_tree
rejects "sizes: an empty tree" "no source file" "$scripts/check_size.py" "$tree"

# ---- object symbols ----
# compile SOURCE: the tree's src/kernels/cpu/<isa>/SOURCE into the tree's build folder, unoptimised, as a debug build would.
compile() {
  local object="$tree/build/CMakeFiles/kernels.dir/cpu/$1.o"
  mkdir -p "$(dirname "$object")" && g++ -std=c++20 -O0 -c "$tree/src/kernels/cpu/$1" -o "$object"
}
objects() { "$scripts/check_objects.sh" "$tree/build" -- "$tree"; }
new_tree
put src/kernels/cpu/avx2/table.cc <<<'namespace tern::avx2 { extern const int kTable; const int kTable = 1; }'
put src/kernels/cpu/avx2/gemm.cc <<<'namespace { int half(int x) { return x / 2; } } namespace tern::avx2 { int gemm(int x) { return half(x); } }'
put src/kernels/cpu/scalar/gemm.cc <<<'inline int f(int x) { return x; } int gemm(int x) { return f(x); }'
mkdir -p "$tree/build"
rejects "objects: none was built" "no object" objects
compile avx2/table.cc
compile avx2/gemm.cc
compile scalar/gemm.cc
accepts "objects: local helpers, named kernels, one table; scalar exempt" objects
# bad_object NAME TEXT FILE CODE: that file in place of the good one must be rejected.
bad_object() {
  put "src/kernels/cpu/avx2/$3" <<<"$4"
  compile "avx2/$3"
  rejects "objects: $1" "$2" objects
}
bad_object "an inline function" "weak symbol half(int)" gemm.cc \
  'inline int half(int x) { return x / 2; } namespace tern::avx2 { int gemm(int x) { return half(x); } }'
bad_object "a template, even in the namespace" "weak symbol" gemm.cc \
  'namespace tern::avx2 { template <class T> T half(T x) { return x / 2; } int gemm(int x) { return half(x); } }'
bad_object "an inline variable" "weak symbol" gemm.cc \
  'namespace tern::avx2 { inline int shared = 1; int gemm(int x) { return x + shared; } }'
bad_object "the standard library" "weak symbol" gemm.cc \
  $'#include <algorithm>\nnamespace tern::avx2 { void gemm(int* x) { std::sort(x, x + 4); } }'
bad_object "a global outside the namespace" "outside namespace tern::avx2" gemm.cc 'int gemm(int x) { return x; }'
bad_object "a global of another ISA" "outside namespace tern::avx2" gemm.cc 'namespace tern::avx512 { int gemm(int x) { return x; } }'
put src/kernels/cpu/avx2/gemm.cc <<<'namespace tern::avx2 { int gemm(int x) { return x; } }'
compile avx2/gemm.cc
bad_object "a table file with a second global" "2 defined globals" table.cc \
  'namespace tern::avx2 { extern const int kTable; const int kTable = 1; int more; }'

# ---- format ----
if command -v clang-format-19 >/dev/null; then
  new_tree
  cp "$root/.clang-format" "$tree/"
  put src/core/a.cc <<<'int f(int x) { return x; }'
  accepts "format: a formatted file" "$scripts/check_format.sh" "$tree"
  put src/core/b.h <<<'int   g( int x );'
  rejects "format: an unformatted file" "src/core/b.h: not formatted" "$scripts/check_format.sh" "$tree"
  new_tree
  cp "$root/.clang-format" "$tree/"
  rejects "format: an empty tree" "no source" "$scripts/check_format.sh" "$tree"
else
  echo "skip format checks: clang-format-19 is not installed (.ci/run installs it)"
fi

exit "$failures"
