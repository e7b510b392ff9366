#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Checks the symbols of the objects compiled with flags that not every CPU has: check_objects.sh BUILD... [-- SOURCE_ROOT]
# The danger: a function that two objects both define as weak (inline, template, std::) is kept once by the linker. If it keeps
# the copy compiled for AVX2, the whole program dies on a CPU without it. So, for each object of src/kernels/cpu/<isa>/*.cc:
#   1. it defines no weak and no unique symbol, at any optimisation level (run this on a debug build too: -O0 inlines nothing);
#   2. each global that it defines lies in namespace tern::<isa>, so that no other object can define the same name;
#   3. table.cc defines exactly one global: the table. What the folder's other files share is reached through it, not by name.
# The scalar folder is compiled with the flags of the whole tree and is exempt. Called by .ci/run; exit status 1 with a line for
# each breach, and when a build folder holds no such object.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
builds=()
while [ $# -gt 0 ]; do
  case "$1" in
    --) root="$(cd "$2" && pwd)"; break ;;
    *) builds+=("$1") ;;
  esac
  shift
done
[ ${#builds[@]} -gt 0 ] || { echo "usage: $0 BUILD... [-- SOURCE_ROOT]" >&2; exit 2; }

bad=0 objects=0
breach() { echo "$1"; bad=$((bad + 1)); }

check_object() {
  local object="$1" isa="$2" stem="$3" type name globals=0
  objects=$((objects + 1))
  while read -r type name; do
    globals=$((globals + 1))
    case "$type" in
      [VWvwu]) breach "$object: weak symbol $name: make it local (anonymous namespace) or take it out of the ISA file" ;;
      *) [[ "$name" == "tern::$isa::"* ]] || breach "$object: global $name is outside namespace tern::$isa" ;;
    esac
  done < <(nm -C --extern-only --defined-only "$object" | sed -nE 's/^[0-9a-f]* ?([A-Za-z]) (.*)$/\1 \2/p')
  if [ "$stem" = table ] && [ "$globals" -ne 1 ]; then
    breach "$object: $globals defined globals; a table file has one, its table"
  fi
}

for build in "${builds[@]}"; do
  before=$objects
  for folder in "$root"/src/kernels/cpu/*/; do
    isa=$(basename "$folder")
    if [ "$isa" = scalar ]; then continue; fi
    for source in "$folder"*.cc; do
      if [ ! -f "$source" ]; then continue; fi
      # Other CPUs' sources have no object here; a stale object of a deleted source is not looked at.
      while read -r object; do
        check_object "$object" "$isa" "$(basename "$source" .cc)"
      done < <(find "$build" -path "*/cpu/$isa/$(basename "$source").o" -type f)
    done
  done
  if [ "$objects" -eq "$before" ]; then breach "$build: no object of src/kernels/cpu/<isa> to check"; fi
done
echo "object symbols: $objects objects, $bad breaches"
[ "$bad" -eq 0 ]
