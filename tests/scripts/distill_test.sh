#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tern distill by hand: acceptance of a model by itself, collecting logits and continuing, wrong use. Works on random tiny models;
# prints ok / not ok / skip lines for ./test.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
tern="$build/tern"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work"
failures=0

[ -x "$tern" ] || { echo "not ok distill: $tern is not built"; exit 1; }
"$build/make_model" --shape tiny --out "$work/tiny.gguf" >/dev/null 2>&1 || { echo "not ok distill: make_model"; exit 1; }
for _ in $(seq 60); do echo "The cat sat on the mat and the dog sat on the cat. It was a fine day."; done >"$work/text.txt"

check() {  # check NAME STATUS PATTERN COMMAND...: PATTERN must stand in stdout or stderr; an error is one line
  local name="$1" wanted="$2" pattern="$3" status=0
  shift 3
  timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  if [ "$status" -ne "$wanted" ] || ! cat "$work/out" "$work/err" | grep -qE -- "$pattern" ||
    { [ "$wanted" -ne 0 ] && [ "$(wc -l <"$work/err")" -ne 1 ]; }; then
    echo "not ok distill: $name (status $status, wanted $wanted and '$pattern')"
    sed 's/^/    /' "$work/out" "$work/err" | head -20
    failures=1
  else
    echo "ok distill: $name"
  fi
}

check "without anything" 2 "CONFIG --teacher MODEL" "$tern" distill
check "acceptance without a text" 2 "give one with -f" "$tern" distill --acceptance "$work/tiny.gguf" "$work/tiny.gguf"
check "acceptance of an absent draft" 1 "none.gguf" "$tern" distill --acceptance "$work/tiny.gguf" "$work/none.gguf" -f "$work/text.txt"
small=(--prompts 3 --prompt-tokens 16 --new-tokens 17)
check "a model accepts all of itself" 0 '"k":8,"steps":6,"accepted":48,"accepted_per_step":8.0,"acceptance_rate":1.0' \
  "$tern" distill --acceptance "$work/tiny.gguf" "$work/tiny.gguf" -f "$work/text.txt" "${small[@]}" --json
check "the table" 0 "tokens/step" "$tern" distill --acceptance "$work/tiny.gguf" "$work/tiny.gguf" -f "$work/text.txt" "${small[@]}"

cat >"$work/config.json" <<JSON
{"model": {"hidden_size": 64, "intermediate_size": 128, "layers": 1, "heads": 2, "context": 32},
 "data": {"sources": [{"path": "text.txt"}], "heldout": 0}, "optimizer": {"steps": 2, "batch_tokens": 64}, "output": "run"}
JSON
check "an absent configuration" 1 "no.json" "$tern" distill "$work/no.json" --teacher "$work/tiny.gguf"
check "collecting" 0 '"rows":4' "$tern" distill "$work/config.json" --teacher "$work/tiny.gguf" --collect-only --top-k 4 --json
if [ -f "$work/run/teacher.bin" ]; then
  cp "$work/run/teacher.bin" "$work/whole.bin"
  head -c 1500 "$work/whole.bin" >"$work/run/teacher.bin"
  check "collecting continues" 0 '"rows":4' "$tern" distill "$work/config.json" --teacher "$work/tiny.gguf" --collect-only --top-k 4 --json
  if cmp -s "$work/whole.bin" "$work/run/teacher.bin"; then echo "ok distill: the same bytes"; else
    echo "not ok distill: the same bytes"
    failures=1
  fi
  check "another top-k" 2 "another k" "$tern" distill "$work/config.json" --teacher "$work/tiny.gguf" --collect-only --top-k 5
fi
exit "$failures"
