"""The exercises: where they stand in the scripts, and the lines of their answers.

Each module here that bears the name of one has:
    NAMES: what its lines define for those after them, for each place in the script
    LINES: the lab's own lines, as they stand between the marks, for each place
    HINTS: {regular expression: sentence}, for errors whose own words do not help
    check(answer): runs the lines of a judge.Answer; raises Wrong, or returns a remark, perhaps ""
judge.py checks one exercise in a process of its own, graphs.py has what the checks share.
"""
import re

TRAINING = "train_feature_extraction.py"
EXERCISES = {"resize": "traffic_sign_inference.py", **dict.fromkeys(
    ("freeze", "fc8", "optimiser", "accuracy", "caching"), TRAINING)}


class Wrong(Exception):
    """An answer is wrong; the message says what and why it matters, `word` is for a table."""

    def __init__(self, message, word="wrong"):
        super().__init__(" ".join(message.split()))
        self.word = word


def expect(condition, message, word="wrong"):
    if not condition:
        raise Wrong(message, word)


def first_reason(error):
    """What an exception says, in one line, without TensorFlow's trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["nothing"]
    nodes = [i for i, line in enumerate(lines[:-1]) if line.startswith("Node:")]
    line = re.sub(" at 0x[0-9a-f]+", "", lines[nodes[-1] + 1 if nodes else 0])
    return line[:200].rstrip(".")
