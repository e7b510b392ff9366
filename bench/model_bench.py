#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed of whole models: prefill and decode of `tern run --tokens`, every kernel set and thread count, interleaved.

  bench/model_bench.py MODEL [--tern build/release/tern] [--repeats 5] [--prompt 512] [--predict 64]

Each configuration runs once per round, in turn, so that drift of a noisy machine hits all alike. Prints a Markdown table of
medians with the range, the machine and the commit. Needs nothing but Python's standard library.
"""
import argparse
import json
import statistics
import subprocess


def run(arguments, tokens, predict, extra):
    command = [arguments.tern, "run", arguments.model, "--tokens", "-", "-n", str(predict), "--temp", "0", "--ignore-eos",
               "-c", str(arguments.context), "--json"] + extra
    done = subprocess.run(command, input=tokens, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["timings"]


def cell(values):
    return f"**{statistics.median(values):.1f}** ({min(values):.1f}-{max(values):.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--tern", default="build/release/tern")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--predict", type=int, default=64)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--isas", default="avx2,avx512")
    parser.add_argument("--threads", default="1,2")
    arguments = parser.parse_args()

    info = json.loads(subprocess.run([arguments.tern, "info", "--json"], capture_output=True, text=True, check=True).stdout)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    configurations = [(isa, threads) for isa in arguments.isas.split(",") for threads in arguments.threads.split(",")]
    prompt = " ".join(str(1000 + i) for i in range(arguments.prompt))
    figures = {c: {"prefill": [], "decode": [], "load": []} for c in configurations}
    for _ in range(arguments.repeats):
        for isa, threads in configurations:
            extra = ["--isa", isa, "-t", threads]
            long = run(arguments, prompt, 1, extra)
            short = run(arguments, "1 2 3 4", arguments.predict, extra)
            figures[isa, threads]["prefill"].append(long["prefill_tokens_per_second"])
            figures[isa, threads]["decode"].append(short["decode_tokens_per_second"])
            figures[isa, threads]["load"].append(short["load_seconds"])

    print(f"{info['machine']['cpu']}, {info['machine']['features']}, {info['machine']['physical_cores']} cores; commit {commit}; "
          f"{arguments.repeats} rounds, median (min-max)\n")
    print(f"| kernels | threads | prefill, {arguments.prompt} tokens, tok/s | decode, {arguments.predict} tokens, tok/s | load, s |")
    print("|---|---|---|---|---|")
    for (isa, threads), f in figures.items():
        print(f"| {isa} | {threads} | {cell(f['prefill'])} | {cell(f['decode'])} | {statistics.median(f['load']):.2f} |")


if __name__ == "__main__":
    main()
