"""What every command of the lab shares: its arguments, and how errors reach the user."""
import argparse
import os
import sys
from pathlib import Path


class LabError(Exception):
    """Bad input; the message is one line: the file, what is wrong, the cure."""


def printable(text):
    """`text` with escape codes and line ends spelled out, so that it cannot forge output."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
    )


class Parser(argparse.ArgumentParser):
    """An argument parser that shows its description as written and fails in one line."""

    def __init__(self, description):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message):
        raise LabError(f"{message}; see --help")


def path(text):
    """An argument type: the path of a file. A shell variable that is not set gives none."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path, or leave it out")
    return text


def at_least(low):
    """An argument type: whole numbers from `low` on, of at most 31 bits."""

    def whole_number(text):
        if not text.lstrip("+").isdecimal() or not low <= int(text[:20]) < 2**31:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} is not a whole number from {low} to {2**31 - 1}")
        return int(text)

    return whole_number


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
    """The user's settings, from the command line.

    settings: (name, kind, default, help) each; `--name` is its flag, without dashes it is
    a list of arguments. kind: an argument type, or bool for a switch.
    """
    parser = Parser(description)
    for name, kind, default, text in settings:
        if kind is bool:
            parser.add_argument(name, action="store_true", help=text)
            continue
        text += f" (default: {default})" if default is not None else ""
        many = {} if name.startswith("-") else {"nargs": "*"}
        parser.add_argument(name, type=kind, default=default, help=text, **many)
    return parser.parse_args()


def run_script(main):
    """Call `main`; bad input ends in one line on stderr and exit status 2, no traceback."""

    def end(message, status):
        message = printable(" ".join(message.split()))
        if len(message) > 400:  # the path stands at its beginning, the cure at its end
            message = f"{message[:250]} ... {message[-145:]}"
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
        sys.exit(status)

    for name in "stdout", "stderr":
        stream = getattr(sys, name) or open(os.devnull, "w")  # it is None where it was closed
        stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, stream)
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe (`| head`) left: keep Python from flushing into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (LabError, OSError) as error:
        end(str(error), 2)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        end("interrupted", 130)
