"""The exercises: where they are in the scripts, and how each is checked.

Each module here that is named after an exercise has:
    NAMES: the names that a solution defines for the code after it, for each place in the script
    LINES: the reference solution, as it is between the exercise markers, for each place
    HINTS: {regular expression: sentence}, for errors whose own messages do not help
    check(answer): runs the code of a judge.Answer; raises Wrong, or returns a remark, perhaps ""
judge.py checks one exercise in a separate process, which confine.py limits; graphs.py has what
the checks share; hand_ins.py finds the scripts in submissions.
"""
import re

TRAINING = "train_feature_extraction.py"
EXERCISES = {"resize": "traffic_sign_inference.py", **dict.fromkeys(
    ("freeze", "fc8", "optimiser", "accuracy", "caching"), TRAINING)}
GIVEN = " (given)"  # at the end of an exercise's first marker: the hand-out contains its solution


class Wrong(Exception):
    """A solution is wrong; the message explains what and why it matters, `word` is for a table."""

    def __init__(self, message, word="wrong"):
        super().__init__(" ".join(message.split()))
        self.word = word


def expect(condition, message, word="wrong"):
    if not condition:
        raise Wrong(message, word)


def first_reason(error):
    """The message of an exception, in one line, without TensorFlow's trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["nothing"]
    nodes = [i for i, line in enumerate(lines[:-1]) if line.startswith("Node:")]
    line = re.sub(" at 0x[0-9a-f]+", "", lines[nodes[-1] + 1 if nodes else 0])
    return line[:200].rstrip(".")
