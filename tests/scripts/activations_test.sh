#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tern info --activations as a user meets it: tables, JSON, wrong use. The counts themselves are tested in
# tests/engine/activations_test.cc. Works on the random tiny model; prints ok / not ok / skip lines for ./test.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
tern="$build/tern"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

[ -x "$tern" ] || { echo "not ok activations: $tern is not built"; exit 1; }
model="$work/tiny.gguf"
"$build/make_model" --shape tiny --out "$model" >/dev/null 2>&1 || { echo "not ok activations: make_model"; exit 1; }
for _ in $(seq 20); do echo "A tern flew over the sea, and the sea was grey."; done >"$work/text"

# expect NAME STATUS PATTERN ARGUMENTS...: PATTERN must stand in stderr (stdout where it begins with "out:"); an error is one line
expect() {
  local name="$1" wanted="$2" pattern="$3" status=0 where="$work/err"
  shift 3
  timeout 60 "$tern" info "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  case "$pattern" in out:*) where="$work/out" pattern="${pattern#out:}" ;; esac
  if [ "$status" -ne "$wanted" ] || ! grep -qE -- "$pattern" "$where" ||
    { [ "$wanted" -ne 0 ] && [ "$(wc -l <"$work/err")" -ne 1 ]; }; then
    echo "not ok activations: $name (status $status, wanted $wanted and '$pattern')"
    sed 's/^/    /' "$work/out" "$work/err" | head -20
    failures=1
  else
    echo "ok activations: $name"
  fi
}

expect "tables of every layer and their sum" 0 'out:^  all( +[0-9]+\.[0-9]{2}){7}$' --activations "$model" -f "$work/text"
expect "and of what enters the products" 0 'out:^    1( +[0-9]+\.[0-9]{2}){6}$' --activations "$model" -f "$work/text"
expect "without the flag no model is run" 0 'out:^doubts' "$model"
expect "a text is needed" 2 'needs a text: -f FILE' --activations "$model"
expect "a text alone is wrong" 2 '-f belongs to --activations' "$model" -f "$work/text"
expect "a model is needed" 2 'no model' --activations -f "$work/text"
expect "a text that is not there" 1 'cannot open' --activations "$model" -f "$work/none"
: >"$work/empty"
expect "an empty text" 2 'no tokens' --activations "$model" -f "$work/empty"
expect "a window of one token" 2 'window is 1' --activations "$model" -f "$work/text" --window 1
expect "unknown activations" 2 '--act' --activations "$model" -f "$work/text" --act int4

json="$work/report.json"
"$tern" info --activations "$model" -f "$work/text" --window 100 --json >"$json" 2>"$work/err" </dev/null
if python3 - "$json" <<'END' 2>"$work/err"; then echo "ok activations: JSON adds up"; else echo "not ok activations: JSON adds up"; cat "$work/err"; failures=1; fi
import json, sys
report = json.load(open(sys.argv[1]))
a, config = report["activations"], report["model"]["config"]
assert a["window"] == 100 and a["activations"] == "int8", a
assert len(a["layers"]) == config["num_layers"]
hidden, ffn = config["hidden_size"], config["intermediate_size"]
for layer in a["layers"]:
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        inputs, weights = layer[name]["inputs"], layer[name]["weights"]
        assert inputs["total"] == a["tokens"] * (ffn if name == "ffn_down" else hidden), (name, inputs)
        for count in (inputs, weights):
            assert 0 <= count["zeros"] <= count["total"] and abs(count["share"] * count["total"] - count["zeros"]) < 1e-6
    assert layer["gate"]["total"] == layer["product"]["total"] == a["tokens"] * ffn
assert 0.3 < a["layers"][0]["attn_q"]["weights"]["share"] < 0.5
END
exit "$failures"
