#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Checks that every tracked C++ source is formatted as .clang-format says: check_format.sh [ROOT]. Repair: clang-format-19 -i FILE
# Called by .ci/run; fails when it sees no source.
set -euo pipefail
TERN_ROOT="$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}" && pwd)"
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$TERN_ROOT"
mapfile -t files < <(tracked '*.cc' '*.h' '*.hpp' '*.cpp' '*.cu')
[ ${#files[@]} -gt 0 ] || { echo "check_format.sh: no source below $TERN_ROOT" >&2; exit 1; }
[ -f .clang-format ] || { echo "check_format.sh: no .clang-format in $TERN_ROOT" >&2; exit 1; }
# One process a file: their reports would run into each other.
bad=$(printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c \
  'clang-format-19 --style=file --dry-run --Werror "$1" >/dev/null 2>&1 || echo "$1: not formatted"' check | sort)
if [ -n "$bad" ]; then
  echo "$bad"
  echo "repair with: clang-format-19 -i FILE"
  exit 1
fi
echo "format: ${#files[@]} files"
