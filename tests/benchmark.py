"""What the lab's ways save: seconds and memory, against the ways that they replace.

    python tests/benchmark.py
    python tests/benchmark.py --train train.p --images 39209 --rounds 1 --no-growth

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

LAB = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB))

from data import signs  # noqa: E402
from data.files import Parser, at_least, run_script  # noqa: E402
from data.reading import BACKBONE, read_signs, read_weights  # noqa: E402
from data.standin import find_standin  # noqa: E402

CHILD = """
import sys, time
start = float(sys.argv[1])
import resource
import numpy as np
import alexnet, caffe_classes
from alexnet import AlexNet
from data.pictures import preprocess
from data.tf1 import tf
imported = time.time()

def report(*seconds):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB to GB, on Linux
    print(*seconds, peak)

def session():
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    return sess
"""

# Start-up, up to the first output for two pictures. The naive way: weights as constants.
START = """
x = tf.placeholder(tf.float32, (None, 227, 227, 3))
probs = AlexNet(x)
session().run(probs, {x: np.zeros((2, 227, 227, 3), np.float32)})
report(time.time() - start, time.time() - imported)
"""
NAIVE = "alexnet.variable = lambda array, name: tf.Variable(array, name=name)\n" + START

# The frozen network over all images, and nothing else.
BARE = """
from data.bottlenecks import BATCH
from data.reading import read_signs
images = read_signs("train.p")["features"]
x = tf.placeholder(tf.float32, (None, 32, 32, 3))
fc7 = AlexNet(tf.image.resize_images(x, (227, 227)), feature_extract=True)
sess = session()
sess.run(fc7, {x: preprocess(images[:BATCH])})
t = time.time()
for i in range(0, len(images), BATCH):
    sess.run(fc7, {x: preprocess(images[i:i + BATCH])})
report(time.time() - t)
"""

# The course's way: in each epoch all images go through the network again. Two epochs of at
# most 4,000 images stand for ten of all.
COURSE = """
from data.reading import read_signs
dataset = read_signs("train.p")
order = np.random.default_rng(0).permutation(len(dataset["labels"]))[:4000]
images, labels = dataset["features"][order], dataset["labels"][order]
cut = int(0.67 * len(order))
x, y = tf.placeholder(tf.float32, (None, 32, 32, 3)), tf.placeholder(tf.int64, None)
fc7 = AlexNet(tf.image.resize_images(x, (227, 227)), feature_extract=True)
fc7 = tf.stop_gradient(fc7)
W, b = tf.Variable(tf.truncated_normal((4096, 43), stddev=1e-2)), tf.Variable(tf.zeros(43))
logits = tf.nn.xw_plus_b(fc7, W, b)
losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
loss = tf.reduce_mean(losses)
step = tf.train.AdamOptimizer().minimize(loss, var_list=[W, b])
accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), y), tf.float32))
sess = session()
epochs = []
for epoch in range(2):
    t = time.time()
    for i in range(0, cut, 128):
        s = slice(i, min(i + 128, cut))
        sess.run(step, {x: preprocess(images[s]), y: labels[s]})
    for i in range(cut, len(images), 128):
        sess.run([loss, accuracy], {x: preprocess(images[i:i + 128]), y: labels[i:i + 128]})
    epochs.append(time.time() - t)
report(10 * sum(epochs) / 2 * len(dataset["labels"]) / len(order))
"""

# Our way: the lab's main job, as it is.
OURS = """
import train_feature_extraction as script
sys.argv = ["train_feature_extraction.py", "--train", "train.p"]
import contextlib, os
with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
    script.main()
report(time.time() - start)
"""


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

    def lrn(x, name):
        return add("LRN", name, x, alpha=1e-4, beta=0.75, bias=1.0, size=5)

    def pool(x, name):
        return add("MaxPool", name, x, kernel_shape=[3, 3], strides=[2, 2])

    x = add("Transpose", "NCHW", "images", perm=[0, 3, 1, 2])
    scales = constant("scales", np.array([1, 1, 227 / 32, 227 / 32], np.float32))
    x = add("Resize", "resized", x, "", scales, mode="linear",
            coordinate_transformation_mode="asymmetric")
    x = pool(lrn(conv(x, "conv1", 4, stride=4), "norm1"), "pool1")
    x = pool(lrn(conv(x, "conv2", 2, groups=2), "norm2"), "pool2")
    x = conv(conv(x, "conv3", 1), "conv4", 1, groups=2)
    x = add("Flatten", "flat", pool(conv(x, "conv5", 1, groups=2), "pool5"))
    fc6 = weights["fc6"][0].reshape(6, 6, 256, -1).transpose(2, 0, 1, 3).reshape(9216, -1)
    layer("Gemm", layer("Gemm", x, "fc6", fc6), "fc7", weights["fc7"][0])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
              for name, shape in (("images", ["n", 32, 32, 3]), ("fc7", ["n", 4096]))]
    graph = helper.make_graph(nodes, "alexnet", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model.SerializeToString()


def compare_onnx(images, rounds):
    """Both in this process, in turns, with as many threads as there are cores."""
    try:
        import onnxruntime
        import onnx  # noqa: F401
    except ImportError:
        print("onnx and onnxruntime are not installed: ONNX Runtime is left out")
        return
    from alexnet import AlexNet
    from data.bottlenecks import BATCH
    from data.pictures import preprocess
    from data.tf1 import tf

    weights = read_weights(find_standin("bvlc-alexnet.npy"), BACKBONE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    peer = onnxruntime.InferenceSession(make_onnx(weights), options, ["CPUExecutionProvider"])
    x = tf.placeholder(tf.float32, (None, 32, 32, 3))
    resized = tf.image.resize_images(x, (227, 227))
    fc7 = AlexNet(resized, feature_extract=True, weights=weights)
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())

    ways = (lambda batch: sess.run(fc7, {x: preprocess(batch)}),
            lambda batch: peer.run(["fc7"], {"images": preprocess(batch)})[0])
    ours, theirs = (way(images[:BATCH]) for way in ways)
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()

    def rate(way):
        start = time.time()
        for i in range(0, 512, BATCH):
            way(images[i:i + BATCH])
        return [512 / (time.time() - start)]

    (ours,), (theirs,) = take_turns(max(rounds, 3), *(lambda w=way: rate(w) for way in ways))
    table(["the frozen pass", "ours", "ONNX Runtime", "ours / theirs"],
          ["images/s", ours, theirs, ours / theirs])
    print(f"largest difference of fc7, relative: {difference:.1e}")


def main():
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--train", metavar="FILE", help="training data; default: drawn signs")
    add("--images", type=at_least(512), default=4000, metavar="N",
        help="of the comparison of trainings; default: %(default)s")
    add("--rounds", type=at_least(1), default=3, metavar="N", help="default: %(default)s")
    add("--no-growth", action="store_true", help="leave out 1,000, 4,000 and 16,000 images")
    args = parser.parse_args()
    find_standin("bvlc-alexnet.npy")
    dataset = read_signs(args.train) if args.train else signs.make_dataset(tracks_per_class=13)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for path in [*LAB.glob("*.py"), *LAB.glob("data/*.py")]:
            (folder / path.relative_to(LAB)).parent.mkdir(exist_ok=True)
            shutil.copy(path, folder / path.relative_to(LAB))
        (folder / "data" / "standin").symlink_to(LAB / "data" / "standin")
        compare_start(folder, args.rounds)
        write_subset(dataset, args.images, folder / "train.p")
        compare_training(folder, args.rounds, args.images)
        if not args.no_growth:
            show_growth(folder, dataset)
    compare_onnx(dataset["features"][::7][:512], args.rounds)


if __name__ == "__main__":
    run_script(main)
