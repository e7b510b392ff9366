# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What ./run, ./test, .ci/run and the check scripts share: messages, steps with a log file, configure and build, counting.
# Sourced, never run; the caller has set -euo pipefail and TERN_ROOT (the repository's root, absolute).
# Everything here writes progress to stderr; stdout belongs to the caller's results.

TERN_BUILD="$TERN_ROOT/build"
TERN_LOGS="$TERN_BUILD/logs"
mkdir -p "$TERN_LOGS"

say() { printf 'tern: %s\n' "$*" >&2; }

# logged LOG COMMAND...: runs the command with its output in build/logs/LOG.log; shows the end of it only when it fails.
logged() {
  local log="$TERN_LOGS/$1.log" status=0
  shift
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 40 "$log" >&2
    say "failed with status $status: $* (whole log: $log)"
  fi
  return "$status"
}

# How many compilers may run at once: every core, but a core for each 1.5 GB only (one template-heavy file needs that much).
job_count() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ {print int($2 / 1572864)}' /proc/meminfo 2>/dev/null || echo "$cores")
  if [ "${memory:-0}" -lt 1 ]; then memory=1; fi
  echo $((cores < memory ? cores : memory))
}

# configured PRESET: whether its build folder is ready. One that was configured elsewhere (a copied checkout) is not.
configured() {
  [ -f "$TERN_BUILD/$1/build.ninja" ] &&
    grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(cd "$TERN_ROOT" && pwd -P)" "$TERN_BUILD/$1/CMakeCache.txt"
}

# configure PRESET [CMAKE ARGUMENTS...]
configure() {
  local preset="$1"
  shift
  if ! configured "$preset"; then rm -rf "${TERN_BUILD:?}/$preset"; fi
  if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
  fi
  (cd "$TERN_ROOT" && logged "configure-$preset" cmake --preset "$preset" "$@")
}

# build PRESET [TARGETS...]: the named targets, or everything.
build() {
  local preset="$1" started=$SECONDS
  shift
  local targets=()
  if [ $# -gt 0 ]; then targets=(--target "$@"); fi
  logged "build-$preset" cmake --build "$TERN_BUILD/$preset" -j "$(job_count)" ${targets[@]+"${targets[@]}"} || return
  if [ $((SECONDS - started)) -gt 2 ]; then say "built $preset in $((SECONDS - started)) s"; fi
}

# has_target PRESET TARGET: whether the configured build folder knows the target.
has_target() { grep -q "^build $2: phony" "$TERN_BUILD/$1/build.ninja" 2>/dev/null; }

# tracked PATTERN...: the tracked files that match, one a line; every file of that kind where there is no git checkout
# (a source archive). safe.directory: a CI machine may have cloned as another user.
tracked() {
  if git -C "$TERN_ROOT" -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
    git -C "$TERN_ROOT" -c safe.directory='*' ls-files -- "$@"
  else
    local pattern names=()
    for pattern in "$@"; do names+=(-o -name "$pattern"); done
    (cd "$TERN_ROOT" && find . -path ./build -prune -o -type f \( "${names[@]:1}" \) -print | sed 's|^\./||')
  fi
}

# fuzz_targets SECONDS: builds every target of fuzz/ and runs each for so many seconds of CPU time, one on each core.
# A stage: its last line is "N passed, N failed, N skipped", a target counting as one.
fuzz_targets() {
  local seconds="$1" sources=("$TERN_ROOT"/fuzz/*_fuzz.cc) output="$TERN_LOGS/fuzz.log" ok
  configure fuzz && build fuzz || return
  printf '%s\n' "${sources[@]}" | sed -E 's|.*/(.*)_fuzz\.cc|\1|' |
    xargs -P "$(nproc)" -I '{}' "$TERN_ROOT/scripts/fuzz.sh" '{}' "$seconds" 2>&1 | tee "$output" || true
  ok=$(grep -cE '^fuzz [^ ]+: ok' "$output" || true)
  echo "$ok passed, $((${#sources[@]} - ok)) failed, 0 skipped"
  [ "$ok" -eq ${#sources[@]} ]
}

# Counts of the run so far, and the stages that failed.
PASSED=0 FAILED=0 SKIPPED=0 FAILED_STAGES=()

# stage NAME COMMAND...: runs a stage whose last line of output is "N passed, N failed, N skipped", and adds these counts.
# Without such a line, or with a failing status and no failure counted, the stage itself is one failure.
stage() { run_stage counted "$@"; }

# check NAME COMMAND...: a stage that is one check: it passes or fails by its exit status.
check() { run_stage single "$@"; }

run_stage() {
  local kind="$1" name="$2" output="$TERN_LOGS/stage-$2.log" status=0 started=$SECONDS passed=0 failed=0 skipped=0
  shift 2
  echo "== $name"
  "$@" 2>&1 </dev/null | tee "$output" || status=$?
  if [ "$kind" = counted ]; then
    read -r passed failed skipped < <(tail -n 1 "$output" |
      sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p') || status=${status/#0/1}
  elif [ "$status" -eq 0 ]; then
    passed=1
  fi
  if [ "$status" -ne 0 ] && [ "${failed:-0}" -eq 0 ]; then
    echo "FAILED stage $name: ended with status $status"
    failed=1
  fi
  PASSED=$((PASSED + ${passed:-0})) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + ${skipped:-0}))
  local verdict=passed
  if [ "$failed" -gt 0 ]; then
    verdict=FAILED
    FAILED_STAGES+=("$name")
  fi
  echo "== $name $verdict in $((SECONDS - started)) s"
}

# finish: the closing line, alone on the last line; the exit status of the run.
finish() {
  if [ "$FAILED" -gt 0 ]; then echo "failed stages: ${FAILED_STAGES[*]}"; fi
  echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
  [ "$FAILED" -eq 0 ]
}
