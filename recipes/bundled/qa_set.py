#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The question-and-answer set of the bundled model: reads docs/qa/*.md, checks it, splits it, writes it.

    qa_set.py --check        only checks; prints counts
    qa_set.py OUT_DIR        writes OUT_DIR/train.jsonl and OUT_DIR/heldout.jsonl too

A tenth of the questions of each fact (one at least), chosen by the hash of their words, is held out: no training
example contains one, in any spelling. Training questions come in further spellings and wordings (lower case, other openings, a typo here and
there), in conversations of two or three questions, and under a system message. Same sources, same bytes: every choice
comes from hashes, none from a random generator or the time. Callers: the training recipe, qa_score.py,
tests/scripts/qa_test.sh.
"""
import argparse
import collections
import hashlib
import json
import pathlib
import re
import sys

QA_DIR = pathlib.Path(__file__).resolve().parents[2] / "docs" / "qa"
HELD_OUT_ONE_IN = 10
MIN_TRAINING_QUESTIONS = 8

Fact = collections.namedtuple("Fact", "id topic answer keys names deeds questions")


class BadSet(Exception):
    """A source file that breaks a rule; the text names the place and the rule."""


def words_of(question):
    """The words of a question without case and punctuation. Signs that carry meaning here (flags, slash commands, sums)
    stay."""
    kept = re.sub(r"[^a-z0-9+*/=<>\"_.\- ]", "", question.lower())
    kept = re.sub(r"\.+(\s|$)", " ", kept)
    return " ".join(kept.split()) or question.strip()


def same(question):
    """What counts as the same question: 'RMS norm?' is 'rmsnorm'."""
    return words_of(question).replace(" ", "")


def hash_of(*parts):
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8], "big")


def held_out_questions(fact):
    """The held-out questions of a fact, one spelling each: those with the smallest hashes. Where a tenth is not whole,
    a hash of the fact decides about the rest, so that the share of all is a tenth."""
    spelled = {words_of(question): question for question in reversed(fact.questions)}
    ranked = sorted(spelled, key=lambda words: hash_of("bundled model", words))
    count = (len(ranked) + hash_of("rest", fact.id) % HELD_OUT_ONE_IN) // HELD_OUT_ONE_IN
    return [spelled[words] for words in ranked[:max(1, count)]]


def read_facts(directory=QA_DIR):
    """All facts of all files, in the order of their files' names. Raises BadSet with file and line."""
    facts = []
    for path in sorted(directory.glob("*.md")):
        fact = None
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            where = f"{path.name}:{number}"
            if not line.isascii():
                raise BadSet(f"{where}: not ASCII: {line}")
            if line.startswith("## "):
                fact = Fact(line[3:].strip(), path.stem, [], [], [], [], [])
                facts.append(fact)
            elif line.startswith("# ") or not line.strip():
                continue
            elif fact is None or line[:2] not in ("A:", "K:", "N:", "V:", "- "):
                raise BadSet(f"{where}: expected '## id', a line A:, K:, N: or V:, or '- question', found: {line}")
            elif line[:2] in ("N:", "V:"):
                (fact.names if line[0] == "N" else fact.deeds).extend(part.strip() for part in line[2:].split(","))
            else:
                {"A:": fact.answer, "K:": fact.keys, "- ": fact.questions}[line[:2]].append(line[2:].strip())
    for fact in facts:
        if len(fact.answer) != 1 or not fact.keys:
            raise BadSet(f"{fact.id}: expected one answer and at least one key")
    return [fact._replace(answer=fact.answer[0]) for fact in facts]


def is_right(answer, keys):
    """Whether a text has every keyed expression of a fact."""
    text = " ".join(answer.split())
    return all(re.search(key, text, re.IGNORECASE) for key in keys)


def check(facts):
    """Raises BadSet where a key does not tell its answer from all others, or a question is asked twice."""
    asked, ids = {}, set()
    for fact in facts:
        if fact.id in ids:
            raise BadSet(f"{fact.id}: two facts have this id")
        ids.add(fact.id)
        if len(fact.answer.split()) > 40:
            raise BadSet(f"{fact.id}: the answer has more than 40 words")
        for other in facts:
            if is_right(other.answer, fact.keys) != (other is fact):
                relation = "does not match its own keys" if other is fact else f"is matched by the keys of {fact.id}"
                raise BadSet(f"{other.id}: the answer {relation}")
        for question in fact.questions:
            first = asked.setdefault(same(question), fact.id)
            if first != fact.id:
                raise BadSet(f"'{question}' is asked in {first} and in {fact.id}")
        left = len({same(q) for q in fact.questions}) - len(held_out_questions(fact))
        if left < MIN_TRAINING_QUESTIONS:
            raise BadSet(f"{fact.id}: {left} training questions, expected at least {MIN_TRAINING_QUESTIONS}")


# Around the names (N:) and deeds (V:) of a fact, for training only: what is held out was all written by hand.
NAME_PATTERNS = ("What is {}?", "what about {}", "Tell me about {}.", "explain {}", "{}", "What can you say about {}?",
                 "I have a question about {}.", "What do you know about {}?", "please explain {}", "{}?",
                 "What should I know about {}?", "can you tell me about {}", "what is {} in tern")
FLAG_PATTERNS = ("What does {} do?", "what is {} for", "How do I use {}?", "when do I need {}", "What does {} mean?",
                 "the flag {}", "what happens with {}", "What is the meaning of {}?", "why would I use {}",
                 "give me an example of {}")
DEED_PATTERNS = ("How do I {}?", "how can i {}", "how to {}", "I want to {}.", "Can I {}?", "What do I type to {}?",
                 "is it possible to {}", "I would like to {}.", "What is the way to {}?", "help me to {}",
                 "please tell me how to {}", "i need to {}", "{}", "Which command or flag is there to {}?")


def patterned(fact):
    """Questions made from the names and deeds of a fact."""
    for name in fact.names:
        is_word_to_type = re.match(r"[-/.]|tern ", name) is not None
        for pattern in NAME_PATTERNS + (FLAG_PATTERNS if is_word_to_type else ()):
            question = pattern.format(name)
            yield question[0].upper() + question[1:] if question.endswith((".", "?")) else question
    for deed in fact.deeds:
        for pattern in DEED_PATTERNS:
            yield pattern.format(deed)


# Openings that mean the same; the first of a group is replaced by the others.
REWORDINGS = (
    ("how do i ", ("how can i ", "how to ", "how would i ", "tell me how i ", "how could i ")),
    ("how can i ", ("how do i ", "how to ", "what must i do to ")),
    ("what is ", ("what's ", "tell me what is ", "explain ", "can you explain ")),
    ("what are ", ("tell me about ", "explain ", "can you explain ")),
    ("what does ", ("tell me what does ", "and what does ", "so what does ")),
    ("does tern ", ("can tern ", "will tern ", "do you know if tern ")),
    ("which ", ("tell me which ", "do you know which ", "what ")),
    ("tell me about ", ("what about ", "what can you say about ", "say something about ")),
    ("explain ", ("please explain ", "can you explain ", "describe ")),
    ("is there ", ("does tern have ", "do you have ", "is there maybe ")),
    ("can i ", ("could i ", "may i ", "am i able to ")),
    ("where ", ("tell me where ", "do you know where ", "and where ")),
    ("why ", ("tell me why ", "do you know why ", "and why ")),
    ("how many ", ("tell me how many ", "do you know how many ")),
)
FRAMES = ("please: {}", "{} please", "hi, {}", "hello! {}", "one question: {}", "can you tell me: {}", "{} thanks",
          "i want to know: {}", "ok, {}", "and {}", "in tern, {}", "with tern: {}", "so {}", "{} (tern)", "um, {}",
          "quick question: {}")
SYSTEM_MESSAGES = ("You are a helpful assistant.", "You are tern, a small and friendly model.", "Answer briefly.",
                   "You answer questions about tern.", "Be kind and short.")


def with_typo(text, salt):
    """One letter doubled, dropped or swapped with the next, inside a word of five letters or more."""
    places = [m.start() + 1 for m in re.finditer(r"[a-z]{5,}", text)]
    if not places:
        return text
    at = places[hash_of("place", salt, text) % len(places)] + hash_of("offset", salt, text) % 3
    kind = hash_of("kind", salt, text) % 3
    if kind == 0:
        return text[:at] + text[at] + text[at:]
    if kind == 1:
        return text[:at] + text[at + 1:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2:]


def spellings(fact, question):
    """The question as written, then up to five other spellings of it."""
    plain = question.rstrip("?!. ") if len(question.rstrip("?!. ")) > 1 else question
    lower = plain.lower()
    out = [question, lower]
    for opening, others in REWORDINGS:
        if lower.startswith(opening):
            other = others[hash_of("reword", question) % len(others)] + lower[len(opening):]
            out.append(other)
            out.append(other[0].upper() + other[1:] + "?")
            break
    if fact.topic != "smalltalk":
        out.append(FRAMES[hash_of("frame", question) % len(FRAMES)].format(lower))
    elif not question.endswith((".", "!", "?")):
        out.append(question + "!")
    if hash_of("typo", question) % 4 == 0:
        out.append(with_typo(lower, "typo"))
    return list(dict.fromkeys(out))


def examples(facts):
    """The training conversations, in a fixed order that mixes the facts."""
    held_out = {same(question) for fact in facts for question in held_out_questions(fact)}
    owner = {same(q): fact.id for fact in facts for q in fact.questions}
    pairs = {}
    for fact in facts:
        written = [q for q in fact.questions if same(q) not in held_out]
        for question in [s for q in written for s in spellings(fact, q)] + list(patterned(fact)):
            if same(question) not in held_out and owner.get(same(question), fact.id) == fact.id:
                pairs.setdefault(question, fact.answer)  # where two facts make the same question, the first has it
    pairs = list(pairs.items())
    pairs.sort(key=lambda pair: hash_of("order", *pair))
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in pairs]
    out = []
    for index, turn in enumerate(turns):
        kind = hash_of("kind", *pairs[index]) % 100
        if kind < 12:  # conversations of two turns, a few of three
            follow = [turns[hash_of("next", str(n), *pairs[index]) % len(turns)] for n in range(1 + (kind < 3))]
            out.append(turn + [message for other in follow for message in other])
        elif kind < 16:
            system = SYSTEM_MESSAGES[hash_of("system", *pairs[index]) % len(SYSTEM_MESSAGES)]
            out.append([{"role": "system", "content": system}] + turn)
        out.append(turn)
    return out


def held_out_items(facts):
    """What is asked in the end: one dict per held-out question."""
    return [{"id": fact.id, "topic": fact.topic, "question": question, "keys": fact.keys, "answer": fact.answer}
            for fact in facts for question in held_out_questions(fact)]


def write_lines(path, rows):
    text = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    path.write_text(text, encoding="ascii")
    return hashlib.sha256(text.encode()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description="the question-and-answer set of the bundled model")
    parser.add_argument("out_dir", nargs="?", type=pathlib.Path, help="where train.jsonl and heldout.jsonl go")
    parser.add_argument("--check", action="store_true", help="only check and count")
    parser.add_argument("--sources", type=pathlib.Path, default=QA_DIR, help="folder of the .md files")
    arguments = parser.parse_args()
    if arguments.check == (arguments.out_dir is not None):
        parser.error("give either OUT_DIR or --check")
    try:
        facts = read_facts(arguments.sources)
        if not facts:
            raise BadSet(f"{arguments.sources}: no facts in *.md")
        check(facts)
    except (BadSet, re.error, OSError, UnicodeDecodeError) as error:
        print(f"qa_set.py: {error}", file=sys.stderr)
        return 1
    training, held_out = examples(facts), held_out_items(facts)
    questions = sum(len(fact.questions) for fact in facts)
    print(f"{len(facts)} facts, {questions} questions, {len(held_out)} of them held out; {len(training)} training "
          f"conversations")
    if arguments.out_dir is not None:
        arguments.out_dir.mkdir(parents=True, exist_ok=True)
        for name, rows in (("train.jsonl", [{"messages": m} for m in training]), ("heldout.jsonl", held_out)):
            print(f"{name} sha256 {write_lines(arguments.out_dir / name, rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
