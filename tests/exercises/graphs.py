"""What the checks share: a small network, random images, the script's graph."""
import functools
from types import SimpleNamespace

import numpy as np

from data.lab.images import preprocess
from data.lab.tf1 import tf
from data.lab.weights import BACKBONE

CLASSES = 43
GRAPH = "images labels fc7 features W b probs loss train_op accuracy".split()  # from build_graph
LABELS = np.arange(2 * CLASSES) % CLASSES  # of the images that make_features makes


def make_weights(seed=0):
    """{layer: [W, b]} for the AlexNet below, up to fc7; another seed changes fc7 alone."""
    rng = np.random.default_rng(0)
    shapes = dict.fromkeys(BACKBONE, (108, 108)) | {"fc6": (108, 4096)}
    layers = {name: [(rng.standard_normal(shape) / 8).astype(np.float32),
                     rng.uniform(0, 0.1, shape[1]).astype(np.float32)]
              for name, shape in shapes.items()}
    layers["fc7"] = list(np.random.default_rng(seed).normal(1, 1, (2, 4096)).astype(np.float32))
    return layers


def AlexNet(features, feature_extract=False, *, weights=None, dropout=None):
    """Replace AlexNet, with the same tensor names and errors, but a thousand times as fast.

    The default weights differ in fc7 from those that the checks use as `backbone`.
    """
    if not features.shape.is_compatible_with((None, 227, 227, 3)):
        raise ValueError(f"AlexNet takes (N, 227, 227, 3), not {features.shape}")
    weights = weights or make_weights(seed=9)
    layer = tf.reshape(features[:, ::45, ::45], (-1, 108), name="pixels") / 100
    for name in BACKBONE if feature_extract else (*BACKBONE, "fc8"):
        W, b = [tf.Variable(array, name=f"{name}/weights") for array in weights[name]]
        product = layer * W if name == "fc7" else tf.matmul(layer, W)
        layer = tf.nn.relu(product + b, name=name)
    return layer if dropout is None else tf.nn.dropout(layer, rate=dropout)


def make_images(count):
    """float32 (count, 32, 32, 3): preprocessed noise."""
    return preprocess(np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3)))


@functools.cache
def make_features():
    """float32 (86, 4096), of LABELS: as large as the real fc7, and similar within a class."""
    rng = np.random.default_rng(2)
    common = np.tile(rng.standard_normal((CLASSES, 4096)), (2, 1))
    return np.maximum(0.7 * (common + rng.standard_normal(common.shape)), 0).astype(np.float32)


def build(answer, learning_rate=0.001, classes=CLASSES, weights=None):
    """The training graph, as build_graph makes it, and a session in which it is initialized."""
    tf.set_random_seed(0)
    images = tf.placeholder(tf.float32, (None, 32, 32, 3), name="images")
    names = {"images": images, "labels": tf.placeholder(tf.int64, (None,), name="labels"),
             "resized": tf.image.resize_images(images, (227, 227), name="resize"), "size": 32,
             "backbone": weights or make_weights(), "classes": classes,
             "learning_rate": learning_rate}
    names |= answer.run("freeze", **names)
    names["features"] = tf.placeholder_with_default(names["fc7"], (None, 4096), name="features")
    for exercise in "fc8", "optimiser", "accuracy":
        names |= answer.run(exercise, **names)
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    return SimpleNamespace(**{name: names[name] for name in GRAPH}), sess


def backbone(graph):
    """AlexNet's variables, which are created before those of the head."""
    variables = tf.global_variables()
    return variables[:[v is graph.W for v in variables].index(True)]


def close(a, b, tolerance=1e-3):
    a, b = np.asarray(a), np.asarray(b)
    scale = max(1, np.abs(b).max(initial=0))
    return a.shape == b.shape and np.allclose(a, b, tolerance, tolerance / 100 * scale)


def find_fault(found, faults, *samples):
    """The sentence of `faults` whose function gives what was `found` for each sample, or "".

    faults: {sentence: function of a sample}, whose value may be a list, of several ways
    """
    for sentence, fault in faults.items():
        ways = [way if isinstance(way, list) else [way] for way in (fault(*s) for s in samples)]
        if any(all(map(close, found, values)) for values in zip(*ways)):
            return sentence
    return ""


def upstream(*tensors):
    """The operations that `tensors`, or operations, depend on."""
    found, waiting = set(), [getattr(tensor, "op", tensor) for tensor in tensors]
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [source.op for source in op.inputs] + op.control_inputs
    return found
