# SPDX-License-Identifier: MIT
"""What the cases of tern pull share: the program, a store of its own for each, a hub, and comparing what arrived."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys

import fake_hub as fh

TERN, WORK, MODEL = sys.argv[1], sys.argv[2], sys.argv[3]
PART = 65536


def default_interrupt():
    """A test run in the background inherits an ignored SIGINT, and tern would rightly go on ignoring it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Failure(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Failure(text)


def environment(**extra):
    env = {k: v for k, v in os.environ.items()
           if not k.lower().endswith("_proxy") and k not in ("HF_TOKEN", "HF_ENDPOINT", "TERN_HUB", "TERN_STORE", "XDG_DATA_HOME")}
    env.update({"HOME": WORK, **extra})
    return env


class Bench:
    """A store of its own, a hub, and the program on them."""

    def __init__(self, hub, name):
        self.hub, self.store = hub, os.path.join(WORK, "store-" + re.sub(r"\W+", "-", name))
        self.env = {"TERN_STORE": self.store, "TERN_HUB": hub.url}
        hub.reset()
        hub.repos.clear()

    def command(self, *args):
        return [TERN, *args]

    def pull_args(self, name, *more):
        return ["pull", name, "--part-size", str(PART), "--retry-delay", "0.02", "--retries", "4", "--stall", "1", *more]

    def start(self, *args, **extra):
        return subprocess.Popen(self.command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env=environment(**{**self.env, **extra}), preexec_fn=default_interrupt)

    def run(self, *args, **extra):
        process = self.start(*args, **extra)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def pull(self, name, *more, **extra):
        return self.run(*self.pull_args(name, *more), **extra)

    def good_pull(self, name, contents, *more, **extra):
        """Pulls, and compares what arrived, byte for byte."""
        status, out, err = self.pull(name, "--json", *more, **extra)
        need(status == 0, f"status {status}: {err}")
        answer = json.loads(out)
        path = answer["path"]
        for file, data in contents.items():
            where = path if len(contents) == 1 and os.path.isfile(path) else os.path.join(path, file)
            with open(where, "rb") as stream:
                need(stream.read() == data, f"{file} has other bytes than the hub's")
        self.check_clean()
        return answer, err

    def bad_pull(self, name, pattern, *more, wanted=1, **extra):
        status, out, err = self.pull(name, *more, **extra)
        errors = [line for line in err.splitlines() if line.startswith("tern: ")]
        need(status == wanted and len(errors) == 1, f"status {status}, errors {errors}, stderr {err}")
        need(re.search(pattern, errors[0]), f"no '{pattern}' in: {errors[0]}")
        need(out == "", "an error and a result")
        need(self.names() == [], "a model is there after a failed pull")
        return err

    def names(self):
        status, out, err = self.run("list", "--json")
        need(status == 0, err)
        answer = json.loads(out)
        need(answer["doubts"] == [], str(answer["doubts"]))
        return [model["name"] for model in answer["models"]]

    def check_clean(self):
        need(os.listdir(self.store + "/partial") == [], "leftovers: " + str(os.listdir(self.store + "/partial")))
        for blob in os.listdir(self.store + "/blobs"):
            with open(f"{self.store}/blobs/{blob}", "rb") as stream:
                need(blob == "sha256-" + hashlib.sha256(stream.read()).hexdigest(), "a blob that is not its name")


def noise(size, seed):
    return random.Random(seed).randbytes(size)


BIG = noise(10 * PART + 777, 1)  # eleven parts
GGUF = {"model-i2_s.gguf": BIG}


def one_file(bench, data=BIG):
    bench.hub.repos["owner/repo"] = fh.Repo({"model-i2_s.gguf": data, "README.md": b"read me"}, lfs=["model-i2_s.gguf"])
    return {"model-i2_s.gguf": data}
