#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Tests of the library as others use it: installed into a prefix of its own, moved, found by CMake and by pkg-config, linked
# shared and static, from C and C++; and that libtern.so shows nothing but tern_*. capi_test.sh [BUILD], default build/release,
# as ./test leaves it. Prints ok / not ok lines for ./test.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${1:-$root/build/release}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# step NAME COMMAND...: one check: the command succeeds.
step() {
  local name="$1"
  shift
  if "$@" >"$work/out" 2>&1 </dev/null; then
    echo "ok capi: $name"
  else
    echo "not ok capi: $name"
    sed 's/^/    /' "$work/out"
    failures=1
  fi
}

# The flags are those that a careful user compiles with.
strict="-Wall -Wextra -pedantic -Werror"

install_library() {
  cmake --build "$build" --target tern_shared tern_static make_model &&
    cmake --install "$build" --component library --prefix "$work/first" && mv "$work/first" "$work/prefix" &&
    "$build/make_model" --shape tiny --seed 5 --out "$work/tiny.gguf"
}
build_examples() {  # build_examples FOLDER CMAKE_ARGUMENTS...
  local folder="$work/$1"
  shift
  cmake -S "$root/examples" -B "$folder" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_FLAGS="$strict" \
    -DCMAKE_CXX_FLAGS="$strict" "$@" && cmake --build "$folder"
}
exports_only_tern() {
  local library symbols others declared
  library=$(echo "$work"/prefix/lib*/libtern.so)
  symbols=$(nm -D --defined-only --format=posix "$library" | cut -d' ' -f1)
  others=$(echo "$symbols" | grep -v '^tern_[a-z_]*$' || true)
  if [ -n "$others" ]; then echo "exported besides the C API:"; echo "$others"; return 1; fi
  # And all of the C API: what the header declares.
  declared=$(grep -oE '\btern_[a-z_]+\(' "$root/include/tern/tern.h" | tr -d '(' | sort -u | while read -r name; do
    if tr '\n' ' ' <"$root/include/tern/tern.h" | grep -qE "TERN_API [a-z_ ]+\*? ?$name\("; then echo "$name"; fi
  done)
  diff <(echo "$declared") <(echo "$symbols" | sort -u)
}
# No header, archive or package file may know where it was built or first installed.
names_no_place() { ! grep -rlF -e "$build" -e "$work/first" -e "$root/src" "$work"/prefix/lib*/{cmake,pkgconfig} "$work/prefix/include"; }

step "installs" install_library
PKG_CONFIG_PATH=$(echo "$work"/prefix/lib*/pkgconfig)
LIBRARY_DIR=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH
step "libtern.so exports the C API and nothing else" exports_only_tern
step "the installed files name no build folder" names_no_place
step "CMake, shared: both examples build" build_examples shared
step "CMake, static: both examples build" build_examples static -DSTATIC=ON

# shellcheck disable=SC2046,SC2086
with_pkg_config() {  # with_pkg_config COMPILER SOURCE OUTPUT [--static]
  local compiler="$1" source="$2" output="$3" libraries
  libraries=$(pkg-config --libs ${4:-} tern)
  if [ "${4:-}" = --static ]; then libraries=${libraries/-ltern/$LIBRARY_DIR/libtern.a}; fi
  $compiler $strict "$source" $(pkg-config --cflags tern) $libraries -o "$work/$output"
}
step "pkg-config, C11: builds" with_pkg_config "cc -std=c11" "$root/examples/c/generate.c" pc_generate
step "pkg-config, C++17: builds" with_pkg_config "c++ -std=c++17" "$root/examples/cpp/chat.cpp" pc_chat
step "pkg-config --static, plain cc: builds" with_pkg_config "cc -std=c11" "$root/examples/c/generate.c" pc_static --static
step "pkg-config knows the version" pkg-config --exact-version="$(sed -nE 's/^project\(tern VERSION ([0-9.]+).*/\1/p' "$root/CMakeLists.txt")" tern

# Every build of an example writes the same text, and that text is not empty.
export LD_LIBRARY_PATH="$LIBRARY_DIR"
cat >"$work/template" <<'JINJA'
{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}assistant:
JINJA
printf 'Is it far?\nAnd back?\n' >"$work/questions"
says_the_same() {  # says_the_same WHAT PROGRAM...: `generate` or `chat`
  local what="$1" program first=""
  shift
  for program in "$@"; do
    if [ "$what" = generate ]; then "$program" "$work/tiny.gguf" "Once upon" 24 >"$work/text"
    else "$program" "$work/tiny.gguf" "$work/template" 16 <"$work/questions" >"$work/text"; fi || return
    [ "$(wc -c <"$work/text")" -gt 10 ] || { echo "$program wrote next to nothing"; return 1; }
    if [ -z "$first" ]; then first="$work/first-$what" && cp "$work/text" "$first"; fi
    cmp "$first" "$work/text" || return
  done
}
step "the C example runs, the same text from every build" says_the_same generate \
  "$work/shared/generate" "$work/static/generate" "$work/pc_generate" "$work/pc_static"
step "the C++ example runs, the same text from every build" says_the_same chat \
  "$work/shared/chat" "$work/static/chat" "$work/pc_chat"

reports_a_missing_file() {
  local status=0
  "$work/shared/generate" "$work/missing.gguf" 2>"$work/error" || status=$?
  [ "$status" -eq 1 ] && grep -q "cannot open '$work/missing.gguf'.*(not found)" "$work/error"
}
step "the examples report what was wrong" reports_a_missing_file

if command -v clang-19 >/dev/null; then
  printf '@import tern;\nint main(void) { return tern_version() == 0; }\n' >"$work/module.m"
  step "the module map makes the header a module" clang-19 -fmodules -fmodules-cache-path="$work/modules" -Wall -Werror \
    -fsyntax-only -I "$work/prefix/include" "$work/module.m"
else
  echo "skip capi: the module map: no clang-19 here"
fi

exit "$failures"
