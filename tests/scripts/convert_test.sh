#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tern convert and tern verify as a user meets them. Works on random tiny models; prints ok / not ok / skip lines for ./test.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
tern="$build/tern"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

[ -x "$tern" ] || { echo "not ok convert: $tern is not built"; exit 1; }
"$build/make_model" --shape tiny --out "$work/tiny.gguf" >/dev/null 2>&1 || { echo "not ok convert: make_model"; exit 1; }
model="$work/tiny.gguf"

# expect NAME STATUS PATTERN COMMAND...: PATTERN must stand in stderr (or stdout where it begins with "out:"); an error is one line
expect() {
  local name="$1" wanted="$2" pattern="$3" status=0 where="$work/err"
  shift 3
  timeout 120 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  case "$pattern" in out:*) where="$work/out" pattern="${pattern#out:}" ;; esac
  if [ "$status" -ne "$wanted" ] || ! grep -qE -- "$pattern" "$where"; then
    echo "not ok convert: $name (status $status, wanted $wanted and '$pattern')"
    sed 's/^/    /' "$work/out" "$work/err" | head -20
    failures=1
  elif [ "$wanted" -ne 0 ] && [ "$(wc -l <"$work/err")" -ne 1 ]; then
    echo "not ok convert: $name: the error is not one line"
    sed 's/^/    /' "$work/err" | head
    failures=1
  else
    echo "ok convert: $name"
  fi
}

expect "no arguments" 2 "SRC" "$tern" convert
expect "no such source" 1 "does not exist" "$tern" convert "$work/none" "$work/x.gguf"
expect "no such folder" 2 "folder of" "$tern" convert "$model" "$work/no/x.gguf"
expect "unknown type" 2 "expected auto" "$tern" convert "$model" "$work/x.gguf" --type q9_9
expect "unknown head" 2 "expected auto" "$tern" convert "$model" "$work/x.gguf" --head q9_9
expect "unknown engine" 2 "llama.cpp" "$tern" convert "$model" "$work/x.gguf" --for vllm
expect "unknown target" 2 "gguf or hf" "$tern" convert "$model" "$work/x.gguf" --to onnx
expect "bad direction" 2 "multiply or divide" "$tern" convert "$model" "$work/x.gguf" --weight-scale sideways
: >"$work/empty.gguf"
expect "an empty file" 1 "empty.gguf" "$tern" convert "$work/empty.gguf" "$work/x.gguf"
mkdir "$work/folder"
expect "a folder without a model" 1 "config.json" "$tern" convert "$work/folder" "$work/x.gguf"
head -c -5000 "$model" >"$work/cut.gguf"
expect "a cut file" 1 "cut.gguf" "$tern" convert "$work/cut.gguf" "$work/x.gguf"
expect "convert" 0 "out:out.gguf" "$tern" convert "$model" "$work/out.gguf" --type iq2_bn
(cd "$work" && expect "a target without a folder" 0 "out:bare.gguf" "$tern" convert tiny.gguf bare.gguf)
expect "the target exists" 2 "force" "$tern" convert "$model" "$work/out.gguf"
expect "lossless by default" 1 "lossy" "$tern" convert "$model" "$work/x.gguf" --head q8_0
expect "lossy when asked" 0 "were rounded" "$tern" convert "$model" "$work/lossy.gguf" --head q8_0 --lossy
expect "verify" 0 "out:^ok +logits scalar" "$tern" verify "$work/out.gguf" --against "$model"
expect "verify as JSON" 0 "out:\"ok\":true" "$tern" verify "$work/out.gguf" --json
expect "verify against another type" 0 "out:^ok +source" "$tern" verify "$model" --against "$work/out.gguf"
expect "verify finds a loss" 1 "not what it should be" "$tern" verify "$work/lossy.gguf" --against "$model"
expect "the converted model runs" 0 "out:." "$tern" run "$work/out.gguf" "Once" -n 4 --temp 0
expect "to Hugging Face" 0 "out:hf" "$tern" convert "$model" "$work/hf" --to hf
expect "and back" 0 "out:back.gguf" "$tern" convert "$work/hf" "$work/back.gguf"
expect "the same numbers" 0 "out:^ok +source" "$tern" verify "$work/back.gguf" --against "$model"
expect "into the source" 2 "inside the source" "$tern" convert "$work/hf" "$work/hf/x.gguf"
expect "a folder that exists" 2 "exists" "$tern" convert "$model" "$work/hf" --to hf
ls "$work"/*.partial* >/dev/null 2>&1 && { echo "not ok convert: leftovers"; failures=1; }

# The disk is full in the middle: one line, nothing under the final name, and the way back is open.
if (ulimit -f 64; trap '' XFSZ; exec "$tern" convert "$model" "$work/full.gguf") >"$work/out" 2>"$work/err"; then
  echo "not ok convert: a full disk goes unnoticed"
  failures=1
elif [ -e "$work/full.gguf" ] || [ "$(wc -l <"$work/err")" -ne 1 ]; then
  echo "not ok convert: a full disk"
  cat "$work/err"
  failures=1
else
  echo "ok convert: a full disk"
fi
expect "after it there is room again" 0 "out:full.gguf" "$tern" convert "$model" "$work/full.gguf"

# Killed at random moments: never a file under the final name that is not whole.
for delay in 0.01 0.03 0.06 0.1; do
  rm -f "$work/killed.gguf"
  (timeout -s KILL "$delay" "$tern" convert "$model" "$work/killed.gguf") >/dev/null 2>&1
  [ -e "$work/killed.gguf" ] && ! "$tern" verify "$work/killed.gguf" >/dev/null 2>&1 && { echo "not ok convert: killed"; failures=1; }
done
rm -f "$work/killed.gguf"
expect "after kill -9" 0 "out:killed.gguf" "$tern" convert "$model" "$work/killed.gguf"
cmp -s "$work/full.gguf" "$work/killed.gguf" && echo "ok convert: the same bytes after an interruption" || { echo "not ok convert: other bytes after an interruption"; failures=1; }
exit $failures
