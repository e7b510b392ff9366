#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs the Debian packages that a tier needs and that are missing: scripts/setup.sh build|test|train|arm64|ci
# Called by ./run (build), ./test (test, train, arm64) and .ci/run (ci). Says nothing and takes no time when all is there.
# TERN_NO_SETUP=1 skips it, for machines where the libraries come from somewhere else.
set -euo pipefail
TERN_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# The one list: what CMakeLists.txt files and scripts look for, and nothing else. A tier needs its own packages and those of the tiers before it (train, arm64: see below).
packages() {
  cat <<'LIST'
build  g++                        the compiler
build  cmake                      3.25 or later
build  ninja-build                the generator of every preset
build  pkg-config                 finds the libraries that ship no CMake package
build  libfmt-dev                 text formatting (g++ 12 has no <format>)
build  nlohmann-json3-dev         JSON of configuration and of the API
build  libsimdjson-dev            JSON of large files: tokenizer.json
build  libcli11-dev               command line of the programs
build  libpcre2-dev               patterns of pre-tokenizers
build  libutf8proc-dev            Unicode tables
build  libedit-dev                line editing of the chat
build  libcurl4-openssl-dev       downloads of models
build  libssl-dev                 SHA-256 of what is downloaded
build  ca-certificates            whom a download trusts
test   libgtest-dev               unit tests
test   libgmock-dev               matchers of the unit tests
test   python3                    scripts/run_tests.py, the check scripts
test   python3-jinja2             reference of the chat templates
test   python3-numpy              float64 evaluation of the architectures
train  libtorch-dev               the trainer (tern-train)
train  libopenblas0-serial        f32 products, twenty times the reference BLAS; serial: the threads are the trainer's
train  python3-torch              independent reference of the trainer's tests
arm64  g++-aarch64-linux-gnu      cross compiler
arm64  qemu-user-static           runs the cross-built tests
ci     git                        lists the tracked files
ci     binutils                   nm of the object check
ci     ccache                     a second build of the same file costs nothing
ci     clang-19                   second compiler, sanitizers, libFuzzer
ci     libclang-rt-19-dev         runtimes of the sanitizers and of libFuzzer
ci     lld-19                     fast linker of the clang presets
ci     clang-format-19            format check
LIST
}

fail() { printf 'tern: %s\n' "$*" >&2; exit 1; }

case "${1:-}" in
  build) tiers='build' ;;
  test) tiers='build test' ;;
  train) tiers='train' ;;  # apart from test: 500 MB; where it cannot be had, the trainer is not built and its tests are skipped
  arm64) tiers='arm64' ;;  # apart from test: where it cannot be had, that stage is skipped and the rest goes on
  ci) tiers='build test ci' ;;
  *) printf 'usage: %s build|test|train|arm64|ci\n' "$0" >&2; exit 2 ;;
esac
if [ -n "${TERN_NO_SETUP:-}" ]; then exit 0; fi

wanted=()
while read -r tier package _; do
  if [[ " $tiers " == *" $tier "* ]]; then wanted+=("$package"); fi
done < <(packages)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  fail "this is not a Debian-like system; install what corresponds to: ${wanted[*]} - then set TERN_NO_SETUP=1"
fi

# One dpkg-query call for all names; it fails when it does not know one, which then is missing. Packages of foreign
# architectures do not count.
native=$(dpkg --print-architecture)
installed=" $({ dpkg-query -W -f='${db:Status-Abbrev} ${Architecture} ${Package}\n' "${wanted[@]}" 2>/dev/null || true; } |
  awk -v native="$native" '$1 == "ii" && ($2 == native || $2 == "all") {print $3}' | tr '\n' ' ')"
missing=()
for package in "${wanted[@]}"; do
  if [[ "$installed" != *" $package "* ]]; then missing+=("$package"); fi
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    fail "these packages are missing and need root or sudo to install: ${missing[*]}"
  fi
  # A password is asked for only where somebody can type it.
  if [ -t 0 ]; then root=(sudo); else root=(sudo -n); fi
fi

log="$TERN_ROOT/build/logs/setup-$1.log"
mkdir -p "${log%/*}"
printf 'tern: installing %s (log: %s)\n' "${missing[*]}" "$log" >&2
# Lock::Timeout: on a machine just started the system's own updates may hold the lock for a while.
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
{
  # A foreign source list may be out of reach; what counts is whether the installation below works.
  ${root[@]+"${root[@]}"} "${apt[@]}" update || echo 'apt-get update failed; trying with the lists that are there'
  ${root[@]+"${root[@]}"} "${apt[@]}" install --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 </dev/null || {
  tail -n 15 "$log" >&2
  fail "could not install ${missing[*]} with apt-get (whole log: $log)"
}
