"""accuracy: of a batch, of all images, and of the validation images after each epoch."""
from types import SimpleNamespace

import numpy as np
from scipy.special import log_softmax, softmax

from data.lab.command import parse_settings
from data.lab.tf1 import tf
from exercises import expect
from exercises.graphs import CLASSES, build, close, find_fault

NAMES = [("accuracy",), ("loss", "accuracy", "probs"), ("result",)]
LINES = ["""
accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, axis=1), labels), tf.float32))
""", """
for batch in batches(indices, batch_size):
    found = sess.run([graph.loss, graph.accuracy, graph.probs], feed_dict=feed(batch))
    loss += found[0] * len(batch) / len(indices)
    accuracy += found[1] * len(batch) / len(indices)
    probs.append(found[2])
""", """
result = evaluate(sess, graph, feed, data.validation, args.batch_size)
"""]
SIZE = 300  # of a batch
HINTS = {
    "[Uu]ninitialized|does not exist": "TensorFlow's metrics accumulate over batches, in variables "
        "that nothing initializes here; the accuracy of a single batch is needed.",
    "NoneType": "Evaluate the epochs on data.validation: data.test may be None, and must not "
                "select the epoch, or no independent data would be left.",
}
BATCH = {  # "It is ...", of scores s (N, 43), labels y (N,) and their rank r in the scores (N,)
    "the fraction of incorrect predictions": lambda s, y, r: (r > 0).mean(),
    "the number of correct predictions, which grows with the batch": lambda s, y, r: (r == 0).sum(),
    "a percentage; the lab expects a fraction from 0 to 1": lambda s, y, r: 100 * (r == 0).mean(),
    "the fraction of images whose label is among the several most probable classes":
        lambda s, y, r: [(r < k).mean() for k in (2, 3, 4, 5)],
    "the fraction of images whose label is the least probable": lambda s, y, r: (r == 42).mean(),
    "computed on the wrong axis: it needs the most probable class of each image":
        lambda s, y, r: [np.mean(t.argmax(0) == y) for t in (s, softmax(s, 1)) if len(y) == 43],
    "always 0 or 1: cast to an integer, or not computed image by image": lambda s, y, r: [0, 1],
    "the mean probability of the correct class, not the fraction of correct predictions":
        lambda s, y, r: softmax(s, 1)[np.arange(len(y)), y].mean(),
    "of labels shifted by one": lambda s, y, r: [np.mean(s.argmax(1) == y + i) for i in (1, -1)],
    "an average over all pairs of image and class, most of which any head gets right":
        lambda s, y, r: np.mean(1 - 2 / CLASSES * (r > 0)),
}
ALL = "More images than the batch size are fed at once. With --no-cache, they may not fit into " \
    "memory."
ORDER = "{} not in the order of `{}`: the confusion matrix would use the wrong labels."


def make_answers(right):
    """Scores (N, 43), labels y (N,), and their rank among the scores (N,), 0 where `right`."""
    rng, numbers = np.random.default_rng(5), np.arange(len(right))
    scores = rng.normal(0, 1, (len(right), CLASSES)).astype(np.float32)
    best = rng.integers(1, CLASSES - 1, len(right))
    scores[numbers, best] += rng.choice([4, 9], len(right))
    order = np.argsort(-scores, axis=1)
    # A different number of each kind; negative ones stand for the neighbours of the best class.
    kinds = np.resize([1, -1, 42, 4, 1, 42, 2, 3, -2, 42, -1, 1, 42, 4, -1, 1], len(right))
    rank = np.where(right, 0, kinds)
    y = np.where(rank < 0, best + 2 * rank + 3, order[numbers, rank])
    return scores, y, np.argmax(order == y[:, None], axis=1)


def make_feed(graph, scores, y):
    """A feed of images to which the head, as check() sets it, gives these scores."""

    def feed(indices):
        expect(len(indices) <= SIZE, ALL)
        return {graph.features: np.pad(scores[indices], ((0, 0), (7, 4096 - CLASSES - 7))),
                graph.labels: y[indices]}

    return feed


def check_batch(graph, sess):
    expect(isinstance(graph.accuracy, tf.Tensor),
           f"`accuracy` is a {type(graph.accuracy).__name__}, but must be a tensor: one number "
           "for a batch. (tf.metrics returns two, which accumulate over batches.)")
    for count in CLASSES, 300, 7:
        sample = scores, y, rank = make_answers(np.arange(count) % 10 < 3)
        found = sess.run(graph.accuracy, make_feed(graph, scores, y)(np.arange(count)))
        share, fault = (rank == 0).mean(), find_fault([found], BATCH, sample)
        expect(np.ndim(found) == 0, f"The accuracy has shape {np.shape(found)}, but must be one "
               "number for the batch, the fraction of correct predictions.")
        expect(close(found, share), f"For {count} images with {share:.1%} correct predictions, "
               f"the accuracy is {found:.4g}. {fault and f'It is {fault}.'} It must be the "
               "fraction of images whose most probable class is the label.")


def check_evaluate(graph, sess, evaluate):
    count = 12_637  # as many as the official test has; the last batch has 37
    rng = np.random.default_rng(6)
    indices, right = rng.permutation(count + 1000)[:count], np.zeros(count + 1000, bool)
    right[indices] = rng.random(count) < np.linspace(0.1, 0.9, count)
    scores, y, rank = make_answers(right)
    head = sess.run([graph.W, graph.b])
    result = evaluate(sess, graph, make_feed(graph, scores, y), indices, SIZE)
    expect(all(map(np.array_equal, head, sess.run([graph.W, graph.b]))),
           "evaluate() changes the head: it trains on the images that it should only evaluate.")
    losses = -log_softmax(scores.astype(np.float64), 1)[np.arange(len(y)), y]
    for name, found, each in (("accuracy", result.accuracy, rank == 0),
                              ("loss", result.loss, losses)):
        own = each[indices]
        means = np.array([part.mean() for part in np.split(own, range(SIZE, count, SIZE))])
        faults = {
            "": [own.mean()],
            "the mean of the batch means: the few images of the last, smaller batch count as much "
            "as a whole batch": [means.mean()],
            "a sum, which grows with the number of images": [means.sum(), own.sum(),
                                                          means.sum() * SIZE],
            "without the last, smaller batch": [own[:-37].mean(), own[:-37].sum() / count],
            "that of a single batch": [*means, *means * SIZE / count, means[-1] * 37 / count],
            "with the last, smaller batch counted as a whole one": [means.sum() * SIZE / count],
            "0: nothing is added to it": [0],
            "that of images other than `indices`": [each[:count].mean(), each.mean()],
            f"{np.mean(found):.4f}, but must be {own.mean():.4f}": [found],
        }
        fault = next(fault for fault, values in faults.items()
                     if any(close(found, value, 1e-4 if fault else 1e-3) for value in values))
        expect(not fault, f"evaluate()'s {name} is {fault}. Each image in `indices`, and no "
               "other, must count exactly once.")
    expect(np.shape(result.probs) == (count, CLASSES), "evaluate()'s probs have shape "
           f"{np.shape(result.probs)}, not {(count, CLASSES)}: each batch must add its own.")
    expect(close(result.probs, softmax(scores[indices], 1)),
           ORDER.format("evaluate()'s probs are", "indices"))


def check_epochs(answer, graph, sess, evaluate):
    """After each epoch, `result` must be what evaluate() returns for the validation images."""
    rng = np.random.default_rng(7)
    training, validation = np.split(rng.permutation(1500), [1000])
    scores, labels, _ = make_answers(rng.random(1500) < 0.5)
    feed = make_feed(graph, scores, labels)
    data = SimpleNamespace(training=training, validation=validation, test=None, labels=labels)
    args = parse_settings("", answer.scope["SETTINGS"])
    names = {"args": args, "data": data, "sess": sess, "graph": graph, "feed": feed,
             "evaluate": evaluate, "rng": rng, "best": None, "start": 0.0, "training_loss": 1.0,
             "training_accuracy": 1.0, "loss": 1.0, "accuracy": 1.0, "batch": training[:9]}

    def same(result, indices):  # in any order
        probs = evaluate(sess, graph, feed, indices, SIZE).probs
        return close(np.sort(result.probs, 0), np.sort(probs, 0))

    last = ()
    for epoch in 1, 2:
        sess.run(graph.b.assign(rng.normal(0, 1, CLASSES)))  # as if trained
        names |= answer.run("accuracy", 2, **(names | {"epoch": epoch}))
        result, right = names["result"], evaluate(sess, graph, feed, validation, SIZE)
        expect(not same(result, training) and not same(result, np.r_[training, validation]),
               "After an epoch, the head is evaluated on its own training images. That measures "
               "memorisation, not how well it recognises new signs.")
        expect(not close(result.probs, last), "The head is not evaluated again after each epoch, "
               "so the best epoch may be missed.")
        expect(same(result, validation), "After an epoch, the head must be evaluated on the "
               f"{len(validation)} images of data.validation, each of them once: a few images give "
               "a noisy result.")
        expect(close(result.probs, right.probs),
               ORDER.format("The validation images are evaluated", "data.validation"))
        expect(close([result.accuracy, result.loss], [right.accuracy, right.loss]), "`result` "
               "differs from what evaluate() returns for the validation images.")
        last = right.probs


def check(answer):
    graph, sess = build(answer)
    W = np.roll(np.eye(4096, CLASSES), 7, axis=0)  # one feature for each class
    sess.run([graph.W.assign(W), graph.b.assign(np.zeros(CLASSES))])

    def evaluate(sess, graph, feed, indices, batch_size):
        found = answer.run("accuracy", 1, sess=sess, graph=graph, feed=feed, indices=indices,
                           batch_size=batch_size, loss=0, accuracy=0, probs=[])
        if isinstance(found, dict):  # else the code itself returns what evaluate() does
            found = SimpleNamespace(**{**found, "probs": np.concatenate(found["probs"])})
        return found

    check_batch(graph, sess)
    check_evaluate(graph, sess, evaluate)
    check_epochs(answer, graph, sess, evaluate)
    return ""
