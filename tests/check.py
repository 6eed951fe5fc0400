"""Check your answers to the exercises in the scripts.

    python tests/check.py                      all of them
    python tests/check.py resize               one: resize freeze fc8 optimiser accuracy caching
    python tests/check.py --hand-out FOLDER    for teachers: the students' copy of the lab
    python tests/check.py --grade FOLDER...    for teachers: a table of what they hand in

Each answer passes, or you read in a sentence or two what is wrong and why it matters. An
exercise is checked alone, with the lab's own lines for the others. Yours are run, on made-up
images, so any way of writing a right answer passes.

The lab's own lines stand in tests/exercises/, and some of them in data/lab/finetuning.py:
whoever wants to look them up may, for the course's solution is public, and these checks are
for learning. Grading withstands mistakes and pranks; code that is out to deceive the check in
its own process, or to harm, needs a machine of its own and your eyes.
"""
import argparse
import os
import re
import secrets
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exercises import EXERCISES

LAB = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB))

from data.lab.command import PLACE, LabError, Parser, path, printable, run_script  # noqa: E402

LIMIT = 60  # seconds for one check
# Without **, or a hand-out in a folder of the lab would be copied into the next one.
FILES = """README.md LICENSE requirements.txt .gitignore .ruff.toml alexnet.py caffe_classes.py
    imagenet_inference.py traffic_sign_inference.py train_feature_extraction.py data/*.py
    data/README.md data/figures/*.png data/lab/*.* data/lab/standin/*.* data/lab/standin/pictures/*
    tests/*.py tests/*.md tests/exercises/*.py"""
SOLVED = rb"(?m)^\s*(import|from) (check|traffic_sign_inference|train_feature_extraction)\b"


def check(name, script):
    """(word, sentence) of the exercise in the file `script`, from a process of its own."""
    token = secrets.token_hex()  # an answer that prints a verdict does not know it
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder),
            "PYTHONPATH": f"{LAB}{os.pathsep}{LAB / 'tests'}", "PYTHONHASHSEED": "0",
            "CUDA_VISIBLE_DEVICES": "-1"}  # else each process would take a whole GPU
        try:
            ran = subprocess.run(
                [sys.executable, "-m", "exercises.judge", name, Path(script).absolute()],
                input=token.encode(), capture_output=True, cwd=folder, env=environment,
                timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            return "late", (f"There is no verdict after {LIMIT} s; a right answer takes about 5. "
                            "Does a loop never end?")
    output, error = [text.decode(errors="replace") for text in (ran.stdout, ran.stderr)]
    if token in output:
        return tuple(map(printable, output.rpartition(token)[2].split(" ", 1)))
    reason = printable(error.strip().rpartition("\n")[2]) or "your lines end Python itself"
    return "ended", f"The check ended without a verdict, with status {ran.returncode}: {reason}."


def show(title, word, sentence):
    """Print a verdict; a pass may bear a remark."""
    text = f"pass ({sentence})" if word == "pass" and sentence else sentence or word
    print(textwrap.fill(f"{title}: {text}", 79, subsequent_indent="    "), flush=True)


def print_table(names, folders, verdicts):
    """A row for each folder, with a word for each exercise; then what is wrong, in sentences."""
    folders, wrong = list(map(printable, folders)), []
    row = "{:" + str(max(map(len, folders))) + "}  " + "{:11}" * len(names) + "{}"
    print(row.format("", *names, "total"))
    for folder in folders:
        found = [next(verdicts) for _ in names]
        words = [word for word, _ in found]
        print(row.format(folder, *words, f"{words.count('pass')} of {len(names)}"), flush=True)
        wrong += [(f"{folder}, {name}", *verdict) for name, verdict in zip(names, found)
                  if verdict[0] != "pass"]
    for verdict in wrong:
        print()
        show(*verdict)


def hand_out(names, folder):
    """Write the lab into the new `folder`, with `...` for the answers to the exercises `names`.

    Left out are a README's section For teachers, and tests that need the answers.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LabError(f"{folder}: is there already; name a new folder")

    def blank(match):
        if match[1] not in names:
            return match[0]
        (start, end), indent = match.span(2), re.match(r"\s*", match[2])[0].rpartition("\n")[2]
        return f"{match.string[match.start():start]}{indent}...\n{match.string[end:match.end()]}"

    found = {file for pattern in FILES.split() for file in LAB.glob(pattern) if file.is_file()}
    for source in sorted(found):
        name, content = source.relative_to(LAB), source.read_bytes()
        if name.match("tests/*.py") and re.search(SOLVED, content):
            continue
        if name.name in EXERCISES.values():
            text = content.decode("latin-1")  # which keeps the bytes of any other encoding, too
            if re.search(r"(?m)^[ \t]*# (Exercise|End of) ", PLACE.sub("", text)):
                raise LabError(f"{source}: a mark of an exercise has no other; put it back")
            content = PLACE.sub(blank, text).encode("latin-1")
        elif name.name == "README.md":
            content = re.sub(rb"(?ms)^## For teachers$.*?(?=^## |\Z)", b"", content)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    print(f"{folder}: the lab, with `...` for {' '.join(names)}")


def exercise(name):
    """An argument type: the name of an exercise."""
    if name not in EXERCISES:
        raise argparse.ArgumentTypeError(f"{name!r} is no exercise; there are: "
                                         f"{', '.join(EXERCISES)}")
    return name


def main():
    parser = Parser(__doc__)
    parser.add_argument("names", nargs="*", type=exercise, metavar="exercise")
    parser.add_argument("--hand-out", type=path, metavar="FOLDER")
    parser.add_argument("--grade", type=path, metavar="FOLDER", nargs="+")
    args = parser.parse_args()
    names, words = args.names or list(EXERCISES), []
    if args.hand_out:
        return hand_out(names, args.hand_out)
    jobs = [(name, Path(folder) / EXERCISES[name])
            for folder in args.grade or [LAB] for name in names]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        verdicts = pool.map(check, *zip(*jobs))
        if args.grade:
            return print_table(names, args.grade, verdicts)
        for name, (word, sentence) in zip(names, verdicts):
            words.append(word)
            show(name, word, sentence)
    sys.exit(set(words) != {"pass"})


if __name__ == "__main__":
    run_script(main)
