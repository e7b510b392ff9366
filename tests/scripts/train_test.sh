#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The trainer as a user meets it: wrong configurations, Ctrl-C, kill -9, a full disk, export. Prints ok / not ok / skip lines for
# ./test. Some seconds of training on a text of its own.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -x "$build/tern" ] || { echo "not ok train: $build/tern is not built"; exit 1; }
if [ ! -x "$build/tern-train" ]; then
  # Then tern train says so, in one line that names the way out.
  if "$build/tern" train x.json 2>"$work/err"; then echo "not ok train: tern train without a trainer succeeds"; exit 1; fi
  grep -q 'libtorch' "$work/err" && echo "ok train: one line where the trainer is missing" || echo "not ok train: $(cat "$work/err")"
  echo "skip train: tern-train is not built (libtorch-dev is not installed)"
  exit 0
fi
train() { timeout 120 "$build/tern" train "$@" </dev/null; }

ok() { echo "ok train: $1"; }
bad() { echo "not ok train: $1"; sed 's/^/    /' "$work/out" "$work/err" 2>/dev/null | tail -20; }
# expect NAME STATUS PATTERN ARGUMENTS...: an error is one line on stderr that matches
expect() {
  local name="$1" wanted="$2" pattern="$3" status=0
  shift 3
  train "$@" >"$work/out" 2>"$work/err" || status=$?
  if [ "$status" -ne "$wanted" ] || ! grep -qE -- "$pattern" "$work/err"; then
    bad "$name (status $status, wanted $wanted and '$pattern')"
  elif [ "$wanted" -ne 0 ] && [ "$(wc -l <"$work/err")" -ne 1 ]; then
    bad "$name: the error is not one line"
  else
    ok "$name"
  fi
}

# config NAME STEPS [JSON]: writes NAME.json with NAME as output folder; JSON is put in front
config() {
  cat >"$work/$1.json" <<JSON
{ ${3:-} "model": {"hidden_size": 64, "intermediate_size": 128, "layers": 2, "heads": 2, "context": 32},
  "tokenizer": {"vocab_size": 300}, "data": {"sources": [{"path": "text.txt", "separator": "\n\n\n"}], "heldout": 0.05},
  "optimizer": {"steps": $2, "batch_tokens": 256, "warmup_steps": 2}, "checkpoint_every": 5, "eval_every": 1000, "output": "$1" }
JSON
}
for i in $(seq 400); do
  echo "The $((i % 7)) cats of house $((i % 11)) sat on mat $((i * 7 % 13)). They saw $((i % 5)) birds, and $((i * 3 % 8)) bees."
  [ $((i % 4)) -ne 0 ] || printf '\n\n\n'
done >"$work/text.txt"

config run 1000000
expect "no such configuration" 1 'nothing.json' "$work/nothing.json"
sed 's/"layers": 2/"layers": 2, "layrs": 2/' "$work/run.json" >"$work/typo.json"
expect "an unknown key" 2 'layrs' "$work/typo.json"
sed 's/"batch_tokens": 256/"batch_tokens": 250/' "$work/run.json" >"$work/odd.json"
expect "a batch that rows do not divide" 2 'batch_tokens' "$work/odd.json"
sed 's/text.txt/absent.txt/' "$work/run.json" >"$work/absent.json"
expect "a source that is not there" 1 'absent.txt' "$work/absent.json"
: >"$work/empty.txt"
sed 's/text.txt/empty.txt/' "$work/run.json" >"$work/empty.json"
expect "an empty source" 2 'empty.txt' "$work/empty.json"
printf 'good\n\377\376 bad\n' >"$work/binary.txt"
sed 's/text.txt/binary.txt/' "$work/run.json" >"$work/binary.json"
expect "text that is not UTF-8" 1 'binary.txt' "$work/binary.json"
expect "export of nothing" 1 'run' "$work/x.gguf" --export "$work/run"

# wait_for FOLDER N: until a checkpoint of step N or later is there
wait_for() {
  local i
  for i in $(seq 600); do
    for file in "$work/$1"/checkpoint-*.safetensors; do
      step="${file##*checkpoint-}" step="${step%.safetensors}"
      [[ "$step" =~ ^[0-9]+$ ]] && [ "$((10#$step))" -ge "$2" ] && return 0
    done
    sleep 0.1
  done
  return 1
}
newest() { ls "$work/$1"/checkpoint-*.safetensors | tail -n 1; }

"$build/tern" train "$work/run.json" >"$work/out" 2>"$work/err" </dev/null &
pid=$!
if wait_for run 10; then
  kill -INT "$pid"
  status=0
  wait "$pid" || status=$?
  if [ "$status" -eq 0 ] && grep -q 'checkpoint saved' "$work/err"; then ok "Ctrl-C saves and ends well"; else bad "Ctrl-C (status $status)"; fi
else
  kill -9 "$pid" 2>/dev/null
  bad "no checkpoint within a minute"
fi
expect "a folder that holds a run" 2 '--resume' "$work/run.json"

# kill -9 loses at most the interval; what is left is whole, and going on gives what an uninterrupted run gives.
config killed 1000000
"$build/tern" train "$work/killed.json" >"$work/out" 2>"$work/err" </dev/null &
pid=$!
wait_for killed 10 || bad "no checkpoint within a minute"
kill -9 "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
at=$(newest killed) at="${at##*checkpoint-}" at=$((10#${at%.safetensors}))
done_steps=$(($(wc -l <"$work/killed/loss.csv") - 1))
if [ $((done_steps - at)) -le 6 ]; then ok "kill -9 loses at most the interval"; else bad "kill -9: $done_steps steps, checkpoint $at"; fi
config straight 1000000
target=$((at + 5))
train "$work/killed.json" --resume --steps 5 >"$work/out" 2>"$work/err"
train "$work/straight.json" --steps "$target" >>"$work/out" 2>>"$work/err"
# Equal but for the folder's name in the metadata, at the front.
if cmp -s <(tail -c 400000 "$(newest killed)") <(tail -c 400000 "$(newest straight)") && [ "$(newest straight)" = "$work/straight/checkpoint-$(printf %07d "$target").safetensors" ]; then
  ok "resuming after kill -9 equals not stopping"
else
  bad "resuming after kill -9 gives other weights"
fi

before=$(newest straight)
sum=$(cksum <"$before")
status=0
(trap '' XFSZ; ulimit -f 40; train "$work/straight.json" --resume --steps 5) >"$work/out" 2>"$work/err" || status=$?
if [ "$status" -eq 1 ] && grep -q "^tern: .*checkpoint-" "$work/err" && [ "$(newest straight)" = "$before" ] && [ "$(cksum <"$before")" = "$sum" ]; then
  ok "a full disk is an error and leaves the last checkpoint"
else
  bad "a full disk (status $status)"
fi

if train "$work/x.gguf" --export "$work/straight" --type iq2_bn --embedding q8_0 2>"$work/err" && "$build/tern" run "$work/x.gguf" "The 3 cats" -n 5 >"$work/out" 2>>"$work/err" </dev/null; then
  ok "an export runs"
else
  bad "an export does not run"
fi
expect "a type that cannot hold the widths" 2 'tq2_0' "$work/y.gguf" --export "$work/straight" --type tq2_0
expect "an unknown type" 2 'i2_s' "$work/y.gguf" --export "$work/straight" --type i9_z
[ ! -e "$work/y.gguf" ] && ok "a refused export leaves nothing" || bad "a refused export leaves a file"
