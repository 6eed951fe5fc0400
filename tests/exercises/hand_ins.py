"""Find the lab's scripts in submissions, in the form in which learning platforms deliver them."""
import itertools
import os
import re
import stat
import zipfile
from pathlib import Path

from exercises import EXERCISES

SCRIPTS = sorted(set(EXERCISES.values()))
# Also anna_12_train_feature_extraction.py, train_feature_extraction (1).py
NAME = re.compile(rf"(?i)(?:^|[ _-])({'|'.join(name[:-3] for name in SCRIPTS)})(?:[ _(-].*)?\.py\Z")
SKIPPED = ".csv", ".htm", ".html", ".md", ".pdf", ".txt"  # what lies beside submissions
DEPTH, MOST, LARGEST = 4, 10_000, 1_000_000  # folders, files, bytes of a script


def is_skipped(source):
    """Whether the file `source` is no submission, such as a readme.txt or .DS_Store."""
    return Path(source).is_file() and (
        Path(source).name.startswith(".") or Path(source).suffix.lower() in SKIPPED)


def open_file(path):
    """Open an ordinary file; a link could lead anywhere, and a pipe never ends."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise ValueError("it is a link, a pipe or a device")
    return open(path, "rb")


def list_zip(path):
    """Yield (path, function that opens it) of the files in a .zip file; nothing is unpacked."""
    with open_file(path) as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            name = member.filename.replace("\\", "/").lstrip("/")  # Windows may write backslashes
            if not re.search(r"(^|/)\.\w", name):  # such as .venv/, with thousands of files
                yield path / name, lambda m=member: archive.open(m)


def list_files(source):
    """Yield (path, function that opens it) of the files in a folder or .zip file, or of a file."""
    if source.suffix.lower() == ".zip" and not source.is_dir():
        yield from list_zip(source)
    elif source.suffix.lower() == ".py":
        yield source, lambda: open_file(source)
    elif not source.is_dir():
        raise ValueError(f"{source.name} is neither a folder nor a .zip file; unpack it")
    for base, folders, names in os.walk(source):
        deep = len(Path(base).relative_to(source).parts) >= DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if name[0] != ".")
        for path in sorted((Path(base, name) for name in names),
                           key=lambda path: (path.suffix.lower() == ".zip", path)):
            if path.suffix.lower() == ".zip":
                yield from list_zip(path)
            else:
                yield path, lambda path=path: open_file(path)


def collect(source, folder):
    """Copy the lab's scripts from the submission `source` into the new `folder`.

    Returns {script: its copy, or (word, sentence): why there is none}. Names of files in
    `source` are never written to, and no more than LARGEST bytes of a file are read.
    """
    found, problem = {script: [] for script in SCRIPTS}, ""
    try:
        for path, opened in itertools.islice(list_files(Path(source)), MOST):
            match = NAME.search(path.name)
            script, content = match and f"{match[1].lower()}.py", b""
            if not match or path.name.startswith(".") or len(found[script]) >= 20:
                continue
            try:
                with opened() as file:
                    content = file.read(LARGEST + 1)
                wrong = "it is larger than 1 MB" if len(content) > LARGEST else ""
            except Exception as error:  # an archive may be damaged in any way
                wrong = str(error) or type(error).__name__
            rank = path.name != script, len(path.parts)
            shown = path.name if path == Path(source) else str(path.relative_to(source))
            found[script].append((rank, shown, content, wrong))
    except Exception as error:
        problem = f": {error}"
    folder.mkdir()
    return {script: choose(script, files, folder / script, problem)
            for script, files in found.items()}


def choose(script, files, copy, problem):
    """Write the best of `files` to `copy`, and return it; or (word, sentence) if there is none."""
    best = [file for file in files if file[0] == min(files)[0]]
    if not best:
        return "absent", f"{script} was not found{problem}."
    (_, path, content, wrong), *_ = best
    if len({file[2:] for file in best}) > 1:
        return "double", f"Keep only one {script}; found: {', '.join(f[1] for f in best)}."
    if wrong:
        return "absent", f"{path} cannot be read: {wrong}."
    copy.write_bytes(content)
    return copy
