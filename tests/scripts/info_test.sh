#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tern info names container, byte order, scales, activation, tokenizer, template and doubts of every file it can read:
# all third-party fixtures (a file it cannot read is one line of error and status 1, never a crash), and a random model
# in every container that GGUF has. Prints ok / not ok / skip lines for ./test.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
tern="$build/tern"
data="${TERN_TEST_DATA:-$root/../shared/data}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" XDG_STATE_HOME="$work/state"
failures=0

[ -x "$tern" ] || { echo "not ok info: $tern is not built"; exit 1; }
ok() { echo "ok info: $1"; }
bad() {
  echo "not ok info: $1"
  failures=1
}

cat >"$work/check.py" <<'EOF'
# check.py TERN DIR...: every file below DIR; prints how many were read and what is wrong with any.
import json, os, subprocess, sys
fields = {"path": str, "container": str, "byte_order": str, "ternary": list, "activation": str, "tokenizer": str,
          "chat_template": str, "doubts": list, "file_bytes": int, "tensors": int}
read = refused = 0
for top in sys.argv[2:]:
    for folder, _, names in os.walk(top):
        for name in sorted(names):
            path = os.path.join(folder, name)
            run = subprocess.run([sys.argv[1], "info", path, "--json"], capture_output=True, timeout=120)
            err = run.stderr.decode("utf-8", "replace")
            if run.returncode == 1:
                refused += 1
                if err.count("\n") != 1 or name not in err or run.stdout:
                    print("WRONG", path, "refused, but not in one line that names it:", err[:200])
                continue
            if run.returncode != 0 or err:
                print("WRONG", path, "status", run.returncode, err[:200])
                continue
            read += 1
            model = json.loads(run.stdout)["model"]
            for field, kind in fields.items():
                if not isinstance(model.get(field), kind) or (kind is str and not model[field]):
                    print("WRONG", path, "field", field, "is", model.get(field))
            for fact in model["ternary"]:
                if not all(fact[k] for k in ("type", "tensors", "byte_order", "scales")):
                    print("WRONG", path, "ternary", fact)
            if any("\n" in doubt for doubt in model["doubts"]):
                print("WRONG", path, "a doubt of two lines")
print("READ", read, "REFUSED", refused)
EOF

# fixtures NAME LEAST DIR...: at least LEAST files are read
fixtures() {
  local name="$1" least="$2" out read
  shift 2
  if [ ! -d "$1" ]; then
    echo "skip info: $name: no test data at $data"
    return
  fi
  out=$(python3 "$work/check.py" "$tern" "$@")
  read=$(sed -n 's/^READ \([0-9]*\) .*/\1/p' <<<"$out")
  if grep -q WRONG <<<"$out" || [ "${read:-0}" -lt "$least" ]; then
    bad "$name"
    head -20 <<<"$out" | sed 's/^/    /'
  else
    ok "$name ($(sed -n 's/^READ //p' <<<"$out"))"
  fi
}
fixtures "tiny GGUF files" 1 "$data/formats/gguf_tiny"
fixtures "GGUF files that crashed another parser, and a fuzzer's" 0 "$data/formats/gguf_crash" "$data/formats/gguf_fuzz_corpus"
fixtures "safetensors files" 5 "$data/formats/safetensors"
fixtures "malformed safetensors" 1 "$data/formats/safetensors_unit"
fixtures "configurations of Hugging Face models" 0 "$data/formats/hf_configs"

# Every container: its byte order and its scales.
# container CONTAINER TYPE BYTE_ORDER SCALES
container() {
  if ! "$build/make_model" --shape llama-ternary-small --type "$1" --out "$work/$1.gguf" >"$work/out" 2>&1; then
    bad "make_model in $1: $(head -1 "$work/out")"
    return
  fi
  if "$tern" info "$work/$1.gguf" --json 2>"$work/err" | python3 -c '
import json, sys
model = json.load(sys.stdin)["model"]
found = [(f["type"], f["byte_order"], f["scales"]) for f in model["ternary"]]
sys.exit(tuple(sys.argv[1:]) not in found and f"found {found}")' "$2" "$3" "$4" 2>>"$work/err"; then
    ok "container $1"
  else
    bad "container $1: $(tail -1 "$work/err")"
  fi
}
container i2_s i2_s "x86-128 (tern.i2_s.order)" "one per tensor"
container i2_s-arm-64 i2_s "arm-64 (tern.i2_s.order)" "one per tensor"
container i2_s-block-scales i2_s "x86-128 (tern.i2_s.order)" "one per 128 columns, times .scale [2, 4]"
container tl1 tl1 "tiles unknown" "one per tensor"
container tl2 tl2 "tiles unknown" "one per tensor"
container iq2_bn_r4 iq2_bn_r4 little-endian "one per row"
container tq2_0 tq2_0 little-endian "one per 256 columns"
container ptq1_0 ptq1_0 little-endian "one per 128 columns"

# Human output has the same facts; TL1 says what it needs, and runs with it.
info() { "$tern" info "$@" 2>&1; }
if info "$work/tl1.gguf" | grep -q "doubt .*--tl-config"; then ok "TL1's doubt"; else bad "TL1's doubt"; fi
if "$tern" run "$work/tl1.gguf" x -n 2 >"$work/out" 2>"$work/err" || ! grep -q -- "--tl-config" "$work/err"; then
  bad "TL1 without tiles is refused: $(head -1 "$work/err")"
else
  ok "TL1 without tiles is refused"
fi
for size in "512 256" "128 256" "256 512"; do
  read -r rows cols <<<"$size"
  printf '[Kernels_%s]\nm = %s\nk = %s\nbm = 32\nbk = 16\nbmm = 32\n' "${rows}x$cols" "$rows" "$cols"
done >"$work/kernel_config.ini"
generate() { "$tern" run "$@" "Once" -n 8 --temp 0 --no-perf --raw 2>"$work/err"; }
if expected=$(generate "$work/i2_s.gguf") && [ -n "$expected" ] &&
  found=$(generate "$work/tl1.gguf" --tl-config "$work/kernel_config.ini") && [ "$expected" = "$found" ]; then
  ok "TL1 with its tiles writes what I2_S writes"
else
  bad "TL1 with its tiles writes what I2_S writes: '$expected' and '${found:-}' $(head -1 "$work/err")"
fi
refusal() {  # refusal NAME STATUS PATTERN FLAGS...: of tern info on the TL1 model
  local name="$1" wanted="$2" pattern="$3" status=0
  shift 3
  "$tern" info "$work/tl1.gguf" "$@" >"$work/out" 2>"$work/err" || status=$?
  if [ "$status" -eq "$wanted" ] && grep -qE -- "$pattern" "$work/err" && [ "$(wc -l <"$work/err")" -eq 1 ]; then
    ok "$name"
  else
    bad "$name (status $status): $(head -1 "$work/err")"
  fi
}
refusal "--tl-config of no model" 1 "bitnet_b1_58-3B" --tl-config nosuch
refusal "--type-id without a type" 2 "ID=TYPE" --type-id 42
refusal "--type-id of an unknown type" 2 "q2_0_g128" --type-id 42=q9
refusal "--type-id whose size does not fit" 1 "takes" --type-id 38=iq2_bn
exit $failures
