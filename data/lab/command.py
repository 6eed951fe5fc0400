"""What every command of the lab shares: its arguments, its messages, and its errors."""
import argparse
import contextlib
import os
import re
import sys
import tokenize
from pathlib import Path

# The lines between the markers of an exercise, and those that a student has not written yet.
PLACE = re.compile(r"^[ \t]*# Exercise (\w+).*\n((?:(?![ \t]*# Exercise ).*\n)*?)"
                   r"[ \t]*# End of \1\b", re.MULTILINE)
EMPTY = re.compile(r"^[ \t]*(?:\w+ = )?\.\.\. *(?:#.*)?$", re.MULTILINE)


class LabError(Exception):
    """Bad input; the message is one line: the file, what is wrong, and the fix."""


def printable(text):
    """Return `text` with escape codes and line ends spelled out: it cannot forge output."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
    )


def say(text, end="\n"):
    """Print to stderr; the work continues if stderr is closed or its disk is full."""
    if sys.stderr:
        with contextlib.suppress(OSError):
            print(text, end=end, file=sys.stderr, flush=True)


@contextlib.contextmanager
def about(file, fix="give an ordinary PNG, JPEG, BMP, GIF, WebP, PPM or TIFF"):
    """Turn every error of the block into a LabError about `file`, which the block reads.

    fix: what the user should do, as an order. Special files, such as pipes, are not read.
    """
    if not Path(file).is_file():
        wrong = "is not a file" if os.path.lexists(file) else "does not exist"
        raise LabError(f"{file}: {wrong}; check the path, or {fix}")
    try:
        yield
    except LabError as error:
        raise LabError(f"{file}: {error}; {fix}") from None
    except Exception as error:  # a damaged file can raise anything
        if getattr(error, "errno", None):  # of the operating system
            wrong, fix = f"cannot be read ({error.strerror})", "check the file permissions"
        else:
            wrong = f"is truncated, damaged or in the wrong format ({type(error).__name__})"
        raise LabError(f"{file}: {wrong}; {fix}") from None


class Parser(argparse.ArgumentParser):
    """An argument parser that shows its description as written and fails in one line."""

    def __init__(self, description):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message):
        raise LabError(f"{message}; see --help")


def path(text):
    """An argument type: a path. Refuses "", which an unset shell variable gives."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path, or omit the argument")
    return text


def new_folder(text):
    """An argument type: a path where nothing exists yet, or only an empty folder."""
    folder = Path(path(text))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise argparse.ArgumentTypeError(f"{text} already exists; give a new or empty folder")
    return folder


def at_least(low, high=2**31 - 1):
    """An argument type: integers from `low` to `high`."""

    def integer(text):
        if not text.lstrip("+").isdecimal() or not low <= int(text[:20]) <= high:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} is not an integer from {low} to {high}")
        return int(text)

    return integer


def positive(text):
    """An argument type: numbers above zero."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 1e38:  # as float32 can hold
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number above 0 and below 1e38")
    return number


def parse_settings(description, settings):
    """Return the user's settings from the command line.

    settings: (name, kind, default, help) each; a name with dashes is a flag, one without is a
    list of arguments. kind: an argument type, or bool for a switch. Raises LabError if an
    exercise of the script that these settings need is not done.
    """
    parser = Parser(description)
    for name, kind, default, text in settings:
        if kind is bool:
            parser.add_argument(name, action="store_true", help=text)
            continue
        text += f" (default: {default})" if default is not None else ""
        many = {} if name.startswith("-") else {"nargs": "*"}
        parser.add_argument(name, type=kind, default=default, help=text, **many)
    args = parser.parse_args()
    check_exercises(sys.argv[0], args)
    return args


def check_exercises(script, args):
    """Raise LabError if an exercise in the file `script` that `args` need still holds `...`."""
    try:
        with tokenize.open(script) as file:  # in the encoding that its first lines declare
            source = file.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return  # not a script of the lab
    for name, lines in PLACE.findall(source):
        way = "; or train with --no-cache" if name == "caching" else ""
        if EMPTY.search(lines) and not (way and args.no_cache):
            raise LabError(f"exercise {name} is not done: replace `...` with your code, then run: "
                           f"python tests/check.py {name}{way}")


def run_script(main):
    """Call `main`; bad input ends in one line on stderr and exit status 2, no traceback."""

    def end(message, status):
        message = printable(" ".join(message.splitlines()))
        if len(message) > 400:  # the path stands at its beginning, the fix at its end
            message = f"{message[:250]} ... {message[-145:]}"
        say(f"{Path(sys.argv[0]).name}: {message}")
        sys.exit(status)

    if hasattr(sys.stdout, "reconfigure"):  # else it is IDLE's, or closed
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main()
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe (`| head`) left: keep Python from flushing into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (LabError, OSError) as error:
        end(str(error), 2)
    except KeyboardInterrupt:
        say("")
        end("interrupted", 130)
