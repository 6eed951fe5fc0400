"""Download the real files to data/: weights, signs, the course's four images.

Good files are kept. A download that breaks off resumes when the script runs
again, if its checksum is published. If one source of lab/sources.csv fails,
the next is tried. Exit status: 0 if every wanted file is there and good, 1 if
not, 2 on an error such as a full disk.
"""
import csv
import hashlib
import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from multiprocessing.pool import ThreadPool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import requests

from data.lab import conversions, paths
from data.lab.batches import Progress
from data.lab.command import LabError, Parser, about, printable, run_script, say
from data.lab.gtsrb import read_signs
from data.lab.images import read_image
from data.lab.weights import read_weights

TIMEOUT = 30  # seconds without a byte until the connection counts as broken
PATIENCE, SLOW = 60, 10_000  # a source that sends fewer bytes/s for so many seconds is left
TRIES = 4  # connections to a source until it is left
SMALL = "ready (pruned and quantised weights: probabilities differ slightly from the lesson's)"
FILES = {}  # {group: {name: [(conversion, [(address, bytes, checksum), ...]), ...]}}
TABLE = Path(conversions.__file__).with_name("sources.csv").read_text()
for row in csv.DictReader(TABLE.splitlines()):
    # "1=CHECKSUM 2=CHECKSUM" is a source in two parts; 1 and 2 replace {} in the address.
    parts = [part.rpartition("=")[::2] for part in row["checksum"].split()] or [("", "")]
    FILES.setdefault(row["only"], {}).setdefault(row["file"], []).append((row["conversion"], [
        (row["address"].format(part), int(row["bytes"]), checksum) for part, checksum in parts]))
# SHA-256 of finished files; of weights, of the first 7 rows of fc6 and the biases of fc8.
KNOWN = re.findall("sha256:([0-9a-f]{64})", TABLE)


class SourceFailed(LabError):
    """This source cannot give the file; args[1:] are a host or checksum that rules out others."""


def matches(file, checksum):
    """Return whether the open file has a checksum of sources.csv; git: the id of a git blob."""
    algorithm, _, wanted = checksum.partition(":")
    file.seek(0)
    content = file.read()
    if algorithm == "git":
        algorithm, content = "sha1", b"blob %d\0" % len(content) + content
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() == wanted


def describe(name, path):
    """Return whether `path` is there and good as the lab's file `name`, and what to print."""
    what, ends = "the course's file", b""
    try:
        if name.endswith(".npy"):
            weights = read_weights(path)
            first, last = weights["fc6"][0][:7], weights["fc8"][1]
            if set(weights["fc7"][0][0]) == {0, 1}:  # of the identity
                return False, "holds the lab's synthetic weights"
            if len(set(first.flat)) <= 16:  # in the codebook of Deep Compression
                return True, SMALL
            what, ends = "the original BVLC weights", first.tobytes() + last.tobytes()
        elif name.endswith(".p"):
            what += f", {len(read_signs(path).images):,} images"
        else:
            read_image(path, 32)
    except LabError as error:  # "file: what is wrong; fix"
        return False, str(error).partition(": ")[2].partition("; ")[0]
    known = hashlib.sha256(ends or Path(path).read_bytes()).hexdigest() in KNOWN
    return True, f"ready ({'' if known else 'not '}{what})"


def transfer(url, size, done, file):
    """Request the open `file` from byte `done` on. Returns whether the server resumed there."""
    headers = {"User-Agent": "alexnet-lab", "Accept-Encoding": "identity",
               "Range": f"bytes={done}-" if done else None}
    # Else requests reads the body of a redirect, however long.
    hooks = {"response": lambda it, **_: it.close() if it.is_redirect else None}
    with requests.get(url, headers=headers, hooks=hooks, stream=True, timeout=TIMEOUT,
                      verify=os.environ.get("SSL_CERT_FILE") or True) as answer:
        status, length = answer.status_code, answer.raw.length_remaining
        if status not in (200, 206):
            if status == 416:  # the part is not shorter than the file
                file.truncate(0)
            passing = status in (408, 416, 425, 429) or status >= 500
            raise (OSError if passing else SourceFailed)(
                f"the server returned {status} {answer.reason}")
        done = file.seek(done if status == 206 else 0)
        total = size if length is None else done + length
        paths.need_room(paths.DATA, 2 * min(total, size) - done, "to download", "free some space")
        with (paths.report_full_disk(paths.DATA),
              closing(Progress(length and total / 1e6, "MB", done / 1e6)) as progress):
            while chunk := answer.raw.read1(1 << 20, decode_content=False):
                if not done and re.match(rb"(?i)\s*<(!doctype|html|\?xml)", chunk):
                    raise SourceFailed("the server returned a web page instead of the file")
                if max(done + len(chunk), total) > size:
                    raise SourceFailed("larger than expected: not the right file")
                done += file.write(chunk)
                progress.update(done / 1e6)
            file.truncate()
    return status == 206


def fetch(url, size, checksum, file):
    """Complete the open `file` from `url`, even if connections break meanwhile."""
    if checksum and matches(file, checksum):
        return
    say(f"fetching {url}")
    for pause in range(TRIES):
        time.sleep(pause)  # seconds
        # Without a checksum nothing shows whether old and new bytes belong to one file.
        done = file.seek(0, os.SEEK_END) if checksum else 0
        try:
            with ThreadPool(1) as pool:  # left if, say, headers come one byte at a time
                result = pool.apply_async(transfer, (url, size, done, file))
                while not result.ready():
                    before = file.tell()
                    result.wait(PATIENCE)
                    if not result.ready() and 0 <= file.tell() - before < PATIENCE * SLOW:
                        raise SourceFailed(f"slower than {SLOW / 1000:.0f} kB/s")
            kept = result.get()
            if not checksum or matches(file, checksum):
                return
            file.truncate(0)
            raise (OSError if kept else SourceFailed)("checksum mismatch")
        except LabError:
            raise
        except Exception as error:  # a redirect to a malformed address can raise anything
            say(f"  {printable(error)[:290]}")
    raise SourceFailed(f"giving up after {TRIES} tries", url[:url.index("/", 8) + 1])


def open_part(checksum):
    """Open the file for a download; without a checksum it is temporary, else kept to resume."""
    if not checksum:
        return tempfile.TemporaryFile(dir=paths.DATA)
    part = paths.DATA / f"{checksum[-16:]}.part"
    part.touch()
    with about(part, "delete it"):
        return open(part, "r+b")


def install(name, conversion, downloads, target):
    """Make the lab's file `name` at `target` from one source. Returns what to print about it."""
    convert, *arguments = conversion.split()
    with ExitStack() as stack:
        files = []
        for url, size, checksum in downloads:
            files.append(stack.enter_context(open_part(checksum)))
            fetch(url, size, checksum, files[-1])
            files[-1].seek(0)
        try:
            with paths.atomic_write(target) as out:
                getattr(conversions, convert)(out, *arguments, *files)
                out.flush()
                good, words = describe(name, out.name)
                if not good:
                    raise ValueError(words)
        except Exception as error:  # a damaged file can raise anything, the disk these
            if isinstance(error, LabError) or getattr(error, "filename", None):
                raise
            raise SourceFailed(f"not the file: {error}", *(x for *_, x in downloads if x)) from None
    return words


def get(name, sources, bad, small):
    """Make sure that the file `name` is there. Returns as describe(), and whether it is new.

    bad: hosts and checksums to skip, to which failures are added; small: whether SMALL will do.
    """
    target = paths.find_real(name) or paths.DATA / name
    good, words = describe(name, target)
    if not sources or good and (small or words != SMALL):
        return good, words, False
    if target.exists():
        say(f"{target}: {words}; kept until a valid file has been downloaded")
    good, words = False, "not downloaded; try again later, or copy the file to data/ yourself"
    for conversion, downloads in sources:
        if not good and not any(text in str(downloads) for text in bad):
            try:
                good, words = True, install(name, conversion, downloads, target)
            except SourceFailed as failure:
                say(f"  {printable(failure.args[0])[:290]}")
                bad.update(failure.args[1:])
    for checksum in {x for _, downloads in sources for *_, x in downloads if x}:
        part = paths.DATA / f"{checksum[-16:]}.part"
        with suppress(OSError):  # it does not exist
            if good or not part.stat().st_size:
                part.unlink()
    return good, words, good


def main():
    parser = Parser(__doc__)
    groups = [group for group in FILES if group != "small"]
    parser.add_argument("--check", action="store_true", help="only report what is there")
    parser.add_argument("--only", action="append", choices=groups,
                        help="what to download, may be repeated (default: everything)")
    parser.add_argument("--small", action="store_true",
                        help="download small weights (9 MB instead of 244) and the four images")
    parser.add_argument("--mirror", metavar="URL",
                        help="try this server first; it serves the files under their names here")
    args = parser.parse_args()
    mirror, bad, found = args.mirror, set(), {}
    if mirror is not None and not re.fullmatch(r"(?a)https?://[\w.:/~%@+=,-]+", mirror):
        raise LabError(f"--mirror {mirror}: not a valid URL; use http:// or https://")
    if not args.check:
        paths.make_folder(paths.DATA)
    for group in args.only or (["weights", "pictures"] if args.small else groups):
        for name, sources in FILES["small" if args.small and group == "weights" else group].items():
            if mirror:
                sources = [("copy", [(f"{mirror.rstrip('/')}/{name}", 500_000_000, "")]), *sources]
            found[name] = get(name, [] if args.check else sources, bad, args.small)
    print(*(f"{name}: {words}" for name, (_, words, _) in found.items()), sep="\n")
    if new := [name for name, (*_, is_new) in found.items() if is_new]:
        print("Next: python imagenet_inference.py" +
              " (retrain heads that were made with other weights)" * ("bvlc-alexnet.npy" in new))
    sys.exit(0 if all(good for good, *_ in found.values()) else 1)


if __name__ == "__main__":
    run_script(main)
