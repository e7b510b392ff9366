#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the inputs of the bundled model: make_data.sh OUT_DIR. Prose comes from the test data ($TERN_TEST_DATA, else ../shared/data
# beside the checkout), cleaned and divided into three tiers by words per sentence; chats come from docs/qa. Leaves OUT_DIR/data/ and
# OUT_DIR/config.json and chat_config.json: `tern train` with the one, then with the other, is the whole run. The same inputs give
# the same bytes.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
OUT="${1:?usage: make_data.sh OUT_DIR}"
PROSE="${TERN_TEST_DATA:-$HERE/../../../shared/data}/prose"
[ -f "$PROSE/MANIFEST.md" ] || { echo "make_data.sh: no prose in $PROSE: set TERN_TEST_DATA" >&2; exit 1; }
export LC_ALL=C
mkdir -p "$OUT/data"
rm -f "$OUT"/data/*

# Left out whole: the language of its time runs through all of it.
LEFT_OUT="Hugh-Lofting-The-Story-of-Doctor-Dolittle.txt"

# Column 11 of the manifest's table: words per sentence. Up to 12.5 simple (animal tales, early readers), up to 15.2 middle, above it
# hard (Lang's and Jacobs' fairy books, Andersen, Grimm).
awk -F'|' '/^\| [A-Za-z].*\.txt \|/ { gsub(/ /, "", $2); print ($11 <= 12.5 ? "simple" : $11 <= 15.2 ? "middle" : "hard"), $2 }' \
  "$PROSE/MANIFEST.md" | while read -r tier book; do
  [ "$book" = "$LEFT_OUT" ] && continue
  awk -f "$HERE/clean_prose.awk" "$PROSE/books/$book" >> "$OUT/data/$tier.txt"
done

# The sample's stories are cut off at a length: what stands behind the last whole sentence goes, with what is left of a closing quote.
awk 'BEGIN { RS = "<[|]endoftext[|]>" }
     { gsub(/\r/, ""); sub(/^[ \n]+/, "")
       if (!match($0, /.*[.!?]"?/)) next
       text = substr($0, 1, RLENGTH)
       if (length(text) >= 200) printf "%s\n<|endoftext|>\n", text }' "$PROSE"/tinystories/*.txt > "$OUT/data/stories.txt"

# Stories written for this model.
for file in "$HERE"/prose/*.txt; do cat "$file"; printf '\n<|endoftext|>\n'; done > "$OUT/data/own.txt"

python3 "$HERE/qa_set.py" "$OUT/data" >&2
cp "$HERE/config.json" "$HERE/chat_config.json" "$HERE/draft.json" "$OUT"
wc -c "$OUT"/data/* >&2
