"""Get the lab's real files into data/: weights, signs and the course's four pictures.

A good file that is in place is kept. A download that breaks off goes on where it stopped when
the script runs again. Exit status: 0 when every wanted file is there and good, 1 when one is
not, 2 on an error such as a full disk. The sources, in lab/sources.csv, were written down
without a connection to any of them: where an address has moved, the next one is tried.
"""
import hashlib
import logging
import re
import sys
import time
from contextlib import closing, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import requests
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from data.lab import conversions, paths
from data.lab.batches import Progress
from data.lab.command import LabError, Parser, printable, run_script
from data.lab.gtsrb import read_signs
from data.lab.pictures import read_picture
from data.lab.weights import read_weights

TIMEOUT = 30  # seconds without a byte until the connection counts as broken
PATIENCE, SLOW = 60, 10_000  # a source that sends fewer bytes/s for so many seconds is left
TRIES, GAIN = 5, 1 << 16  # and after so many connections that bring fewer bytes each
BACKOFF = 1  # seconds before the second of them; before the next ones, 3, 7 and 15
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses that may be gone soon
FILES = {}  # (as --only calls it, name): [(conversion, [(address, bytes, checksum), ...]), ...]
KNOWN = set()  # checksums of the course's files, and of the first 7 rows of the true fc6
for line in Path(conversions.__file__).with_name("sources.csv").read_text().splitlines()[1:]:
    group, name, conversion, result, *cells = line.split(",")
    downloads = [(url, int(size), checksum) for url, size, checksum in zip(*[iter(cells)] * 3)]
    FILES.setdefault((group, name), []).append((conversion, downloads))
    KNOWN.add(result)


class Lacking(Exception):
    """Why a source does not have the file; and what others should not share: host or checksum."""


def digest(content, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()}"


def look(group, path):
    """(whether the file at `path`, one of `group`, is there and good; what to say of it)"""
    try:
        if group == "weights":
            content = read_weights(path)["fc6"][0][:7].astype("<f4").tobytes()
            known, other = "true weights", "other weights than BVLC's; delete it to get those"
        elif group == "pictures":
            read_picture(path, 32)
            content, known, other = path.read_bytes(), "the course's", "not the course's"
        else:
            count = f"{len(read_signs(path, group).images):,} images"
            content = path.read_bytes()
            known, other = f"the course's, {count}", f"{count}, not the course's file"
    except LabError as error:  # "file: what is wrong; cure"
        return False, str(error).partition(": ")[2].partition("; ")[0]
    return True, f"ready ({known if digest(content) in KNOWN else other})"


def say(line):
    """Print a line, in which servers and files may have a word, on stderr."""
    print(printable(line)[:300], file=sys.stderr, flush=True)


def ask(url, headers):
    """The response to a GET request; redirects are followed, but not from https to http."""
    session = requests.Session()
    retries = Retry(3, backoff_factor=BACKOFF, respect_retry_after_header=False)
    # By the beginnings of addresses: "http" is one of both schemes, "https" of one.
    session.adapters = {url.split(":")[0]: requests.adapters.HTTPAdapter(max_retries=retries)}
    # Else requests reads the body of a redirect, however long.
    session.hooks["response"].append(lambda it, **_: it.close() if it.is_redirect else None)
    try:
        return session.get(url, headers=headers, timeout=TIMEOUT, stream=True)
    except Exception as error:  # a redirect to a malformed address can raise anything
        cause = str(getattr((*error.args, "")[0], "reason", error)).rpartition(": ")[2]
        raise Lacking(f"no connection ({cause})", url[:url.index("/", 8) + 1]) from None


def discard(*parts):
    for part in parts:
        part.unlink(missing_ok=True)
        part.with_suffix(".version").unlink(missing_ok=True)


def transfer(url, size, checksum, part, done):
    """Ask once for what `part`, of `done` bytes, lacks, and append it; whether these were kept.

    Where no checksum will tell whether old and new bytes are of one file, the server must say
    that it still has the version, an ETag or a date, of which there is a part.
    """
    version = part.with_suffix(".version")
    known = version.exists() and version.read_text("utf-8")
    done = max(done - 1, 0) if known else 0  # one byte again: none is more than a server can send
    headers = {"User-Agent": "alexnet-lab", "Accept-Encoding": "identity"}
    with ask(url, headers | ({"Range": f"bytes={done}-"} if done else {})) as answer:
        status, span = answer.status_code, answer.headers.get("Content-Range", "")
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified", "")
        new = checksum or ("" if tag.startswith("W/") else tag)  # weak tags: for similar files
        kept = status == 206 and known == new and span.startswith(f"bytes {done}-")
        if status in (206, 416) and not kept:
            discard(part)
            raise HTTPError("the file has changed on the server")
        if status not in (200, 206):
            wrong = f"the server answers {status} {answer.reason}"
            raise HTTPError(wrong) if status in PASSING else Lacking(wrong)
        done = done if kept else 0
        length = answer.raw.length_remaining
        total = size if length is None else done + length
        if total > size:
            raise Lacking("not the file: more bytes are announced than it has")
        paths.need_room(paths.DATA, 2 * total - done, f"for {part.name}", "free some space")
        chunk = answer.raw.read1(1 << 20, decode_content=False)
        if not done and chunk.lstrip().startswith(b"<"):
            raise Lacking("a web page came instead of the file")
        mark, due = done, time.monotonic() + PATIENCE
        with (paths.full_disk_is_told(part), open(part, "r+b" if done else "wb") as file,
              closing(Progress(length and total / 1e6, "MB", done / 1e6)) as progress):
            version.write_text(new, "utf-8")
            file.seek(done)
            while chunk and done <= size:
                done += file.write(chunk)
                progress.update(done / 1e6)
                if time.monotonic() >= due:
                    if done < mark + PATIENCE * SLOW:
                        raise Lacking(f"slower than {SLOW / 1000:.0f} kB/s")
                    mark, due = done, time.monotonic() + PATIENCE
                chunk = answer.raw.read1(1 << 20, decode_content=False)
    if done > size:
        discard(part)
        raise Lacking("not the file: more bytes come than it has")
    return kept


def fetch(url, size, checksum):
    """The path of the complete *.part file of `url`, whatever connections break meanwhile."""
    say(f"fetching {url}")
    part = paths.DATA / f"{url.split('/')[-1]}.{digest((checksum or url).encode())[7:15]}.part"
    tries = best = 0
    while tries < TRIES:
        done = part.stat().st_size if part.exists() else 0
        tries, best = (1, done) if done > best + GAIN else (tries + 1, best)
        time.sleep(BACKOFF * (2 ** (tries - 1) - 1))
        try:
            kept = transfer(url, size, checksum, part, done)
            if not checksum or digest(part.read_bytes(), checksum.split(":")[0]) == checksum:
                return part
            discard(part)
            raise (HTTPError if kept else Lacking)("its checksum is not the published one")
        except HTTPError as error:
            say(f"  {error.args[0]}")
    raise Lacking(f"given up after {TRIES} tries")


def install(group, conversion, downloads, target):
    """Put a file at `target`, from one source; what to say of it."""
    parts = [fetch(*download) for download in downloads]
    convert, *arguments = conversion.split()
    try:
        with paths.atomic_write(target) as out:
            getattr(conversions, convert)(out, *arguments, *parts)
            out.flush()
            good, words = look(group, Path(out.name))
            if not good:
                raise ValueError(words)
    except Exception as error:  # a damaged file can raise anything, the disk these
        if isinstance(error, LabError) or getattr(error, "errno", None):
            raise
        discard(*parts)
        raise Lacking(f"not the file: {error}", *(x for *_, x in downloads if x)) from None
    discard(*parts)
    return words


def get(group, name, sources, bad):
    """As look; where the lab's file `name` is not there, `sources` are tried in order, but for the
    hosts and checksums in the set `bad`, to which those that prove to be so are added.
    """
    target = paths.find_real(name) or paths.DATA / name
    good, words = look(group, target)
    if good or not sources:
        return good, words
    if target.exists():
        say(f"{target}: {words}; it stays until a good one has come")
    for conversion, downloads in sources:
        if not any(text in str(downloads) for text in bad):
            try:
                return True, install(group, conversion, downloads, target)
            except Lacking as reason:
                say(f"  {reason.args[0]}")
                bad.update(reason.args[1:])
    return False, "lacking; try again later, or put it into data/ by hand"


def main():
    parser = Parser(__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is there")
    groups = list(dict.fromkeys(group for group, _ in FILES))
    parser.add_argument("--only", action="append", choices=groups,
                        help="what to get, may be repeated (default: everything)")
    parser.add_argument("--mirror", metavar="URL",
                        help="a server with the files under the lab's names, asked first")
    arguments = parser.parse_args()
    mirror = arguments.mirror
    if mirror is not None and not re.fullmatch(r"(?a)https?://[\w.:/~%@+=,-]+", mirror):
        raise LabError(f"--mirror {mirror}: not an address; give one with http://")
    bad, found = set(), {}
    with nullcontext() if arguments.check else open(paths.DATA / ".download.lock", "ab") as lock:
        if lock:  # two runs at once would spoil each other's *.part files
            paths.lock(lock)
        for (group, name), sources in FILES.items():
            if mirror:
                sources = [("copy", [(f"{mirror.rstrip('/')}/{name}", 500_000_000, "")]), *sources]
            if group in (arguments.only or groups):
                found[name] = get(group, name, [] if arguments.check else sources, bad)
    print(*(f"{name}: {words}" for name, (_, words) in found.items()), sep="\n")
    sys.exit(0 if all(good for good, _ in found.values()) else 1)


if __name__ == "__main__":
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs each try
    run_script(main)
