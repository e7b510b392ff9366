#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tern bench and tern profile as programs: their outputs can be read, their files appear whole, wrong flags are one-line errors.
# Checks no speed. Prints ok / not ok lines for ./test.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
tern="$build/tern"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -x "$tern" ] || { echo "not ok bench: $tern is not built"; exit 1; }
model="$work/tiny.gguf"
"$build/make_model" --shape tiny --out "$model" >/dev/null 2>&1 || { echo "not ok bench: make_model"; exit 1; }
failures=0

check() {  # check NAME COMMAND...: the command succeeds
  local name="$1"
  shift
  if timeout 120 "$@" >"$work/out" 2>"$work/err" </dev/null; then
    echo "ok bench: $name"
  else
    echo "not ok bench: $name"
    sed 's/^/    /' "$work/out" "$work/err" | head -20
    failures=1
  fi
}
refused() {  # refused NAME STATUS PATTERN COMMAND...: one line on stderr that says PATTERN
  local name="$1" wanted="$2" pattern="$3" status=0
  shift 3
  timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  if [ "$status" -eq "$wanted" ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qE -- "$pattern" "$work/err"; then
    echo "ok bench: $name"
  else
    echo "not ok bench: $name (status $status)"
    sed 's/^/    /' "$work/err" | head
    failures=1
  fi
}

small=(-p 16,0 -n 4,0 --np 1,2 -d 0,8 -t 1 -r 2 --no-pin)
check "JSON has a result for each case of the sweep, in both phases" bash -c '
  "$1" bench "$2" "${@:4}" --json >"$3/bench.json" && python3 -c "
import json, sys
d = json.load(open(sys.argv[1]))
assert [r[\"test\"] for r in d[\"results\"]] == [\"pp16\", \"tg4\", \"tg4 x2\", \"pp16 @ d8\", \"tg4 @ d8\", \"tg4 x2 @ d8\"], d
for r in d[\"results\"]:
    assert len(r[\"seconds\"]) == 2 and r[\"min_ts\"] <= r[\"median_ts\"] <= r[\"max_ts\"] and r[\"bytes_per_token\"] > 0, r
assert d[\"roofs\"][0][\"gb_per_second\"] > 0 and d[\"peak_resident_bytes\"] > d[\"file_bytes\"]
" "$3/bench.json"' - "$tern" "$model" "$work" "${small[@]}"
check "the CSV has as many columns in each line" bash -c '
  "$1" bench "$2" "${@:4}" --no-roof -o csv | awk -F, "NR == 1 {n = NF} NF != n {bad = 1} END {exit bad || NR != 7}"' - "$tern" "$model" "$work" "${small[@]}"
check "a peer runs in turn and gives ratios" bash -c '
  "$1" bench "$2" -p 8 -n 0 -t 1 -r 3 --no-roof --no-pin --json --compare "echo {p} >>$3/peer; echo avg 2.0" >"$3/peer.json" &&
  [ "$(cat "$3/peer")" = "$(printf "8\n8\n8")" ] &&
  python3 -c "import json,sys; r=json.load(open(sys.argv[1]))[\"results\"][0]; assert r[\"peer_ts\"] == [2, 2, 2] and abs(r[\"median_ratio\"] - r[\"median_ts\"] / 2) < 1e-6 * r[\"median_ratio\"]" "$3/peer.json"' - "$tern" "$model" "$work"
check "plots are well-formed XML" bash -c '
  "$1" bench "$2" -p 8 -n 4 -t 1,2 -r 1 --no-pin --plot-threads "$3/t.svg" --plot-roofline "$3/r.svg" --load >/dev/null &&
  python3 -c "import sys, xml.dom.minidom as x; [x.parse(f) for f in sys.argv[1:]]" "$3/t.svg" "$3/r.svg"' - "$tern" "$model" "$work"
check "profile writes a trace and stacks" bash -c '
  "$1" profile "$2" -p 8 -n 2 --no-pin --trace "$3/trace.json" --folded "$3/stacks.txt" --json >"$3/profile.json" &&
  python3 -c "
import json, sys
assert len(json.load(open(sys.argv[1]))[\"traceEvents\"]) > 10
assert all(line.rsplit(\" \", 1)[1].strip().isdigit() for line in open(sys.argv[2]))
d = json.load(open(sys.argv[3]))
assert d[\"decode\"][\"ops\"] and d[\"prefill\"][\"ops\"]
" "$3/trace.json" "$3/stacks.txt" "$3/profile.json"' - "$tern" "$model" "$work"
check "profile prints a table" bash -c '"$1" profile "$2" -p 0 -n 2 --no-pin | grep -q ffn_down' - "$tern" "$model"

refused "no such model" 1 "nosuch" "$tern" bench "$work/nosuch.gguf"
refused "no model" 2 "no model" "$tern" bench
refused "a negative length" 2 "-p -1" "$tern" bench "$model" -p -1
refused "nothing to measure" 2 "nothing" "$tern" bench "$model" -p 0 -n 0
refused "an unknown output" 2 "md, csv or json" "$tern" bench "$model" -o xml
refused "a peer that fails" 1 "status 3" "$tern" bench "$model" -p 8 -n 0 -r 1 --no-roof --compare "exit 3"
refused "a plot that cannot be written" 1 "nosuch" "$tern" bench "$model" -p 8 -n 0 -r 1 --no-roof --plot-threads "$work/nosuch/t.svg"
refused "profile of nothing" 2 "nothing" "$tern" profile "$model" -p 0 -n 0
exit "$failures"
