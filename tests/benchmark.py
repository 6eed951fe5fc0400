"""Measure seconds and memory of the lab's methods and of simpler ones.

    python tests/benchmark.py
    python tests/benchmark.py --train data/train.p --images 39209 \\
        --rounds 1 --no-growth

Each run is a separate process in a copy of the lab. Prints medians over
interleaved rounds.
"""
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from conftest import LAB, copy_code
from PIL import Image

from data.lab import dataset, paths
from data.lab.command import (
    LabError,
    at_least,
    check_exercises,
    parse_settings,
    path,
    run_script,
    say,
)
from data.lab.standin import find_standin, signs

GROWTH = 1000, 4000, 16000  # images
SAMPLE = 4000  # images at most for the course's way
SETTINGS = (
    ("--train", path, None, "training data (default: synthetic signs)"),
    ("--images", at_least(512), 4000, "number of images for the comparison of trainings"),
    ("--rounds", at_least(1), 3, "number of rounds"),
    ("--no-growth", bool, None, "leave out 1,000, 4,000 and 16,000 images"),
)
CHILD = """
import sys, time
start = float(sys.argv[1])
import contextlib, io, re, resource, shutil
import imageio.v3 as iio
import numpy as np
import alexnet
import train_feature_extraction as script
from data.lab import dataset
from data.lab.gtsrb import read_signs
from data.lab.images import to_rgb
from data.lab.tf1 import tf
imported = time.time()

def report(*seconds):
    unit = 1e9 if sys.platform == "darwin" else 1e6  # bytes or kB to GB
    print(*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)

def train(*arguments):
    sys.argv = [script.__file__, "--train", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        script.main()
    return [float(seconds) for seconds in re.findall("Time: (.*) seconds", output.getvalue())]
"""

# Start-up, up to the first output for two images. The baseline: weights as constants.
START = """
x = tf.placeholder(tf.float32, (None, 227, 227, 3))
probs = alexnet.AlexNet(x)
sess = tf.Session()
sess.run(tf.global_variables_initializer())
sess.run(probs, {x: np.zeros((2, 227, 227, 3), np.float32)})
report(time.time() - start, time.time() - imported)
"""
BASELINE = "alexnet.variable = lambda array, name: tf.Variable(array, name=name)\n" + START

# The course's way: in each epoch all images go through the network again. Ten epochs are
# estimated from two epochs of a sample.
COURSE = """
epochs = train("course.p", "--no-cache", "--random-split", "--epochs", "2")
images, sample = (len(read_signs(name).images) for name in ("train.p", "course.p"))
report(10 * sum(epochs) / 2 * images / sample)
"""
# Photos: all decoded in full by one thread, then read by the lab for the first, second time.
PHOTOS = """
times = [time.time()]
for number in range(16):
    to_rgb(iio.imread(f"photos/{number % 2}/{number}.jpg"), 32)
for _ in range(2):
    times.append(time.time())
    dataset.load("photos", 32)
report(*np.diff([*times, time.time()]))
"""
OURS = 'train("train.p")\nreport(time.time() - start)\n'  # the lab's main job, as it is
FIRST = 'shutil.rmtree("data/cache", ignore_errors=True)\n' + OURS


def run(code, folder):
    """Run `code` in a separate process in `folder`; returns the numbers that it reports."""
    result = subprocess.run([sys.executable, "-c", CHILD + code, str(time.time())],
                            cwd=folder, capture_output=True, text=True)
    if result.returncode:
        say(result.stderr)
        raise LabError("a run failed, as printed above")
    return [float(number) for number in result.stdout.split()]


def table(*rows):
    """Print rows of cells, the first of them as the head."""
    for i, row in enumerate(rows):
        cells = [cell if isinstance(cell, str) else f"{cell:,.0f}" if cell > 100 else
                 f"{cell:.3g}" for cell in row]
        print("| " + " | ".join(cells) + " |")
        if i == 0:
            print("|" + "---|" * len(row))
    print(flush=True)


def take_turns(folder, rounds, *codes):
    """Run the `codes` in turn, `rounds` times; returns the medians of the numbers of each."""
    return np.median([[run(code, folder) for code in codes] for _ in range(rounds)], axis=0)


def write_subset(data, count, path):
    """Write `count` images, evenly over the classes, as training data."""
    order = np.argsort(data.labels, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, count).round().astype(int)]
    with open(path, "wb") as file:
        pickle.dump({"features": data.images[chosen], "labels": data.labels[chosen]}, file)


def compare_start(folder, rounds):
    lab, baseline = take_turns(folder, rounds, START, BASELINE)
    names = "first output, s", "... after TensorFlow's import, s", "peak memory, GB"
    table(["start-up", "this lab", "baseline", "baseline / this lab"],
          *([name, a, b, b / a] for name, a, b in zip(names, lab, baseline)))


def compare_training(folder, rounds, count):
    first, second, course = take_turns(folder, rounds, FIRST, OURS, COURSE)
    title = f"training, {count:,} images, 10 epochs"
    table([title, "s", "peak memory, GB", "relative to first run"],
          ["first run, including start-up", *first, 1.0],
          ["second run, including start-up", *second, second[0] / first[0]],
          ["the course's way, estimated", *course, course[0] / first[0]])


def compare_photos(folder):
    colours = np.random.default_rng(0).integers(0, 256, (16, 300, 400, 3), np.uint8)
    for i, photo in enumerate(colours):
        (folder / "photos" / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).resize((4000, 3000)).save(folder / f"photos/{i % 2}/{i}.jpg")
    whole, first, second, _ = run(PHOTOS, folder)
    table(["16 photos of 12 megapixels", "s", "relative to full decoding"],
          ["full decoding, one thread", whole, 1.0],
          ["first reading", first, first / whole],
          ["second reading", second, second / whole])


def show_growth(folder, data):
    rows = []
    for count in GROWTH:
        write_subset(data, count, folder / "train.p")
        rows.append([f"{count:,}", *run(FIRST, folder)])
    table(["growth: images", "first run, s", "peak memory, GB"], *rows)


def main():
    args = parse_settings(__doc__, SETTINGS)
    if sys.platform == "win32":
        raise LabError("needs Python's module resource, missing on Windows; use Linux or macOS")
    check_exercises(LAB / "train_feature_extraction.py", SimpleNamespace(no_cache=False))
    if args.train:
        data = dataset.load(args.train, 32)
    else:
        made = signs.make_dataset(tracks_per_class=13)
        data = SimpleNamespace(images=made["features"], labels=made["labels"])
    smallest = min(args.images, SAMPLE, *(() if args.no_growth else GROWTH))
    if np.bincount(data.labels).min() * smallest < 2 * len(data.labels):
        raise LabError(f"{args.train}: {smallest:,} images have fewer than two of some class; use "
                       "--no-growth and a larger --images")
    find_standin("bvlc-alexnet.npy")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        copy_code(folder)
        (folder / "data" / "standin").symlink_to(paths.DATA / "standin")
        compare_start(folder, args.rounds)
        write_subset(data, args.images, folder / "train.p")
        write_subset(data, min(args.images, SAMPLE), folder / "course.p")
        compare_training(folder, args.rounds, args.images)
        compare_photos(folder)
        if not args.no_growth:
            show_growth(folder, data)


if __name__ == "__main__":
    run_script(main)
