"""Where the lab's files are, and how they are written.

LAB and DATA are used as paths.LAB and paths.DATA, so that a test moves them in one place.
"""
import contextlib
import errno
import glob
import itertools
import os
import secrets
import shutil
import time
from pathlib import Path

from data.lab.command import LabError

LAB = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LAB_DATA") or LAB / "data")  # where results go
DAY = 24 * 60 * 60  # seconds


def find_real(name):
    """Return the path of the file `name`, next to the scripts or in data/, or None."""
    folders = LAB, DATA, LAB / "data"
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def in_lab(path):
    """Return `path` relative to the lab's folder, if it is inside, to print it."""
    return path.relative_to(LAB) if path.is_relative_to(LAB) else path


def make_folder(folder, exist_ok=True):
    """Make `folder` if it is missing; return it. Raises LabError if that fails.

    exist_ok: whether it may be there already, else that is a FileExistsError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:  # such as a link to a disk that is not mounted
        if not exist_ok and isinstance(error, FileExistsError):
            raise
        raise LabError(f"{folder}: cannot create this folder ({error.strerror}); set LAB_DATA "
                       "to a folder that you can write to") from None
    return folder


def new_run():
    """Make a new folder in data/runs/, named by the time."""
    name = time.strftime("%Y%m%d-%H%M%S")
    runs = make_folder(DATA / "runs")
    for suffix in itertools.chain([""], (f"-{i}" for i in itertools.count(2))):
        with contextlib.suppress(FileExistsError):  # another run's, of the same second
            return make_folder(runs / (name + suffix), exist_ok=False)


def need_room(folder, needed, purpose, fix):
    """Raise LabError if the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise LabError(f"{folder}: not enough disk space {purpose}: {needed / 1e6:,.0f} MB needed, "
                       f"{free / 1e6:,.0f} MB free; {fix}")


@contextlib.contextmanager
def report_full_disk(path):
    """Turn the error of a full disk, which names no file, into a LabError about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise LabError(f"{path}: the disk is full; free some space") from None


@contextlib.contextmanager
def atomic_write(path):
    """Yield a binary file that becomes `path` when the block ends without an exception.

    Until then it is a temporary file in the same folder, so that `path` is always either what
    it was or complete. Deletes temporary files that killed processes left there more than a day
    ago. Raises LabError if the disk is full, or if `path` is a device or another special file.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    if path.exists() and not path.is_file():
        raise LabError(f"{path}: exists but is not a regular file; delete or rename it")
    make_folder(path.parent)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > DAY:
                left.unlink()
    with open(path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp"), "xb") as file:
        try:
            with report_full_disk(path):
                yield file
                file.flush()
                os.fsync(file.fileno())
                file.close()  # Windows renames closed files only
                os.replace(file.name, path)
        finally:
            file.close()
            Path(file.name).unlink(missing_ok=True)
