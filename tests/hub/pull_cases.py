#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tern pull, list, show and rm against a hub that misbehaves: pull_cases.py TERN WORK [MODEL.gguf]

Called by tests/scripts/hub_test.sh; prints ok / not ok / skip lines. Network is the loopback only. TERN is the program, WORK an
empty folder, MODEL a small real model for the cases that load one.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_hub as fh
import store_cases
from pull_bench import BIG, GGUF, PART, WORK, Bench, Failure, need, noise, one_file

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
    bench.hub.on("/resolve/", fh.change(stall_after=1000, stall_seconds=300), times=1)
    _, err = bench.good_pull("owner/repo", contents)
    need(re.search("Less than 1 bytes/sec.*again in", err), err)  # the client gave up, not the server


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


CASES = [plain, directory, selectors, catalogue_name, cut_and_resumed, always_cut, continued_by_next_pull, stalled,
         refused_connection, length_of_parts_is_a_lie, length_of_whole_is_a_lie, total_is_a_lie, wrong_part, wrong_hash,
         wrong_git_hash, another_linked_file, damaged_partial, no_ranges, changed_tag, changing_forever, unauthorized, gated,
         absent, too_many_requests, server_errors, redirected, renamed, bad_redirects, clear_token, proxy, hostile_names,
         hostile_answers]


def main():
    failures = 0
    hub = fh.FakeHub()
    for case in CASES + store_cases.CASES:
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
