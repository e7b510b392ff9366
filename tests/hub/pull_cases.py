#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tern pull, list, show and rm against a hub that misbehaves: pull_cases.py TERN WORK [MODEL.gguf]

Called by tests/scripts/hub_test.sh; prints ok / not ok / skip lines. Network is the loopback only. TERN is the program, WORK an
empty folder, MODEL a small real model for the cases that load one.
"""

import hashlib
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_hub as fh

TERN, WORK, MODEL = sys.argv[1], sys.argv[2], sys.argv[3]
PART = 65536
failures = 0


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
                                text=True, env=environment(**{**self.env, **extra}))

    def run(self, *args, **extra):
        process = self.start(*args, **extra)
        out, err = process.communicate(timeout=60)
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


# -- whole pulls

def plain(bench):
    answer, _ = bench.good_pull("owner/repo", one_file(bench))
    need(answer["downloaded_bytes"] == len(BIG) and answer["license"] == "mit" and answer["architecture"] == "llama", str(answer))
    need(bench.names() == ["owner/repo"], str(bench.names()))
    need(len(bench.hub.requests("/resolve/")) == 11, "parts")
    again, _ = bench.good_pull("owner/repo", GGUF)
    need(again["downloaded_bytes"] == 0 and len(bench.hub.requests("/resolve/")) == 11, "pulled twice")


def directory(bench):
    files = {"config.json": b"{}", "tokenizer.json": b"[1]", "model.safetensors.index.json": b"{ }", "empty.txt": b"",
             "model-00001-of-00002.safetensors": noise(3 * PART, 2), "model-00002-of-00002.safetensors": noise(999, 3),
             "original/params.json": b"no", "README.md": b"no", "merges.txt": b""}
    bench.hub.repos["o/dir"] = fh.Repo(files, lfs=[f for f in files if f.endswith(".safetensors")], architecture="")
    wanted = {f: d for f, d in files.items() if "/" not in f and f not in ("README.md", "empty.txt")}
    answer, _ = bench.good_pull("o/dir", wanted)
    need(sorted(f["path"] for f in answer["files"]) == sorted(wanted) and answer["format"] == "safetensors", str(answer["files"]))
    bench.hub.reset()
    again, _ = bench.good_pull("o/dir", wanted)
    need(again["downloaded_bytes"] == 0 and not bench.hub.requests("/resolve/"), "small files were fetched again")
    status, _, err = bench.run("run", "o/dir", "x")
    need(status == 1 and "tern convert" in err and len(err.splitlines()) == 1, err)


def selectors(bench):
    files = {"m-I2_S.gguf": noise(900, 4), "m-TQ1_0.gguf": noise(700, 5), "m-f16.gguf": noise(5000, 6), "mmproj-q2_0.gguf": b"x"}
    bench.hub.repos["o/many"] = fh.Repo(files)
    need(bench.good_pull("o/many", {"m-TQ1_0.gguf": files["m-TQ1_0.gguf"]})[0]["files"][0]["path"] == "m-TQ1_0.gguf", "the smallest")
    bench.good_pull("o/many:i2_s", {"m-I2_S.gguf": files["m-I2_S.gguf"]})
    bench.good_pull("o/many@main:m-f16.gguf", {"m-f16.gguf": files["m-f16.gguf"]})
    status, _, err = bench.pull("o/many:q4_0")
    need(status == 1 and "m-I2_S.gguf" in err, err)
    need(len(bench.names()) == 3, str(bench.names()))


def catalogue_name(bench):
    data = noise(3 * PART, 7)
    bench.hub.repos["microsoft/bitnet-b1.58-2B-4T-gguf"] = fh.Repo({"ggml-model-i2_s.gguf": data, "x.gguf": b"1"}, architecture="x")
    bench.good_pull("bitnet-2b", {"ggml-model-i2_s.gguf": data})
    need(bench.names() == ["bitnet-2b"], "name")


# -- bad connections

def cut_and_resumed(bench):
    contents = one_file(bench)
    bench.hub.on("/resolve/", fh.change(cut_after=20000), times=9)
    bench.good_pull("owner/repo", contents)
    ranges = [h["range"] for _, h in bench.hub.requests("/resolve/")]
    need(any(r.endswith(f"-{PART - 1}") and not r.startswith("bytes=0-") for r in ranges), "nothing was resumed: " + str(ranges))
    need(any("if-range" in h for _, h in bench.hub.requests("/resolve/")), "no If-Range")


def always_cut(bench):
    one_file(bench)
    bench.hub.on("/resolve/", fh.change(cut_after=0))
    bench.bad_pull("owner/repo", r"127\.0\.0\.1", "--connections", "1")
    need(len(bench.hub.requests("/resolve/")) == 4, "attempts")


def continued_by_next_pull(bench):
    contents = one_file(bench)
    for begin in (5, 6, 7, 8, 9, 10):
        bench.hub.on("/resolve/", lambda h, a, begin=begin: f"bytes={begin * PART}-" in h.headers.get("Range", "")
                     and fh.send(h, 404, {"error": "gone"}))
    bench.bad_pull("owner/repo", "no file 'model-i2_s.gguf'", "--connections", "1")
    bench.hub.reset()
    answer, _ = bench.good_pull("owner/repo", contents)
    need(answer["downloaded_bytes"] == len(BIG) - 5 * PART, str(answer["downloaded_bytes"]))


def stalled(bench):
    contents = one_file(bench, BIG[:2 * PART])
    bench.hub.on("/resolve/", fh.change(stall_after=1000, stall_seconds=30), times=1)
    begin = time.monotonic()
    _, err = bench.good_pull("owner/repo", contents)
    need("again in" in err and time.monotonic() - begin < 20, err)


def refused_connection(bench):
    gone = fh.FakeHub()
    gone.close()
    bench.bad_pull("owner/repo", "127.0.0.1.*(refused|connect)", "--hub", gone.url)


# -- lies

def length_of_parts_is_a_lie(bench):
    """The bytes are right all the same, as their hash says; what a length promises beyond them is asked for again or given up."""
    contents = one_file(bench)
    for delta in (50, -50):
        bench.hub.reset()
        bench.hub.on("/resolve/", fh.change(length_delta=delta), times=5)
        bench.good_pull("owner/repo", contents)
        bench.run("rm", "owner/repo", "--yes")


def length_of_whole_is_a_lie(bench):
    one_file(bench, BIG[:5000])
    bench.hub.on("/resolve/", lambda h, a: fh.send(h, 200, BIG[:6000]))
    bench.bad_pull("owner/repo", "has 5000 bytes in the hub's list, 6000 at the server")


def total_is_a_lie(bench):
    one_file(bench)
    bench.hub.on("/resolve/", fh.change(total_delta=1))
    bench.bad_pull("owner/repo", "bytes in the hub's list")


def wrong_part(bench):
    one_file(bench)
    bench.hub.on("/resolve/", fh.change(shift=1))
    bench.bad_pull("owner/repo", "asked for bytes")


def wrong_hash(bench):
    one_file(bench)
    bench.hub.on("/resolve/", fh.change(data=BIG[:-1] + b"?"))
    bench.bad_pull("owner/repo", "is not what the hub lists: its SHA-256 is")
    need(os.listdir(bench.store + "/blobs") == [] and os.listdir(bench.store + "/partial") == [], "kept")


def wrong_git_hash(bench):
    bench.hub.repos["o/dir"] = fh.Repo({"config.json": b"{}", "model.safetensors": b"0123"}, lfs=["model.safetensors"])
    bench.hub.on("config.json", fh.change(data=b"{]"))
    bench.bad_pull("o/dir", "its git hash is")


def another_linked_file(bench):
    one_file(bench)
    bench.hub.on("/resolve/", fh.change(headers={"X-Linked-Etag": '"' + "0" * 64 + '"'}))
    bench.bad_pull("owner/repo", "serves a file with SHA-256 0000")


def damaged_partial(bench):
    contents = one_file(bench)
    bench.hub.on("/resolve/", lambda h, a: f"bytes={9 * PART}-" in h.headers.get("Range", "") and fh.send(h, 404, {"error": "gone"}))
    bench.bad_pull("owner/repo", "no file", "--connections", "1")
    partial = [f for f in os.listdir(bench.store + "/partial") if re.fullmatch("[0-9a-f]{64}", f)][0]
    with open(f"{bench.store}/partial/{partial}", "r+b") as stream:
        stream.seek(3 * PART)
        stream.write(b"rotten")
    bench.hub.reset()
    _, err = bench.good_pull("owner/repo", contents)
    need("damaged" in err, err)


def no_ranges(bench):
    contents = one_file(bench)
    bench.hub.on("/resolve/", fh.change(ranges=False))
    bench.hub.on("/resolve/", fh.change(cut_after=100000), times=2)
    _, err = bench.good_pull("owner/repo", contents)
    need("does not send parts" in err, err)


def changed_tag(bench):
    contents = one_file(bench)
    bench.hub.on("/resolve/", lambda h, a: f"bytes={4 * PART}-" in h.headers.get("Range", "") and fh.send(h, 404, {"error": "gone"}))
    bench.hub.on("/resolve/", fh.change(etag="before"))
    bench.bad_pull("owner/repo", "no file", "--connections", "1")
    bench.hub.reset()
    bench.hub.on("/resolve/", fh.change(etag="after"))
    answer, err = bench.good_pull("owner/repo", contents)
    need("has changed at the server" in err, err)
    need(any(h.get("if-range") == '"before"' for _, h in bench.hub.requests("/resolve/")), "no If-Range with the kept tag")


def changing_forever(bench):
    one_file(bench)
    counter = iter(range(10 ** 6))

    def action(handler, answer):
        answer.etag = f"t{next(counter)}"
        del handler.headers["If-Range"]  # a server that does not know it
        return False
    bench.hub.on("/resolve/", action)
    bench.bad_pull("owner/repo", "changes at the server", "--connections", "1")


# -- refusals

def unauthorized(bench):
    one_file(bench)
    bench.hub.on("/api/", fh.need_token("hf_secret", {"X-Error-Code": "RepoNotFound"}))
    bench.bad_pull("owner/repo", "does not exist, or is private: then set HF_TOKEN")
    err = bench.bad_pull("owner/repo", "token given is not accepted", HF_TOKEN="hf_wrong_one")
    need("hf_wrong_one" not in err, "the token was printed")
    bench.hub.on("/resolve/", fh.need_token("hf_secret"))
    token = os.path.join(WORK, "token")
    with open(token, "w") as stream:
        stream.write("hf_secret\n")
    bench.good_pull("owner/repo", GGUF, "--token-file", token)


def gated(bench):
    one_file(bench)
    bench.hub.on("/resolve/", fh.status(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted\x7f."}))
    bench.bad_pull("owner/repo", r"is gated: accept its terms at http://127\.0\.0\.1:\d+/owner/repo.*HF_TOKEN")
    bench.hub.reset()
    bench.hub.on("/api/", fh.status(403, {"X-Error-Code": "GatedRepo"}))
    bench.bad_pull("owner/repo", "the token given has no access yet", HF_TOKEN="hf_x")


def absent(bench):
    one_file(bench)
    bench.bad_pull("owner/other", "does not exist")
    bench.bad_pull("owner/repo@v9", "has no revision 'v9'")
    bench.bad_pull("not a name", "is no model", wanted=2)
    bench.bad_pull("../etc", "is no model", wanted=2)


def too_many_requests(bench):
    contents = one_file(bench)
    bench.hub.on("/api/", fh.status(429, {"Retry-After": "1"}), times=1)
    bench.hub.on("/resolve/", fh.status(429, {"Retry-After": "0"}), times=3)
    begin = time.monotonic()
    _, err = bench.good_pull("owner/repo", contents)
    need(time.monotonic() - begin >= 1.0 and "429" in err, err)
    bench.run("rm", "owner/repo", "--yes")
    bench.hub.reset()
    bench.hub.on("/api/", fh.status(429, {"Retry-After": "9999"}))
    bench.bad_pull("owner/repo", "fewer requests.*9999 s")


def server_errors(bench):
    contents = one_file(bench)
    bench.hub.on("/api/", fh.status(503), times=2)
    bench.hub.on("/resolve/", fh.status(500), times=2)
    bench.good_pull("owner/repo", contents)


# -- redirects

def redirected(bench):
    contents = one_file(bench)
    cdn = fh.FakeHub("127.0.0.2")
    cdn.repos["owner/repo"] = bench.hub.repos["owner/repo"]
    sha = hashlib.sha256(BIG).hexdigest()
    commit = cdn.repos["owner/repo"].commit
    bench.hub.on("/resolve/", fh.redirect(f"{cdn.url}/owner/repo/resolve/{commit}/model-i2_s.gguf?Signature=geheim", 302,
                                          {"X-Linked-Etag": f'"{sha}"', "X-Repo-Commit": commit}))
    bench.good_pull("owner/repo", contents, HF_TOKEN="hf_secret")
    need(all(h.get("authorization") == "Bearer hf_secret" for _, h in bench.hub.log), "the hub did not get the token")
    need(cdn.log and not any("authorization" in h for _, h in cdn.log), "another machine got the token")
    cdn.on("/resolve/", fh.status(403))
    bench.run("rm", "owner/repo", "--yes")
    err = bench.bad_pull("owner/repo", "HTTP 403", HF_TOKEN="hf_secret")
    need("geheim" not in err and "hf_secret" not in err, "a secret was printed")
    cdn.close()


def renamed(bench):
    contents = one_file(bench)
    bench.hub.on("/owner/old/", lambda h, a: fh.redirect(h.path.replace("/owner/old/", "/owner/repo/"), 307)(h, a))
    bench.good_pull("owner/old", contents, HF_TOKEN="hf_secret")
    need(all("authorization" in h for _, h in bench.hub.log), "the token was lost on the way")


def bad_redirects(bench):
    one_file(bench)
    for target, pattern in (("file:///etc/passwd", "no address|refused"), ("http://u:p@127.0.0.1/", "no address"), ("gopher://x/", "no address")):
        bench.hub.reset()
        bench.hub.on("/resolve/", fh.redirect(target))
        bench.bad_pull("owner/repo", pattern)
    bench.hub.reset()
    bench.hub.on("/resolve/", lambda h, a: fh.redirect(h.path)(h, a))
    bench.bad_pull("owner/repo", "more than 10 redirects", "--connections", "1")


def clear_token(bench):
    bench.bad_pull("owner/repo", "unencrypted", "--hub", "http://hub.invalid", wanted=2, HF_TOKEN="hf_x")
    bench.bad_pull("owner/repo", "the token is none", wanted=2, HF_TOKEN="two words")
    bench.bad_pull("owner/repo", "no address", "--hub", "ftp://hub.invalid", wanted=2)


def proxy(bench):
    contents = one_file(bench)
    seen = []

    def through(handler, answer):
        if handler.path.startswith("http://hub.invalid/"):
            seen.append(handler.path)
            handler.path = handler.path[len("http://hub.invalid"):]
            bench.hub.answer(handler)
            return True
        return False
    bench.hub.on("^http://hub.invalid/", through)
    bench.good_pull("owner/repo", contents, "--hub", "http://hub.invalid", http_proxy=bench.hub.url)
    need(seen, "the proxy was not asked")


# -- hostile listings

def hostile_names(bench):
    tree = lambda path: json.dumps([{"type": "file", "path": path, "size": 1, "oid": "0" * 40}]).encode()
    for path in ("../../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "a//evil.gguf", "..", "a\\..\\evil.gguf", "evil\n.gguf",
                 "x" * 300 + ".gguf", "evil\u2028.gguf", "./evil.gguf", ""):
        one_file(bench)
        bench.hub.reset()
        bench.hub.on("/tree/", fh.body(tree(path)))
        bench.bad_pull("owner/repo", "could leave the store's folder")
    need(not any("evil" in f for _, _, files in os.walk(WORK) for f in files), "written")


def hostile_answers(bench):
    one_file(bench)
    big = {"type": "file", "path": "a.gguf", "size": 2 ** 62, "lfs": {"oid": "0" * 64, "size": 2 ** 62}}
    for where, data, pattern in (
            ("/tree/", b"{", "no JSON array"), ("/tree/", b"[" * 100000 + b"]" * 100000, "no JSON array"),
            ("/tree/", b"[1]", "has no type"), ("/revision/", b"[]", "no JSON object"), ("/revision/", b"{}", "names no commit"),
            ("/revision/", b'{"sha": "../.."}', "names no commit"), ("/tree/", json.dumps([big]).encode(), "4611686018427387904 bytes"),
            ("/tree/", b'[{"type":"file","path":"a.gguf","size":1,"lfs":{"oid":"xyz","size":1}}]', "no SHA-256"),
            ("/tree/", b'[{"type":"file","path":"a.gguf","size":1}]', "no hash"), ("/tree/", b"[]", "neither a GGUF")):
        bench.hub.reset()
        bench.hub.on(where, fh.body(data))
        bench.bad_pull("owner/repo", pattern)
    bench.hub.reset()
    bench.hub.on("/tree/", fh.body(b"[]", {"Link": '<http://127.0.0.2:1/next>; rel="next"'}))
    bench.bad_pull("owner/repo", "on another machine")
    bench.hub.reset()
    bench.hub.on("/tree/", lambda h, a: fh.send(h, 200, b"[]", {"Link": f'<{bench.hub.url}{h.path}>; rel="next"'}))
    bench.bad_pull("owner/repo", "more than 200 pages")


# -- several processes, kills, Ctrl-C

def two_at_once(bench):
    contents = one_file(bench)
    bench.hub.on("/resolve/", fh.change(bytes_per_second=200000))
    processes = [bench.start(*bench.pull_args("owner/repo", "--json")) for _ in range(2)]
    answers = [(p.communicate(timeout=60), p.returncode) for p in processes]
    need(all(status == 0 for _, status in answers), str(answers))
    need(sorted(json.loads(out)["downloaded_bytes"] for (out, _), _ in answers) == [0, len(BIG)], "downloaded twice")
    need(any("another process" in err for (_, err), _ in answers), "nobody waited")
    bench.good_pull("owner/repo", contents)


def different_at_once(bench):
    one_file(bench)
    bench.hub.repos["owner/two"] = fh.Repo({"b-i2_s.gguf": noise(3 * PART, 8)})
    bench.hub.repos["owner/three"] = fh.Repo({"same-i2_s.gguf": BIG})
    processes = [bench.start(*bench.pull_args(n)) for n in ("owner/repo", "owner/two", "owner/three")]
    need([p.wait(timeout=60) for p in processes] == [0, 0, 0], "status")
    for p in processes:
        p.communicate()
    need(bench.names() == ["owner/repo", "owner/three", "owner/two"], str(bench.names()))
    need(len(os.listdir(bench.store + "/blobs")) == 2, "the same contents twice")
    bench.check_clean()
    need(bench.run("rm", "owner/repo", "-y")[0] == 0 and len(os.listdir(bench.store + "/blobs")) == 2, "a shared blob was removed")
    need(bench.run("rm", "owner/three", "owner/two", "-y")[0] == 0 and os.listdir(bench.store + "/blobs") == [], "a blob stayed")
    need(os.listdir(bench.store + "/snapshots") == [] and bench.names() == [], "a snapshot stayed")


def interrupted(bench):
    contents = one_file(bench)
    bench.hub.on("/resolve/", fh.change(bytes_per_second=150000))
    process = bench.start(*bench.pull_args("owner/repo", "--connections", "2"))
    while len(bench.hub.requests("/resolve/")) < 4:  # two parts are whole
        need(process.poll() is None, "ended by itself")
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    need(process.returncode == 130 and "they are kept, tern pull owner/repo goes on" in err and out == "", f"{process.returncode} {err}")
    bench.hub.reset()
    answer, _ = bench.good_pull("owner/repo", contents)
    need(0 < answer["downloaded_bytes"] < len(BIG) - PART, str(answer["downloaded_bytes"]))


def killed(bench):
    """kill -9 at random moments; after each the store holds the model whole or not at all, and it runs when it is there."""
    rng = random.Random(20261121)
    with open(MODEL, "rb") as stream:
        model = stream.read()
    contents = {"tiny-i2_s.gguf": model}
    bench.hub.repos["o/tiny"] = fh.Repo(contents)
    part = str(max(1, len(model) // 12))
    kills = complete = 0
    args = ["pull", "o/tiny", "--part-size", part, "--retry-delay", "0.02"]
    begin = time.monotonic()
    bench.run(*args)
    whole = time.monotonic() - begin
    while kills < 14:
        bench.run("rm", "o/tiny", "--yes") if complete else None
        process = bench.start(*args)
        time.sleep(rng.uniform(0, 1.2 * whole))
        process.kill()
        process.communicate()
        kills += 1
        names = bench.names()
        complete = names == ["o/tiny"]
        need(complete or names == [], str(names))
        for blob in os.listdir(bench.store + "/blobs"):
            with open(f"{bench.store}/blobs/{blob}", "rb") as stream:
                need(blob == "sha256-" + hashlib.sha256(stream.read()).hexdigest(), "a blob that is not its name")
        if complete:
            need(bench.run("show", "o/tiny", "--check")[0] == 0, "a damaged model")
    bench.run(*args)
    bench.run("rm", "--leftovers", "--yes")
    bench.good_pull("o/tiny", contents)
    status, out, err = bench.run("run", "o/tiny", "Once", "-n", "3", "--temp", "0", "--no-perf")
    direct = bench.run("run", MODEL, "Once", "-n", "3", "--temp", "0", "--no-perf")
    need(status == 0 and (status, out) == direct[:2], f"{status} {err}")


# -- the store and the program around it

def disk_check(bench):
    if not mounted(bench, "size=1m"):
        return "cannot mount a tmpfs here (needs root)"
    try:
        one_file(bench)
        bench.bad_pull("owner/repo", "to download, .* free in .*--store DIR or TERN_STORE")
        need(not bench.hub.requests("/resolve/"), "downloaded all the same")
    finally:
        subprocess.run(["umount", bench.store], check=True)


def disk_full(bench):
    """The space goes while the download runs: what is there is kept, and it goes on when there is room again."""
    if not mounted(bench, "size=72m"):
        return "cannot mount a tmpfs here (needs root)"
    try:
        size = 40 * PART
        contents = one_file(bench, noise(size, 9))
        fill = os.path.join(bench.store, "fill")

        def use_up(handler, answer):
            if not os.path.exists(fill):
                with open(fill, "wb") as stream:
                    try:
                        while True:
                            stream.write(b"\1" * 65536)
                            stream.flush()
                    except OSError:
                        pass
            return False
        # Between the check of the space and the first byte: at the list of files it is too early.
        bench.hub.on("/resolve/", use_up)
        status, _, err = bench.pull("owner/repo")
        # Where the file system reserves space, the download has it; where not, the disk is full and the message says so.
        need(status == 0 or "the disk is full" in err, err)
        if os.path.exists(fill):
            os.unlink(fill)
        bench.hub.reset()
        bench.good_pull("owner/repo", contents)
    finally:
        subprocess.run(["umount", bench.store], check=True)


def mounted(bench, options):
    os.makedirs(bench.store, exist_ok=True)
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", bench.store], stderr=subprocess.DEVNULL).returncode == 0


def read_only(bench):
    contents = one_file(bench)
    if not mounted(bench, "size=80m"):
        return "cannot mount a tmpfs here (needs root)"
    try:
        bench.good_pull("owner/repo", contents)
        subprocess.run(["mount", "-o", "remount,ro", bench.store], check=True)
        need(bench.names() == ["owner/repo"] and bench.run("show", "owner/repo", "--check")[0] == 0, "reading")
        for args in (("rm", "owner/repo", "--yes"), bench.pull_args("owner/repo:i2_s")):
            status, _, err = bench.run(*args)
            need(status == 1 and "Read-only file system" in err and len(err.splitlines()) == 1, err)
    finally:
        subprocess.run(["umount", bench.store], check=True)


def no_folder(bench):
    one_file(bench)
    with open(bench.store, "w"):
        pass
    status, _, err = bench.pull("owner/repo")
    need(status == 1 and "cannot create" in err and "TERN_STORE" in err, err)
    status, _, err = bench.run("list", HOME="", TERN_STORE="")
    need(status == 2 and "--store DIR" in err, err)


def damaged_store(bench):
    contents = one_file(bench)
    answer, _ = bench.good_pull("owner/repo", contents)
    blob = os.path.realpath(answer["path"])
    os.truncate(blob, 100)
    for args in (("run", "owner/repo", "x"), ("show", "owner/repo")):
        status, _, err = bench.run(*args)
        need(status == 1 and "tern pull owner/repo heals it" in err, err)
    bench.good_pull("owner/repo", contents)
    with open(blob, "r+b") as stream:
        stream.write(b"?")
    status, _, err = bench.run("show", "owner/repo", "--check")
    need(status == 1 and "has changed on the disk" in err, err)
    with open(bench.store + "/models/broken.json", "w") as stream:
        stream.write("{")
    status, out, err = bench.run("list")
    need(status == 0 and "owner/repo" in out and "broken.json" in err, err)
    status, _, err = bench.run("rm", "--leftovers", "--yes")
    need(status == 1 and "broken.json" in err, err)
    need(bench.run("rm", "broken", "--yes")[0] == 0 and bench.names() == ["owner/repo"], "rm of a broken manifest")


def list_show_rm(bench):
    need(bench.run("list")[:2] == (0, ""), "an empty store")
    need(not os.path.exists(bench.store), "looking creates nothing")
    status, _, err = bench.run("rm", "owner/repo", "--yes")
    need(status == 1 and "no model 'owner/repo'" in err, err)
    bench.good_pull("owner/repo", one_file(bench))
    status, out, _ = bench.run("list")
    need(status == 0 and re.search(r"^NAME +SIZE", out) and re.search(r"^owner/repo +656 kB +llama +mit +20\d\d-", out, re.M), out)
    status, out, _ = bench.run("show", "owner/repo")
    need(status == 0 and hashlib.sha256(BIG).hexdigest() in out and "model-i2_s.gguf" in out, out)
    need("127.0.0.1" in json.loads(bench.run("show", "owner/repo", "--json")[1])["hub"], "show --json")
    status, out, _ = bench.run("list", "--available", "--json")
    need({"bitnet-2b", "falcon-e-1b"} <= {e["name"] for e in json.loads(out)["available"]}, out)
    need("tern pull bitnet-2b" in bench.run("show", "BitNet-2B")[1], "show of the catalogue")
    status, _, err = bench.run("rm", "owner/repo")
    need(status == 2 and "--yes" in err and bench.names() == ["owner/repo"], err)
    need(bench.run("rm", "owner/repo", "--yes")[0] == 0 and bench.names() == [], "rm")
    need(bench.run("show", "owner/repo")[0] == 1, "show after rm")


def leftovers(bench):
    one_file(bench)
    bench.hub.on("/resolve/", lambda h, a: f"bytes={3 * PART}-" in h.headers.get("Range", "") and fh.send(h, 404, {"error": "gone"}))
    bench.bad_pull("owner/repo", "no file", "--connections", "1")
    need(os.listdir(bench.store + "/partial") != [], "nothing was kept")
    status, out, _ = bench.run("rm", "--leftovers", "--yes", "--json")
    need(status == 0 and json.loads(out)["bytes"] > 0 and os.listdir(bench.store + "/partial") == [], out)


def on_terminal(bench, args, answer):
    """Runs the program on a terminal, types `answer` at the first question; (status, everything it printed)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(TERN, [TERN, *args], environment(**bench.env))
    text, end, answered = b"", time.monotonic() + 60, False
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                part = os.read(fd, 65536)
            except OSError:
                break
            if not part:
                break
            text += part
        if not answered and b"[Y/n]" in text:
            os.write(fd, answer)
            answered = True
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode(errors="replace")


def run_pulls_when_asked(bench):
    with open(MODEL, "rb") as stream:
        data = stream.read()
    bench.hub.repos["o/tiny"] = fh.Repo({"tiny-i2_s.gguf": data})
    bench.hub.on("/resolve/", fh.change(bytes_per_second=3000000))
    status, _, err = bench.run("run", "o/tiny", "Once")
    need(status == 1 and "tern pull o/tiny" in err and len(err.splitlines()) == 1 and not bench.hub.log, err)
    status, _, err = bench.run("run", "bitnet-2b", "Once")
    need(status == 1 and "1.19 GB" in err and "mit" in err, err)
    status, text = on_terminal(bench, ["run", "o/tiny", "Once", "-n", "2", "--temp", "0"], b"n\n")
    need(status == 1 and not bench.hub.log and not os.path.exists(bench.store), text)
    status, text = on_terminal(bench, ["run", "o/tiny", "Once", "-n", "2", "--temp", "0"], b"y\n")
    need(status == 0 and "pulling o/tiny" in text and "/s" in text, text)
    need(bench.names() == ["o/tiny"], "not pulled")
    need(bench.run("tokenize", "o/tiny", "Once")[0] == 0, "tokenize by name")
    status, _, err = bench.run("run", "nosuch", "x")
    need(status == 1 and "tern list" in err, err)


CASES = [plain, directory, selectors, catalogue_name, cut_and_resumed, always_cut, continued_by_next_pull, stalled, refused_connection,
         length_of_parts_is_a_lie, length_of_whole_is_a_lie, total_is_a_lie, wrong_part, wrong_hash, wrong_git_hash, another_linked_file,
         damaged_partial, no_ranges, changed_tag, changing_forever, unauthorized, gated, absent, too_many_requests, server_errors,
         redirected, renamed, bad_redirects, clear_token, proxy, hostile_names, hostile_answers, two_at_once, different_at_once,
         interrupted, killed, disk_check, disk_full, read_only, no_folder, damaged_store, list_show_rm, leftovers, run_pulls_when_asked]


def main():
    global failures
    hub = fh.FakeHub()
    for case in CASES:
        if len(sys.argv) > 4 and case.__name__ not in sys.argv[4:]:
            continue
        name = case.__name__.replace("_", " ")
        try:
            reason = case(Bench(hub, case.__name__))
            print(f"skip hub: {name}: {reason}" if reason else f"ok hub: {name}", flush=True)
        except (Failure, OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError) as problem:
            print(f"not ok hub: {name}\n    " + str(problem)[:2000].replace("\n", "\n    "), flush=True)
            failures += 1
    hub.close()
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
