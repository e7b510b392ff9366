#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Asks a model the held-out questions of docs/qa and counts the right answers.

    qa_score.py MODEL [--tern PROGRAM] [--show-wrong] [--json FILE] [--limit N] [--train] [--threads N]

Each question is one `tern run MODEL --temp 0 --json` with the question on standard input: the model's chat template, no
system message, greedy. An answer is right where it has every keyed expression of the fact. Prints a table by topic and
the total with its standard error; the exit status is 0 when all questions could be asked, however they were answered.
--train asks training questions instead (every tenth of them): the gap between the two is what was learned by heart.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import qa_set

DEFAULT_TERN = qa_set.QA_DIR.parents[1] / "build" / "release" / "tern"
ANSWER_TOKENS = 96  # the longest answer of the set has under 60
SECONDS = 120  # of one question: a hung program must not hang the score


class AskError(Exception):
    """tern could not answer; the text is its own line."""


def ask(arguments, question):
    command = [str(arguments.tern), "run", str(arguments.model), "--temp", "0", "-n", str(ANSWER_TOKENS), "--json",
               "-t", str(arguments.threads), "--no-pin"]
    try:
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AskError(str(error)) from error
    if done.returncode != 0:
        raise AskError(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)["text"].strip()


def items_of(facts, arguments):
    if not arguments.train:
        items = qa_set.held_out_items(facts)
    else:
        items = []
        for fact in facts:
            held_out = {qa_set.same(q) for q in qa_set.held_out_questions(fact)}
            items += [{"id": fact.id, "topic": fact.topic, "question": q, "keys": fact.keys, "answer": fact.answer}
                      for q in fact.questions if qa_set.same(q) not in held_out]
        items = items[::10]
    return items[:arguments.limit] if arguments.limit else items


def print_table(results):
    topics = collections.defaultdict(list)
    for item in results:
        topics[item["topic"]].append(item["right"])
    print(f"{'topic':<12} {'right':>5} {'of':>5} {'share':>7}")
    for topic, rights in sorted(topics.items()):
        print(f"{topic:<12} {sum(rights):>5} {len(rights):>5} {sum(rights) / len(rights):>7.1%}")
    right, count = sum(item["right"] for item in results), len(results)
    share = right / count
    error = (share * (1 - share) / count) ** 0.5
    exact = sum(item["given"] == item["answer"] for item in results)
    print(f"{'total':<12} {right:>5} {count:>5} {share:>7.1%} +- {error:.1%}; {exact} word for word")


def main():
    parser = argparse.ArgumentParser(description="share of held-out questions that a model answers rightly")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--tern", type=pathlib.Path, default=DEFAULT_TERN)
    parser.add_argument("--train", action="store_true", help="ask every tenth training question instead")
    parser.add_argument("--limit", type=int, default=0, help="only the first N questions")
    parser.add_argument("--threads", type=int, default=1, help="threads of one question")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="questions at a time")
    parser.add_argument("--show-wrong", action="store_true", help="print question and answer of each wrong one")
    parser.add_argument("--json", type=pathlib.Path, help="write every question and answer to this file")
    parser.add_argument("--sources", type=pathlib.Path, default=qa_set.QA_DIR, help="folder of the .md files")
    arguments = parser.parse_args()
    try:
        items = items_of(qa_set.read_facts(arguments.sources), arguments)
        if not items:
            raise qa_set.BadSet(f"{arguments.sources}: no questions")
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            given = list(pool.map(lambda item: ask(arguments, item["question"]), items))
    except (qa_set.BadSet, AskError, OSError, ValueError, KeyError) as error:
        print(f"qa_score.py: {error}", file=sys.stderr)
        return 1
    results = [dict(item, given=text, right=qa_set.is_right(text, item["keys"])) for item, text in zip(items, given)]
    if arguments.show_wrong:
        for item in results:
            if not item["right"]:
                print(f"[{item['id']}] {item['question']}\n    {item['given']}")
    print_table(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
