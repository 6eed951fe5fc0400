"""The lesson's own code runs on alexnet.py and caffe_classes.py, as a student types it."""
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
from conftest import copy_code
from PIL import Image

from caffe_classes import class_names
from data.lab.standin import find
from data.lab.weights import read_weights

START = """
import time
import tensorflow.compat.v1 as tf
import numpy as np
from imageio.v3 import imread
tf.disable_v2_behavior()
from caffe_classes import class_names
from alexnet import AlexNet
"""
SMALL = "x = tf.placeholder(tf.float32, (None, 32, 32, 3))\n" \
    "resized = tf.image.resize_images(x, (227, 227))\n"
RUN = """
sess = tf.Session()
sess.run(tf.initialize_all_variables())
images = [imread(name)[:, :, :3].astype(np.float32) for name in {}]
t = time.time()
output = sess.run(probs, feed_dict={{x: [image - np.mean(image) for image in images]}})
for i in range(output.shape[0]):
    inds = np.argsort(output)[i, :]
    print("Image", i)
    for j in range(5):
        print("%s: %.3f" % (class_names[inds[-1 - j]], output[i, inds[-1 - j]]))
    print()
print("Time: %.3f seconds" % (time.time() - t))
"""
HEAD = """
fc7 = AlexNet(resized, feature_extract=True)
shape = (fc7.get_shape().as_list()[-1], 43)
assert shape == (4096, 43)
W = tf.Variable(tf.truncated_normal(shape, stddev=1e-2))
b = tf.Variable(tf.zeros(43))
logits = tf.nn.xw_plus_b({}, W, b)
probs = tf.nn.softmax(logits)
"""
PICTURES, SIGNS = ["poodle.png", "weasel.png"], ["construction.jpg", "stop.jpg"]
SCRIPTS = {  # the same calls as in the course's scripts
    "imagenet_inference": START + "x = tf.placeholder(tf.float32, (None, 227, 227, 3))\n"
        "probs = AlexNet(x)\n" + RUN.format(PICTURES),
    "traffic_sign_inference": START + SMALL + "probs = AlexNet(resized)\n" + RUN.format(SIGNS),
    "feature_extraction": START + SMALL + HEAD.format("fc7") + RUN.format(SIGNS),
    "train_feature_extraction": START + "import pickle\n" + SMALL
        + HEAD.format("tf.stop_gradient(fc7)") + """
with open("train.p", "rb") as file:
    data = pickle.load(file)
labels = tf.placeholder(tf.int64, None)
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels))
train_op = tf.train.AdamOptimizer().minimize(loss, var_list=[W, b])
feed = {x: data["features"], labels: data["labels"]}
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for _ in range(3):
        print("Loss = %.4f" % sess.run([loss, train_op], feed_dict=feed)[0])
""",
    "two_networks": START + """
with tf.Graph().as_default(), tf.Session() as sess:
    x = tf.placeholder(tf.float32, (None, 227, 227, 3))
    both = [AlexNet(x), AlexNet(x)]
    sess.run(tf.global_variables_initializer())
    one, other = sess.run(both, {x: np.random.normal(0, 60, (1, 227, 227, 3))})
    assert np.array_equal(one, other) and np.isclose(one.sum(), 1)
print("equal")
""",
}
DRIVER = """
import contextlib, io, json, sys
outputs = {}
for name, script in json.load(sys.stdin).items():
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(script, name, "exec"), {"__name__": "__main__"})
    outputs[name] = output.getvalue()
json.dump(outputs, sys.stdout)
"""


def printed_lesson():
    """The solution that the lesson prints, except for what today's packages have removed."""
    lesson = Path(os.environ.get("LAB_TEST_DATA", ""), "..", "lesson.md")
    if "LAB_TEST_DATA" not in os.environ or not lesson.exists():
        return {}
    code = max(re.findall(r"```python\n(.*?)```", lesson.read_text("utf-8"), re.DOTALL), key=len)
    for old, new in (
            ("import tensorflow as tf", "import tensorflow.compat.v1 as tf\n"
                                        "tf.disable_v2_behavior()"),
            ("from scipy.misc import imread", "from imageio.v3 import imread")):
        assert old in code
        code = code.replace(old, new)
    return {"printed": code}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory, standins, drawn):
    """{script: what it prints}, in a copy of the lab with the synthetic files beside it."""
    lab = tmp_path_factory.mktemp("lesson")
    copy_code(lab)
    (lab / "data" / "standin").symlink_to(standins)
    images, labels = drawn
    (lab / "train.p").write_bytes(pickle.dumps({"features": images[::60], "labels": labels[::60]}))
    for name in PICTURES + SIGNS:
        (lab / name).write_bytes(find(name).read_bytes())
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER], cwd=lab, capture_output=True, text=True, check=False,
        input=json.dumps({**SCRIPTS, **printed_lesson()}))
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("name, files", [
    ("imagenet_inference", PICTURES), ("traffic_sign_inference", SIGNS), ("printed", SIGNS)])
def test_inference_prints_what_a_numpy_alexnet_says(outputs, name, files):
    if name not in outputs:
        pytest.skip("the lesson's text is not beside LAB_TEST_DATA")
    images = [np.asarray(Image.open(find(file)).convert("RGB"), np.float64) for file in files]
    images = oracle.resize_bilinear(np.array([image - image.mean() for image in images]), 227)
    probs = oracle.alexnet(images, read_weights(find("bvlc-alexnet.npy")))["probs"]
    *parts, time = outputs[name].split("\n\n")
    assert re.fullmatch(r"Time: \d+\.\d{3} seconds\n", time) and len(parts) == 2
    for i, (part, p) in enumerate(zip(parts, probs)):
        head, *lines = part.split("\n")
        assert head == f"Image {i}" and len(lines) == 5
        for line, index in zip(lines, np.argsort(-p)):
            found, prob = line.rsplit(": ", 1)
            assert found == class_names[index] and abs(float(prob) - p[index]) < 0.00051


def test_feature_extraction_runs_and_trains(outputs):
    assert len(re.findall(r"(?m)^[^:]+: 0\.\d{3}$", outputs["feature_extraction"])) == 10
    losses = [float(loss) for loss in re.findall(
        r"Loss = (\S+)", outputs["train_feature_extraction"])]
    assert len(losses) == 3 and losses[2] < losses[1] < losses[0]


def test_two_networks_in_a_graph_of_the_callers_own(outputs):
    assert outputs["two_networks"] == "equal\n"


def test_importing_the_network_reads_and_makes_no_weights(tmp_path):
    copy_code(tmp_path)
    subprocess.run([sys.executable, "-c", "import alexnet"], cwd=tmp_path, check=True)
    assert not (tmp_path / "data" / "standin").exists()
