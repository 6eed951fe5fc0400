"""data/download.py against a local server that fails in every way a server can."""
import contextlib
import errno
import hashlib
import io
import os
import pickle
import re
import shutil
import socket
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LAB

from data import download
from data.lab import command, conversions
from data.lab.standin.weights import make_weights


def make_signs(seed):
    """A small train.p."""
    features = np.random.default_rng(seed).integers(0, 256, (100, 32, 32, 3), np.uint8)
    return pickle.dumps({"features": features, "labels": np.arange(100) % 43})


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


BODY, OTHER = make_signs(0), make_signs(1)
SHA = sha256(BODY)
READY = "train.p: ready (not the course's file, 100 images)\n"
NEXT = "Next: python imagenet_inference.py\n"


@dataclass
class Page:
    """What the server has under one path, and how it misbehaves."""

    body: bytes = BODY
    status: int = 200
    reason: str = None
    headers: dict = field(default_factory=dict)
    ranges: bool = True  # whether a part can be had
    cut: int = None  # bytes after which a response ends
    stall: str = ""  # "headers", "body": in them it waits for the server's .released
    endless: bool = False  # the body is followed by 131 MB, and no length is sent


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        span = self.headers.get("Range")
        self.server.asked.append((self.path, span))
        page = self.server.pages.get(self.path, Page(b"", 404))
        start = int(span[6:-1]) if span and page.ranges else 0
        body, status = page.body[start:], 206 if start else page.status
        if start >= len(page.body) > 0:
            body, status = b"", 416
        self.send_response(status, page.reason)
        sent = {} if page.endless else {"Content-Length": len(body)}
        for name, value in (sent | page.headers).items():
            self.send_header(name, value)
        with contextlib.suppress(OSError):  # the client has gone
            if page.stall == "headers":
                self.flush_headers()
                self.server.released.wait()
            self.end_headers()
            self.wfile.write(body[:page.cut])
            if page.stall:
                self.server.reached.release()
                self.server.released.wait()
                self.wfile.write(body[page.cut:])
            for _ in range(2000 * page.endless):
                self.wfile.write(bytes(1 << 16))
                self.server.sent += 1 << 16

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server on this machine: put Pages under .pages[path], see requests in .asked."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.pages, server.asked, server.sent = {"/good": Page()}, [], 0
    server.released, server.reached = threading.Event(), threading.Semaphore(0)
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(lab, server, monkeypatch, capsys):
    """Run the script in an empty lab, where train.p is at the server's /good.

    No run waits: .naps has the seconds that it would have slept. .sources(...) sets others: a
    path or an address, and perhaps a checksum, each. .names() is what is in data/.
    """

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["download.py", *arguments])
        server.asked.clear()
        with pytest.raises(SystemExit) as end:
            command.run_script(download.main)
        out, err = capsys.readouterr()
        assert "Traceback" not in err and "\033" not in err
        return SimpleNamespace(code=end.value.code, out=out, err=err)

    def sources(*rows, **files):
        monkeypatch.setattr(download, "FILES", {
            group: {f"{group}.p": [
                ("copy", [(url if "://" in url else server.url + url, 10**6, *(checksum or [""]))])
                for url, *checksum in rows]}
            for group, rows in (files or {"train": rows}).items()})

    run.sources, run.naps, run.file = sources, [], lab / "data" / "train.p"
    run.names = lambda: sorted(set(os.listdir(lab / "data")) - {"standin"})
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=run.naps.append))
    monkeypatch.setattr(download, "TRIES", 1)
    sources(["/good"])
    return run


def test_a_good_file_comes_and_is_kept(run, server, lab):
    assert run("--check").out == "train.p: does not exist\n" and server.asked == []
    result = run()
    assert (result.code, result.out) == (0, READY + NEXT)
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]
    for path in (run.file, run.file.rename(lab / "train.p")):
        assert run().out == run("--check").out == READY and server.asked == []


def test_a_bad_file_stays_until_a_good_one_has_come(run, server, lab):
    mine = lab / "train.p"  # beside the scripts, where it is found first
    mine.write_bytes(BODY[:-9])
    result = run("--check")
    assert result.code == 1 and "damaged" in result.out and result.out.count("\n") == 1
    server.pages["/good"] = Page(b"bad too")
    assert run().code == 1
    assert mine.read_bytes() == BODY[:-9] and run.names() == []
    server.pages["/good"] = Page()
    result = run()
    assert result.code == 0 and "kept until a valid file has been downloaded" in result.err
    assert mine.read_bytes() == BODY and run.names() == []


@pytest.mark.parametrize("page, checksum, change, message, span", [
    (Page(cut=100_000), SHA, ["TIMEOUT", 600], "100000 bytes read", "bytes=100000-"),
    (Page(cut=100_000), "", ["TIMEOUT", 600], "100000 bytes read", None),
    (Page(cut=50_000, stall="body"), SHA, ["TIMEOUT", 1], "timed out", "bytes=50000-"),
    (Page(cut=50_000, stall="body"), SHA, ["PATIENCE", 1], "slower", "bytes=50000-"),
])
def test_a_download_resumes_if_there_is_a_checksum(
        run, server, monkeypatch, page, checksum, change, message, span):
    server.pages["/good"] = page
    run.sources(["/good", checksum])
    monkeypatch.setattr(download, *change)
    result = run()
    assert result.code == 1 and message in result.err and not run.file.exists()
    assert len(run.names()) == bool(checksum)  # a *.part
    server.pages["/good"] = Page()
    assert run().code == 0 and server.asked == [("/good", span)]
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]


@pytest.mark.parametrize("checksum, code, spans", [
    (SHA, 0, [None, "bytes=110000-", "bytes=220000-"]), ("", 1, [None] * 3)])
def test_breaks_are_mended_in_one_run(run, server, monkeypatch, checksum, code, spans):
    monkeypatch.setattr(download, "TRIES", 3)
    server.pages["/good"] = Page(cut=110_000)
    run.sources(["/good", checksum])
    assert run().code == code and run.naps == [0, 1, 2]
    assert [span for _, span in server.asked] == spans
    assert run.file.exists() == (run.names() == ["train.p"]) == (not code)


@pytest.mark.parametrize("old, new", [
    (Page(OTHER, cut=100_000), Page()),
    (Page(OTHER * 2, cut=400_000), Page()),  # the server now has less: 416
    (Page(OTHER * 2, cut=400_000), Page(ranges=False)),
])
def test_bytes_of_two_files_are_not_joined(run, server, monkeypatch, old, new):
    server.pages["/good"] = old
    run.sources(["/good", SHA])
    assert run().code == 1 and len(run.names()) == 1
    monkeypatch.setattr(download, "TRIES", 2)
    server.pages["/good"] = new
    assert run().code == 0
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]


def test_sources_of_one_checksum(run, server):
    """One resumes where another broke off; what is bad despite it is not fetched again."""
    server.pages |= {"/web": Page(b"<html>Log in</html>", ranges=False), "/a": Page(cut=100_000)}
    other = server.url.replace("127.0.0.1", "localhost")
    run.sources(["/a", SHA], [other + "/web", SHA], [other + "/good", SHA])
    assert run().code == 0
    assert server.asked[1:] == [("/web", "bytes=100000-"), ("/good", "bytes=100000-")]
    run.file.unlink()
    server.pages |= {"/a": Page(b"junk"), "/b": Page(b"junk")}
    run.sources(["/a", sha256(b"junk")], ["/b", sha256(b"junk")], ["/good"])
    assert run().code == 0 and [path for path, _ in server.asked] == ["/a", "/good"]


@pytest.mark.parametrize("page, reason, tries, checksum", [
    (Page(b"", 404, "\033[2JGone\a" + "!" * 999), r"404 \x1b[2JGone\x07!!!", 1, ""),
    (Page(b"\n<!DOCTYPE html><html>Log in first</html>"), "returned a web page", 1, ""),
    (Page(b"<3, as a shard may begin"), "not the file: is", 1, ""),
    (Page(OTHER), "checksum mismatch", 1, SHA),
    (Page(BODY + b"\0"), "not the file: is", 1, ""),
    (Page(b"\x80\x04}."), "not the file: the key features is missing", 1, ""),
    (Page(status=429, headers={"Retry-After": "999999"}, endless=True), "returned 429", 3, ""),
    (Page(stall="headers"), "slower than", 1, ""),
    (Page(headers={"Content-Length": "9" * 30}), "larger than expected", 1, ""),
    (Page(endless=True), "larger than expected", 1, ""),
    (Page(status=302, headers={"Location": "http://["}), "giving up after 3", 3, ""),
    (Page(status=302, headers={"Location": "ftp://127.0.0.1/\033[2J"}), "giving up after 3", 3, ""),
    (Page(status=302, headers={"Location": "/bad"}), "redirects", 93, ""),
    (Page(status=302, headers={"Location": "/none"}, endless=True), "returned 404", 1, ""),
])
def test_a_bad_source_is_followed_by_the_next(
        run, server, monkeypatch, page, reason, tries, checksum):
    monkeypatch.setattr(download, "TRIES", 3)
    monkeypatch.setattr(download, "PATIENCE", 1 if page.stall else 600)
    server.pages["/bad"] = page
    run.sources(["/bad", checksum], [server.url.replace("127.0.0.1", "localhost") + "/good"])
    result = run()
    assert result.code == 0 and reason in result.err
    assert max(map(len, result.err.splitlines())) <= 300
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]
    assert sum(path == "/bad" for path, _ in server.asked) == tries
    assert server.sent < 60_000_000


def test_a_silent_host_is_asked_once(run):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens: connections are refused
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        run.sources(train=[[dead + "/a", SHA]], test=[[dead + "/b"], ["/good"]])
        result = run()
    assert "refused" in result.err and dead + "/a" in result.err
    assert dead + "/b" not in result.err and result.code == 1 and run.names() == ["test.p"]


def test_the_certificates_of_SSL_CERT_FILE_are_used(run, monkeypatch):
    monkeypatch.setattr(os, "environ", {"SSL_CERT_FILE": "/none.pem"})
    run.sources(["https://127.0.0.1:9/good"])
    assert "invalid path: /none.pem" in run().err


@pytest.mark.parametrize("checksum", ["", SHA])
def test_two_at_once_both_end_well(run, server, checksum):
    server.pages["/good"] = Page(cut=100_000, stall="body")
    run.sources(["/good", checksum])
    arguments, results = ("train.p", download.FILES["train"]["train.p"], set(), False), []
    with ThreadPool(2) as pool:
        for _ in range(2):
            results.append(pool.apply_async(download.get, arguments))
            server.reached.acquire()
        server.released.set()
        assert [result.get() for result in results] == [(True, READY[9:-1], True)] * 2
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_a_pipe_in_place_of_a_part(run):
    run.sources(["/good", SHA])
    os.mkfifo(run.file.with_name(f"{SHA[-16:]}.part"))
    result = run()
    assert result.code == 2 and result.err.count("\n") == 1
    assert ".part: is not a file" in result.err


PIECES = [BODY[i:i + 70_000] for i in range(0, len(BODY), 70_000)]


@pytest.mark.parametrize("change", [
    lambda piece: piece[:-1], lambda piece: PIECES[1], lambda piece: piece + b"0",
    lambda piece: piece[:9] + bytes([piece[9] ^ 1]) + piece[10:]])
def test_shards(run, server, monkeypatch, change):
    """Good ones are kept, for a bad one the next source is tried."""
    monkeypatch.setattr(conversions, "join", lambda out, *files: out.write(
        b"".join(file.read() for file in files)), raising=False)
    server.pages |= {f"/{i}": Page(piece) for i, piece in enumerate(PIECES)}
    server.pages |= {"/2": Page(change(PIECES[2])), "/good": Page(b"bad")}
    download.FILES["train"]["train.p"].insert(0, ("join", [
        (f"{server.url}/{i}", 70_000, "git:" + hashlib.sha1(
            b"blob %d\0" % len(piece) + piece).hexdigest()) for i, piece in enumerate(PIECES)]))
    result = run()
    assert result.code == 1 and result.err.count("\n  ") == 2 and not run.file.exists()
    assert [path for path, _ in server.asked] == ["/0", "/1", "/2", "/good"]
    server.pages["/2"] = Page(PIECES[2], cut=60_000)
    assert run().code == 1 and [path for path, _ in server.asked] == ["/2"]
    server.pages["/2"] = Page(PIECES[2])
    assert run().code == 0 and server.asked[0] == ("/2", "bytes=60000-")
    assert [path for path, _ in server.asked[1:]] == ["/3", "/4"]
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]


@pytest.mark.parametrize("error, code", [
    (OSError(errno.EINVAL, "of a damaged zip"), 1), (KeyboardInterrupt(), 130),
    (PermissionError(errno.EACCES, "of the disk", "train.p"), 2)])
def test_a_download_that_is_not_converted_is_kept(run, server, monkeypatch, error, code):
    def fail(out, file):
        raise error

    run.sources(["/good", SHA])
    with monkeypatch.context() as patch:
        patch.setattr(conversions, "copy", fail)
        assert run().code == code and not run.file.exists()
    assert run().code == 0 and server.asked == [] and run.names() == ["train.p"]


class FullDisk(io.FileIO):
    """A file on a disk with room for 64 KB more."""

    def write(self, content):
        if self.tell() + len(content) > 65536:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


def test_a_full_disk_is_reported_in_one_line(run, monkeypatch):
    run.sources(["/good", SHA])
    monkeypatch.setattr(download, "open", FullDisk, raising=False)
    result = run()
    assert result.code == 2 and "the disk is full; free some space" in result.err.splitlines()[-1]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=500_000))
    result = run()
    assert result.code == 2
    assert "not enough disk space to download: 1 MB needed" in result.err.splitlines()[-1]


def test_a_mirror_is_tried_first_and_believed(run, server):
    server.pages["/lab/train.p"] = Page(OTHER)
    run.sources(["/good", SHA])
    assert run("--mirror", server.url + "/lab/").code == 0
    assert run.file.read_bytes() == OTHER and server.asked == [("/lab/train.p", None)]
    run.file.write_bytes(b"")
    assert run("--mirror", server.url).code == 0 and run.file.read_bytes() == BODY  # as /good has
    for wrong in ("", "teacher", "http://[", "file:///etc"):
        result = run("--mirror", wrong)
        assert result.code == 2 and result.err.count("\n") == 1
        assert f"--mirror {wrong}: not a valid URL" in result.err


def test_only(run):
    run.sources(**{group: [["/good"]] for group in ("weights", "train", "test", "pictures")})
    assert run("--only", "train").out == READY + NEXT and run.names() == ["train.p"]
    result = run("--only", "test", "--only", "train")
    assert result.out == READY.replace("train", "test") + READY + NEXT
    assert run("--check").out.count("ready") == 2
    assert run("--only", "small").code == 2


def test_small_weights(run, server, monkeypatch):
    """They come with the images alone; only a plain download, if it works, replaces them."""
    def describe(name, path):
        content = os.path.exists(path) and open(path, "rb").read()
        return bool(content), {b"small": download.SMALL, b"whole": "ready (whole)"}.get(content)

    def source(name, path):
        return {name: [("copy", [(server.url + path, 9, "")])]}

    monkeypatch.setattr(download, "describe", describe)
    monkeypatch.setattr(download, "FILES", {
        "weights": source("bvlc-alexnet.npy", "/whole"), "train": source("train.p", "/train"),
        "pictures": source("stop.jpg", "/stop"), "small": source("bvlc-alexnet.npy", "/small")})
    server.pages |= {"/small": Page(b"small"), "/stop": Page(b"stop")}
    for arguments, asked, content, code in [
        (["--small"], ["/small", "/stop"], b"small", 0), (["--small"], [], b"small", 0),
        (["--check", "--only", "weights"], [], b"small", 0),
        (["--only", "weights"], ["/whole"], b"small", 1),
        (["--only", "weights"], ["/whole"], b"whole", 0), (["--small"], [], b"whole", 0),
    ]:
        result = run(*arguments)
        assert (result.code, [path for path, _ in server.asked]) == (code, asked)
        assert run.file.with_name("bvlc-alexnet.npy").read_bytes() == content
        assert ("retrain heads" in result.out.splitlines()[-1]) == (bool(asked) > code)
        server.pages["/whole"] = Page(b"whole" if code else b"", 200 if code else 404)


def test_kinds_of_weights(lab, monkeypatch):
    """Weights are others even if only one end differs, or the order of their rows."""
    rng = np.random.default_rng(0)
    W, b = rng.random((9, 4096), np.float32), rng.random(1000, np.float32)
    true = {"fc6": [W, b], "fc7": [W, b], "fc8": [W, b]}
    monkeypatch.setattr(download, "KNOWN", [sha256(W[:7].tobytes() + b.tobytes())[7:]])
    for layers, answer in [
        (true, (True, "ready (the original BVLC weights)")),
        (true | {"fc6": [W[::-1], b]}, (True, "ready (not the original BVLC weights)")),
        (true | {"fc8": [W, b[::-1]]}, (True, "ready (not the original BVLC weights)")),
        (true | {"fc6": [np.floor(16 * W), b]}, (True, download.SMALL)),
        (make_weights(), (False, "holds the lab's synthetic weights")),
    ]:
        monkeypatch.setattr(download, "read_weights", lambda path: layers)
        assert download.describe("bvlc-alexnet.npy", "") == answer


def test_the_real_files_are_known(real_data):
    assert download.describe("train.p", real_data / "train.p")[1] == (
        "ready (the course's file, 39,209 images)")
    for name in ("poodle.png", "weasel.png", "construction.jpg", "stop.jpg"):
        assert download.describe(name, real_data / name) == (True, "ready (the course's file)")
    beginning = (real_data / "bvlc-alexnet.truncated.npy").read_bytes()
    # The length of fc6's weights, the first array in the file, stands before them.
    start = beginning.index((9216 * 4096 * 4).to_bytes(4, "little")) + 4
    rows, last = beginning[start:start + 7 * 4096 * 4], real_data / "alexnet.shard59of59"
    biases = last.read_bytes()[-4000:]
    assert sha256(rows).startswith("sha256:708f11276f6fc833bccc06d92f0e6beb187941611e48d658ca9bc")
    assert sha256(biases).startswith("sha256:7add51178ddb4c5464db6c3313c45ffc342e52c4214753da256")
    assert sha256(rows + biases)[7:] in download.KNOWN
    (shards,) = (downloads for _, downloads in download.FILES["weights"]["bvlc-alexnet.npy"]
                 if len(downloads) > 1)
    assert len(shards) == 59 and shards[58][0].endswith("/group1-shard59of59")
    with open(last, "rb") as file:
        assert download.matches(file, shards[58][2])


def test_the_table_of_sources():
    assert list(download.FILES) == ["weights", "small", "train", "test", "pictures"]
    for files in download.FILES.values():
        for name, sources in files.items():
            assert not download.describe(name, LAB / "README.md")[0] and len(sources) >= 2
            for conversion, downloads in sources:
                assert callable(getattr(conversions, conversion.split()[0]))
                for url, size, checksum in downloads:
                    assert re.fullmatch("https?://[^{}]+", url) and 1000 < size <= 700_000_000
                    assert re.fullmatch(
                        "(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}|git:[0-9a-f]{40})?", checksum)
