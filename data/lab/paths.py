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
import sys
import time
from pathlib import Path

from data.lab.command import LabError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

LAB = Path(__file__).resolve().parents[2]
DATA = LAB / "data"


def find_real(name):
    """The path of the real file `name`, beside the scripts or in data/, or None."""
    return next((folder / name for folder in (LAB, DATA) if (folder / name).exists()), None)


def shown(path):
    """`path` as it is printed: from the lab's folder on."""
    return Path(path).relative_to(LAB)


def new_run():
    """A new folder in data/runs/, named by the time."""
    name = time.strftime("%Y%m%d-%H%M%S")
    for suffix in itertools.chain([""], (f"-{i}" for i in itertools.count(2))):
        with contextlib.suppress(FileExistsError):  # another run's, of the same second
            (DATA / "runs" / (name + suffix)).mkdir(parents=True)
            return DATA / "runs" / (name + suffix)


def need_room(folder, needed, purpose, cure):
    """Raise LabError when the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise LabError(f"{folder}: {needed / 1e6:,.0f} MB are needed {purpose} and "
                       f"{free / 1e6:,.0f} MB are free; {cure}")


@contextlib.contextmanager
def full_disk_is_told(path):
    """Turn the error of a full disk, which names no file, into a LabError about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise LabError(f"{path}: the disk is full; free some space") from None


def try_lock(file, shared=False):
    """Whether `file` is now locked, until it is closed or this process ends.

    It is this process's alone then; with `shared`, no other process has it alone. None on a
    file system without locks, where nobody can know.
    """
    try:
        if fcntl:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        elif not shared:
            file.seek(1 << 40)  # one byte is locked, far behind the content
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def lock(file, shared=False):
    """Lock `file` as try_lock does; wait where another run has it."""
    if try_lock(file, shared) is False:
        print(f"{shown(file.name)}: another run is at work on it; waiting", file=sys.stderr)
        while try_lock(file, shared) is False:
            time.sleep(0.1)


def open_temporary(path):
    """A new locked file beside `path`; what killed processes left there is deleted."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            with open(left, "r+b") as file:
                dead = try_lock(file)
            if dead:
                left.unlink()
    while True:
        file = open(path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp"), "xb")
        if try_lock(file) is not False and os.path.exists(file.name):
            return file
        file.close()  # another process took it for a dead one's


@contextlib.contextmanager
def atomic_write(path):
    """Yield a binary file that becomes `path` when the block ends without an exception.

    The file is a temporary one in the same folder until then, so that `path` is always
    either what it was or complete. Raises LabError where the disk is full, or `path` is a
    device or another special file.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    if path.exists() and not path.is_file():
        raise LabError(f"{path}: is not an ordinary file; choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open_temporary(path)
    try:
        with full_disk_is_told(path), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not fcntl:
                file.close()  # Windows renames closed files only
            os.replace(file.name, path)
    finally:
        Path(file.name).unlink(missing_ok=True)
