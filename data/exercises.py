"""The exercises' marks in the scripts: `# Exercise NAME` to `# End of NAME`."""
import ast
import re


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


def unfinished(path):
    """The names of the exercises in the script `path` that still have `...` for an answer."""
    source = path.read_text(encoding="utf-8")
    dots = [
        node.lineno for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Expr, ast.Assign))
        and isinstance(node.value, ast.Constant) and node.value.value is Ellipsis
    ]
    places = read_exercises(source)
    names = [name for name, first, last in places if any(first <= dot <= last for dot in dots)]
    return list(dict.fromkeys(names))
