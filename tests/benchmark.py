"""What the lab's ways save: seconds and memory, against the ways that they replace.

    python tests/benchmark.py
    python tests/benchmark.py --train data/train.p --images 39209 --rounds 1 --no-growth

Every run is a process of its own, in a copy of the lab; the ways take turns, and medians
over the rounds are printed. With the packages onnx and onnxruntime, which the lab does not
need, the frozen pass is compared with ONNX Runtime's too.
"""
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from conftest import copy_code

from data.lab import paths
from data.lab.batches import BATCH, batches
from data.lab.command import at_least, parse_settings, path, run_script
from data.lab.gtsrb import read_signs
from data.lab.pictures import preprocess
from data.lab.standin import find_standin, signs
from data.lab.tf1 import tf
from data.lab.weights import BACKBONE, read_weights
from train_feature_extraction import build_graph

SETTINGS = (
    ("--train", path, None, "training data (default: drawn signs)"),
    ("--images", at_least(512), 4000, "of the comparison of trainings"),
    ("--rounds", at_least(1), 3, "of turns"),
    ("--no-growth", bool, None, "leave out 1,000, 4,000 and 16,000 images"),
)
CHILD = """
import sys, time
start = float(sys.argv[1])
import contextlib, io, re, resource
import numpy as np
import alexnet
import train_feature_extraction as script
from data.lab.batches import BATCH, batches
from data.lab.gtsrb import read_signs
from data.lab.pictures import preprocess
from data.lab.standin import find
from data.lab.tf1 import tf
from data.lab.weights import BACKBONE, read_weights
imported = time.time()

def report(*seconds):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB to GB, on Linux
    print(*seconds, peak)

def session():
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    return sess

def train(*arguments):
    sys.argv = [script.__file__, "--train", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        script.main()
    return [float(seconds) for seconds in re.findall("Time: (.*) seconds", output.getvalue())]
"""

# Start-up, up to the first output for two pictures. The naive way: weights as constants.
START = """
x = tf.placeholder(tf.float32, (None, 227, 227, 3))
probs = alexnet.AlexNet(x, read_weights(find("bvlc-alexnet.npy")))
session().run(probs, {x: np.zeros((2, 227, 227, 3), np.float32)})
report(time.time() - start, time.time() - imported)
"""
NAIVE = "alexnet.variable = lambda array, name: tf.Variable(array, name=name)\n" + START

# The frozen network over all images, and nothing else.
BARE = """
images = read_signs("train.p").images
graph = script.build_graph(read_weights(find("bvlc-alexnet.npy"), BACKBONE), 43, 0.001)
sess = session()
sess.run(graph.fc7, {graph.images: preprocess(images[:BATCH])})
t = time.time()
for batch in batches(images):
    sess.run(graph.fc7, {graph.images: preprocess(batch)})
report(time.time() - t)
"""

# The course's way: in each epoch all images go through the network again. Two epochs of at
# most 4,000 images stand for ten of all.
COURSE = """
epochs = train("course.p", "--no-cache", "--random-split", "--epochs", "2")
images, sample = (len(read_signs(name).images) for name in ("train.p", "course.p"))
report(10 * sum(epochs) / 2 * images / sample)
"""
OURS = 'train("train.p")\nreport(time.time() - start)\n'  # the lab's main job, as it is


def run(code, folder):
    """The numbers that `code` reports, from a process of its own in `folder`."""
    command = [sys.executable, "-c", CHILD + code, str(time.time())]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        sys.exit(result.stderr)
    return [float(number) for number in result.stdout.split()]


def table(*rows):
    """Print rows of cells, the first of them as the head."""
    for i, row in enumerate(rows):
        cells = [f"{cell:,.3g}" if isinstance(cell, float) and abs(cell) < 100 else
                 f"{cell:,.0f}" if isinstance(cell, float) else str(cell) for cell in row]
        print("| " + " | ".join(cells) + " |")
        if i == 0:
            print("|" + "---|" * len(row))
    print(flush=True)


def take_turns(rounds, *runs):
    """The median numbers of each of `runs`, functions, called in turn `rounds` times."""
    numbers = [[function() for function in runs] for _ in range(rounds)]
    return [[statistics.median(column) for column in zip(*way)] for way in zip(*numbers)]


def write_subset(dataset, count, path):
    """Write `count` images, evenly over the classes, as training data."""
    chosen = np.linspace(0, len(dataset["labels"]) - 1, count).round().astype(int)
    with open(path, "wb") as file:
        pickle.dump({key: dataset[key][chosen] for key in ("features", "labels")}, file)


def first_run(folder):
    shutil.rmtree(folder / "data" / "cache", ignore_errors=True)
    return run(OURS, folder)


def compare_start(folder, rounds):
    ours, naive = take_turns(rounds, lambda: run(START, folder), lambda: run(NAIVE, folder))
    names = "first output, s", "... after TensorFlow's import, s", "peak memory, GB"
    table(["start-up", "ours", "naive", "naive / ours"],
          *([name, a, b, b / a] for name, a, b in zip(names, ours, naive)))


def compare_training(folder, rounds, count):
    bare, first, second, course = take_turns(
        rounds, lambda: run(BARE, folder), lambda: first_run(folder),
        lambda: run(OURS, folder), lambda: run(COURSE, folder),
    )
    table([f"training, {count:,} images, 10 epochs", "s", "peak memory, GB", "s / first run's"],
          ["one bare pass of the frozen network", *bare, bare[0] / first[0]],
          ["our first run, whole", *first, 1.0],
          ["our second run, whole", *second, second[0] / first[0]],
          ["the course's way, estimated", *course, course[0] / first[0]])
    print(f"first run / bare pass: {first[0] / bare[0]:.2f}\n")


def show_growth(folder, dataset):
    rows = []
    for count in (1000, 4000, 16000):
        write_subset(dataset, count, folder / "train.p")
        rows.append([f"{count:,}", *first_run(folder)])
    table(["growth: images", "first run, s", "peak memory, GB"], *rows)


def make_onnx(weights):
    """The graph from 32x32 pictures to fc7 as a serialized ONNX model."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(kind, name, *inputs, **attributes):
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def layer(kind, x, name, W, **attributes):
        inputs = x, constant(name + "/W", W), constant(name + "/b", weights[name][1])
        return add("Relu", name, add(kind, name + "/raw", *inputs, **attributes))

    def conv(x, name, pad, stride=1, groups=1):
        W = weights[name][0].transpose(3, 2, 0, 1)
        return layer("Conv", x, name, W, pads=[pad] * 4, strides=[stride] * 2, group=groups)

    def pool(x, name, norm=False):
        if norm:
            x = add("LRN", name + "/norm", x, alpha=1e-4, beta=0.75, bias=1.0, size=5)
        return add("MaxPool", name, x, kernel_shape=[3, 3], strides=[2, 2])

    x = add("Transpose", "NCHW", "images", perm=[0, 3, 1, 2])
    scales = constant("scales", np.array([1, 1, 227 / 32, 227 / 32], np.float32))
    x = add("Resize", "resized", x, "", scales, mode="linear",
            coordinate_transformation_mode="asymmetric")
    x = pool(conv(x, "conv1", 4, stride=4), "pool1", norm=True)
    x = pool(conv(x, "conv2", 2, groups=2), "pool2", norm=True)
    x = conv(conv(x, "conv3", 1), "conv4", 1, groups=2)
    x = add("Flatten", "flat", pool(conv(x, "conv5", 1, groups=2), "pool5"))
    fc6 = weights["fc6"][0].reshape(6, 6, 256, -1).transpose(2, 0, 1, 3).reshape(9216, -1)
    layer("Gemm", layer("Gemm", x, "fc6", fc6), "fc7", weights["fc7"][0])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
              for name, shape in (("images", ["n", 32, 32, 3]), ("fc7", ["n", 4096]))]
    graph = helper.make_graph(nodes, "alexnet", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


def compare_onnx(images, rounds):
    """Both in this process, in turns, with as many threads as there are cores."""
    try:
        import onnxruntime
    except ImportError:
        print("onnx and onnxruntime are not installed: ONNX Runtime is left out")
        return
    weights = read_weights(find_standin("bvlc-alexnet.npy"), BACKBONE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    peer = onnxruntime.InferenceSession(make_onnx(weights), options, ["CPUExecutionProvider"])
    graph = build_graph(weights, 43, 0.001)
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())

    ways = (lambda batch: sess.run(graph.fc7, {graph.images: preprocess(batch)}),
            lambda batch: peer.run(["fc7"], {"images": preprocess(batch)})[0])
    ours, theirs = (way(images[:BATCH]) for way in ways)
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()

    def rate(way):
        start = time.time()
        for batch in batches(images):
            way(batch)
        return [len(images) / (time.time() - start)]

    (ours,), (theirs,) = take_turns(max(rounds, 3), *(lambda w=way: rate(w) for way in ways))
    table(["the frozen pass", "ours", "ONNX Runtime", "ours / theirs"],
          ["images/s", ours, theirs, ours / theirs])
    print(f"largest difference of fc7, relative: {difference:.1e}")


def main():
    args = parse_settings(__doc__, SETTINGS)
    find_standin("bvlc-alexnet.npy")
    dataset = signs.make_dataset(tracks_per_class=13)
    if args.train:
        real = read_signs(args.train)
        dataset = {"features": real.images, "labels": real.labels}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        copy_code(folder)
        (folder / "data" / "standin").symlink_to(paths.DATA / "standin")
        compare_start(folder, args.rounds)
        write_subset(dataset, args.images, folder / "train.p")
        write_subset(dataset, min(args.images, 4000), folder / "course.p")
        compare_training(folder, args.rounds, args.images)
        if not args.no_growth:
            show_growth(folder, dataset)
    compare_onnx(dataset["features"][::7][:512], args.rounds)


if __name__ == "__main__":
    run_script(main)
