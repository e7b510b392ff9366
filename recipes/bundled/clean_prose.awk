# SPDX-License-Identifier: MIT
# Cleans a book for the bundled model: awk -f clean_prose.awk BOOK. Paragraphs in (one line each, an empty line between), chapters
# out, each followed by a line <|endoftext|>. Decides what is not prose (headings, contents, word lists, notes,
# advertisements, prefaces) and what a small model should not repeat. Called by make_data.sh.

BEGIN {
  RS = ""
  FS = "\n"
  # Heads of chapters that are about the book and not the story.
  about = "^(the )?(preface|introduction|introductory note|contents|table of contents|dedication|index|notes|notes and references|footnotes?|glossary|bibliography|list of illustrations|illustrations|suggestions to teachers|errata|appendix|the end|advertisements?|to the reader|slate work)( |$)"
  # Slurs of the time, and what the stories say about peoples. A paragraph that has one is left out; the chapter ends before it and
  # goes on as another one behind it.
  unkind = "nigger|darky|darkey|darkies|negro|savages|heathen|gipsy|gipsies|gypsy|gypsies|redskin|squaw|jewess|^jew$| jew[ ,.]| jews[ ,.]|blackamoor|chinaman|pickaninn|mulatto|hottentot"
  # Of publishers' lists.
  advert = "\\$[0-9]|12mo|16mo|8vo|illustrated by|by the author of|lee and shepard|lee & shepard|price,? (75|50|[0-9]+ )|cents\\.?$|copyright|gutenberg|all rights reserved|volumes?\\. |publishers|transcriber"
  # Where a tale was taken from.
  origin = "contes |traduits|editeur|leipzig|maerchen|marchen|maehrchen|grimm\\.|^\\(?(from the|translated|adapted|collected|told by|by) [^.]*\\.?\\)?\\.?$"
  common = " a an and the was were is had have there once upon in on it he she they we you i of to at one two three little old day time lived long ago when as who his her their that this if so but for with my all some very no not every what how do did after before by from far away many time morning evening night big good poor great man woman king queen boy girl dear never ever yes oh well then now come up out into over "
}

function is_heading(text,   n, words, i, capital, w) {
  if (length(text) > 70 || text ~ /[.!?:;,"')*-]$/) return 0
  n = split(text, words, " ")
  for (i = 1; i <= n; ++i) {
    w = words[i]
    if (w ~ /^["'(]?[A-Z0-9]/ || index(" a an and the of to in on or at for by with from as his her is who that into nor but how was its ", " " w " ")) ++capital
  }
  return capital == n && text ~ /^["'(]?[A-Z0-9]/
}

function flush_chapter() {
  # Shorter chapters are rests of contents pages, dedications, single verses.
  if (!skip && length(chapter) >= 600) printf "%s\n<|endoftext|>\n", chapter
  chapter = ""
}

# "ONCE upon", "THERE WAS a": the decorated first words of a chapter, in ordinary letters.
function tame_capitals(text,   n, words, i, bare, low, out) {
  n = split(text, words, " ")
  for (i = 1; i <= n; ++i) {
    bare = words[i]
    gsub(/[^A-Za-z]/, "", bare)
    if (bare != toupper(bare) || bare == "" || i > 8) break
    if (bare == "I" || bare == "A" && i == 1) continue
    low = tolower(words[i])
    if (i == 1 || !index(common, " " tolower(bare) " ")) {
      match(low, /[a-z]/)
      low = substr(low, 1, RSTART - 1) toupper(substr(low, RSTART, 1)) substr(low, RSTART + 1)
    }
    words[i] = low
  }
  out = words[1]
  for (i = 2; i <= n; ++i) out = out " " words[i]
  return out
}

{
  text = $0
  gsub(/\r/, "", text)
  gsub(/_/, "", text)                        # italics
  gsub(/ *\[[0-9]+\]/, "", text)             # marks of notes
  sub(/^[0-9]+\. +/, "", text)               # numbered paragraphs of readers
  gsub(/[ \t]+/, " ", text)
  sub(/^ /, "", text)
  sub(/ $/, "", text)
  if (text == "" || text ~ /^[*. -]+$/ || text ~ /^[[]/) next
  lower = tolower(text)
  if (NF == 1) {
    heading = text
    sub(/^(CHAPTER|Chapter) [IVXLC0-9]+\.? */, "", heading)
    sub(/^[IVXLC]+\.? /, "", heading)
    if (text ~ /^(CHAPTER|Chapter)/ || text ~ /^[IVXLC0-9]+\.?$/ || is_heading(heading) || (length(text) < 60 && text == toupper(text) && text ~ /[A-Z][A-Z]/ && text !~ /["!?]/)) {
      flush_chapter()
      skip = tolower(heading) ~ about
      next
    }
    if (text !~ /[.!?:;,"')-]$/) next        # a list of words, a signature, a caption
    if (lower ~ advert || text ~ /[."]--[A-Z][A-Za-z ]+\.$/) next
    if (length(text) < 160 && lower ~ origin) next
    if (text ~ /^\(?(Illustration|Footnote|Note|Source)/) next
    if (chapter == "") text = tame_capitals(text)
  } else if (lower ~ advert) {
    next
  }
  if (lower ~ unkind) {
    flush_chapter()
    next
  }
  chapter = chapter == "" ? text : chapter "\n\n" text
}

END { flush_chapter() }
