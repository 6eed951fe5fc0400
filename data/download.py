"""Get the lab's real files into data/: weights, signs and the course's four pictures.

    python data/download.py
    python data/download.py --only weights --only pictures
    python data/download.py --mirror http://server.example/lab

A file that is in place and good is kept. One that breaks off is kept as *.part and goes
on where it stopped when the script runs again. Exit status: 0 when every wanted file is
there, 1 when one is lacking, 2 on an error such as a full disk.

The sources were written down without a connection to any of them and have been tested
against a local server only: an address may have moved. The next one is tried then.
"""
import csv
import errno
import hashlib
import http.client
import io
import itertools
import math
import os
import pickle
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Callable, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from data.lab.command import LabError, Parser, run_script
from data.lab.paths import DATA, atomic_write, find_real
from data.lab.batches import Progress
from data.lab.gtsrb import read_signs
from data.lab.weights import read_weights

TIMEOUT = 30  # seconds without a byte until the connection counts as broken
TRIES = 4  # requests in a row that bring nothing new, until the next source is tried
BACKOFF = 1  # seconds before the second try, twice as many before each later one
CHUNK = 1 << 20  # bytes
MEMBER_LIMIT = 300 << 20  # bytes of one archive member; the largest, train.p, has 107 MB
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses that may be gone soon


class NextSource(Exception):
    """This source does not have the file; the message says why."""


class NoAnswer(NextSource):
    """The host cannot be reached at all."""


class TryAgain(Exception):
    """The connection broke; what has come is kept."""


class NoConnection(TryAgain):
    """There was no connection in the first place."""


def say(line):
    print(line, file=sys.stderr, flush=True)


def fault(error):
    """What is wrong, out of a LabError's "file: what is wrong; cure", or any error in short."""
    if isinstance(error, LabError):
        return str(error).partition(": ")[2].partition("; ")[0]
    return f"{type(error).__name__}: {error}"


def check_sum(path, published):
    """Raise LabError unless `path` has the checksum `published`, "algorithm:hex digits"."""
    algorithm, wanted = published.split(":")
    found = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    if found.hexdigest() != wanted:
        raise LabError(f"{path}: its {algorithm} is not the published {wanted}; fetch it again")


# Converters: from what a source has, the complete files `paths`, to the lab's file `out`.


def varint(buffer, at):
    """The number at `at` in protobuf's variable-length form, and where the next item is."""
    number = shift = 0
    while True:
        byte = buffer[at]
        number, shift, at = number | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return number, at


def fields(buffer):
    """Yield (field number, value) of a protobuf message: an int, or bytes as a memoryview.

    Source of the format: https://protobuf.dev/programming-guides/encoding/
    """
    at = 0
    while at < len(buffer):
        key, at = varint(buffer, at)
        if key & 7 == 0:
            value, at = varint(buffer, at)
        else:
            if key & 7 == 2:
                size, at = varint(buffer, at)
            else:
                size = {1: 8, 5: 4}[key & 7]  # fixed 64 and 32 bits
            value, at = buffer[at:at + size], at + size
            if at > len(buffer):
                raise ValueError("it ends too early")
        yield key >> 3, value


def read_blob(message):
    """A BlobProto as a float32 array: `data` 5, `shape` 7 {dim 1}, or the legacy 1 to 4."""
    items = list(fields(message))
    data = np.frombuffer(b"".join(value for number, value in items if number == 5), "<f4")
    shape = []
    for packed in (dims for number, value in items if number == 7 for _, dims in fields(value)):
        at = 0
        while at < len(packed):
            dim, at = varint(packed, at)
            shape.append(dim)
    legacy = dict(items)
    return data.reshape(shape or [legacy.get(number, 1) for number in (1, 2, 3, 4)])


def from_caffemodel(out, path):
    """Write the layers of a Caffe NetParameter as the lab's NPY file {layer: [W, b]}, float32.

    Convolutions go from (out, in, height, width) to (height, width, in, out), dense layers
    from (out, in) to (in, out). Source of the field numbers: Caffe's caffe.proto.
    """
    layers = {}
    names_and_blobs = {100: (1, 7), 2: (4, 6)}  # LayerParameter, V1LayerParameter
    for number, layer in fields(memoryview(path.read_bytes())):
        if number not in names_and_blobs:
            continue
        name_field, blob_field = names_and_blobs[number]
        items = list(fields(layer))
        blobs = [read_blob(value) for field, value in items if field == blob_field]
        if not blobs:
            continue
        name, (W, b) = bytes(dict(items)[name_field]).decode(), blobs
        dense = W.ndim == 2 or W.shape[:2] == (1, 1)  # the legacy shape is (1, 1, out, in)
        if dense:
            units, inputs = W.shape[-2:]
            # Caffe flattens conv5 as channels, height, width; TensorFlow has channels last.
            channels = layers["conv5"][0].shape[-1] if name == "fc6" else inputs
            side = math.isqrt(inputs // channels)
            W = W.reshape(units, channels, side, side)
        # conv1 keeps Caffe's order of input channels, BGR, as the .npy of the course does.
        W = W.transpose(2, 3, 1, 0)
        W = W.reshape(inputs, units) if dense else W
        layers[name] = [np.ascontiguousarray(W), b.reshape(-1)]
    np.save(out, np.array(layers, dtype=object))


def read_member(archive, name):
    """The bytes of one member of a zip archive; nothing is written to a path."""
    if archive.getinfo(name).file_size > MEMBER_LIMIT:
        raise ValueError(f"its member {name!r} is absurdly large")
    return archive.read(name)


def from_course_zip(member, out, path):
    """Copy the archive's `member`, in whichever folder it lies."""
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if PurePosixPath(name).name == member]
        if not found:
            raise ValueError(f"it has no {member}")
        out.write(read_member(archive, found[0]))


def read_table(archive, name):
    """The rows of a GTSRB annotation file (columns Filename;Width;...;ClassId) as dicts."""
    return list(csv.DictReader(io.StringIO(read_member(archive, name).decode()), delimiter=";"))


def write_signs(out, archive, members, rows):
    """Pickle GTSRB frames as the course's train.p has them, one per row, in the rows' order.

    members: names of the PPM pictures in `archive`; rows: their annotations.
    Written: features uint8 (N, 32, 32, 3) RGB, the whole frame resized; labels uint8 (N,);
    sizes uint16 (N, 2) as width, height; coords uint16 (N, 4) as x1, y1, x2, y2, in pixels
    of the original frame.
    """
    features = np.empty((len(rows), 32, 32, 3), np.uint8)
    with closing(Progress(len(rows), "frames")) as progress:
        for i, member in enumerate(members):
            with Image.open(io.BytesIO(read_member(archive, member)), formats=["PPM"]) as frame:
                features[i] = frame.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
            progress.update(i + 1)

    def columns(dtype, *names):
        return np.array([[int(row[name]) for name in names] for row in rows], dtype)

    signs = {
        "features": features,
        "labels": columns(np.uint8, "ClassId")[:, 0],
        "sizes": columns(np.uint16, "Width", "Height"),
        "coords": columns(np.uint16, "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2"),
    }
    pickle.dump(signs, out, protocol=4)


def from_training_zip(out, path):
    """Write train.p from GTSRB_Final_Training_Images.zip, ordered by class, track, frame."""
    with zipfile.ZipFile(path) as archive:
        members, rows = [], []
        for table in sorted(archive.namelist()):
            if re.fullmatch(r"GTSRB/Final_Training/Images/\d{5}/GT-\d{5}\.csv", table):
                new = sorted(read_table(archive, table), key=lambda row: row["Filename"])
                members += [str(PurePosixPath(table).with_name(row["Filename"])) for row in new]
                rows += new
        write_signs(out, archive, members, rows)


def from_test_zips(out, images, annotations):
    """Write test.p from GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip."""
    with zipfile.ZipFile(annotations) as archive:
        rows = read_table(archive, "GT-final_test.csv")
    with zipfile.ZipFile(images) as archive:
        members = ["GTSRB/Final_Test/Images/" + row["Filename"] for row in rows]
        write_signs(out, archive, members, rows)


# The table of sources, in the order in which they are tried.


class Remote(NamedTuple):
    url: str
    checksum: str = ""  # "algorithm:hex digits", where its publisher gives one


class Source(NamedTuple):
    remotes: tuple  # what to download: one file, or the archives that `convert` needs
    mb: int  # room on the disk that it needs, in megabytes, with the download
    convert: Callable = None  # convert(out, *paths); None: the download is the file itself
    made: str = ""  # published checksum of the converted file
    note: str = ""


class File(NamedTuple):
    name: str
    group: str  # as --only calls it
    check: Callable  # check(path) raises LabError unless the file is good
    sources: tuple


LESSON = "https://d17h27t6h515a5.cloudfront.net/topher/"
GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
COURSE_ZIP = Remote(LESSON + "2017/February/5898cd6f_traffic-signs-data/traffic-signs-data.zip")
PICTURE_HOSTS = (
    "https://raw.githubusercontent.com/udacity/CarND-Alexnet-Feature-Extraction/master/",
    "https://cdn.jsdelivr.net/gh/udacity/CarND-Alexnet-Feature-Extraction@master/",
    "https://github.com/udacity/CarND-Alexnet-Feature-Extraction/raw/master/",
)
PICTURES = {  # SHA-256
    "poodle.png": "c7c6de6cbc4d237a2e4f5cdcab78e01bf68a4a3ff653862ab05def0c7d1a3aa9",
    "weasel.png": "04e68cc7196f3d9501b0d2d7759e392c0b26159a316a189db054f0ebb031cf4e",
    "construction.jpg": "dd932886d8fb55dd521c9e2dca6905268b910a784b986696052560e287d0fb7f",
    "stop.jpg": "ca7c0857c5047dc992c76e80f0e83092a93702dbc08613b304c4e24416dda0aa",
}
FILES = (
    File("bvlc-alexnet.npy", "weights", read_weights, (
        Source((Remote(LESSON + "2016/October/580d880c_bvlc-alexnet/bvlc-alexnet.npy"),), 244),
        Source((Remote("http://www.cs.toronto.edu/~guerzhoy/tf_alexnet/bvlc_alexnet.npy"),), 244),
        Source((Remote("http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel",
                       "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377"),),
               488, from_caffemodel, note="converted from Caffe's own file"),
    )),
    File("train.p", "train", read_signs, (
        Source((Remote(LESSON + "2016/October/580a829f_train/train.p"),), 121),
        Source((Remote(GTSRB + "GTSRB_Final_Training_Images.zip"),), 400, from_training_zip,
               note="made from GTSRB's own archive, resized by Pillow"),
        Source((COURSE_ZIP,), 230, partial(from_course_zip, "train.p"),
               "sha256:5c319e00df7f45a18761e65dfd47341779c310798a71ea3f371659cc4a63da44",
               "the course's later one, with 34,799 images instead of the lesson's 39,209"),
    )),
    File("test.p", "test", partial(read_signs, what="test"), (
        Source((COURSE_ZIP,), 163, partial(from_course_zip, "test.p"),
               "sha256:60b6450ffdb227042eb32f28d15fe77f98ad24dd550cc85eb445b8c0e502e470"),
        Source((Remote(GTSRB + "GTSRB_Final_Test_Images.zip",
                       "md5:c7e4e6327067d32654124b0fe9e82185"),
                Remote(GTSRB + "GTSRB_Final_Test_GT.zip",
                       "md5:fe31e9c9270bbcd7b84b7f21a9d9d9e5")), 130, from_test_zips,
               note="made from GTSRB's own archive, resized by Pillow"),
    )),
    *(File(name, "pictures", partial(check_sum, published="sha256:" + digits),
           tuple(Source((Remote(host + name),), 1) for host in PICTURE_HOSTS))
      for name, digits in PICTURES.items()),
)


# Download.


def short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def part_stem(url):
    """How the names of the partial files of `url` begin."""
    return f"{PurePosixPath(urlsplit(url).path).name}.{short_hash(url)}"


def find_part(url):
    """The partial file of `url` in data/, or None, and its size in bytes."""
    part = next(DATA.glob(f"{part_stem(url)}-*.part"), None)
    return part, part.stat().st_size if part else 0


def ask(url, start):
    """The response to a request for `url` from byte `start` on; status 416 is one too."""
    headers = {"User-Agent": "alexnet-lab"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        error.close()
        kind = TryAgain if error.code in PASSING else NextSource
        raise kind(f"the server answers {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise NoConnection(f"no connection ({getattr(error, 'reason', error)})") from None


def body(response):
    """Yield the bytes of the body as they come; the network's errors become TryAgain."""
    try:
        while chunk := response.read1(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise TryAgain(f"the connection broke ({error})") from None


def request(url):
    """Ask once for what is lacking of `url`; return the path of the complete *.part file.

    The name of a partial file bears its URL and the server's version of the file (ETag, or
    its size where there is none), so that bytes of two files are never joined.
    """
    part, done = find_part(url)
    with ask(url, done) as response:
        given = response.headers.get("Content-Range", "")
        if response.status == 416 and given == f"bytes */{done}":
            return part  # it was complete
        resumed = re.fullmatch(rf"bytes {done}-\d+/(\d+)", given)
        total = int(resumed[1]) if resumed else response.length
        version = short_hash(response.headers.get("ETag") or str(total))
        new = DATA / f"{part_stem(url)}-{version}.part"
        chunks = body(response)
        start = next(chunks, b"")
        if response.status == 200 and start.lstrip().startswith(b"<"):
            raise NextSource("a web page came instead of the file")
        if part and (response.status != 206 or not resumed or new != part):
            part.unlink()
            done = 0
        if response.status != 200 and not done:
            raise TryAgain("the file has changed on the server")
        save(new, done, total, itertools.chain([start], chunks))
    return new


def save(part, done, total, chunks):
    """Append `chunks` to `part`, which has `done` of its `total` bytes (None: unknown)."""
    lacking, free = (total or done) - done, shutil.disk_usage(DATA).free
    if lacking > free:
        raise LabError(f"{part}: needs {lacking / 1e6:,.0f} MB more, and {free / 1e6:,.0f} MB "
                       "are free; free some and run this again")
    progress = Progress(total and total / 1e6, "MB", done / 1e6)
    with closing(progress), open(part, "ab" if done else "wb") as file:
        for chunk in chunks:
            file.write(chunk)
            done += len(chunk)
            progress.update(done / 1e6)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise TryAgain(f"the connection ended after {done:,} of {total:,} bytes")


def fetch(url):
    """Download `url` into data/, through broken connections; the path of the *.part file."""
    say(f"fetching {url}")
    most = failures = 0
    while True:
        try:
            return request(url)
        except TryAgain as reason:
            size = find_part(url)[1]
            failures = 1 if size > most else failures + 1
            most = max(most, size)
            if failures >= TRIES:
                kind = NoAnswer if isinstance(reason, NoConnection) else NextSource
                raise kind(f"{reason}; given up after {TRIES} tries") from None
            say(f"  {reason}; trying again")
            time.sleep(BACKOFF * 2 ** (failures - 1))


def install(file, source, target):
    """Fetch `file` from one source and, complete and checked, put it at `target`."""
    parts = [fetch(remote.url) for remote in source.remotes]
    try:
        for remote, part in zip(source.remotes, parts):
            if remote.checksum:
                check_sum(part, remote.checksum)
        if source.convert is None:
            file.check(parts[0])
            os.replace(parts[0], target)
        else:
            with atomic_write(target) as out:
                source.convert(out, *parts)
                out.flush()
                if source.made:
                    check_sum(out.name, source.made)
                file.check(out.name)
        wrong = None
    except Exception as error:  # a damaged file can raise anything
        if isinstance(error, OSError) and error.errno:  # the disk's fault, not the file's
            raise
        wrong = fault(error)
    for part in parts:
        part.unlink(missing_ok=True)
    if wrong:
        raise NextSource(f"not the file: {wrong}")


def get(file, sources, silent):
    """Whether `file` is there, after trying `sources` in order where it was not.

    silent: set of hosts that did not answer, which are not asked again; added to.
    """
    target = find_real(file.name) or DATA / file.name
    if target.exists():
        try:
            file.check(target)
            return True
        except LabError as error:
            say(f"{target}: {fault(error)}; it stays until a good one has come")
    for source in sources:
        hosts = {urlsplit(remote.url).netloc for remote in source.remotes}
        if hosts & silent:
            continue
        try:
            install(file, source, target)
            if source.note:
                say(f"  {file.name}: {source.note}")
            return True
        except NextSource as reason:
            say(f"  {reason}")
            if isinstance(reason, NoAnswer):
                silent |= hosts
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise LabError(f"{target}: the disk is full, up to {source.mb} MB are needed in "
                           f"{DATA}; free some and run this again") from None
    return False


def main():
    parser = Parser(__doc__)
    groups = list(dict.fromkeys(file.group for file in FILES))
    parser.add_argument("--only", action="append", choices=groups,
                        help="what to get, may be repeated (default: everything)")
    parser.add_argument("--mirror", metavar="URL",
                        help="a server with the files under the lab's names, asked first")
    arguments = parser.parse_args()
    if arguments.mirror and not re.fullmatch(r"(?a)https?://[\w.:/~%@+=,-]+", arguments.mirror):
        raise LabError(f"--mirror {arguments.mirror}: not an address; give one with http://")
    wanted = [file for file in FILES if file.group in (arguments.only or groups)]
    silent, lacking = set(), []
    try:
        for file in wanted:
            sources = file.sources
            if arguments.mirror:
                remote = Remote(f"{arguments.mirror.rstrip('/')}/{file.name}")
                sources = (Source((remote,), sources[0].mb), *sources)
            if not get(file, sources, silent):
                lacking.append(file)
    except KeyboardInterrupt:
        say("stopped; run it again and it goes on where it stopped")
        sys.exit(130)
    for file in wanted:
        cure = f"try again later, or get it by hand: {file.sources[0].remotes[0].url}"
        print(f"{file.name}: " + (f"lacking; {cure}" if file in lacking else "ready"))
    sys.exit(1 if lacking else 0)


if __name__ == "__main__":
    run_script(main)
