"""Where the lab's files are, how they are written, and how errors reach the user."""
import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path

from data.exercises import unfinished

LAB = Path(__file__).resolve().parent.parent
DATA = LAB / "data"


class LabError(Exception):
    """Bad input; the message is one line: the file, what is wrong, the cure."""


class Parser(argparse.ArgumentParser):
    """An argument parser that shows its description as written and fails in one line."""

    def __init__(self, description):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message):
        raise LabError(f"{message}; see --help")


def at_least(low):
    """An argument type: whole numbers from `low` on."""

    def whole_number(text):
        if not text.lstrip("+").isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} on")
        return int(text)

    return whole_number


def positive(text):
    """An argument type: finite numbers above zero."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def run_script(main):
    """Call `main`; bad input ends in one line on stderr and exit status 2, no traceback.

    So does an exercise whose lines are still to be written.
    """
    script = Path(sys.argv[0]).name
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe (`| head`) left: keep Python from flushing into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (LabError, OSError) as error:
        print(f"{script}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"\n{script}: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception:
        exercises = unfinished(Path(sys.argv[0]))
        if not exercises:
            raise
        print(f"{script}: `...` is still in the exercise {exercises[0]}; write its lines, then "
              f"ask: python tests/check.py {exercises[0]}", file=sys.stderr)
        sys.exit(2)


def find_real(name):
    """The path of the real file `name`, beside the scripts or in data/, or None."""
    return next((folder / name for folder in (LAB, DATA) if (folder / name).exists()), None)


def find(name):
    """The path of the lab's file `name`; where it is absent, of its stand-in.

    A stand-in is made once, into data/standin/; that one is used is said on stderr.
    """
    from data.standin import find_standin  # drawing and scipy only when they are needed

    return find_real(name) or find_standin(name)


def need_room(folder, needed, purpose, cure):
    """Raise LabError when the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise LabError(f"{folder}: {needed / 1e6:,.0f} MB are needed {purpose} and "
                       f"{free / 1e6:,.0f} MB are free; {cure}")


@contextlib.contextmanager
def atomic_write(path):
    """Yield a binary file that becomes `path` when the block ends without an exception.

    The file is a temporary one in the same folder until then, so that `path` is always
    either what it was or complete.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
