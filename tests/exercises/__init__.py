"""The exercises: where they stand in the scripts, and the lines of their answers.

Each module here that bears the name of one has:
    NAMES: what its lines define for those after them
    LINES: the lab's own lines, as they stand between the marks
    HINTS: {regular expression: sentence}, for errors whose own words do not help
    check(script): looks at the script, a module; raises Wrong, or returns a remark, perhaps ""
judge.py checks one exercise in a process of its own, graphs.py has what the checks share.
"""
import re
import textwrap

TRAINING = "train_feature_extraction.py"
EXERCISES = {  # the script, and how many places are marked in it
    "resize": ("traffic_sign_inference.py", 1),
    "freeze": (TRAINING, 1),
    "fc8": (TRAINING, 1),
    "optimiser": (TRAINING, 1),
    "accuracy": (TRAINING, 3),
    "caching": (TRAINING, 1),
}
PLACE = re.compile(r"^[ \t]*# Exercise (\w+).*\n((?:.*\n)*?)[ \t]*# End of \1\b", re.MULTILINE)


class Wrong(Exception):
    """An answer is wrong; the message says what and why it matters, `word` is for a table."""

    def __init__(self, message, word="wrong"):
        super().__init__(" ".join(message.split()))
        self.word = word


def expect(condition, message, word="wrong"):
    if not condition:
        raise Wrong(message, word)


def find_places(source, script):
    """[(exercise, its text, first, last)] of the marked places, which are lines[first:last]."""
    found = [(match[1], match[2], source[:match.start(2)].count("\n"),
              source[:match.end(2)].count("\n")) for match in PLACE.finditer(source)]
    for name, (file, count) in EXERCISES.items():
        here = [place[0] for place in found].count(name)
        expect(file != script or here == count,
               f"{script} has {here} places from `# Exercise {name}` to `# End of {name}`, not "
               f"{count}: put the marks back around the lines.", "broken")
    return found


def replace(source, script, lines):
    """(text, numbers): `source` with other lines in it, {exercise: [those of each place]}.

    numbers: of each line in `source`, counted from 1; 0 for those that are put in
    """
    numbered = list(enumerate(source.split("\n"), 1))
    left = {name: list(texts) for name, texts in lines.items()}
    for name, _, first, last in reversed(find_places(source, script)):
        if name in left:
            indent = re.match(r"\s*", numbered[last][1])[0]  # of the closing mark
            text = textwrap.indent(textwrap.dedent(left[name].pop()).strip("\n"), indent)
            numbered[first:last] = [(0, line) for line in text.split("\n")]
    numbers, text = zip(*numbered)
    return "\n".join(text), numbers


def first_reason(error):
    """What an exception says, in one line, without TensorFlow's trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["nothing"]
    nodes = [i for i, line in enumerate(lines[:-1]) if line.startswith("Node:")]
    line = re.sub(" at 0x[0-9a-f]+", "", lines[nodes[-1] + 1 if nodes else 0])
    return line[:200].rstrip(".")
