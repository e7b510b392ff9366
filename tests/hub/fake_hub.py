# SPDX-License-Identifier: MIT
"""A server on the loopback that behaves like a hub of models, and misbehaves as it is told. For tests only.

A FakeHub holds repositories in memory and answers /api/models/REPO/revision/REV, /api/models/REPO/tree/REV and
/REPO/resolve/REV/FILE. `on(PATTERN, ACTION, times=N)` puts an action in front of the paths that match; an action answers the
request itself and returns True, or changes the request's `Answer` and returns False. Every request is kept in `log`.
"""

import hashlib
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse


class Repo:
    """Files of a repository: `lfs` names those that are stored apart, with a SHA-256 in the listing."""

    def __init__(self, files, lfs=None, license="mit", architecture="llama"):
        self.files = dict(files)
        self.lfs = set(files) if lfs is None else set(lfs)
        self.license, self.architecture = license, architecture
        self.commit = hashlib.sha1(repr(sorted((k, hashlib.sha256(v).hexdigest()) for k, v in files.items())).encode()).hexdigest()

    def entry(self, path):
        data = self.files[path]
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry = {"type": "file", "path": path, "size": len(data), "oid": git}
        if path in self.lfs:
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return entry

    def etag(self, path):
        entry = self.entry(path)
        return entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]


class Answer:
    """How the bytes of a file are sent; actions change it."""

    def __init__(self, data, etag):
        self.data, self.etag = data, etag
        self.headers = {}
        self.ranges = True        # False: a range request gets the whole file with 200
        self.cut_after = None     # bytes of the body, then the connection is closed
        self.stall_after = None   # bytes of the body, then nothing for stall_seconds
        self.stall_seconds = 0
        self.bytes_per_second = None
        self.length_delta = 0     # what Content-Length lies
        self.shift = 0            # what Content-Range lies
        self.total_delta = 0


class FakeHub:
    def __init__(self, host="127.0.0.1"):
        self.repos, self.log, self.rules = {}, [], []
        self.lock = threading.Lock()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                try:
                    hub.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):  # a client that was killed
                pass

        self.server = Server((host, 0), Handler)
        self.host, self.port = host, self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def reset(self):
        with self.lock:
            self.log.clear()
            self.rules.clear()

    def on(self, pattern, action, times=None):
        with self.lock:
            self.rules.append([re.compile(pattern), action, times])

    def requests(self, pattern):
        with self.lock:
            return [(path, headers) for path, headers in self.log if re.search(pattern, path)]

    # -- answering

    def answer(self, handler):
        path = urllib.parse.unquote(handler.path)
        with self.lock:
            self.log.append((path, {k.lower(): v for k, v in handler.headers.items()}))
            actions = []
            for rule in self.rules:
                if rule[0].search(path) and (rule[2] is None or rule[2] > 0):
                    if rule[2] is not None:
                        rule[2] -= 1
                    actions.append(rule[1])
        url = urllib.parse.urlsplit(path)
        answer = self.file_answer(url.path)
        for action in actions:
            if action(handler, answer):
                return
        if answer is not None:
            return send_file(handler, answer)
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(.+)", url.path)
        repo = self.repos.get(found.group(1)) if found else None
        if repo is None:
            return send(handler, 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if found.group(3) not in ("main", repo.commit):
            return send(handler, 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        if found.group(2) == "revision":
            return send(handler, 200, {"id": found.group(1), "sha": repo.commit, "gated": False, "tags": ["license:" + repo.license],
                                       "cardData": {"license": repo.license}, "gguf": {"architecture": repo.architecture}})
        return self.send_tree(handler, repo, url)

    def send_tree(self, handler, repo, url):
        """Pages of two entries each, so that every listing of more than two files has a next page."""
        entries = [repo.entry(path) for path in sorted(repo.files)]
        start = int(urllib.parse.parse_qs(url.query).get("cursor", ["0"])[0])
        headers = {}
        if start + 2 < len(entries):
            headers["Link"] = f'<{self.url}{urllib.parse.quote(url.path)}?recursive=true&cursor={start + 2}>; rel="next"'
        send(handler, 200, [{"type": "directory", "path": "folder", "size": 0}] * (start == 0) + entries[start:start + 2], headers)

    def file_answer(self, path):
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repo = self.repos.get(found.group(1)) if found else None
        if repo is None or found.group(2) not in ("main", repo.commit) or found.group(3) not in repo.files:
            return None
        return Answer(repo.files[found.group(3)], repo.etag(found.group(3)))


def send(handler, status, body, headers=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
    return True


def send_file(handler, answer):
    data, size = answer.data, len(answer.data)
    asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
    condition = handler.headers.get("If-Range")
    is_part = asked and answer.ranges and (condition is None or condition == f'"{answer.etag}"')
    if is_part:
        first, last = int(asked.group(1)), min(int(asked.group(2)), size - 1)
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first + answer.shift}-{last + answer.shift}/{size + answer.total_delta}")
        data = data[first:last + 1]
    else:
        handler.send_response(200)
    if answer.ranges:
        handler.send_header("Accept-Ranges", "bytes")
    if answer.etag:
        handler.send_header("ETag", f'"{answer.etag}"')
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data) + answer.length_delta))
    handler.end_headers()
    send_body(handler, answer, data)
    return True


def send_body(handler, answer, data):
    sent, block = 0, 65536 if answer.bytes_per_second is None else max(1, answer.bytes_per_second // 50)
    limits = [n for n in (answer.cut_after, answer.stall_after) if n is not None]
    if answer.cut_after == 0:
        handler.close_connection = True
        return handler.connection.shutdown(socket.SHUT_RDWR)
    while sent < len(data):
        end = min([sent + block] + [n for n in limits if n > sent])
        handler.wfile.write(data[sent:end])
        sent = min(end, len(data))
        if answer.bytes_per_second is not None:
            handler.wfile.flush()
            time.sleep(block / answer.bytes_per_second)
        if sent == answer.cut_after and sent < len(data):
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        if sent == answer.stall_after and sent < len(data):
            handler.wfile.flush()
            time.sleep(answer.stall_seconds)
            handler.close_connection = True
            return
    handler.close_connection = handler.close_connection or answer.length_delta != 0


# -- actions

def status(code, headers=None, error="refused"):
    return lambda handler, answer: send(handler, code, {"error": error}, headers)


def redirect(to, code=302, headers=None):
    return lambda handler, answer: send(handler, code, b"moved", {"Location": to, **(headers or {})})


def change(**fields):
    """Sets fields of the Answer: change(cut_after=1000), change(etag="x")."""
    def action(handler, answer):
        if answer is not None:
            for name, value in fields.items():
                setattr(answer, name, value)
        return False
    return action


def body(data, headers=None):
    return lambda handler, answer: send(handler, 200, data, headers)


def need_token(token, headers=None):
    def action(handler, answer):
        if handler.headers.get("Authorization") == f"Bearer {token}":
            return False
        return send(handler, 401, {"error": "log in"}, headers)
    return action
