# SPDX-License-Identifier: MIT
"""The cases of tern pull that need several processes, kills, full and read-only disks, or a terminal. Called by pull_cases.py."""

import hashlib
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import time

import fake_hub as fh
from pull_bench import BIG, MODEL, PART, TERN, environment, need, noise, one_file

# -- several processes, kills, Ctrl-C

def two_at_once(bench):
    contents = one_file(bench)
    bench.hub.on("/resolve/", fh.change(bytes_per_second=200000))
    processes = [bench.start(*bench.pull_args("owner/repo", "--json")) for _ in range(2)]
    answers = [(p.communicate(timeout=300), p.returncode) for p in processes]
    need(all(status == 0 for _, status in answers), str(answers))
    need(sorted(json.loads(out)["downloaded_bytes"] for (out, _), _ in answers) == [0, len(BIG)], "downloaded twice")
    need(any("another process" in err for (_, err), _ in answers), "nobody waited")
    bench.good_pull("owner/repo", contents)


def different_at_once(bench):
    one_file(bench)
    bench.hub.repos["owner/two"] = fh.Repo({"b-i2_s.gguf": noise(3 * PART, 8)})
    bench.hub.repos["owner/three"] = fh.Repo({"same-i2_s.gguf": BIG})
    processes = [bench.start(*bench.pull_args(n)) for n in ("owner/repo", "owner/two", "owner/three")]
    need([p.wait(timeout=300) for p in processes] == [0, 0, 0], "status")
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
    out, err = process.communicate(timeout=300)
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
    text, end, answered = b"", time.monotonic() + 300, False
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


CASES = [two_at_once, different_at_once, interrupted, killed, disk_check, disk_full, read_only, no_folder, damaged_store,
         list_show_rm, leftovers, run_pulls_when_asked]
