#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Tests of scripts/setup.sh on pretended machines: a folder of stand-ins for dpkg-query, apt-get, id and sudo is the whole PATH,
# so nothing is installed and the real machine's state does not matter. Prints ok / not ok lines for ./test.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# machine INSTALLED USER: a pretended Debian where the packages named are installed and the user has that number.
# What apt-get and sudo are asked to do goes to $work/asked.
machine() {
  rm -rf "${work:?}"/{bin,tree,asked}
  mkdir -p "$work/bin" "$work/tree/scripts"
  cp "$root/scripts/setup.sh" "$work/tree/scripts/"
  for tool in bash env dirname cat awk tr mkdir tail; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
  stand_in dpkg 'echo amd64'
  stand_in dpkg-query "printf 'ii  amd64 %s\n' $1; exit 1"
  stand_in apt-get "echo \"apt-get \$*\" >>'$work/asked'"
  stand_in id "echo $2"
}
stand_in() { printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1" && chmod +x "$work/bin/$1"; }
setup() { env -i PATH="$work/bin" bash "$work/tree/scripts/setup.sh" "$@"; }

# expect NAME STATUS TEXT FILE: the last setup ended with STATUS, and TEXT stands in FILE ($work/out or $work/asked).
expect() {
  if [ "$status" -eq "$2" ] && grep -qF -- "$3" "$4"; then
    echo "ok setup: $1"
  else
    echo "not ok setup: $1 (status $status)"
    sed 's/^/    /' "$4"
    failures=1
  fi
}
try() { status=0; setup "$@" >"$work/out" 2>&1 </dev/null || status=$?; }

all=$(sed -n 's/^build  \([^ ]*\).*/\1/p' "$root/scripts/setup.sh" | tr '\n' ' ')

machine "$all" 0
try build
echo "silent: $(wc -c <"$work/out") $([ -f "$work/asked" ] && echo asked || echo not-asked)" >"$work/summary"
expect "everything installed: silent, apt-get is not called" 0 "silent: 0 not-asked" "$work/summary"

machine "${all/cmake /}" 0
try build
expect "installs exactly what is missing" 0 "install --no-install-recommends cmake" "$work/asked"
if grep -q 'recommends cmake [a-z]' "$work/asked"; then echo "not ok setup: asks for more than is missing"; failures=1; fi

machine "$all" 0
try test
expect "the test tier holds more than the build tier" 0 "libgtest-dev" "$work/asked"

machine "x" 1000
try build
expect "neither root nor sudo: one line with the packages" 1 "need root or sudo to install: g++ cmake" "$work/out"

machine "x" 1000
stand_in sudo "echo \"sudo \$*\" >>'$work/asked'"
try build
expect "not root: through sudo, asking nothing where nobody can type" 0 "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get" "$work/asked"

machine "x" 0
stand_in apt-get 'if [[ "$*" == *install* ]]; then echo "E: Unable to locate package cmake"; exit 100; fi'
try build
expect "a failing apt-get: its last lines" 1 "E: Unable to locate package cmake" "$work/out"
expect "a failing apt-get: the reason in one line" 1 "tern: could not install g++ cmake" "$work/out"

machine "x" 0
stand_in apt-get "if [[ \"\$*\" == *update* ]]; then exit 100; fi; echo \"apt-get \$*\" >>'$work/asked'"
try build
expect "a source list out of reach does not stop it" 0 "install" "$work/asked"

machine "x" 0
rm "$work/bin/apt-get"
try build
expect "not Debian: the packages by name" 1 "not a Debian-like system; install what corresponds to: g++ cmake" "$work/out"

try nothing
expect "an unknown tier is wrong use" 2 "usage:" "$work/out"

exit "$failures"
