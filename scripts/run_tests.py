#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the test programs of one build folder and counts single test cases.

    run_tests.py BUILD [--only PROGRAM,...] [--filter GTEST_PATTERN] [--full] [--jobs N] [--shards N] [--timeout S]

CTest's list says which programs there are. A program named *_test is a GoogleTest program: it runs as N shards (so that two
cores share a long one), and its JSON report gives the cases; where it dies without one, the cases that its output shows count,
and the death counts as a failure. Any other entry is one case: exit status 0 passes, 77 skips. Entries labelled `full` run with
--full only. Failures are printed whole, skipped cases by name; the last line is "N passed, N failed, N skipped".
Called by ./test and .ci/run.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import time

SKIP_STATUS = 77
# Not at the start of a line: a test may have left its last line open.
CASE_LINE = re.compile(r"\[ +(RUN|OK|FAILED|SKIPPED) +\] ([^\s,]+)(?: \(\d+ ms\))?$")


class Counts:
    """What one program did: passed cases, (name, text) of failed ones, (name, reason) of skipped ones."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def total(self):
        return self.passed + len(self.failed) + len(self.skipped)


def ctest_entries(build):
    """CTest's list: dicts with name, command (program and arguments), labels."""
    out = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, check=True, capture_output=True, text=True)
    entries = []
    for test in json.loads(out.stdout)["tests"]:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        # A program that is registered but not built has no command: that is a failure, not a reason to leave it out.
        entries.append({"name": test["name"], "command": test.get("command", []), "labels": properties.get("LABELS", [])})
    return entries


def is_gtest(command):
    # Behind an emulator the program is not the first word.
    return any(word.endswith("_test") and os.path.isabs(word) for word in command)


def cases_in_output(text):
    """State of each case as the program's output shows it: RUN means that it began and never ended."""
    states = {}
    for line in text.splitlines():
        match = CASE_LINE.search(line)
        if match:
            states[match.group(2)] = match.group(1)
    return states


def skip_reasons(text):
    """The message that follows a skipped case's `Skipped` line, by case name."""
    reasons, current = {}, None
    lines = text.splitlines()
    for i, line in enumerate(lines):
        match = CASE_LINE.search(line)
        if match and match.group(1) == "RUN":
            current = match.group(2)
        elif line.endswith(": Skipped") and current and i + 1 < len(lines):
            reasons.setdefault(current, lines[i + 1].strip())
    return reasons


def from_report(report, output):
    """Counts from a GoogleTest JSON report; the output supplies the reasons of skips."""
    counts, reasons = Counts(), skip_reasons(output)
    for suite in report["testsuites"]:
        for case in suite["testsuite"]:
            name = f"{suite['name']}.{case['name']}"
            if case.get("failures"):
                counts.failed.append((name, "\n".join(f["failure"] for f in case["failures"])))
            elif case["result"] == "SKIPPED":
                counts.skipped.append((name, reasons.get(name, "no reason given")))
            elif case["status"] != "RUN":
                counts.skipped.append((name, "disabled in the source"))
            else:
                counts.passed += 1
    return counts


def from_output(output, how):
    """Counts of a program that died without a report."""
    counts, last = Counts(), None
    for name, state in cases_in_output(output).items():
        if state == "OK":
            counts.passed += 1
        elif state == "SKIPPED":
            counts.skipped.append((name, "see the output"))
        elif state == "FAILED":
            counts.failed.append((name, "see the output below"))
        else:
            last = name
    counts.failed.append((last or "the program", f"{how}\n" + "\n".join(output.splitlines()[-60:])))
    return counts


def run_gtest(entry, args, shard):
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        command = entry["command"] + [f"--gtest_output=json:{report}", "--gtest_color=no"]
        if args.filter:
            command.append(f"--gtest_filter={args.filter}")
        env = dict(os.environ, GTEST_TOTAL_SHARDS=str(args.shards), GTEST_SHARD_INDEX=str(shard))
        if args.full:
            env["TERN_FULL_TESTS"] = "1"
        status, output = execute(command, env, args.timeout)
        try:
            with open(report, encoding="utf-8") as file:
                counts = from_report(json.load(file), output)
        except (OSError, ValueError):
            return from_output(output, ended(status, args.timeout))
    if status != 0 and not counts.failed:  # a sanitizer's verdict at exit, a failing global teardown
        counts.failed.append(("the program", ended(status, args.timeout) + "\n" + "\n".join(output.splitlines()[-60:])))
    return counts


def run_plain(entry, args):
    status, output = execute(entry["command"], dict(os.environ), args.timeout)
    counts, last = Counts(), (output.strip().splitlines() or [""])[-1]
    if status == 0:
        counts.passed = 1
    elif status == SKIP_STATUS:
        counts.skipped.append((entry["name"], last))
    else:
        counts.failed.append((entry["name"], ended(status, args.timeout) + "\n" + "\n".join(output.splitlines()[-60:])))
    return counts


def execute(command, env, timeout):
    """Exit status (None: ran past the limit) and the output, both streams together."""
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=timeout)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        return None, output


def ended(status, timeout):
    if status is None:
        return f"did not end within {timeout} s"
    return f"killed by signal {-status}" if status < 0 else f"ended with status {status}"


def run_entry_part(entry, args, shard):
    """One unit of work: a shard of a GoogleTest program, or a whole other entry."""
    if not entry["command"] or not any(os.path.isabs(w) and os.access(w, os.X_OK) for w in entry["command"]):
        counts = Counts()
        if shard == 0:
            counts.failed.append(("the program", "is registered with CTest but was not built"))
        return counts
    return run_gtest(entry, args, shard) if is_gtest(entry["command"]) else run_plain(entry, args)


def run_all(entries, args):
    """Runs every part on args.jobs workers; yields (entry name, counts, seconds of all its parts) as entries complete."""
    parts = {e["name"]: (args.shards if is_gtest(e["command"]) else 1) for e in entries}
    totals = {e["name"]: [Counts(), 0.0] for e in entries}

    def timed(entry, shard):
        start = time.monotonic()
        return entry["name"], run_entry_part(entry, args, shard), time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(timed, e, shard) for e in entries for shard in range(parts[e["name"]])]
        for future in concurrent.futures.as_completed(futures):
            name, counts, seconds = future.result()
            totals[name][0].add(counts)
            totals[name][1] += seconds
            parts[name] -= 1
            if parts[name] == 0:
                yield name, totals[name][0], totals[name][1]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--only", default="", help="comma-separated CTest names; default: all")
    parser.add_argument("--filter", default="", help="GoogleTest pattern")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=1200, help="seconds; a guard against hangs, not a measure of speed")
    return parser.parse_args()


def main():
    args = parse_arguments()
    entries = ctest_entries(args.build)
    if args.only:
        wanted = args.only.split(",")
        unknown = set(wanted) - {e["name"] for e in entries}
        if unknown:
            sys.exit(f"run_tests.py: no such test in {args.build}: {', '.join(sorted(unknown))}")
        entries = [e for e in entries if e["name"] in wanted]
    if args.filter:
        entries = [e for e in entries if is_gtest(e["command"])]
    long_runs = [e["name"] for e in entries if "full" in e["labels"]]
    if not args.full:
        entries = [e for e in entries if "full" not in e["labels"]]

    total, seen = Counts(), 0
    for name, counts, seconds in run_all(entries, args):
        for case, text in counts.failed:
            print(f"FAILED {name}: {case}\n{text}")
        for case, reason in counts.skipped:
            print(f"SKIPPED {name}: {case}: {reason}")
        if counts.total() == 0 and not args.filter:
            counts.failed.append((name, ""))
            print(f"FAILED {name}: ran no test case")
        if counts.total() > 0:
            print(f"{name}: {counts.passed} passed, {len(counts.failed)} failed, {len(counts.skipped)} skipped ({seconds:.1f} s)",
                  flush=True)
        total.add(counts)
        seen += counts.total()
    if long_runs and not args.full:
        print(f"left out without --full: {', '.join(long_runs)}")
    if seen == 0:
        print("FAILED: no test case ran" + (f" (filter: {args.filter})" if args.filter else ""))
        total.failed.append(("", ""))
    print(f"{total.passed} passed, {len(total.failed)} failed, {len(total.skipped)} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
