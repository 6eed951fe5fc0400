"""data/download.py against a local server that fails in every way a server can."""
import errno
import hashlib
import io
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from data import download, files
from data.download import File, Remote, Source
from data.files import LAB, LabError

BODY = np.random.default_rng(0).bytes(300_000)


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


CHECK = partial(download.check_sum, published=sha256(BODY))


@dataclass
class Page:
    """What the server has under one path, and how it misbehaves."""

    body: bytes = BODY
    status: int = 200
    ranges: bool = True  # whether the Range header is obeyed
    etag: str = '"1"'
    cut: int = None  # bytes after which a response ends
    stall: bool = False  # after `cut` bytes, keep the connection and send nothing


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        page = self.server.pages.get(self.path, Page(b"", 404))
        start = int(asked[6:-1]) if asked and page.ranges else 0
        body, status = page.body[start:], 206 if start else page.status
        if start >= len(page.body) and start:
            body, status = b"", 416
        self.send_response(status)
        self.send_header("Content-Length", len(body))
        if status in (206, 416):
            span = f"{start}-{len(page.body) - 1}" if status == 206 else "*"
            self.send_header("Content-Range", f"bytes {span}/{len(page.body)}")
        if page.etag:
            self.send_header("ETag", page.etag)
        self.end_headers()
        self.wfile.write(body[:page.cut])
        if page.stall:
            self.server.released.wait(20)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server on this machine: put Pages under .pages[path], see requests in .asked."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.pages, server.asked, server.released = {}, [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Lab:
    """An empty lab in a folder of its own, and the script run in it."""

    def __init__(self, folder, monkeypatch, capsys):
        self.data, self.monkeypatch, self.capsys = folder / "data", monkeypatch, capsys
        self.data.mkdir(parents=True)
        for module, name, value in [
            (files, "LAB", folder), (files, "DATA", self.data), (download, "DATA", self.data),
            (download, "TIMEOUT", 0.3), (download, "TRIES", 3), (download, "BACKOFF", 0.01),
        ]:
            monkeypatch.setattr(module, name, value)

    def table(self, *table):
        self.monkeypatch.setattr(download, "FILES", table)

    def run(self, *arguments):
        """The exit status; what was printed is in .out and .err."""
        self.monkeypatch.setattr(sys, "argv", ["download.py", *arguments])
        with pytest.raises(SystemExit) as end:
            files.run_script(download.main)
        self.out, self.err = self.capsys.readouterr()
        return end.value.code

    def names(self):
        return sorted(path.name for path in self.data.iterdir())


@pytest.fixture
def lab(tmp_path, monkeypatch, capsys):
    return Lab(tmp_path / "lab", monkeypatch, capsys)


def one(*urls, checksum="", **source):
    """A table of one file "a.bin", in group "train", with plain sources."""
    sources = tuple(Source((Remote(url, checksum),), 1, **source) for url in urls)
    return File("a.bin", "train", CHECK, sources)


def test_good_file(server, lab):
    server.pages["/a"] = Page()
    lab.table(one(server.url + "/a"))
    assert lab.run() == 0
    assert (lab.data / "a.bin").read_bytes() == BODY
    assert lab.names() == ["a.bin"]
    assert lab.out == "a.bin: ready\n"


def test_existing_good_file_is_kept(server, lab):
    lab.table(one(server.url + "/a"))
    for place in (lab.data, lab.data.parent):
        path = place / "a.bin"
        path.write_bytes(BODY)
        assert lab.run() == 0
        assert not server.asked and path.read_bytes() == BODY
        path.unlink()


def test_bad_existing_file_is_kept_until_a_good_one_replaces_it(server, lab):
    mine = lab.data.parent / "a.bin"  # beside the scripts, where it would be found first
    mine.write_bytes(b"mine")
    server.pages["/a"] = Page(b"bad too")
    lab.table(one(server.url + "/a"))
    assert lab.run() == 1
    assert mine.read_bytes() == b"mine" and lab.names() == []
    server.pages["/a"] = Page()
    assert lab.run() == 0
    assert mine.read_bytes() == BODY and lab.names() == []


@pytest.mark.parametrize("etag", ['"1"', None])
def test_resumes_a_broken_download(server, lab, etag):
    server.pages["/a"] = Page(cut=100_000, etag=etag)
    lab.monkeypatch.setattr(download, "TRIES", 1)
    lab.table(one(server.url + "/a"))
    assert lab.run() == 1
    assert "ended after 100,000 of 300,000 bytes" in lab.err
    assert lab.out.startswith("a.bin: lacking; ") and server.url + "/a" in lab.out
    server.pages["/a"].cut = None
    server.asked.clear()
    assert lab.run() == 0
    assert server.asked == [("/a", "bytes=100000-")]
    assert (lab.data / "a.bin").read_bytes() == BODY


def test_truncated_bodies_are_continued_in_one_run(server, lab):
    server.pages["/a"] = Page(cut=70_000)
    lab.table(one(server.url + "/a"))
    assert lab.run() == 0
    assert [asked for _, asked in server.asked] == [
        None, "bytes=70000-", "bytes=140000-", "bytes=210000-", "bytes=280000-"]
    assert (lab.data / "a.bin").read_bytes() == BODY


def test_server_without_range_starts_again(server, lab):
    server.pages["/a"] = Page(cut=100_000, ranges=False)
    lab.table(one(server.url + "/a"))
    assert lab.run() == 1
    assert len(server.asked) == download.TRIES  # no progress: it gives up
    server.pages["/a"].cut = None
    assert lab.run() == 0
    assert server.asked[-1] == ("/a", "bytes=100000-")
    assert (lab.data / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("size, old, new", [
    (300_000, dict(etag='"0"'), {}),
    (200_000, dict(etag=None), dict(etag=None)),
    (600_000, dict(cut=400_000), {}),  # the server has less than the partial: status 416
    (300_000, {}, dict(etag='"2"', ranges=False)),
])
def test_a_partial_of_another_version_is_not_continued(server, lab, size, old, new):
    server.pages["/a"] = Page(bytes(size), **{"cut": 100_000, **old})
    lab.monkeypatch.setattr(download, "TRIES", 1)
    lab.table(one(server.url + "/a"))
    assert lab.run() == 1
    lab.monkeypatch.setattr(download, "TRIES", 2)
    server.pages["/a"] = Page(**new)
    assert lab.run() == 0
    assert (lab.data / "a.bin").read_bytes() == BODY


def test_a_partial_of_another_source_is_not_continued(server, lab):
    server.pages["/one/a"] = Page(bytes(300_000), cut=100_000)
    server.pages["/two/a"] = Page()
    lab.monkeypatch.setattr(download, "TRIES", 1)
    lab.table(one(server.url + "/one/a", server.url + "/two/a"))
    assert lab.run() == 0
    assert ("/two/a", None) in server.asked
    assert (lab.data / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("status", [206, 416])
def test_an_answer_that_does_not_fit_the_question(server, lab, status):
    server.pages["/a"] = Page(status=status)
    lab.table(one(server.url + "/a"))
    assert lab.run() == 1
    assert len(server.asked) == download.TRIES and lab.names() == []


def test_a_complete_partial_is_not_fetched_again(server, lab):
    def interrupted(path):
        raise KeyboardInterrupt

    server.pages["/a"] = Page()
    lab.table(one(server.url + "/a")._replace(check=interrupted))
    assert lab.run() == 130
    lab.table(one(server.url + "/a"))
    assert lab.run() == 0
    assert server.asked == [("/a", None), ("/a", "bytes=300000-")]
    assert lab.names() == ["a.bin"]


@pytest.mark.parametrize("page, reason", [
    (None, "404"),
    (Page(b"\n<!DOCTYPE html><html>Log in first</html>"), "a web page came"),
    (Page(BODY[:-1] + b"?"), "not the published"),
    (Page(status=503), "503"),
    (Page(cut=50_000, stall=True, ranges=False), "timed out"),
])
def test_a_bad_source_is_followed_by_the_next(server, lab, page, reason):
    if page:
        server.pages["/bad"] = page
    server.pages["/good"] = Page()
    lab.table(one(server.url + "/bad", server.url + "/good"))
    assert lab.run() == 0
    assert reason in lab.err
    assert (lab.data / "a.bin").read_bytes() == BODY
    tries = sum(path == "/bad" for path, _ in server.asked)
    assert tries == (download.TRIES if reason in ("503", "timed out") else 1)
    kept = [name for name in lab.names() if name.endswith(".part")]
    assert len(kept) == (reason == "timed out")  # what may still be continued


def test_wrong_checksum_of_the_download(server, lab):
    server.pages["/a"] = Page()
    file = one(server.url + "/a", checksum="md5:" + "0" * 32)
    lab.table(file._replace(check=lambda path: None))
    assert lab.run() == 1
    assert "md5 is not the published" in lab.err and lab.names() == []


def test_a_web_page_does_not_replace_a_partial(server, lab):
    server.pages["/a"] = Page(cut=100_000)
    lab.monkeypatch.setattr(download, "TRIES", 1)
    lab.table(one(server.url + "/a"))
    assert lab.run() == 1
    server.pages["/a"] = Page(b"<html>Log in first</html>", ranges=False)
    assert lab.run() == 1
    assert [path.stat().st_size for path in lab.data.iterdir()] == [100_000]


def test_silent_host_is_asked_for_one_file_only(lab, server):
    dead = "http://127.0.0.1:9"  # the discard port: refused
    lab.table(one(dead + "/a"), one(dead + "/b", server.url + "/b")._replace(name="b.bin"))
    server.pages["/b"] = Page()
    assert lab.run() == 1
    assert "fetching " + dead + "/a" in lab.err and dead + "/b" not in lab.err
    assert lab.names() == ["b.bin"]


def test_interrupt_keeps_the_partial_and_the_next_run_resumes(server, tmp_path):
    """A real process and a real SIGINT."""
    data = tmp_path / "lab" / "data"
    data.mkdir(parents=True)
    for name in ("__init__", "exercises", "files", "progress", "reading", "download"):
        shutil.copy(LAB / "data" / f"{name}.py", data)
    script = f"""
import sys
sys.path.insert(0, {str(data.parent)!r})
from data import download
assert download.DATA.samefile({str(data)!r})
download.FILES = (download.File("a.bin", "train", lambda path: None, (
    download.Source((download.Remote({server.url + "/a"!r}),), 1),)),)
download.run_script(download.main)
"""
    server.pages["/a"] = Page(cut=100_000, stall=True)
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 15
    while not any(path.stat().st_size for path in data.glob("*.part")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=10)[1]
    assert process.returncode == 130
    assert "goes on where it stopped" in error and "Traceback" not in error
    assert not (data / "a.bin").exists()
    size = next(data.glob("*.part")).stat().st_size
    server.pages["/a"] = Page()
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0
    assert server.asked[-1] == ("/a", f"bytes={size}-")
    assert (data / "a.bin").read_bytes() == BODY


class FullDisk(io.FileIO):
    """A file on a disk with room for 64 KB more."""

    def write(self, content):
        if self.tell() + len(content) > 65536:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


@pytest.mark.parametrize("module", [download, files], ids=["download", "conversion"])
def test_full_disk(server, lab, module):
    server.pages["/a"] = Page()
    (lab.data / "a.bin").write_bytes(b"mine")
    lab.table(one(server.url + "/a", convert=lambda out, path: out.write(path.read_bytes())))
    lab.monkeypatch.setattr(module, "open", lambda path, mode: (
        FullDisk(path, mode) if "w" in mode else open(path, mode)), raising=False)
    assert lab.run() == 2
    last = lab.err.splitlines()[-1]
    assert "a.bin: the disk is full, up to 1 MB are needed" in last and "Traceback" not in lab.err
    assert (lab.data / "a.bin").read_bytes() == b"mine"
    assert not list(lab.data.glob("*.tmp"))


def test_too_little_room_is_seen_before_the_download(server, lab):
    server.pages["/a"] = Page()
    lab.table(one(server.url + "/a"))
    lab.monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    assert lab.run() == 2
    assert "MB more, and 0 MB are free" in lab.err.splitlines()[-1] and lab.names() == []


def test_mirror_is_asked_first_under_the_labs_names(server, lab):
    server.pages.update({"/lab/a.bin": Page(), "/b": Page()})
    lab.table(one(server.url + "/a"), one(server.url + "/b")._replace(name="b.bin"))
    assert lab.run("--mirror", server.url + "/lab/") == 0
    assert [path for path, _ in server.asked] == ["/lab/a.bin", "/lab/b.bin", "/b"]
    for wrong in ("teacher", "http://[", "http://a b", "file:///etc"):
        assert lab.run("--mirror", wrong) == 2
        assert lab.err.count("\n") == 1 and wrong in lab.err


def test_only(server, lab):
    table = [one(f"{server.url}/{group}")._replace(name=group, group=group)
             for group in ("weights", "train", "test", "pictures")]
    server.pages.update({"/" + file.name: Page() for file in table})
    lab.table(*table)
    assert lab.run("--only", "train") == 0
    assert lab.names() == ["train"] and lab.out == "train: ready\n"
    assert lab.run("--only", "pictures", "--only", "weights") == 0
    assert lab.names() == ["pictures", "train", "weights"]
    assert lab.run() == 0
    assert lab.names() == ["pictures", "test", "train", "weights"]
    assert lab.run("--only", "cat") == 2 and "cat" in lab.err


def test_real_table():
    """Its checks refuse what is not the file; its names are those that the lab looks for."""
    assert [file.name for file in download.FILES] == [
        "bvlc-alexnet.npy", "train.p", "test.p",
        "poodle.png", "weasel.png", "construction.jpg", "stop.jpg"]
    for file in download.FILES:
        with pytest.raises(LabError):
            file.check(__file__)
        assert len(file.sources) >= 2


def test_structure_is_checked_where_there_is_no_checksum(server, lab):
    server.pages["/train.p"] = Page(b"\x80\x04}.")  # an empty dict
    lab.table(download.FILES[1]._replace(sources=(Source((Remote(server.url + "/train.p"),), 1),)))
    assert lab.run() == 1
    assert "not the file: the key features is missing" in lab.err and lab.names() == []


# Caffe's own format, written by hand.


def number(value):
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def message(*items):
    """A protobuf message of (field number, int or bytes)."""
    return b"".join(
        number(field << 3 | 2) + number(len(value)) + value if isinstance(value, bytes)
        else number(field << 3) + number(value) for field, value in items)


def blob(array, legacy):
    data = (5, array.astype("<f4").tobytes())
    if legacy:
        shape = (1,) * (4 - array.ndim) + array.shape
        return message(*zip((1, 2, 3, 4), shape), data)
    return message(data, (7, message((1, b"".join(map(number, array.shape))))))


def caffemodel(layers, legacy):
    layer_field, name_field, blob_field = (2, 4, 6) if legacy else (100, 1, 7)
    parts = [(layer_field, message((name_field, b"data")))]
    for name, arrays in layers.items():
        blobs = [(blob_field, blob(array, legacy)) for array in arrays]
        parts.append((layer_field, message((name_field, name.encode()), *blobs)))
    return message((1, b"AlexNet"), *parts) + number(999 << 3 | 5) + struct.pack("<f", 1)


def correlate(image, W):
    """Convolution as in a network: image (in, h, w), W (out, in, h', w'), no border."""
    windows = np.lib.stride_tricks.sliding_window_view(image, W.shape[2:], axis=(1, 2))
    return np.einsum("iyxhw,oihw->oyx", windows, W)


@pytest.mark.parametrize("legacy", [True, False])
def test_caffemodel(server, lab, legacy):
    """conv5 and two dense layers give one output in Caffe's order and in the lab's."""
    rng = np.random.default_rng(2)
    caffe = {"conv5": (rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4)),
             "fc6": (rng.normal(size=(130, 36)), rng.normal(size=130)),
             "fc7": (rng.normal(size=(5, 130)), rng.normal(size=5))}
    caffe = {name: [a.astype(np.float32) for a in arrays] for name, arrays in caffe.items()}
    server.pages["/m.caffemodel"] = Page(caffemodel(caffe, legacy))
    source = Source((Remote(server.url + "/m.caffemodel"),), 1, download.from_caffemodel)
    lab.table(File("w.npy", "weights", lambda path: None, (source,)))
    assert lab.run() == 0
    assert (lab.data / "w.npy").read_bytes()[:8] == b"\x93NUMPY\x01\x00"
    made = np.load(lab.data / "w.npy", allow_pickle=True).item()
    assert list(made) == list(caffe)
    arrays = [array for pair in made.values() for array in pair]
    assert all(a.dtype == np.float32 and a.flags.c_contiguous for a in arrays)

    image = rng.normal(size=(3, 5, 5))  # channels, height, width
    features = correlate(image, caffe["conv5"][0]) + caffe["conv5"][1][:, None, None]
    wanted = features.reshape(-1)
    for name in ("fc6", "fc7"):
        wanted = caffe[name][0] @ wanted + caffe[name][1]

    windows = np.lib.stride_tricks.sliding_window_view(image.transpose(1, 2, 0), (3, 3), (0, 1))
    got = np.einsum("yxihw,hwio->yxo", windows, made["conv5"][0]) + made["conv5"][1]
    got = got.reshape(1, -1)
    for name in ("fc6", "fc7"):
        got = got @ made[name][0] + made[name][1]
    np.testing.assert_allclose(got[0], wanted, rtol=1e-4, atol=1e-4)


def test_damaged_caffemodel(server, lab):
    layers = {"conv5": (np.ones((4, 3, 3, 3)), np.ones(4))}
    whole = caffemodel(layers, True)
    source = Source((Remote(server.url + "/m"),), 1, download.from_caffemodel)
    lab.table(File("w.npy", "weights", lambda path: None, (source,)))
    for damaged in (whole[:-100], whole[:-7], b"\x00" + whole, b"PNG" * 50):
        server.pages["/m"] = Page(damaged)
        assert lab.run() == 1
        assert "not the file" in lab.err and lab.names() == []


# GTSRB's archives and the course's.


HEAD = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"


def ppm(color, width=40, height=50):
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PPM")
    return file.getvalue()


def make_zip(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def training_zip():
    """Two classes, their rows out of order, between members that try to leave the folder."""
    folder = "GTSRB/Final_Training/Images/"
    members = {"../../escaped.txt": "x", "/escaped.txt": "x", "GTSRB/Readme.txt": "x"}
    frames = {1: ["00000_00000"], 0: ["00001_00000", "00000_00001", "00000_00000"]}
    for label, names in frames.items():
        rows = [HEAD]
        for name in names:
            rows.append(f"{name}.ppm;40;50;5;6;35;{300 + label};{label}")
            color = (10 + label, int(name[:5]), int(name[6:]))
            members[f"{folder}{label:05d}/{name}.ppm"] = ppm(color)
        members[f"{folder}{label:05d}/GT-{label:05d}.csv"] = "\r\n".join(rows) + "\r\n"
    return members


def one_converted(server, members, **more):
    server.pages["/t.zip"] = Page(make_zip(members))
    source = Source((Remote(server.url + "/t.zip"),), 1, **more)
    return File("train.p", "train", download.read_signs, (source,))


def read(path):
    return pickle.loads(path.read_bytes())


def test_training_zip(server, lab):
    convert = download.from_training_zip
    lab.table(one_converted(server, training_zip(), convert=convert, note="made"))
    assert lab.run() == 0
    assert "train.p: made" in lab.err and lab.names() == ["train.p"]
    assert not list(lab.data.parents[2].rglob("escaped*"))
    signs = read(lab.data / "train.p")
    assert signs["features"].shape == (4, 32, 32, 3)
    # Colour: class, track and frame of the picture. Order: by class, track, frame.
    colors = [(10, 0, 0), (10, 0, 1), (10, 1, 0), (11, 0, 0)]
    assert (signs["features"] == np.array(colors)[:, None, None]).all()
    assert signs["labels"].tolist() == [0, 0, 0, 1]
    assert signs["sizes"].tolist() == [[40, 50]] * 4
    assert signs["coords"].tolist() == [[5, 6, 35, 300]] * 3 + [[5, 6, 35, 301]]
    assert [signs[key].dtype for key in ("features", "labels", "sizes", "coords")] == [
        np.uint8, np.uint8, np.uint16, np.uint16]


def test_bad_training_zips(server, lab):
    good = training_zip()
    picture = "GTSRB/Final_Training/Images/00001/00000_00000.ppm"
    png = io.BytesIO()
    Image.new("RGB", (9, 9)).save(png, "PNG")
    for content in (good[picture][:-9], png.getvalue(), b""):
        archive = {**good, picture: content}
        lab.table(one_converted(server, archive, convert=download.from_training_zip))
        assert lab.run() == 1 and lab.names() == []
    for members in ({"empty": b""}, {name: x for name, x in good.items() if name != picture}):
        lab.table(one_converted(server, members, convert=download.from_training_zip))
        assert lab.run() == 1 and lab.names() == []
    server.pages["/t.zip"] = Page(make_zip(good)[:-30])
    assert lab.run() == 1 and lab.names() == []
    lab.table(one_converted(server, good, convert=download.from_training_zip))
    lab.monkeypatch.setattr(download, "MEMBER_LIMIT", 1000)
    assert lab.run() == 1 and "absurdly large" in lab.err


def test_test_zips(server, lab):
    rows = [HEAD, "00000.ppm;40;50;1;2;3;4;16", "00001.ppm;41;50;5;6;7;8;1", ""]
    images = make_zip({f"GTSRB/Final_Test/Images/0000{i}.ppm": ppm((i, 2, 3)) for i in (1, 0)})
    table = make_zip({"GT-final_test.csv": "\n".join(rows)})
    server.pages.update({"/i.zip": Page(images), "/t.zip": Page(table)})
    remotes = [Remote(f"{server.url}/{name}.zip", "md5:" + hashlib.md5(content).hexdigest())
               for name, content in (("i", images), ("t", table))]
    source = Source(tuple(remotes), 1, download.from_test_zips)
    lab.table(File("test.p", "test", download.read_signs, (source,)))
    assert lab.run() == 0
    assert lab.names() == ["test.p"]
    signs = read(lab.data / "test.p")
    assert signs["features"][:, 0, 0].tolist() == [[0, 2, 3], [1, 2, 3]]
    assert signs["labels"].tolist() == [16, 1]
    assert signs["sizes"].tolist() == [[40, 50], [41, 50]]


def test_course_zip(server, lab):
    features = np.zeros((2, 32, 32, 3), np.uint8)
    content = pickle.dumps({"features": features, "labels": np.array([0, 1])})
    members = {"__MACOSX/._train.p": b"x", "../../traffic/train.p": content, "test.p": b"x"}
    convert = partial(download.from_course_zip, "train.p")
    lab.table(one_converted(server, members, convert=convert, made=sha256(content)))
    assert lab.run() == 0
    assert lab.names() == ["train.p"] and (lab.data / "train.p").read_bytes() == content
    (lab.data / "train.p").unlink()
    lab.table(one_converted(server, members, convert=convert, made=sha256(b"another")))
    assert lab.run() == 1 and "not the published" in lab.err and lab.names() == []
    lab.table(one_converted(server, {"test.p": b"x"}, convert=convert))
    assert lab.run() == 1 and "it has no train.p" in lab.err
