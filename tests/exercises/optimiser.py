"""optimiser: a step moves the head, by `learning_rate`, and as fast as the lesson's Adam."""
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
        "The optimiser finds nothing to train: it needs variables that the loss depends on, past "
        "what is frozen.",
    r"numpy\(\) is only available": "The second argument of minimize() is the step counter; "
                                    "pass the variables by name.",
    "`fetch`|Fetch argument|has invalid type": "`train_op` is nothing that a session can run: it "
        "has to be the operation of one step, not the optimiser itself.",
    "has no attribute 'minimize'": "Keras's optimisers work without a graph; see tf.train.",
}
STEPS = 100


def rates(graph, sess):
    """The rates of TensorFlow's optimisers that `train_op` runs, as they are now."""
    parts = tf.nest.flatten(graph.train_op)
    ops = upstream(*(part for part in parts if isinstance(part, (tf.Operation, tf.Tensor))))
    return [float(sess.run(tensor)) for op in ops if op.type.startswith("ResourceApply")
            for argument, tensor in zip(op.op_def.input_arg, op.inputs)
            if argument.name in ("lr", "alpha")]


def train(graph, sess, steps):
    """The losses before each step, on a batch that is always the same."""
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
    expect(not any(moved[2:]), f"A step moves {sum(moved[2:])} of AlexNet's variables, which "
           "should stay: the cached features would no longer be the network's, and a few signs "
           "would overwrite what it learned from a million pictures.")
    for name, moves in zip("Wb", moved):
        expect(moves, f"A step does not move {name}: a part of the head learns nothing.")

    with tf.Graph().as_default():
        slow, slow_sess = build(answer, learning_rate=1e-9)
        start = slow_sess.run(slow.W)
        train(slow, slow_sess, 3)
        step = np.abs(slow_sess.run(slow.W) - start).max()
        used = max(rates(slow, slow_sess), default=1) < 1e-8
    expect(step < 1e-5 or used, f"With a rate of nearly 0, three steps move weights by {step:.2g}: "
           "something else than `learning_rate` does, so --learning-rate would have little effect.")
    expect(abs(rate / 0.001 - 1) < 0.01, f"The optimiser's rate is {rate / 0.001:.4g} times "
           "`learning_rate`: whoever asks for --learning-rate 0.001 gets another.")

    losses = train(graph, sess, STEPS)
    start, end, last = losses[0], min(losses[-3:]), max(rates(graph, sess), default=rate)
    how = f"{STEPS} steps on one batch bring its loss from {start:.2f} to {end:.2f}"
    expect(end < 0.99 * start, f"{how}: a step has to lower the loss.")
    steep = np.abs(uphill) > 0.01 * np.abs(uphill).max()
    share = np.mean((after[0] - before[0])[steep] * uphill[steep] < 0)
    expect(share > 0.95, f"A step moves {share:.0%} of W's weights against their gradients. For "
           "the others it does not do what the loss asks.")
    expect(max(losses) < 3 * start, f"{how}, but by way of {max(losses):.2f}: they are too large, "
           "and throw away what was learned.")
    expect(last > rate / 3, f"In {STEPS} steps, about three epochs, the rate shrinks from "
           f"{rate:.3g} to {last:.3g}: soon nothing is learned any more.")
    expect(end < start / 10, f"It learns too slowly: {how}. The lesson's optimiser brings it below "
           "0.01 at the same learning rate.")
    return ""
