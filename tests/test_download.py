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
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from conftest import LAB

from data import download
from data.lab import command, conversions, paths
from data.lab.batches import Progress
from data.lab.weights import save_weights


def stop(*arguments):
    raise KeyboardInterrupt


def make_signs(seed):
    """A small train.p."""
    features = np.random.default_rng(seed).integers(0, 256, (100, 32, 32, 3), np.uint8)
    return pickle.dumps({"features": features, "labels": np.arange(100) % 43})


BODY, OTHER = make_signs(0), make_signs(1)
READY = "train.p: ready (100 images, not the course's file)\n"


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Page:
    """What the server has under one path, and how it misbehaves."""

    body: bytes = BODY
    status: int = 200
    reason: str = None
    headers: dict = field(default_factory=lambda: {"ETag": '"1"'})
    ranges: bool = True  # whether a part can be had
    cut: int = None  # bytes after which a response ends
    stall: bool = False  # it does not end there, but waits for the server's .released
    endless: bool = False  # the body is followed by 131 MB, and no length is told


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
        if status in (206, 416):
            place = f"{start}-{len(page.body) - 1}" if status == 206 else "*"
            sent["Content-Range"] = f"bytes {place}/{len(page.body)}"
        for name, value in (sent | page.headers).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has gone
            self.wfile.write(body[:page.cut])
            if page.stall:
                self.server.reached.set()
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
    server.pages, server.asked, server.sent = {}, [], 0
    server.released, server.reached = threading.Event(), threading.Event()
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

    No run waits: .naps has the seconds that it would have slept. .sources(...) sets others:
    a path or an address, and perhaps a checksum, each. .names() is what is in data/.
    """

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["download.py", *arguments])
        with pytest.raises(SystemExit) as end:
            command.run_script(download.main)
        out, err = capsys.readouterr()
        assert "Traceback" not in err and "\033" not in err
        return SimpleNamespace(code=end.value.code, out=out, err=err)

    def sources(*rows, **files):
        files = files or {"train": rows}
        monkeypatch.setattr(download, "FILES", {
            (group, f"{group}.p"): [
                ("copy", [(url if "://" in url else server.url + url, 10**6, *(checksum or [""]))])
                for url, *checksum in rows]
            for group, rows in files.items()})

    def names():
        return sorted(set(os.listdir(lab / "data")) - {"standin", ".download.lock"})

    run.sources, run.names, run.naps, run.file = sources, names, [], lab / "data" / "train.p"
    monkeypatch.setattr(time, "sleep", run.naps.append)
    monkeypatch.setattr(download, "TRIES", 1)
    server.pages["/good"] = Page()
    sources(["/good"])
    return run


def test_a_good_file_comes_and_is_kept(run, server, lab):
    result = run()
    assert (result.code, result.out) == (0, READY)
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]
    for path in (run.file, run.file.rename(lab / "train.p")):
        assert run().out == READY and len(server.asked) == 1


def test_a_bad_file_stays_until_a_good_one_has_come(run, server, lab):
    mine = lab / "train.p"  # beside the scripts, where it is found first
    mine.write_bytes(b"mine")
    server.pages["/good"] = Page(b"bad too")
    assert run().code == 1
    assert mine.read_bytes() == b"mine" and run.names() == []
    server.pages["/good"] = Page()
    result = run()
    assert result.code == 0 and "it stays until a good one has come" in result.err
    assert mine.read_bytes() == BODY and run.names() == []


def test_check_says_what_is_there_and_asks_nobody(run, server):
    assert run("--check").out == "train.p: does not exist\n"
    run.file.write_bytes(BODY[:-9])
    result = run("--check")
    assert result.code == 1
    assert result.out == "train.p: is cut short, damaged or of another kind (EOFError)\n"
    run.file.write_bytes(BODY)
    result = run("--check")
    assert (result.code, result.out) == (0, READY)
    assert server.asked == [] and run.names() == ["train.p"]


DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
BROKEN = "100000 bytes read"
SILENT = [(download, "TIMEOUT", 0.2)]
SLOW = [(download, "PATIENCE", 1e-9), (download, "SLOW", 1e30)]


@pytest.mark.parametrize("page, checksum, changes, message, span", [
    (Page(cut=100_000), "", [], BROKEN, "bytes=99999-"),
    (Page(cut=100_000, headers={"Last-Modified": DATE}), "", [], BROKEN, "bytes=99999-"),
    (Page(cut=100_000, headers={}), sha256(BODY), [], BROKEN, "bytes=99999-"),
    (Page(cut=100_000, headers={}), "", [], BROKEN, None),
    (Page(cut=100_000, headers={"ETag": 'W/"1"'}), "", [], BROKEN, None),
    (Page(cut=50_000, stall=True), "", SILENT, "timed out", "bytes=49999-"),
    (Page(), "", SLOW, "slower than", "bytes={}-"),
    (Page(), "", [(Progress, "update", stop)], "interrupted", "bytes={}-"),
    (Page(), "", [(conversions, "copy", stop)], "interrupted", f"bytes={len(BODY) - 1}-"),
])
def test_a_download_goes_on(run, server, monkeypatch, page, checksum, changes, message, span):
    server.pages["/good"] = page
    run.sources(["/good", checksum])
    with monkeypatch.context() as patch:
        for change in changes:
            patch.setattr(*change)
        result = run()
    wanted = (130, "") if message == "interrupted" else (1, "train.p: lacking; ")
    assert (result.code, result.out[:18]) == wanted and message in result.err
    (part,) = run.file.parent.glob("*.part")
    last = part.stat().st_size - 1
    assert last > 0 and not run.file.exists()
    server.pages["/good"] = Page(headers=page.headers)
    assert run().code == 0
    assert server.asked == [("/good", None), ("/good", span and span.format(last))]
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]


def test_breaks_are_mended_in_one_run(run, server, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 2)
    server.pages["/good"] = Page(cut=110_000)
    assert run().code == 0
    assert [span for _, span in server.asked] == [None, "bytes=109999-", "bytes=219998-"]
    assert run.file.read_bytes() == BODY and not any(run.naps)


@pytest.mark.parametrize("old, new, checksum", [
    (Page(OTHER, headers={"ETag": '"0"'}), Page(), ""),
    (Page(OTHER, headers={}), Page(headers={}), ""),
    (Page(OTHER, headers={}), Page(headers={}), sha256(BODY)),
    (Page(OTHER * 2, cut=400_000), Page(), ""),  # the server now has less: 416
    (Page(OTHER), Page(ranges=False), ""),
    (Page(OTHER), Page(headers={"ETag": '"1"', "Content-Range": "bytes 0-9/10"}), ""),
])
def test_bytes_of_two_files_are_not_joined(run, server, monkeypatch, old, new, checksum):
    old.cut = old.cut or 100_000
    server.pages["/good"] = old
    run.sources(["/good", checksum])
    assert run().code == 1
    monkeypatch.setattr(download, "TRIES", 2)
    server.pages["/good"] = new
    assert run().code == 0
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]


def test_another_host_goes_on_where_the_checksum_is_one(run, server):
    server.pages["/one/a"] = Page(cut=100_000, ranges=False)
    server.pages["/two/a"] = Page()
    for checksum, span in ((sha256(BODY), "bytes=99999-"), ("", None)):
        run.sources(["/one/a", checksum], ["/two/a", checksum])
        assert run().code == 0
        assert server.asked[-1] == ("/two/a", span)
        run.file.unlink()


def test_a_whole_file_of_another_checksum_is_fetched_once(run, server, monkeypatch):
    server.pages["/good"] = Page(cut=100_000)
    run.sources(["/good", sha256(BODY)])
    assert run().code == 1
    server.pages["/good"] = Page(OTHER, ranges=False)
    server.asked.clear()
    monkeypatch.setattr(download, "TRIES", 2)
    assert run().code == 1 and len(server.asked) == 1


def test_what_is_bad_despite_its_checksum_is_not_fetched_again(run, server):
    server.pages |= {"/one/a": Page(b"junk"), "/two/a": Page(b"junk")}
    run.sources(["/one/a", sha256(b"junk")], ["/two/a", sha256(b"junk")], ["/good"])
    assert run().code == 0 and [path for path, _ in server.asked] == ["/one/a", "/good"]


@pytest.mark.parametrize("page, reason, tries, checksum", [
    (None, "answers 404", 1, ""),
    (Page(status=404, reason="\033[2JGone\a" + "!" * 999), r"404 \x1b[2JGone\x07!!!", 1, ""),
    (Page(b"\n<!DOCTYPE html><html>Log in first</html>"), "a web page came", 1, ""),
    (Page(OTHER), "its checksum is not the published one", 1, sha256(BODY)),
    (Page(BODY + b"\0"), "not the file: is cut short, damaged", 1, ""),
    (Page(b"\x80\x04}."), "not the file: the key features is missing", 1, ""),
    (Page(status=503), "answers 503", 3, ""),
    (Page(status=429, headers={"Retry-After": "999999"}, endless=True), "answers 429", 3, ""),
    (Page(status=206), "the file has changed", 3, ""),
    (Page(status=416), "the file has changed", 3, ""),
    (Page(headers={"Content-Length": "9" * 30}), "more bytes are announced", 1, ""),
    (Page(endless=True), "more bytes come than it has", 1, ""),
    (Page(status=302, headers={"Location": "http://["}), "no connection", 1, ""),
    (Page(status=302, headers={"Location": "http://a:99999/"}), "no connection", 1, ""),
    (Page(status=302, headers={"Location": f"http://{'a' * 99}.b/"}), "no connection", 1, ""),
    (Page(status=302, headers={"Location": "ftp://127.0.0.1/\033[2J"}), "no connection", 1, ""),
    (Page(status=302, headers={"Location": "/bad"}), "redirects", 31, ""),
    (Page(status=302, headers={"Location": "/none"}, endless=True), "answers 404", 1, ""),
])
def test_a_bad_source_is_followed_by_the_next(
        run, server, monkeypatch, page, reason, tries, checksum):
    monkeypatch.setattr(download, "TRIES", 3)
    if page:
        server.pages["/bad"] = page
    run.sources(["/bad", checksum], [server.url.replace("127.0.0.1", "localhost") + "/good"])
    result = run()
    assert result.code == 0 and reason in result.err
    assert max(map(len, result.err.splitlines())) <= 300
    assert run.file.read_bytes() == BODY and run.names() == ["train.p"]
    assert sum(path == "/bad" for path, _ in server.asked) == tries
    assert server.sent < 60_000_000 and sum(run.naps) <= 4


@pytest.mark.parametrize("scheme, code", [("http", 0), ("https", 1)])
def test_a_redirect_from_https_to_http_is_refused(run, server, monkeypatch, scheme, code):
    send = requests.adapters.HTTPAdapter.send
    server.pages["/moved"] = Page(status=302, headers={"Location": server.url + "/good"})

    def fake(self, request, **options):
        if "school" in request.url:
            request = requests.Request("GET", server.url + "/moved").prepare()
        return send(self, request, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", fake)
    run.sources([f"{scheme}://school.example/train.p"])
    assert run().code == code
    assert [path for path, _ in server.asked] == ["/moved", "/good"][:2 - code]


def test_a_web_page_does_not_replace_a_partial(run, server):
    server.pages["/good"] = Page(cut=100_000)
    assert run().code == 1
    server.pages["/good"] = Page(b"<html>Log in first</html>", ranges=False)
    assert run().code == 1
    assert [path.stat().st_size for path in run.file.parent.glob("*.part")] == [100_000]


def test_a_silent_host_is_asked_once(run, server, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens: connections are refused
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        run.sources(train=[[dead + "/a"]], test=[[dead + "/b"], ["/good"]])
        result = run()
    assert "no connection" in result.err and dead + "/a" in result.err
    assert dead + "/b" not in result.err and result.code == 1 and run.names() == ["test.p"]


PROCESS = """
from data import download
from data.lab import command
download.FILES, download.TIMEOUT, sys.argv = {!r}, 600, ["download.py"]
command.run_script(download.main)
"""


def test_two_at_once_share_the_work(run, server, start):
    server.pages["/good"] = Page(cut=100_000, stall=True)
    first = start(PROCESS.format(download.FILES))
    assert server.reached.wait(600)
    second = start(PROCESS.format(download.FILES))
    assert "another run is at work on it; waiting" in second.stderr.readline()
    server.released.set()
    assert [process.communicate()[0] for process in (first, second)] == [READY] * 2
    assert len(server.asked) == 1 and run.names() == ["train.p"]


def test_one_that_waits_and_is_stopped_leaves_the_others_work(run, monkeypatch):
    part = run.file.with_name("train.p.12345678.part")
    part.write_bytes(b"the other's")
    monkeypatch.setattr(time, "sleep", stop)
    with open(run.file.with_name(".download.lock"), "ab") as other:
        paths.lock(other)
        assert run().code == 130
    assert part.read_bytes() == b"the other's" and run.names() == [part.name]


class FullDisk(io.FileIO):
    """A file on a disk with room for 64 KB more."""

    def write(self, content):
        if self.tell() + len(content) > 65536:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


@pytest.mark.parametrize("module", [download, paths], ids=["download", "conversion"])
def test_a_full_disk_is_told_in_one_line(run, monkeypatch, module):
    run.file.write_bytes(b"mine")
    monkeypatch.setattr(module, "open", lambda path, mode: (
        open(path, mode) if "lock" in str(path) else FullDisk(path, mode)), raising=False)
    result = run()
    assert result.code == 2
    assert ": the disk is full; free some space" in result.err.splitlines()[-1]
    assert run.file.read_bytes() == b"mine" and not list(run.file.parent.glob(".*.tmp"))
    monkeypatch.undo()
    assert module is download or list(run.file.parent.glob("*.part"))


def test_too_little_room_is_seen_before_the_download(run, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 500_000))
    result = run()
    assert result.code == 2 and run.names() == []
    assert "1 MB are needed for good." in result.err.splitlines()[-1]


def test_a_mirror_is_asked_first_and_believed(run, server):
    server.pages["/lab/train.p"] = Page(OTHER)
    run.sources(["/good", sha256(BODY)])
    assert run("--mirror", server.url + "/lab/").out == READY
    assert run.file.read_bytes() == OTHER and server.asked == [("/lab/train.p", None)]
    run.file.write_bytes(b"")
    assert run("--mirror", server.url).code == 0 and run.file.read_bytes() == BODY  # as /good has
    for wrong in ("", "teacher", "http://[", "http://a b", "file:///etc"):
        result = run("--mirror", wrong)
        assert result.code == 2 and result.err.count("\n") == 1
        assert f"--mirror {wrong}: not an address" in result.err


def test_only(run):
    groups = ("weights", "train", "test", "pictures")
    run.sources(**{group: [["/good"]] for group in groups})
    assert run("--only", "train").code == 0 and run.names() == ["train.p"]
    assert run("--only", "test", "--only", "train").out == READY + READY.replace("train", "test")
    assert run("--check").out.count("ready") == 2
    assert run("--only", "cat").code == 2


def test_known_files_are_told_from_others(lab, monkeypatch, weights):
    """Weights are others even if only the order of their rows is, by a wrong conversion."""
    W, b = weights["fc6"]
    rows = W[:7].astype("<f4").tobytes()
    monkeypatch.setattr(download, "KNOWN", {sha256(rows), sha256(BODY)})
    for group, content, words in [
        ("weights", weights, "true weights"),
        ("weights", weights | {"fc6": [W[::-1], b]},
         "other weights than BVLC's; delete it to get those"),
        ("train", BODY, "the course's, 100 images"),
        ("train", OTHER, "100 images, not the course's file"),
    ]:
        if group == "weights":
            save_weights(lab / "file", content)
        else:
            (lab / "file").write_bytes(content)
        assert download.look(group, lab / "file") == (True, f"ready ({words})")


def test_the_real_files_are_known(real_data):
    assert download.look("train", real_data / "train.p")[1] == (
        "ready (the course's, 39,209 images)")
    for name in ("poodle.png", "weasel.png", "construction.jpg", "stop.jpg"):
        assert download.look("pictures", real_data / name) == (True, "ready (the course's)")
    beginning = (real_data / "bvlc-alexnet.truncated.npy").read_bytes()
    # The length of fc6's weights, the first array in the file, stands before them.
    start = beginning.index((9216 * 4096 * 4).to_bytes(4, "little")) + 4
    assert sha256(beginning[start:start + 7 * 4096 * 4]) in download.KNOWN


def test_the_table_of_sources():
    assert [name for _, name in download.FILES] == [
        "bvlc-alexnet.npy", "train.p", "test.p",
        "poodle.png", "weasel.png", "construction.jpg", "stop.jpg"]
    for (group, _), sources in download.FILES.items():
        assert not download.look(group, LAB / "README.md")[0] and len(sources) >= 2
        for conversion, downloads in sources:
            assert callable(getattr(conversions, conversion.split()[0]))
            for url, size, checksum in downloads:
                assert url.startswith("http") and 1000 < size < 300_000_000
                assert re.fullmatch("(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})?", checksum)
