#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tern embed and what tern info and --act say of the families: on small random models. Prints ok / not ok lines for ./test.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
tern="$build/tern"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" XDG_STATE_HOME="$work/state"
failures=0

[ -x "$tern" ] || { echo "not ok embed: $tern is not built"; exit 1; }
make() { "$build/make_model" --shape "$1" --type "$2" --out "$work/$3.gguf" >/dev/null 2>"$work/err"; }
if ! { make embedding-small i2_s embedding && make tiny i2_s tiny && make bonsai-small q1_0 bonsai &&
  make llama-ternary-small tq2_0 llama; }; then
  echo "not ok embed: make_model: $(head -1 "$work/err")"
  exit 1
fi
model="$work/embedding.gguf"

ok() { echo "ok embed: $1"; }
bad() {
  echo "not ok embed: $1"
  sed 's/^/    /' "$work/out" "$work/err" 2>/dev/null | cut -c1-300 | head -20
  failures=1
}
# expect NAME STATUS PATTERN COMMAND...: as in cli_test.sh
expect() {
  local name="$1" wanted="$2" pattern="$3" status=0 where="$work/err"
  shift 3
  timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  case "$pattern" in out:*) where="$work/out" pattern="${pattern#out:}" ;; esac
  if [ "$status" -ne "$wanted" ] || ! grep -qE -- "$pattern" "$where"; then
    bad "$name (status $status, wanted $wanted and '$pattern')"
  elif [ "$wanted" -ne 0 ] && [ "$(wc -l <"$work/err")" -ne 1 ]; then
    bad "$name: the error is not one line"
  else
    ok "$name"
  fi
}

printf 'one\ntwo\r\n\nfour' >"$work/lines"
expect "a vector" 0 "out:^[-0-9.e]+( [-0-9.e]+){255}$" "$tern" embed "$model" "some text"
if awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i; if (s < 0.99999 || s > 1.00001) exit 1 }' "$work/out"; then
  ok "of length 1"
else
  bad "of length 1"
fi
cp "$work/out" "$work/alone"
expect "from a file" 0 "out:^[-0-9.e]+ " "$tern" embed "$model" -f "$work/lines"
[ "$(wc -l <"$work/out")" -eq 1 ] && ok "a file is one text" || bad "a file is one text"
expect "by lines" 0 "out:^[-0-9.e]+ " "$tern" embed "$model" -f "$work/lines" --lines
[ "$(wc -l <"$work/out")" -eq 4 ] && ok "a vector per line" || bad "a vector per line"
printf 'other\nsome text\n' >"$work/two"
expect "in company" 0 "out:^[-0-9.e]+ " "$tern" embed "$model" -f "$work/two" --lines
sed -n 2p "$work/out" | cmp -s - "$work/alone" && ok "the same digits in company" || bad "the same digits in company"
expect "json" 0 'out:"dimensions":256,"tokens":\[5\],"embeddings":\[\[' "$tern" embed "$model" four --json
expect "a model that was not made for it" 1 "pooling_type" "$tern" embed "$work/tiny.gguf" text
expect "a text that does not fit" 2 "the context holds 64" "$tern" embed "$model" -c 64 "$(printf 'x%.0s' {1..100})"

# What the files say of their activations, and what the user may say.
expect "info: embedding model" 0 'out:"activations":"int8".*"linear_norms":true,"pooling":3' "$tern" info "$model" --json
expect "info: weight-only" 0 'out:"activations":"int16".*"rope_yarn":\{"factor":4' "$tern" info "$work/bonsai.gguf" --json
expect "--act f32" 0 'out:"tokens":\[' "$tern" run "$work/bonsai.gguf" x --raw -n 2 --temp 0 --act f32 --json
expect "--act int8 of a ternary head" 1 "act int16" "$tern" run "$work/bonsai.gguf" x --raw --act int8
expect "--act int4" 2 "expected int8, int16 or f32" "$tern" run "$work/llama.gguf" x --raw --act int4
expect "--act int16 of a BitNet model" 0 'out:"tokens":\[' "$tern" run "$work/llama.gguf" x --raw -n 2 --temp 0 --act int16 --json
exit "$failures"
