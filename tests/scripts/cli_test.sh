#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The program as a user meets it: wrong paths, broken files, hostile text, closed pipes, Ctrl-C, narrow terminals. Works on the
# random tiny model; prints ok / not ok / skip lines for ./test.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
tern="$build/tern"
data="${TERN_TEST_DATA:-$root/../shared/data}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" XDG_STATE_HOME="$work/state"
unset COLUMNS
failures=0

[ -x "$tern" ] || { echo "not ok cli: $tern is not built"; exit 1; }
"$build/make_model" --shape tiny --out "$work/tiny.gguf" >/dev/null 2>&1 || { echo "not ok cli: make_model"; exit 1; }
model="$work/tiny.gguf"

ok() { echo "ok cli: $1"; }
bad() {
  echo "not ok cli: $1"
  sed 's/^/    /' "$work/out" "$work/err" 2>/dev/null | head -20
  failures=1
}
# expect NAME STATUS PATTERN COMMAND...: PATTERN must stand in stderr (or stdout where it begins with "out:"); an error is one line
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
json_ok() {  # json_ok NAME FIELD COMMAND...: stdout is one JSON object with FIELD
  local name="$1" field="$2"
  shift 2
  if timeout 60 "$@" 2>"$work/err" </dev/null >"$work/out" &&
    python3 -c 'import json,sys; d=json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."): d=d[key]' "$work/out" "$field"; then ok "$name"; else bad "$name"; fi
}

# Usage
expect "no command" 2 "subcommand" "$tern"
expect "unknown command" 2 "tern:" "$tern" walk
expect "unknown flag" 2 "--wings" "$tern" run "$model" x --wings
expect "no model" 2 "no model" "$tern" run
expect "help" 0 "out:--temp" "$tern" run --help
expect "version" 0 "out:^tern " "$tern" --version
expect "a number out of range" 2 "temperature" "$tern" run "$model" x --temp -1
expect "not a number" 2 "tern:" "$tern" run "$model" x --top-k many
expect "unknown instruction set" 2 "avx9" "$tern" run "$model" x --isa avx9
expect "too many threads" 2 "threads" "$tern" run "$model" x -t 100000
expect "bad logit bias" 2 "logit-bias" "$tern" run "$model" x -l 3
expect "bad token list" 2 "byte 2" "$tern" run "$model" --tokens "1,x"
expect "token outside the vocabulary" 2 "outside the vocabulary" "$tern" run "$model" --tokens 999999
expect "unknown chat template" 2 "chat-template" "$tern" run "$model" x --chat-template nosuch
expect "-m and a prompt" 0 "out:." "$tern" run -m "$model" "Once" -n 2
expect "two models" 2 "two models" "$tern" run -m "$model" "$model" "Once" -n 2
expect "no prompt" 2 "no text" "$tern" run "$model"
expect "unknown pre-tokenizer" 1 "tern:" "$tern" tokenize "$model" x --pre nosuch

# Files
expect "no such file" 1 "No such file" "$tern" run "$work/none.gguf" x
expect "a directory" 1 "directory" "$tern" run "$work" x
: >"$work/empty.gguf"
expect "an empty file" 1 "empty.gguf" "$tern" info "$work/empty.gguf"
head -c 3000 "$model" >"$work/cut.gguf"
expect "a truncated header" 1 "cut.gguf" "$tern" run "$work/cut.gguf" x
head -c -5000 "$model" >"$work/cut2.gguf"
expect "truncated weights" 1 "cut2.gguf" "$tern" run "$work/cut2.gguf" x
head -c 100000 /dev/urandom >"$work/noise.gguf"
expect "noise" 1 "noise.gguf" "$tern" info "$work/noise.gguf"
mkfifo "$work/fifo.gguf"
expect "a pipe as model" 1 "fifo.gguf" "$tern" info "$work/fifo.gguf"
expect "a base model asked to chat" 1 "base model" "$tern" chat "$model"
expect "the prompt file is missing" 1 "nofile" "$tern" run "$model" -f "$work/nofile"
expect "context too small for the prompt" 1 "context" "$tern" run "$model" "a long enough prompt" -c 4

# Answers
expect "run" 0 "out:." "$tern" run "$model" "Once" -n 8 --seed 1
expect "the timings stand on stderr" 0 "tok/s" "$tern" run "$model" "Once upon" -n 8 --seed 1
expect "dropping the start of a prompt" 0 "were dropped" "$tern" run "$model" "a long enough prompt" -c 8 -n 1 --context-full drop
expect "a full context ends the answer" 0 "context of 16 tokens is full" "$tern" run "$model" "abc" -c 16 --ignore-eos
json_ok "run --json" finish_reason "$tern" run "$model" "Once" -n 4 --json
json_ok "run --tokens --json" timings.decode_seconds "$tern" run "$model" --tokens 1,2,3 -n 4 --json
json_ok "info --json" machine.isa "$tern" info --json
json_ok "info MODEL --json" model.tensor_classes "$tern" info "$model" --json
json_ok "perplexity --json" mean_nll "$tern" perplexity "$model" "some text to score" --json
json_ok "perplexity --tokens --json --all" nll "$tern" perplexity "$model" --tokens 1,2,3,4 --json --all
json_ok "tokenize --json" ids "$tern" tokenize "$model" "text" --json
json_ok "template --json" text "$tern" template "$model" --chat-template chatml --json

# Instruction sets, threads and batches agree
"$tern" run "$model" --tokens 72,105,33 -n 64 --temp 0 --ignore-eos --isa scalar -t 1 2>/dev/null >"$work/reference"
same=1
for isa in auto $("$tern" info --json 2>/dev/null | python3 -c 'import json,sys; print(json.load(sys.stdin)["machine"]["isa"])') scalar; do
  for options in "-t 1 -b 1" "-t 2 -b 2" "-t 3 -b 512"; do
    # shellcheck disable=SC2086
    "$tern" run "$model" --tokens 72,105,33 -n 64 --temp 0 --ignore-eos --isa "$isa" $options 2>/dev/null | cmp -s - "$work/reference" || same=0
  done
done
if [ -s "$work/reference" ] && [ $same -eq 1 ]; then ok "the same tokens with every set, thread count and batch"; else bad "tokens differ"; fi
a=$("$tern" run "$model" "Once" -n 16 --seed 7 2>/dev/null </dev/null)
b=$("$tern" run "$model" "Once" -n 16 --seed 7 2>/dev/null </dev/null)
if [ -n "$a" ] && [ "$a" = "$b" ]; then ok "a seed repeats an answer"; else bad "a seed repeats an answer"; fi

# Pipes
if printf 'piped' | "$tern" run "$model" -n 2 --json 2>/dev/null | grep -q '"prompt_tokens":\[256,112,105,112,101,100\]'; then
  ok "a piped prompt"; else bad "a piped prompt"; fi
if [ "$(printf 'and this' | "$tern" run "$model" "both" -n 1 --json 2>/dev/null | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["prompt_tokens"]))')" = 15 ]; then
  ok "a prompt and piped text"; else bad "a prompt and piped text"; fi
timeout 60 "$tern" run "$model" "x" -n 100000 -c 100000 --ignore-eos 2>/dev/null </dev/null | head -c 20 >/dev/null
case "${PIPESTATUS[0]}" in 0 | 1 | 141) ok "a closed pipe ends the program" ;; *) bad "closed pipe: ${PIPESTATUS[0]}" ;; esac
if [ -w /dev/full ]; then
  "$tern" tokenize "$model" "text" >/dev/full 2>"$work/err" </dev/null
  if [ $? -eq 1 ]; then ok "a full disk is an error"; else bad "a full disk is an error"; fi
fi
printf '\xff\xfe\x80 caf\xc3' >"$work/invalid"
expect "invalid UTF-8 on stdin" 0 "." bash -c "'$tern' run '$model' -n 2 --seed 1 <'$work/invalid'"
expect "invalid UTF-8 round trip" 0 "out:255 254 128" bash -c "'$tern' tokenize '$model' --no-bos <'$work/invalid'"
expect "invalid UTF-8 in a chat" 0 "." bash -c "'$tern' run '$model' -n 2 --chat-template chatml <'$work/invalid'"

# Chats from a pipe
printf '/set temp 0\nhello\n/retry\n/save %s\n/reset\n/load %s\n/nosuch\n/set temp hot\n/system be kind\n"""two\nlines"""\n/bye\n' \
  "$work/chat.json" "$work/chat.json" | timeout 60 "$tern" chat "$model" --chat-template chatml -n 4 >"$work/out" 2>"$work/err"
if [ $? -eq 0 ] && grep -q "cached" "$work/err" && grep -q "/nosuch" "$work/err" && [ -s "$work/chat.json" ] && [ "$(wc -l <"$work/out")" -ge 3 ]; then
  ok "a scripted chat: settings, retry, save, load, wrong commands"; else bad "a scripted chat"; fi
echo '{"messages": [{"role": "ghost", "content": "x"}]}' >"$work/ghost.json"
printf '/load %s\n/load %s\n' "$work/ghost.json" "$model" | timeout 60 "$tern" chat "$model" --chat-template chatml >/dev/null 2>"$work/err"
if [ $? -eq 0 ] && grep -q ghost "$work/err" && grep -q "not a saved conversation" "$work/err"; then ok "bad conversations are refused"; else bad "bad conversations are refused"; fi

# Ctrl-C: the answer stops, the status says so
# (A shell's background jobs ignore SIGINT, and tern leaves that as it is: so it is started with the default action.)
python3 -c 'import os,signal,sys; signal.signal(signal.SIGINT, signal.SIG_DFL); signal.alarm(60); os.execv(sys.argv[1], sys.argv[1:])' \
  "$tern" run "$model" "x" -n 10000000 -c 1000000 --ignore-eos >"$work/out" 2>"$work/err" </dev/null &
pid=$!
sleep 1
kill -INT $pid
wait $pid
if [ $? -eq 130 ]; then ok "Ctrl-C ends an answer with status 130"; else bad "Ctrl-C"; fi

# Terminals, wide and narrow
if command -v script >/dev/null; then
  for columns in 20 200; do
    printf '/set temp 0\nhi\n/bye\n' | timeout 60 script -qec "stty cols $columns; '$tern' chat '$model' --chat-template chatml -n 4" /dev/null >"$work/out" 2>"$work/err"
    if [ $? -eq 0 ] && grep -q "/help lists" "$work/out"; then ok "a terminal of $columns columns"; else bad "a terminal of $columns columns"; fi
  done
else
  echo "skip cli: terminals: no script(1) here"
fi

# Hostile strings through every command that takes text
if [ -f "$data/corpora/blns.json" ]; then
  python3 - "$data/corpora/blns.json" "$tern" "$model" >"$work/out" 2>&1 <<'PY'
import json, subprocess, sys
strings, tern, model = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
failures = 0
def run(arguments, text, wanted=(0,)):
    global failures
    done = subprocess.run([tern] + arguments, input=text.encode("utf-8", "surrogatepass"), capture_output=True, timeout=60)
    if done.returncode not in wanted or (done.returncode and done.stderr.count(b"\n") != 1):
        failures += 1
        print("failed:", arguments, repr(text)[:80], done.returncode, done.stderr[:200])
    return done.stdout
# Each string on its own through the tokenizer (ids and back); all of them together, and in a chat, through the rest.
for text in strings:
    if not text or "\x00" in text: continue
    ids = run(["tokenize", model, "--no-bos"], text)
    back = run(["tokenize", model, "--decode", "-"], ids.decode())
    if back != text.rstrip("\r\n").encode("utf-8", "surrogatepass") + b"\n":
        failures += 1
        print("round trip:", repr(text)[:80], repr(back)[:80])
everything = "\n".join(strings)
run(["run", model, "-n", "1", "-c", "65536"], everything)
run(["run", model, "-n", "1", "-c", "65536", "--chat-template", "chatml"], everything)
run(["perplexity", model, "-c", "2048"], everything)
run(["chat", model, "--chat-template", "chatml", "-n", "1", "--context-full", "drop", "--no-history"], "\n".join(s for s in strings if not s.startswith("/")))
run(["template", model, "--chat-template", "chatml", "--messages", "-"], json.dumps([{"role": "user", "content": everything}]))
for text in strings[:60]:
    run(["run", model, "-n", "1", "--chat-template", "chatml", "--system", text or "x"], text or "x")
print(len(strings), "strings,", failures, "failures")
sys.exit(failures != 0)
PY
  if [ $? -eq 0 ]; then ok "hostile strings: $(tail -n 1 "$work/out")"; else bad "hostile strings"; fi
else
  echo "skip cli: hostile strings: no test data (corpora/blns.json)"
fi
exit $failures
