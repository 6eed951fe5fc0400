"""optimiser: a step changes only the head, by `learning_rate`, and as fast as Adam."""
import numpy as np

from data.lab.tf1 import tf
from exercises import expect
from exercises.graphs import LABELS, backbone, build, make_features, make_images, upstream

NAMES = [("train_op",)]
LINES = ["""
train_op = tf.train.AdamOptimizer(learning_rate).minimize(loss, var_list=[W, b], name="train")
"""]
HINTS = {
    "No variables to optimize|No gradients provided|ariables.*not.*empty":
        "The optimiser finds nothing to train: it needs variables that the loss depends on and "
        "that are not frozen.",
    r"numpy\(\) is only available": "The second argument of minimize() is the step counter; "
                                    "pass the variables as var_list=[...].",
    "`fetch`|Fetch argument|has invalid type": "A session cannot run `train_op`: it must be what "
        "minimize() returns, not the optimiser itself.",
    "has no attribute 'minimize'": "Keras optimisers do not work in a graph; see tf.train.",
}
STEPS = 100


def rates(graph, sess):
    """The current learning rates of TensorFlow's optimisers that `train_op` runs."""
    parts = tf.nest.flatten(graph.train_op)
    ops = upstream(*(part for part in parts if isinstance(part, (tf.Operation, tf.Tensor))))
    return [float(sess.run(tensor)) for op in ops if op.type.startswith("ResourceApply")
            for argument, tensor in zip(op.op_def.input_arg, op.inputs)
            if argument.name in ("lr", "alpha")]


def train(graph, sess, steps):
    """The losses before each step, always on the same batch."""
    feed = {graph.features: make_features(), graph.labels: LABELS}
    return [sess.run([graph.loss, graph.train_op], feed)[0] for _ in range(steps)]


def check(answer):
    graph, sess = build(answer)
    variables = [graph.W, graph.b, *backbone(graph)]
    before, rate = sess.run(variables), max(rates(graph, sess), default=0.001)
    feed = {graph.images: make_images(4), graph.labels: [3, 14, 15, 42]}
    (uphill,) = sess.run(tf.gradients(graph.loss, graph.W), feed)
    sess.run(graph.train_op, feed)
    after = sess.run(variables)
    moved = [not np.array_equal(*pair) for pair in zip(before, after)]
    expect(not any(moved[2:]), f"A step changes {sum(moved[2:])} of AlexNet's variables, which "
           "must stay frozen: the cached features would no longer be valid, and a few signs "
           "would overwrite what the network learned from a million photographs.")
    for name, moves in zip("Wb", moved):
        expect(moves, f"A step does not change {name}: this part of the head learns nothing.")

    with tf.Graph().as_default():
        slow, slow_sess = build(answer, learning_rate=1e-9)
        start = slow_sess.run(slow.W)
        train(slow, slow_sess, 3)
        step = np.abs(slow_sess.run(slow.W) - start).max()
        used = max(rates(slow, slow_sess), default=1) < 1e-8
    expect(step < 1e-5 or used, f"With a learning rate near 0, three steps change W by {step:.2g}: "
           "the steps do not depend on `learning_rate`, so --learning-rate has little effect.")
    expect(abs(rate / 0.001 - 1) < 0.01, f"The optimiser's rate is {rate / 0.001:.4g} times "
           "`learning_rate`, so --learning-rate 0.001 sets a different rate.")

    losses = train(graph, sess, STEPS)
    start, end, last = losses[0], min(losses[-3:]), max(rates(graph, sess), default=rate)
    how = f"{STEPS} steps on one batch bring its loss from {start:.2f} to {end:.2f}"
    expect(end < 0.99 * start, f"{how}: a step must lower the loss.")
    steep = np.abs(uphill) > 0.01 * np.abs(uphill).max()
    share = np.mean((after[0] - before[0])[steep] * uphill[steep] < 0)
    expect(share > 0.95, f"A step moves only {share:.0%} of the weights in W downhill, "
           "against their gradients, and the others uphill or not at all.")
    expect(max(losses) < 3 * start, f"{how}, but it reaches {max(losses):.2f} on the way: the "
           "steps are too large, and destroy what was learned.")
    expect(last > rate / 3, f"In {STEPS} steps, about three epochs, the rate shrinks from "
           f"{rate:.3g} to {last:.3g}: soon the head stops learning.")
    expect(end < start / 10, f"The head learns too slowly: {how}. Adam brings it below 0.01 at the "
           "same learning rate.")
    return ""
