"""One exercise of one script, checked in a separate process.

    echo TOKEN | python -m exercises.judge NAME SCRIPT SECONDS

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
from exercises import EXERCISES, GIVEN, Wrong, expect, first_reason
from exercises.confine import confine
from exercises.graphs import AlexNet

MODULES = {name: importlib.import_module(f"exercises.{name}") for name in EXERCISES}
HELPERS = ast.FunctionDef, ast.Import, ast.ImportFrom


class Answer:
    """The code of one exercise in a script, run with the reference solutions of the others."""

    def __init__(self, name, script, source):
        """source: the text of the file `script`; its imports, constants and functions are run."""
        self.name, self.script, marked, lines = name, script, list(PLACE.finditer(source)), []
        blanks = {}  # {number of the place: line}
        for other, file in EXERCISES.items():
            here, count = [match[1] for match in marked].count(other), len(MODULES[other].LINES)
            expect(file != script or here == count,
                   f"{script} has {here} parts from `# Exercise {other}` to `# End of {other}`, "
                   f"not {count}: put the exercise markers back around your code.", "broken")
        for match in marked:
            start, end = match.span(2)
            if match[1] != name:  # blank, or an error there would be reported here
                source = source[:start] + re.sub(".", " ", match[2]) + source[end:]
                continue
            expect(GIVEN not in match[0].partition("\n")[0], "This solution was already in the "
                   "hand-out.", "given")
            first = source.count("\n", 0, start) + 1
            blank = EMPTY.search(match[2])
            if blank or not re.search(r"^\s*[^\s#]", match[2], re.MULTILINE):
                before = match[2][:blank.start()] if blank else ""
                blanks[len(lines)] = first + before.count("\n")
            lines.append(range(first, first + match[2].count("\n")))
        if blanks:
            report_blanks(blanks, MODULES[name].NAMES)
        tree = ast.parse(source, script)
        self.places = [find_statements(tree, numbers) for numbers in lines]
        self.scope = {"__name__": "answer", "__file__": script}
        exec(compile(tree, script, "exec"), self.scope)
        self.scope["AlexNet"] = AlexNet  # the small one

    def run(self, name, place=0, /, **given):
        """What the code in a place of the exercise `name` defines, as a dict, or what it returns.

        given: the names that are defined before the code in the script
        """
        own, module = name == self.name, MODULES[name]
        scope = self.scope if own else {"tf": tf, "AlexNet": AlexNet}
        # The loop is for code that ends one: accuracy, 3 of 3, is in a loop.
        tree = ast.parse(f"def run({', '.join(given)}):\n for _ in 'x': pass\n return locals()")
        tree.body[0].body[0].body = (
            self.places[place] if own else ast.parse(module.LINES[place].strip()).body)
        exec(compile(tree, self.script if own else "the lab", "exec"), scope, made := {})
        found = made["run"](**given)
        for defined in module.NAMES[place] if isinstance(found, dict) else ():
            expect(defined in found,
                   f"Your code does not define `{defined}`, which the code after it needs.")
        return found


def report_blanks(blanks, names):
    """Raise Wrong for the places that are not written. blanks: {number of the place: line}"""
    written = f"{len(names) - len(blanks)} of {len(names)} parts are written"
    lines = " and ".join(f"line {line}" for line in blanks.values())
    defined = ", ".join(name for place in blanks for name in names[place])
    raise Wrong(f"{'This exercise is not done' if len(blanks) == len(names) else written}: there "
                f"is `...` or nothing in {lines}. Your code must "
                f"{f'define {defined}' if defined else 'return a function'}.",
                "empty" if len(blanks) == len(names) else "partly")


def find_statements(tree, lines):
    """The statements in the range `lines`, preceded by helpers defined above in their function."""
    function = next((part for part in tree.body
                     if part.lineno < lines.start <= part.end_lineno), tree)
    nodes = list(ast.walk(function))  # from the outermost to the innermost
    helpers = [node for node in nodes[1:]
               if isinstance(node, HELPERS) and node.lineno < lines.start]
    found = ([part for part in block if isinstance(part, ast.stmt) and part.lineno in lines]
             for node in nodes for _, block in ast.iter_fields(node) if isinstance(block, list))
    return helpers + next(filter(None, found), [])


def explain(error, hints, script):
    """Wrong, for an exception that a solution in `script` raised."""
    kind, place, reason = type(error).__name__, "in the code that uses it", "nothing"
    if isinstance(error, SyntaxError):
        return Wrong(f"Syntax error in {script}, line {error.lineno or 1}: {error.msg}.",
                     "broken")
    with contextlib.suppress(BaseException):  # an exception of the student's may be unprintable
        reason = first_reason(error)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == script:
            place = f"at line {frame.lineno} of {script}"
    hint = next((hint for pattern, hint in hints.items()
                 if re.search(pattern, f"{kind}: {reason}")), "")
    if type(error) is NameError:
        hint = "(The check runs only your code between the exercise markers, with the reference " \
               "solution for the other exercises.)"
    return Wrong(f"Your code raises {kind} {place}: {reason}. {hint}", "error")


def judge(name, path):
    """Check the exercise in the script `path`; returns a remark, perhaps "". Raises Wrong."""
    expect(path.is_file(), f"{path.name} is missing, or not an ordinary file.", "absent")
    try:
        with tokenize.open(path) as file:  # in the encoding that its first lines declare
            source = file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise Wrong(f"{path.name} cannot be read as text: {error}.", "broken") from error
    np.random.seed(0)  # the same verdict for the same code
    with tf.Graph().as_default():
        tf.set_random_seed(0)
        try:
            return MODULES[name].check(Answer(name, path.name, source))
        except Wrong:
            raise
        except BaseException as error:  # a student's code may raise anything
            raise explain(error, MODULES[name].HINTS, path.name) from error


def main():
    token, (_, name, path, seconds) = sys.stdin.read(), sys.argv
    output, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.dont_write_bytecode, sys.argv = True, [""]
    confine(os.getcwd(), int(seconds))
    paths.LAB = Path.cwd()
    paths.DATA = paths.make_folder(paths.LAB / "data")
    try:
        word, sentence = "pass", judge(name, Path(path))
    except Wrong as wrong:
        word, sentence = wrong.word, str(wrong)
    os.write(output, f"{token}{word} {sentence}".encode(errors="backslashreplace"))
    os._exit(0)  # no code of a student runs after the verdict


if __name__ == "__main__":
    main()
