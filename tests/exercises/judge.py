"""One exercise of one script, checked in a process of its own.

    echo TOKEN | python -m exercises.judge NAME SCRIPT

prints TOKEN, a word for the table, and a sentence; nothing that the script prints gets there.
"""
import ast
import contextlib
import importlib
import os
import re
import sys
import tokenize
import traceback
from pathlib import Path

import numpy as np

from data.lab import paths
from data.lab.command import EMPTY, PLACE
from data.lab.tf1 import tf
from exercises import EXERCISES, Wrong, expect, first_reason
from exercises.graphs import AlexNet

MODULES = {name: importlib.import_module(f"exercises.{name}") for name in EXERCISES}
HELPERS = ast.FunctionDef, ast.Import, ast.ImportFrom
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
             "os.spawn", "os.kill", "os.startfile", "pty.")
OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
WRITING = ("os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
           "os.symlink", "os.truncate", "os.utime", "shutil.rmtree")


class Answer:
    """The lines of one exercise in a script, to be run with the lab's own lines for the others."""

    def __init__(self, name, script, source):
        """source: the text of the file `script`; its imports, constants and functions are run."""
        self.name, self.script, marked, lines = name, script, list(PLACE.finditer(source)), []
        for other, file in EXERCISES.items():
            here, count = [match[1] for match in marked].count(other), len(MODULES[other].LINES)
            expect(file != script or here == count,
                   f"{script} has {here} places from `# Exercise {other}` to `# End of {other}`, "
                   f"not {count}: put the marks back around the lines.", "broken")
        for match in marked:
            start, end = match.span(2)
            if match[1] != name:  # blank, or what is wrong there would be told here
                source = source[:start] + re.sub(".", " ", match[2]) + source[end:]
                continue
            first = source.count("\n", 0, start) + 1
            names = ", ".join(MODULES[name].NAMES[len(lines)]) or "the function that is returned"
            expect(re.search(r"^\s*[^\s#]", match[2], re.MULTILINE) and not EMPTY.search(match[2]),
                   "Your lines are still to be written: there is `...`, or nothing, in line "
                   f"{first}. They define {names}.", "empty")
            lines.append(range(first, first + match[2].count("\n")))
        tree = ast.parse(source, script)
        self.places = [find_statements(tree, numbers) for numbers in lines]
        self.scope = {"__name__": "answer", "__file__": script}
        exec(compile(tree, script, "exec"), self.scope)
        self.scope["AlexNet"] = AlexNet  # the small one

    def run(self, name, place=0, /, **given):
        """What the lines in a place of the exercise `name` define, as a dict, or what they return.

        given: the names that stand before the lines in the script
        """
        own, module = name == self.name, MODULES[name]
        scope = self.scope if own else {"tf": tf, "AlexNet": AlexNet}
        # The loop is for lines that end one: those of accuracy, 3 of 3, stand in a loop.
        tree = ast.parse(f"def run({', '.join(given)}):\n for _ in 'x': pass\n return locals()")
        tree.body[0].body[0].body = (
            self.places[place] if own else ast.parse(module.LINES[place].strip()).body)
        exec(compile(tree, self.script if own else "the lab", "exec"), scope, made := {})
        found = made["run"](**given)
        for defined in module.NAMES[place] if isinstance(found, dict) else ():
            expect(defined in found,
                   f"`{defined}` is not defined by your lines; those after them use it.")
        return found


def find_statements(tree, lines):
    """The statements in the range `lines`, and before them the helpers above in their function."""
    function = next((part for part in tree.body
                     if part.lineno < lines.start <= part.end_lineno), tree)
    nodes = list(ast.walk(function))  # from the outermost to the innermost
    helpers = [node for node in nodes[1:]
               if isinstance(node, HELPERS) and node.lineno < lines.start]
    found = ([part for part in block if isinstance(part, ast.stmt) and part.lineno in lines]
             for node in nodes for _, block in ast.iter_fields(node) if isinstance(block, list))
    return helpers + next(filter(None, found), [])


def explain(error, hints, script):
    """Wrong, for an exception that an answer in `script` raised."""
    kind, place, reason = type(error).__name__, "in the lines that use it", "nothing"
    if isinstance(error, SyntaxError):
        return Wrong(f"Python cannot read {script}, line {error.lineno or 1}: {error.msg}.",
                     "broken")
    with contextlib.suppress(BaseException):  # an exception of the student's may be unprintable
        reason = first_reason(error)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == script:
            place = f"at line {frame.lineno} of {script}"
    hint = next((hint for pattern, hint in hints.items()
                 if re.search(pattern, f"{kind}: {reason}")), "")
    if type(error) is NameError:
        hint = "(The check runs the lines between the marks alone, and the lab's own lines for " \
               "the other exercises.)"
    return Wrong(f"Your code raises {kind} {place}: {reason}. {hint}", "error")


def judge(name, path):
    """Check the exercise in the script `path`; returns a remark, perhaps "". Raises Wrong."""
    try:
        with tokenize.open(path) as file:  # in the encoding that its first lines declare
            source = file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise Wrong(f"{path} cannot be read as text: {error}.",
                    "broken" if path.is_file() else "absent") from error
    np.random.seed(0)  # the same verdict for the same lines
    with tf.Graph().as_default():
        tf.set_random_seed(0)
        try:
            return MODULES[name].check(Answer(name, path.name, source))
        except Wrong:
            raise
        except BaseException as error:  # whatever a student's lines may raise
            raise explain(error, MODULES[name].HINTS, path.name) from error


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
    token, (_, name, path) = sys.stdin.read(), sys.argv
    output, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.dont_write_bytecode, sys.argv = True, [path]
    confine(os.getcwd())
    paths.LAB = Path.cwd()
    paths.DATA = paths.make_folder(paths.LAB / "data")
    try:
        word, sentence = "pass", judge(name, Path(path))
    except Wrong as wrong:
        word, sentence = wrong.word, str(wrong)
    os.write(output, f"{token}{word} {sentence}".encode(errors="backslashreplace"))
    os._exit(0)  # nothing of an answer's runs after its verdict


if __name__ == "__main__":
    main()
