"""Check your solutions to the exercises in the scripts.

    python tests/check.py                      all of them
    python tests/check.py resize               one of: resize freeze fc8
                                               optimiser accuracy caching
    python tests/check.py --hand-out FOLDER    for teachers: a student copy
    python tests/check.py --grade FOLDER...    for teachers: a table of
        submissions, which are folders or .zip files; --csv FILE saves it, and
        --feedback FOLDER a text file for each student

Each exercise passes, or the check explains what is wrong and why it matters.
It is checked separately, with the reference solution for the others. The check
runs your code on randomly generated images, so any correct solution passes.
Exit status: 0, 1 if an exercise does not pass, 2 for bad arguments, 3 if the
machine is too busy for a verdict.

The reference solutions are in tests/exercises/ and, in part, in
data/lab/finetuning.py. You may read them: these checks are for learning.
Grading withstands mistakes and pranks, but not malicious code: run submissions
that you do not trust on a separate machine, and read them first.
"""
import argparse
import contextlib
import csv
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import textwrap
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exercises import EXERCISES, GIVEN, hand_ins

LAB = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB))

from data.lab import command, paths  # noqa: E402
from data.lab.command import EMPTY, PLACE, LabError, path, printable  # noqa: E402

LIMIT, WAIT = 60, 600  # for one check: seconds of CPU time, and of waiting for a busy machine
OUTPUT = 10_000  # bytes that are read of what a check writes
WIDTH = 79  # columns of a terminal
RUNNING = set()  # the checks' processes
WORDS = {  # of the table
    "wrong": "runs, but does something else",
    "error": "stops with an error",
    "empty": "is not written",
    "partly": "is not written in all of its places",
    "broken": "cannot be read as Python, or an exercise marker is missing",
    "absent": "is not there: no script, or none that can be read",
    "double": "is there more than once",
    "late": f"used {LIMIT} s of CPU time without finishing",
    "ended": "ended Python itself",
    "given": "was in the hand-out, so it does not count",
    "busy": "could not be checked, because the machine is busy; it does not count",
}
NOT_COUNTED = "given", "busy"
# Without **, or a hand-out in a folder of the lab would be copied into the next one.
FILES = """README.md LICENSE requirements.txt .gitignore .pytest.ini .ruff.toml alexnet.py
    caffe_classes.py imagenet_inference.py traffic_sign_inference.py train_feature_extraction.py
    data/*.py
    data/README.md data/figures/*.png data/lab/*.* data/lab/standin/*.* data/lab/standin/pictures/*
    tests/*.py tests/*.md tests/exercises/*.py"""
SOLVED = rb"(?m)^\s*(import|from) (check|traffic_sign_inference|train_feature_extraction)\b"


def kill(process):
    """End a check, with all processes that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # they have ended
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check(name, script):
    """(word, sentence) of the exercise in the file `script`, from a separate process."""
    token = secrets.token_hex()  # so that a submission cannot print its own verdict
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, \
            tempfile.TemporaryFile() as output:  # a file, which a flood cannot make us keep
        environment = {
            **os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder),
            "PYTHONPATH": f"{LAB}{os.pathsep}{LAB / 'tests'}", "PYTHONHASHSEED": "0",
            "CUDA_VISIBLE_DEVICES": "-1"}  # else each process would take a whole GPU
        process = subprocess.Popen(
            [sys.executable, "-m", "exercises.judge", name, Path(script).absolute(), str(LIMIT)],
            stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=folder, env=environment,
            start_new_session=True)
        RUNNING.add(process)
        try:
            process.communicate(token.encode(), timeout=WAIT)
        except subprocess.TimeoutExpired:
            return "busy", (f"The check did not finish within {WAIT} s, but used less than {LIMIT} "
                            "s of CPU time. The machine is busy; try again. (If this happens each "
                            "time, your code waits for something.)")
        finally:
            kill(process)
            RUNNING.discard(process)
        output.seek(max(output.seek(0, os.SEEK_END) - OUTPUT, 0))
        text = output.read().decode(errors="replace")
    if token in text:
        return tuple(map(printable, text.rpartition(token)[2].split(" ", 1)))
    if process.returncode == -getattr(signal, "SIGXCPU", 24):
        return "late", (f"The check did not finish within {LIMIT} s of CPU time (a correct "
                        "solution takes about 5 s). Is there an endless loop?")
    reason = printable(text.strip().rpartition("\n")[2][-200:]) or "your code ends Python itself"
    return "ended", ("The check ended without a verdict, with status "
                     f"{process.returncode}: {reason}.")


def describe(title, word, sentence):
    """A verdict as lines of text; a pass may have a remark."""
    text = f"pass ({sentence})" if word == "pass" and sentence else sentence or word
    return textwrap.fill(f"{title}: {text}", WIDTH, subsequent_indent="    ")


@contextlib.contextmanager
def run_checks(names, submissions):
    """Yield an iterator: the verdict of each exercise of each submission, in order.

    submissions: {script: file, or the verdict that there is none} each. Where the block ends
    early, as by Ctrl-C, the checks that still run are ended.
    """
    jobs = [(name, scripts[EXERCISES[name]]) for scripts in submissions for name in names]
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 4))
    try:
        yield pool.map(lambda job: check(*job) if isinstance(job[1], Path) else job[1], jobs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(RUNNING):
            kill(process)


def width(text):
    """The columns of a terminal that `text` takes; East Asian characters take two."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
               for c in text)


def fit(text, columns):
    """`text`, cut or padded to `columns` of a terminal."""
    if width(text) > columns:
        while width(text) > columns - 2:
            text = text[:-1]
        text += ".."
    return text + " " * (columns - width(text))


def write_feedback(folder, label, text):
    """Write `text` into a file of `folder` that is named after a submission."""
    name = re.sub(r"[^\w .()-]", "_", label)[:60].strip(". ") or "submission"
    file, number = Path(folder, f"{name}.txt"), 2
    while file.exists():
        file, number = Path(folder, f"{name}-{number}.txt"), number + 1
    with paths.atomic_write(file) as opened:
        opened.write(text.encode())


def grade(names, labels, verdicts, table=None, feedback=None):
    """Print a row for each submission, with a word for each exercise; then what is wrong.

    table: an open file, which gets the rows as CSV; feedback: a folder, which gets a text file
    for each submission. Both are written row by row. Returns whether the machine was too busy.
    """
    widths = [max(len(name), 6) + 1 for name in names]
    first = min(max(map(width, labels)), WIDTH - sum(widths) - len("  6 of 6"))
    writer, wrong, used = csv.writer(table) if table else None, [], set()

    def add_row(label, words, total, plain):
        cells = [word.ljust(size) for word, size in zip(words, widths)]
        print(fit(label, first), "", "".join(cells) + total, flush=True)
        if writer:  # with ', since a spreadsheet would calculate what begins like a formula
            writer.writerow([re.sub("^(?=[=+@-])", "'", label) or "submission", *words, plain])
            table.flush()

    add_row("", names, "total", "total")
    for label in labels:
        found = [next(verdicts) for _ in names]
        words, sentences = [word for word, _ in found], {}
        passed, counted = words.count("pass"), sum(word not in NOT_COUNTED for word in words)
        add_row(label, words, f"{passed} of {counted}", passed)
        if feedback:
            texts = [describe(name, *verdict) + "\n" for name, verdict in zip(names, found)]
            write_feedback(feedback, label, "\n".join(texts))
        for name, verdict in zip(names, found):
            if verdict[0] not in ("pass", *NOT_COUNTED):
                sentences[verdict] = f"{sentences.get(verdict, f'{label},')} {name}"
        wrong += [describe(title, *verdict) for verdict, title in sentences.items()]
        used.update(words)
    print()
    for word in WORDS:
        if word in used:
            print(describe(word, "", f"the exercise {WORDS[word]}"))
    for text in wrong:
        print(f"\n{text}")
    return "busy" in used


def hand_out(names, folder):
    """Write the lab into the new `folder`, with `...` for the solutions of the exercises `names`.

    Tests that need the solutions, and a README's section For teachers, are left out.
    """
    folder, contents, blanks = Path(folder), {}, {}

    def blank(match):
        (start, end), whole, lines = match.span(2), match.string, match[2]
        if match[1] in names:
            indent = re.match(r"\s*", lines)[0].rpartition("\n")[2]
            lines = f"{indent}...\n"
        given = "" if EMPTY.search(lines) else GIVEN
        blanks.update({} if given else {match[1]: None})
        marker, line_end = re.match(r"(.*?)(\s*)\Z", whole[match.start():start]).groups()
        return marker.removesuffix(GIVEN) + given + line_end + lines + whole[end:match.end()]

    found = {file for pattern in FILES.split() for file in LAB.glob(pattern) if file.is_file()}
    for source in sorted(found):
        name, content = source.relative_to(LAB), source.read_bytes()
        if name.match("tests/test_*.py") and re.search(SOLVED, content):
            continue
        if name.name in EXERCISES.values():
            text = content.decode("latin-1")  # which keeps the bytes of any other encoding, too
            if re.search(r"(?m)^[ \t]*# (Exercise|End of) ", PLACE.sub("", text)):
                raise LabError(f"{source}: a marker of an exercise is missing; put it back")
            content = PLACE.sub(blank, text).encode("latin-1")
        elif name.name == "README.md":
            teachers = rb"(?ms)^## For teachers\r?$.*?(?=^## |\Z)|\s+To contribute:\s+\S+"
            content = re.sub(teachers, b"", content)
        contents[name] = content
    listed = " ".join(name for name in EXERCISES if name in blanks)
    readme = re.sub(rb"(?m)^\*\*Student copy\.\*\* .*\n\r?\n", b"", contents[Path("README.md")])
    line = f"\n**Student copy.** In this copy, you complete these exercises: {listed}.\n"
    contents[Path("README.md")] = re.sub(rb"\n", b"\n" + line.encode(), readme, count=1)
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    print(f"{folder}: the lab, with `...` for {listed}")


def exercise(name):
    """An argument type: the name of an exercise."""
    if name not in EXERCISES:
        raise argparse.ArgumentTypeError(f"{name!r} is not an exercise; the exercises are "
                                         f"{', '.join(EXERCISES)}")
    return name


def find_submissions(arguments):
    """The submissions among the arguments of --grade, and a printable name of each."""
    sources = [source for source in arguments if source not in EXERCISES]
    for source in sources:
        if not os.path.lexists(source):
            raise LabError(f"{source}: does not exist; give folders, .zip files, or exercises: "
                           f"{' '.join(EXERCISES)}")
    for source in filter(hand_ins.is_skipped, sources):
        command.say(f"{printable(source)}: skipped, because it is not a submission")
    sources = [source for source in sources if not hand_ins.is_skipped(source)]
    if not sources:
        raise LabError("--grade: there is no submission; give folders or .zip files")
    names = [os.path.basename(os.path.abspath(source)) for source in sources]
    return sources, [printable(source if names.count(name) > 1 else name)
                     for source, name in zip(sources, names)]


def main():
    parser = command.Parser(__doc__)
    parser.add_argument("names", nargs="*", type=exercise, metavar="exercise")
    parser.add_argument("--hand-out", type=path, metavar="FOLDER")
    parser.add_argument("--grade", type=path, metavar="FOLDER", nargs="+", default=[])
    parser.add_argument("--csv", type=path, metavar="FILE")
    parser.add_argument("--feedback", type=path, metavar="FOLDER")
    args = parser.parse_intermixed_args()
    # An exercise after --grade is one; a folder of that name can be written as ./resize.
    named = [*args.names, *(name for name in args.grade if name in EXERCISES)]
    names = list(dict.fromkeys(named or EXERCISES))
    if (args.csv or args.feedback) and not args.grade:
        raise LabError("--csv and --feedback need --grade FOLDER...")
    for new in filter(None, (args.hand_out, args.csv, args.feedback)):
        if os.path.lexists(new) and (not os.path.isdir(new) or os.listdir(new)):
            raise LabError(f"{new}: already exists; choose a new name")
    if args.hand_out:
        return hand_out(names, args.hand_out)
    if args.grade:
        sources, labels = find_submissions(args.grade)
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            found = [hand_ins.collect(source, Path(folder, str(number)))
                     for number, source in enumerate(sources)]
            table = args.csv and stack.enter_context(
                open(args.csv, "x", newline="", encoding="utf-8-sig"))  # as spreadsheets read it
            verdicts = stack.enter_context(run_checks(names, found))
            sys.exit(3 * grade(names, labels, verdicts, table, args.feedback))
    words = set()
    with run_checks(names, [{script: LAB / script for script in EXERCISES.values()}]) as verdicts:
        for name, (word, sentence) in zip(names, verdicts):
            words.add(word)
            print(describe(name, word, sentence), flush=True)
    words -= {"pass", "given"}
    sys.exit(3 if words == {"busy"} else bool(words))


if __name__ == "__main__":
    command.run_script(main)
