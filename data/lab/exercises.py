"""The exercises' marks in the scripts: `# Exercise NAME` to `# End of NAME`."""
import ast
import re
import sys
from pathlib import Path

from data.lab import command


def read_source(path):
    """The text of the script `path`; some editors put a byte order mark before it."""
    return Path(path).read_text(encoding="utf-8-sig")


def read_exercises(source):
    """[(name, first line, last line)] of the marked places; lines count from 1, marks outside."""
    found, start = [], None
    for number, line in enumerate(source.splitlines(), 1):
        if re.match(r"\s*# Exercise \w+", line):
            start = number
        elif (match := re.match(r"\s*# End of (\w+)", line)) and start:
            found.append((match[1], start + 1, number - 1))
            start = None
    return found


def unfinished(source):
    """The names of the exercises in `source` that still have `...` for an answer."""
    dots = [
        node.lineno for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Expr, ast.Assign))
        and isinstance(node.value, ast.Constant) and node.value.value is Ellipsis
    ]
    places = read_exercises(source)
    names = [name for name, first, last in places if any(first <= dot <= last for dot in dots)]
    return list(dict.fromkeys(names))


def run_script(main):
    """As command.run_script; an exercise that is still to be written is told before the work."""

    def look_first():
        if waiting := unfinished(read_source(sys.argv[0])):
            raise command.LabError(
                f"`...` is still in the exercise {waiting[0]}; write its lines, then ask: "
                f"python tests/check.py {waiting[0]}")
        main()

    command.run_script(look_first)
