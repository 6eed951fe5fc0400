"""One exercise of one script, checked in a process of its own.

    echo TOKEN | python -m exercises.judge NAME SCRIPT

prints TOKEN, a word for the table, and a sentence; nothing that the script prints gets there.
"""
import contextlib
import importlib
import io
import os
import re
import sys
import tempfile
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from unittest import mock

import numpy as np

from data.lab import paths
from data.lab.exercises import EMPTY
from data.lab.tf1 import tf
from exercises import EXERCISES, Wrong, expect, find_places, first_reason, replace

MODULES = {name: importlib.import_module(f"exercises.{name}") for name in EXERCISES}
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
             "os.spawn", "os.kill", "os.startfile", "pty.")
OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
WRITING = ("os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
           "os.symlink", "os.truncate", "os.utime", "shutil.rmtree")


def explain(error, exercise, path, numbers):
    """Wrong, for an exception that the script `path` raised."""
    kind, place, reason = type(error).__name__, "the lines that use yours", "nothing"
    if isinstance(error, SyntaxError):
        number = numbers[min(error.lineno or 1, len(numbers)) - 1]
        return Wrong(f"Python cannot read {path.name}, line {number}: {error.msg}.", "broken")
    with contextlib.suppress(BaseException):  # an exception of the student's may be unprintable
        reason = first_reason(error)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path) and (number := numbers[frame.lineno - 1]):
            place = f"line {number} of {path.name}"
    hint = next((hint for pattern, hint in exercise.HINTS.items()
                 if re.search(pattern, f"{kind}: {reason}")), "")
    if isinstance(error, NameError):
        if error.name in exercise.NAMES:
            return Wrong(f"`{error.name}` is not defined by your lines; those after them use it.")
        hint = "(In this check the other exercises have the lab's own lines.)"
    return Wrong(f"{hint} Your lines do not run: {kind} at {place}. Python says: {reason}.",
                 "error")


def run(name, source, own=True):
    """Check the exercise in `source`, alone: all others get the lab's own lines.

    With own=False, this one too: then whatever is wrong stands outside the marks.
    Returns a remark, perhaps ""; raises Wrong.
    """
    script, exercise = EXERCISES[name][0], MODULES[name]
    text, numbers = replace(source, script, {
        other: module.LINES for other, module in MODULES.items() if other != name or not own})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, \
            contextlib.redirect_stdout(io.StringIO()), tf.Graph().as_default():
        path, data = Path(folder) / script, Path(folder) / "data"
        path.write_text(text, encoding="utf-8")
        data.mkdir()
        np.random.seed(0)  # the same verdict for the same lines
        tf.set_random_seed(0)
        with mock.patch.multiple(paths, LAB=path.parent, DATA=data), \
                mock.patch.object(sys, "argv", [str(path)]):
            try:
                spec = spec_from_file_location("answer", path)
                answer = module_from_spec(spec)
                spec.loader.exec_module(answer)
                return exercise.check(answer)
            except Wrong:
                raise
            except BaseException as error:  # whatever a student's lines may raise
                raise explain(error, exercise, path, numbers) from error


def judge(name, path):
    """As `run`, for the script `path`; tells faults outside the marks from those inside."""
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"{path} cannot be read as UTF-8 text: {error}.",
                    "broken" if path.is_file() else "absent") from error
    for other, text, first, _ in find_places(source, path.name):
        written = re.search(r"^\s*[^\s#]", text, re.MULTILINE) and not EMPTY.search(text)
        expect(written or other != name, "Your lines are still to be written: there is `...`, or "
               f"nothing, in line {first + 1}. They define {', '.join(MODULES[name].NAMES)}.",
               "empty")
    try:
        return run(name, source)
    except Wrong:
        try:
            run(name, source, own=False)
        except Wrong as wrong:
            raise Wrong("Something outside the marks has changed: with the lab's own lines "
                        f"between them, the check says this too. {wrong}", "broken") from wrong
        raise


def confine(folder):
    """Let Python write in `folder` alone, start no program and open no connection."""
    folder = os.path.realpath(folder) + os.sep

    def look(event, arguments):
        wrong = event.startswith(FORBIDDEN)
        if event in WRITING or event == "open" and arguments[2] & OPEN_TO_WRITE:
            names = arguments[:1 + (event in ("os.rename", "os.link", "os.symlink"))]
            wrong = not all(isinstance(name, int) or (os.path.realpath(os.fsdecode(name)) + os.sep)
                            .startswith(folder) for name in names)
        if wrong:
            raise PermissionError(f"what a check runs may not do this: {event}")

    sys.addaudithook(look)


def main():
    token, name, path = sys.stdin.read(), sys.argv[1], Path(sys.argv[2])
    output, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.dont_write_bytecode = True
    confine(os.getcwd())
    try:
        word, sentence = "pass", judge(name, path)
    except Wrong as wrong:
        word, sentence = wrong.word, str(wrong)
    os.write(output, f"{token}{word} {sentence}".encode(errors="backslashreplace"))
    os._exit(0)  # nothing of an answer's runs after its verdict


if __name__ == "__main__":
    main()
