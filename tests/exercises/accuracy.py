"""accuracy: of a batch, of all the images, and of which images."""
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
    "[Uu]ninitialized|does not exist": "TensorFlow's metrics count on from batch to batch, in "
        "variables that nothing initializes here; this is the accuracy of one batch.",
    "NoneType.*(labels|images)": "There may be no test data, and it must not choose the epoch: "
                                 "nothing would be left to judge the choice.",
}
BATCH = {  # "It is ...", of scores s (N, 43), labels y (N,) and their rank r among the scores (N,)
    "the share of wrong answers": lambda s, y, r: (r > 0).mean(),
    "the number of right answers, which grows with the batch": lambda s, y, r: (r == 0).sum(),
    "in per cent; the lab compares shares from 0 to 1": lambda s, y, r: 100 * (r == 0).mean(),
    "the share of images whose label is among several most probable classes":
        lambda s, y, r: [(r < k).mean() for k in (2, 3, 4, 5)],
    "the share of images whose label is the least probable": lambda s, y, r: (r == 42).mean(),
    "taken on the wrong axis: the most probable image of each class, not class of each image":
        lambda s, y, r: [np.mean(t.argmax(0) == y) for t in (s, softmax(s, 1)) if len(y) == 43],
    "0 or 1, as if it were cut off, or not compared image by image": lambda s, y, r: [0, 1],
    "how sure the head is of the label, not how often it is right":
        lambda s, y, r: softmax(s, 1)[np.arange(len(y)), y].mean(),
    "of labels shifted by one": lambda s, y, r: [np.mean(s.argmax(1) == y + i) for i in (1, -1)],
    "of all pairs of an image and a class, most of which are right for any head":
        lambda s, y, r: np.mean(1 - 2 / CLASSES * (r > 0)),
}
ALL = "More images are fed at once than the batch size: with --no-cache, they may not fit into " \
    "memory."
ORDER = "{} not in the order of `{}`: the confusion matrix would pair answers with wrong labels."


def make_answers(right):
    """scores (N, 43), labels y (N,), and their rank among the scores (N,), 0 where `right`."""
    rng, numbers = np.random.default_rng(5), np.arange(len(right))
    scores = rng.normal(0, 1, (len(right), CLASSES)).astype(np.float32)
    best = rng.integers(1, CLASSES - 1, len(right))
    scores[numbers, best] += rng.choice([4, 9], len(right))
    order = np.argsort(-scores, axis=1)
    # Of each kind another number; below 0 are the classes beside the best one.
    kinds = np.resize([1, -1, 42, 4, 1, 42, 2, 3, -2, 42, -1, 1, 42, 4, -1, 1], len(right))
    rank = np.where(right, 0, kinds)
    y = np.where(rank < 0, best + 2 * rank + 3, order[numbers, rank])
    return scores, y, np.argmax(order == y[:, None], axis=1)


def make_feed(graph, scores, y):
    """A feed of images that the head, as check() sets it, gives these scores."""

    def feed(indices):
        expect(len(indices) <= SIZE, ALL)
        return {graph.features: np.pad(scores[indices], ((0, 0), (7, 4096 - CLASSES - 7))),
                graph.labels: y[indices]}

    return feed


def check_batch(graph, sess):
    expect(isinstance(graph.accuracy, tf.Tensor),
           f"`accuracy` is a {type(graph.accuracy).__name__}, not a tensor: one number for a "
           "batch is wanted. (tf.metrics gives two, which count on from batch to batch.)")
    for count in CLASSES, 300, 7:
        sample = scores, y, rank = make_answers(np.arange(count) % 10 < 3)
        found = sess.run(graph.accuracy, make_feed(graph, scores, y)(np.arange(count)))
        share, fault = (rank == 0).mean(), find_fault([found], BATCH, sample)
        expect(np.ndim(found) == 0, f"The accuracy has shape {np.shape(found)}: one number for the "
               "batch is wanted, the share of right answers.")
        expect(close(found, share), f"For {count} images with {share:.1%} right answers the "
               f"accuracy is {found:.4g}. {fault and f'It is {fault}.'} It should be the share of "
               "images whose most probable class is the label, whatever their number.")


def check_evaluate(graph, sess, evaluate):
    count = 12_637  # as many as the official test has; the last batch has 37
    rng = np.random.default_rng(6)
    indices, right = rng.permutation(count + 1000)[:count], np.zeros(count + 1000, bool)
    right[indices] = rng.random(count) < np.linspace(0.1, 0.9, count)
    scores, y, rank = make_answers(right)
    head = sess.run([graph.W, graph.b])
    result = evaluate(sess, graph, make_feed(graph, scores, y), indices, SIZE)
    expect(all(map(np.array_equal, head, sess.run([graph.W, graph.b]))),
           "evaluate() changes the head: it trains on the images that are to judge it.")
    losses = -log_softmax(scores.astype(np.float64), 1)[np.arange(len(y)), y]
    for name, found, each in (("accuracy", result.accuracy, rank == 0),
                              ("loss", result.loss, losses)):
        own = each[indices]
        means = np.array([part.mean() for part in np.split(own, range(SIZE, count, SIZE))])
        faults = {
            "": [own.mean()],
            "the mean of the batches' means: the few images of a last, smaller batch count as much "
            "as a whole batch": [means.mean()],
            "a sum: it grows with the number of images": [means.sum(), own.sum(),
                                                          means.sum() * SIZE],
            "without the last, smaller batch": [own[:-37].mean(), own[:-37].sum() / count],
            "that of one batch alone": [*means, *means * SIZE / count, means[-1] * 37 / count],
            "with the last, smaller batch counted as a whole one": [means.sum() * SIZE / count],
            "0: it is not added up": [0],
            "that of other images than `indices`": [each[:count].mean(), each.mean()],
            f"{np.mean(found):.4f} where {own.mean():.4f} is right": [found],
        }
        fault = next(fault for fault, values in faults.items()
                     if any(close(found, value, 1e-4 if fault else 1e-3) for value in values))
        expect(not fault, f"evaluate()'s {name} is {fault}. Each of the images in `indices`, and "
               "no other, has to count once, whichever batch it is in.")
    expect(np.shape(result.probs) == (count, CLASSES), "evaluate()'s probs have shape "
           f"{np.shape(result.probs)}, not {(count, CLASSES)}: each batch has to add its own.")
    expect(close(result.probs, softmax(scores[indices], 1)),
           ORDER.format("evaluate()'s probs are", "indices"))


def check_epochs(answer, graph, sess, evaluate):
    """After each epoch, `result` has to be what evaluate() then finds for the validation images."""
    rng = np.random.default_rng(7)
    training, validation = np.split(rng.permutation(1500), [1000])
    feed = make_feed(graph, *make_answers(rng.random(1500) < 0.5)[:2])
    data = SimpleNamespace(training=training, validation=validation, test=None)
    args = parse_settings("", answer.scope["SETTINGS"])
    names = {"args": args, "data": data, "sess": sess, "graph": graph, "feed": feed,
             "evaluate": evaluate, "rng": rng, "best": None, "start": 0.0, "losses": [1.0]}

    def same(result, indices):  # in any order
        probs = evaluate(sess, graph, feed, indices, SIZE).probs
        return close(np.sort(result.probs, 0), np.sort(probs, 0))

    last = ()
    for epoch in 1, 2:
        sess.run(graph.b.assign(rng.normal(0, 1, CLASSES)))  # as if trained
        names |= answer.run("accuracy", 2, **(names | {"epoch": epoch}))
        result, right = names["result"], evaluate(sess, graph, feed, validation, SIZE)
        expect(not same(result, training) and not same(result, np.r_[training, validation]),
               "After an epoch the head is judged on images that it was trained on: that tells how "
               "well it remembers, not whether it knows signs that it has never seen.")
        expect(not close(result.probs, last), "The head is not judged anew after each epoch, so "
               "the best epoch may go by unseen.")
        expect(same(result, validation), "After an epoch the head is judged on other images than "
               f"the {len(validation)} of data.validation, each of them once: a few make a chance "
               "result.")
        expect(close(result.probs, right.probs),
               ORDER.format("The validation images are judged", "data.validation"))
        expect(close([result.accuracy, result.loss], [right.accuracy, right.loss]), "`result` has "
               "other numbers than evaluate() finds for the validation images.")
        last = right.probs


def check(answer):
    graph, sess = build(answer)
    W = np.roll(np.eye(4096, CLASSES), 7, axis=0)  # one feature for each class
    sess.run([graph.W.assign(W), graph.b.assign(np.zeros(CLASSES))])

    def evaluate(sess, graph, feed, indices, batch_size):
        found = answer.run("accuracy", 1, sess=sess, graph=graph, feed=feed, indices=indices,
                           batch_size=batch_size, loss=0, accuracy=0, probs=[])
        if isinstance(found, dict):  # else the lines themselves return what evaluate() does
            found = SimpleNamespace(**{**found, "probs": np.concatenate(found["probs"])})
        return found

    check_batch(graph, sess)
    check_evaluate(graph, sess, evaluate)
    check_epochs(answer, graph, sess, evaluate)
    return ""
