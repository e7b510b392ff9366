#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tern pull, list, show and rm against a hub on the loopback that misbehaves in every way (tests/hub/); prints ok / not ok / skip
# lines for ./test. hub_test.sh [CASE...]: only these cases of tests/hub/pull_cases.py.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -x "$build/tern" ] || { echo "not ok hub: $build/tern is not built"; exit 1; }
"$build/make_model" --shape tiny --out "$work/tiny.gguf" >/dev/null 2>&1 || { echo "not ok hub: make_model"; exit 1; }
mkdir "$work/cases"
python3 "$root/tests/hub/pull_cases.py" "$build/tern" "$work/cases" "$work/tiny.gguf" "$@"
