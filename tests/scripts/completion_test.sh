#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The completion scripts that the program prints about itself; prints ok / not ok / skip lines for ./test.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
tern="$build/tern"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" TERN_STORE="$work/store" PATH="$build:$PATH"
failures=0

check() {  # check NAME COMMAND...
  local name="$1"
  shift
  if "$@" >"$work/out" 2>&1 </dev/null; then echo "ok completion: $name"; else
    echo "not ok completion: $name"
    sed 's/^/    /' "$work/out" | head -20
    failures=1
  fi
}
# completes LINE WORD: WORD is among what bash offers for the last word of LINE
completes() {
  "$tern" completion bash >"$work/bash" || return
  bash -c 'source "$1"; read -ra COMP_WORDS <<<"$2"; [[ $2 != *" " ]] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tern; printf "%s\n" "${COMPREPLY[@]}"' - "$work/bash" "$1" | tee "$work/offers" |
    grep -xF -- "$2" >/dev/null  # not -q: an early end would break the pipe
}
offers_not() { ! completes "$1" "$2"; }

[ -x "$tern" ] || { echo "not ok completion: $tern is not built"; exit 1; }
check "commands" completes "tern pu" pull
check "only commands that begin so" offers_not "tern pu" run
check "flags of a command" completes "tern run model --te" --temp
check "not those of another" offers_not "tern list --te" --temp
check "files" completes "tern run $work/b" "$work/bash"
check "an unknown shell is refused" bash -c '! "$0" completion csh' "$tern"
for shell in bash zsh fish; do
  if command -v "$shell" >/dev/null; then
    check "$shell reads its script" bash -c '"$0" completion "$1" | "$1" -n' "$tern" "$shell"
  else
    echo "skip completion: $shell reads its script: $shell is not installed"
  fi
done
exit "$failures"
