#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs one fuzz target for a number of seconds of CPU time and prints how many inputs it tried and the result.
#   scripts/fuzz.sh <name> [seconds=60] [build folder=build/fuzz]
# <name> is the target without _fuzz: gguf, safetensors, ... The target must be built already:
#   cmake --preset fuzz && cmake --build build/fuzz --target <name>_fuzz
# Seeds: fuzz/seeds/<name> and, where it exists, $TERN_TEST_DATA (else ../shared/data); fuzz/<name>.dict is the target's
# dictionary. The inputs of earlier findings are not kept here but in the tests. The corpus grows in a temporary folder; findings are written there too and its path is printed.
# Exit status: 0 nothing found, 1 a finding (crash, sanitizer report, slow input, wild allocation), 2 wrong use.
set -u
name=${1:-}
seconds=${2:-60}
root=$(cd "$(dirname "$0")/.." && pwd)
binary=${3:-$root/build/fuzz}/fuzz/${name}_fuzz
data=${TERN_TEST_DATA:-$root/../shared/data}
if [[ -z $name || ! -x $binary ]]; then
  echo "fuzz.sh: no target '$name': expected $binary (see the head of this script)" >&2
  exit 2
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/tern-fuzz-$name.XXXXXX")
mkdir "$work/corpus" "$work/findings"
seeds() { [[ -d $data/$1 ]] && find "$data/$1" -type f -size -65k "${@:2}" -exec cp -n -t "$work/corpus" {} +; }
case $name in
  gguf) seeds formats/gguf_fuzz_corpus; seeds formats/gguf_crash; seeds formats/gguf_tiny ;;
  safetensors) seeds formats/safetensors_unit -name '*.safetensors'; seeds formats/safetensors ;;
  sentencepiece) seeds tokenizers/tok512 -name '*.model' ;;
  template) seeds templates/jinja ;;
esac
if [[ -d $root/fuzz/seeds/$name ]]; then cp -n "$root/fuzz/seeds/$name"/* "$work/corpus"; fi
words=()
if [[ -f $root/fuzz/$name.dict ]]; then words=(-dict="$root/fuzz/$name.dict"); fi
chmod -R u+w "$work"

# 256 MiB in one allocation is far above what any input below 64 KiB may ask for: it counts as a finding.
# The time limit is wall time, and at nice 19 a busy machine can starve a millisecond's work for seconds: 60 s instead of
# 5 keeps that from being a finding, while a real hang still is one.
log=$work/log
nice -n 19 "$binary" "$work/corpus" -artifact_prefix="$work/findings/" -timeout=60 -rss_limit_mb=2048 \
  -malloc_limit_mb=256 -max_len=65536 -print_final_stats=1 ${words[@]+"${words[@]}"} >"$log" 2>&1 &
pid=$!
# libFuzzer's own clock is the wall's, which says little on a busy machine: the CPU time (user and system, fields 14 and
# 15 of stat) decides, and SIGUSR1 asks for an orderly end.
ticks=$(getconf CLK_TCK) used=0
while read -r -a fields 2>/dev/null <"/proc/$pid/stat" && [[ ${fields[2]} != Z ]]; do
  used=$(((fields[13] + fields[14]) / ticks))
  ((used >= seconds)) && kill -USR1 "$pid" 2>/dev/null
  sleep 1
done
wait "$pid"
status=$?
execs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
if [[ $status -eq 0 ]]; then
  echo "fuzz $name: ok, ${execs:-?} inputs in $used s of CPU time"
  rm -rf "$work"
  exit 0
fi
tail -n 60 "$log" >&2
echo "fuzz $name: FINDING after ${execs:-?} inputs, see $work/findings and $log"
exit 1
