#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The question-and-answer set of the bundled model and its scorer: each key tells its answer from all others, what is held out is
# nowhere in training, the same sources give the same bytes, bad sources are refused, and the scorer counts what a known program
# answers. Prints ok / not ok / skip lines for ./test; needs Python's standard library only.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
export PYTHONDONTWRITEBYTECODE=1
make="$root/recipes/bundled/qa_set.py" score="$root/recipes/bundled/qa_score.py"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

report() {  # report STATUS NAME
  if [ "$1" -eq 0 ]; then echo "ok qa: $2"; else echo "not ok qa: $2"; sed 's/^/    /' "$work/out" | head -20; failures=1; fi
}
check() {  # check NAME COMMAND...
  local name="$1"
  shift
  "$@" >"$work/out" 2>&1
  report $? "$name"
}
says() {  # says NAME STATUS TEXT COMMAND...
  local name="$1" wanted="$2" text="$3" status=0
  shift 3
  "$@" >"$work/out" 2>&1 || status=$?
  [ "$status" -eq "$wanted" ] && grep -qF -- "$text" "$work/out"
  report $? "$name"
}

# ---- the set itself ----
check "every key tells its answer from all others" "$make" --check
check "the split is written" "$make" "$work/one"
check "and written again" "$make" "$work/two"
check "the same sources give the same bytes" diff -r "$work/one" "$work/two"
cat >"$work/split.py" <<'END'
import collections, json, re, sys
def bare(text):  # another notion of "the same question" than the script's own: letters, digits and dashes only
    return re.sub(r"[^a-z0-9/+*-]", "", text.lower()) or text
held = [json.loads(line) for line in open(sys.argv[1] + "/heldout.jsonl")]
train = [json.loads(line)["messages"] for line in open(sys.argv[1] + "/train.jsonl")]
asked = [m["content"] for messages in train for m in messages if m["role"] == "user"]
shared = {bare(q) for q in asked} & {bare(item["question"]) for item in held}
assert not shared, f"held out and in training: {sorted(shared)[:5]}"
questions = sum(line.startswith("- ") for path in sys.argv[2:] for line in open(path))
assert 0.09 < len(held) / questions < 0.11, f"{len(held)} of {questions} questions are held out"
answers = collections.Counter(m["content"] for messages in train for m in messages if m["role"] == "assistant")
assert all(answers[item["answer"]] >= 8 for item in held), "a held-out fact is hardly in training"
for messages in train:
    roles = [m["role"] for m in messages if m["role"] != "system"]
    assert roles == ["user", "assistant"] * (len(roles) // 2) and roles, roles
    assert all(m["content"].strip() for m in messages), messages
    assert [m["role"] for m in messages].count("system") <= (messages[0]["role"] == "system"), messages
turns = collections.Counter(sum(m["role"] == "user" for m in messages) for messages in train)
assert 0.05 < (turns[2] + turns[3]) / len(train) < 0.2, turns
END
check "nothing held out is in training; a tenth is held out; roles alternate" \
  python3 "$work/split.py" "$work/one" "$root"/docs/qa/*.md

# ---- bad sources ----
fact() {  # fact ID ANSWER KEY: ten questions with the id in each
  printf '## %s\nA: %s\nK: %s\n' "$1" "$2" "$3"
  for n in 1 2 3 4 5 6 7 8 9 10; do printf -- '- question %s about %s\n' "$n" "$1"; done
  echo
}
small() { rm -rf "$work/src" && mkdir "$work/src" && { fact sun "The sun is warm." warm; fact ice "Ice is cold." cold; } >"$work/src/a.md"; }
refused() {  # refused NAME TEXT, after the small set was spoiled
  says "refused: $1" 1 "$2" "$make" --check --sources "$work/src"
}
small; check "a small good set" "$make" --check --sources "$work/src"
small; fact fire "Fire is warm." Fire >>"$work/src/a.md"; refused "a key that another answer matches" "is matched by the keys of sun"
small; fact fire "Fire is hot." water >>"$work/src/a.md"; refused "a key that its own answer lacks" "does not match its own keys"
small; echo "- question 3 about SUN!" >>"$work/src/a.md"; refused "a question asked in two facts" "is asked in"
small; fact sun "The sun is a star." star >"$work/src/b.md"; refused "one id twice" "two facts have this id"
small; printf -- '- caf\303\251?\n' >>"$work/src/a.md"; refused "a letter that is not ASCII" "a.md:29: not ASCII"
small; echo "no marker" >>"$work/src/a.md"; refused "a line without a marker" "a.md:29: expected"
small; printf '## dry\nK: x\n- why?\n' >>"$work/src/a.md"; refused "a fact without an answer" "dry: expected one answer"
small; printf '## few\nA: Rain is wet.\nK: wet\n- why?\n' >>"$work/src/a.md"; refused "a fact with one question" "few: 0 training questions"
small; fact bad "Half (open." '(open' >>"$work/src/a.md"; refused "a key that is no expression" "unterminated subpattern"
rm -f "$work/src/a.md"; refused "an empty folder" "no facts"

# ---- the scorer, with programs whose answers are known ----
small
cat >"$work/tern" <<'END'
#!/usr/bin/env bash
# Knows the sun, and nothing of ice.
question=$(cat)
case "$question" in *sun*) text="It is the sun. It is  WARM" ;; *) text="It is what it is." ;; esac
printf '{"text": "%s", "finish_reason": "stop"}\n' "$text"
END
chmod +x "$work/tern"
says "the scorer counts right answers" 0 "total            1     2   50.0%" "$score" "$work/m" --tern "$work/tern" --sources "$work/src"
says "the scorer shows wrong ones" 0 "It is what it is." "$score" "$work/m" --tern "$work/tern" --sources "$work/src" --show-wrong
says "the scorer asks training questions too" 0 "total            1     2   50.0%" \
  "$score" "$work/m" --tern "$work/tern" --sources "$work/src" --train
printf '#!/bin/sh\necho "tern: no such model" >&2\nexit 1\n' >"$work/tern"
says "a program that fails is an error" 1 "status 1: tern: no such model" "$score" "$work/m" --tern "$work/tern" --sources "$work/src"
says "a program that is not there is an error" 1 "qa_score.py:" "$score" "$work/m" --tern "$work/none" --sources "$work/src"

exit "$failures"
