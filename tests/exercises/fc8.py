"""fc8: the new layer and its loss, compared with the formulas in double precision."""
import contextlib

import numpy as np
from scipy.special import expit, log_softmax, softmax

from data.lab.tf1 import tf
from exercises import Wrong, expect
from exercises.graphs import CLASSES, build, close, find_fault, make_features, make_images

NAMES = [("W", "b", "logits", "probs", "loss")]
LINES = ["""
W = tf.Variable(tf.truncated_normal((4096, classes), stddev=1e-2), name="head/weights")
b = tf.Variable(tf.zeros(classes), name="head/biases")
logits = tf.nn.xw_plus_b(features, W, b, name="head/logits")  # (N, classes)
probs = tf.nn.softmax(logits, name="head/probs")
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=labels, logits=logits, name="loss/cross_entropy"), name="loss/mean")
"""]
VARIABLES = "W and b must be trainable variables: only these keep their values between steps, " \
    "and an optimiser changes only these."
GRADIENT = "No gradient reaches W and b from the loss. Rounding, argmax and stop_gradient block " \
    "gradients, and the loss must be a tensor."
HINTS = {
    "Trying to update a Tensor|(ndarray|Tensor)' object has no attribute": VARIABLES,
    "No gradients provided": GRADIENT,
    "outside the valid range": "The loss gets labels outside the range 0 to 42.",
    "not available with Keras 3": "This TensorFlow has no tf.layers: create W and b yourself.",
    "_in_graph_mode": "A Keras layer wraps its variables. Create W and b with tf.Variable, or use "
                      "layer.kernel.value and layer.bias.value.",
}


def linear(f, W, b=0):
    """f @ W + b in double precision, without BLAS, which is very slow on a busy machine."""
    return np.einsum("nf,fc->nc", f.astype(np.float64), W) + b


def ce(z, y, shift=0):
    """(N,): cross-entropies of softmax(z): minus the logarithm of the label's probability."""
    return -log_softmax(z, axis=1)[np.arange(len(y)), (y + shift) % CLASSES]


def error(z, y):
    """(N, 43): the error of the probabilities: the gradient of ce with respect to the logits."""
    return softmax(z, axis=1) - np.eye(CLASSES)[y]


def sigmoid_ce(z, y):
    return np.logaddexp(0, z) - np.eye(CLASSES)[y] * z


PROBS = {  # "probs ...", of logits z (N, 43) with and without the bias
    "are the logits themselves, which do not add up to 1": lambda z, _: z,
    "ignore the bias, which learns how frequent each class is": lambda _, z: softmax(z, 1),
    "went through softmax twice, so they are nearly equal": lambda z, _: softmax(softmax(z, 1), 1),
    "are logarithms of probabilities": lambda z, _: log_softmax(z, 1),
    "come from sigmoid, so they do not add up to 1": lambda z, _: expit(z),
    "come from softmax over the images instead of the classes": lambda z, _: softmax(z, 0),
    "come from logits after ReLU, which cannot lower the probability of a class":
        lambda z, _: softmax(np.maximum(z, 0), 1),
}
LOSSES = {  # "The loss ...", of logits z (N, 43) and labels y (N,)
    "uses labels shifted by one, so the head learns the names of other signs": lambda z, y: [
        ce(z, y, 1).mean(), ce(z, y, -1).mean(),
        (ce(z, y, 1) * (y < 42)).mean(), (ce(z, y, -1) * (y > 0)).mean()],
    "ignores one class: the one-hot labels need a depth of `classes`":
        lambda z, y: [(ce(z, y) * (y < 42)).mean(), (ce(z, y) * (y > 0)).mean()],
    "applies softmax twice: it never comes near 0, and its gradients are very small":
        lambda z, y: ce(softmax(z, 1), y).mean(),
    "uses sigmoid, which treats each class separately; a sign has exactly one class":
        lambda z, y: [sigmoid_ce(z, y).mean(), sigmoid_ce(z, y).sum(1).mean()],
    "is a squared error of probabilities: its gradient vanishes for confident mistakes":
        lambda z, y: [(error(z, y)**2).mean(), (error(z, y)**2).sum(1).mean()],
    "is a probability, not its logarithm: its gradient vanishes for confident mistakes":
        lambda z, y: [-np.exp(-ce(z, y)).mean(), 1 - np.exp(-ce(z, y)).mean()],
    "uses only one image of the batch":
        lambda z, y: [ce(z, y).max(), ce(z, y).min(), ce(z, y)[0], ce(z, y)[-1]],
    "is an entropy, independent of the labels: the head learns to be confident, not correct":
        lambda z, y: -(softmax(z, 1) * log_softmax(z, 1)).sum(1).mean(),
}


def check_variables(graph, sess, features, labels):
    for name, shape in ("W", (4096, CLASSES)), ("b", (CLASSES,)):
        variable = getattr(graph, name)
        expect(any(variable is other for other in tf.trainable_variables()), VARIABLES)
        expect(variable.shape == shape, f"{name} has shape {variable.shape}, but must have "
               f"{shape}: W inputs by outputs, b one number for each of {CLASSES} classes.")
    W, b = sess.run([graph.W, graph.b])
    loss = ce(linear(features, W, b), labels).mean()
    expect(loss < 20, f"The untrained head is confident and wrong: its loss is {loss:.3g}, but "
           "guessing gives 3.8. With 4096 inputs, the initial weights must be small.")
    return "" if (W - W[:, :1]).any() else (
        "equal initial weights work only in the last layer; elsewhere all units would stay equal")


def check_probs(graph, sess, run, features, W, b):
    feed = {graph.images: make_images(7)}
    probs, (live, fc7) = run(graph.probs, features), sess.run([graph.probs, "fc7:0"], feed)
    expect(close(probs, run(graph.probs, features)) and close(live, sess.run(graph.probs, feed)),
           "The same image gets different probabilities each time, as with dropout or noise. "
           "Inference would be random too.")
    z, right = linear(features, W), softmax(linear(fc7, W, b), 1)
    expect(not close(probs, right), "The head reads fc7 from the network instead of `features`, "
           "so it cannot get features from the cache.")
    fault = find_fault([probs], PROBS, [z + b, z]) or "are not softmax(`features` @ W + b), " \
        "over the classes"
    expect(close(probs, softmax(z + b, 1)) and close(live, right), f"probs {fault}.")


def explain_loss(losses, logits, means):
    for what, total in ("mean", np.mean), ("sum", np.sum):
        ratios = [loss / total(ce(*sample)) for loss, sample in zip(losses, logits)]
        expect(not close(*ratios, 1e-4), f"The loss is {ratios[0]:.4g} times the {what} of the "
               "batch's cross-entropies, but must be their mean. " + (
                   "Minimising it makes the correct classes less probable." if ratios[0] < 0 else
                   "Its gradients are scaled by the same factor, so the effective learning rate is "
                   "not the one you set."))
    fault, steps = find_fault(losses, LOSSES, *logits), np.subtract(losses, means)
    if close(*steps):
        fault = f"is too large by {steps[0]:.4g} for all images, as with a penalty on weights. " \
            "It no longer measures the predictions"
    raise Wrong(f"The loss {fault}." if fault else f"The loss is {losses[0]:.5g} for a batch "
                "whose mean cross-entropy (minus the logarithm of softmax at the labels) is "
                f"{means[0]:.5g}, so its gradient is wrong too.")


def check_loss(graph, run, samples, W, b):
    losses = [run(graph.loss, *sample) for sample in samples]
    expect(np.ndim(losses[0]) == 0, f"The loss has shape {np.shape(losses[0])}: it must be one "
           "number for the batch, or the optimiser minimises the sum.")
    logits = [(linear(f, W, b), y) for f, y in samples]
    means = [ce(*sample).mean() for sample in logits]
    if not close(losses, means, 1e-4):
        explain_loss(losses, logits, means)
    gradients = tf.gradients(graph.loss, [graph.W, graph.b])
    expect(None not in gradients, GRADIENT)
    for scale in 1, 60, 1000:
        for features, y in samples:
            features = features * np.float32(scale)
            z = linear(features, W, b)
            found = run([graph.loss, *gradients], features, y)
            wanted = ce(z, y).mean(), linear(features.T, error(z, y) / len(y)), error(z, y).mean(0)
            most = [np.abs(gradient).max() for gradient in (found[1], wanted[1])]
            expect(scale > 1 or close(found[1], wanted[1]), "Part of the gradient of the loss "
                   "does not reach W: something such as stop_gradient blocks it.")
            expect(all(map(close, found, wanted)), "Where logits are far apart, as for a confident "
                   f"mistake, the loss is {found[0]:.4g} instead of {wanted[0]:.4g}, and the "
                   f"largest gradient of W is {most[0]:.3g} instead of {most[1]:.3g}. Compute the "
                   "loss from the logits: probabilities round to 0, and clipped values have no "
                   "gradient.")


def check(answer):
    graph, sess = build(answer)
    rng = np.random.default_rng(3)
    features, labels = make_features()[rng.integers(0, 86, 200)], np.arange(200) % CLASSES
    remark = check_variables(graph, sess, features, labels)
    W, b = rng.normal(0, 0.03, (4096, CLASSES)), rng.normal(0, 1, CLASSES)
    sess.run([graph.W.assign(W), graph.b.assign(b)])

    def run(tensors, features, labels=labels[:7]):
        return sess.run(tensors, {graph.images: make_images(len(labels)),
                                  graph.features: features, graph.labels: labels})

    check_probs(graph, sess, run, features[:7], W, b)
    check_loss(graph, run, [(features, labels), (features[:3], np.array([0, 42, 7]))], W, b)
    with contextlib.suppress(Exception), tf.Graph().as_default():
        if build(answer, classes=10)[0].W.shape[1] == 10:
            return remark
    return remark or "43 is hard-coded; use `classes` so that your own data works too"
