"""caching: each image runs through the network once; the cache is valid for these images only."""
import numpy as np
from scipy.spatial import cKDTree

from data.lab.command import parse_settings
from data.lab.images import preprocess
from data.lab.tf1 import tf
from exercises import expect
from exercises.graphs import CLASSES, build, close, make_weights

NAMES = [()]
LINES = ["""
rows = cache.cached(images, backbone, lambda batch: sess.run(
    graph.fc7, feed_dict={graph.images: preprocess(batch)}))
return lambda i: {graph.features: rows(i), graph.labels: labels[i]}
"""]
HINTS = {}
COUNT = 1100
INPUTS = {  # changed in this way, the pixels p (n, 36, 3) would be correct
    "the mean of each image is not subtracted, or a different one is":
        lambda p: p - p.mean((1, 2), keepdims=True),
    "each channel is shifted": lambda p: p - p.mean(1, keepdims=True),
    "the colours are in a different order": lambda p: np.sort(p, axis=2),
    "the values are scaled":
        lambda p: (p - p.mean((1, 2), keepdims=True)) / p.std((1, 2), keepdims=True),
}


def distances(seen, pixels):
    """The distance from each row of `seen` to the nearest in `pixels`, and its number."""
    return cKDTree(pixels.reshape(-1, 108)).query(seen.reshape(-1, 108))


def check_data(answer, images, labels, seed, again):
    """Two epochs, with different batches; again: what has changed since the previous check."""
    weights, rng = make_weights(seed), np.random.default_rng(5)
    graph, sess = build(answer, weights=weights)
    run, pixels, seen = sess.run, sess.graph.get_tensor_by_name("pixels:0"), []

    def record(fetches, feed_dict=None, *args, **kwargs):
        fed = feed_dict or {}
        if graph.images not in fed or graph.features in fed or graph.fc7 in fed:
            return run(fetches, feed_dict, *args, **kwargs)
        values, new = run([fetches, pixels], feed_dict, *args, **kwargs)
        seen.append(new)
        return values

    parts = [run([graph.fc7, pixels], {graph.images: preprocess(part)})
             for part in np.array_split(images, 10)]
    fc7, right = map(np.concatenate, zip(*parts))
    sess.run, wrong, args = record, 0, parse_settings("", answer.scope["SETTINGS"])
    feed = answer.run("caching", args=args, sess=sess, graph=graph, backbone=weights,
                      images=images, labels=labels)
    expect(callable(feed), "make_feed() must return a function from indices of images to a "
           "feed_dict; the training calls it for each batch.")
    for sizes in (128, 1024, 1025), (300, 301, 900):
        for order in np.split(rng.permutation(COUNT), sizes):
            fed = feed(order)
            expect(graph.features in fed or graph.fc7 in fed, "No features are fed for a batch, "
                   "so the frozen network runs in every epoch and computes the same values each "
                   "time. The cache exists to avoid this.")
            features = fed[graph.features if graph.features in fed else graph.fc7]
            expect(graph.labels in fed and np.array_equal(fed[graph.labels], labels[order]), "The "
                   "labels that are fed do not belong to the images of the batch, so the head "
                   "learns wrong names.")
            wrong += not close(features, fc7[order])

    expect(seen or not again or not wrong, f"For {again}, your cache returns features that were "
           "computed earlier for different images or weights. The cache key (the file name or "
           "dictionary key) must depend on the images and on the weights.")
    most, seen = max(map(len, seen), default=0), np.concatenate([*seen, np.empty((0, 108))])
    far, which = distances(seen, right)
    if (far > 0.01).any():
        seen, right = [rows.reshape(-1, 36, 3)[:200] for rows in (seen, right)]
        fault = next((f": {fault}" for fault, change in INPUTS.items()
                      if distances(change(seen), change(right))[0].min() < 0.01), "")
        expect(False, "The images that reach the network differ from those in the inference "
               f"scripts{fault}. At inference, the head would get different features.")
    missing = COUNT - len(np.unique(which))
    expect(not missing or not wrong, f"{missing} of {COUNT} images never went through the network"
           f"{again and f', for {again}'}: their features are those of other images.")
    expect(len(which) < 1.05 * COUNT, f"{len(which)} images went through the network in two "
           f"epochs of {COUNT}, with different batches. Once for each image is enough.")
    expect(most < COUNT, "All images go through the network in a single run. Its layers need about "
           "5 MB per image, too much for a whole data set.")
    expect(not wrong, "The features that are fed are not fc7 of the images of the batch: they are "
           "in a different order, or from a different layer.")


def check(answer):
    rng = np.random.default_rng(4)
    first = rng.integers(0, 256, (COUNT, 32, 32, 3)).astype(np.uint8)
    second, labels = first.copy(), rng.integers(0, CLASSES, COUNT)
    second[1:-1] = rng.permutation(first[1:-1])  # the same sum, first and last image
    for images, seed, again in ((first, 0, ""), (second, 0, "a second data set"),
                                (second, 1, "other weights")):
        with tf.Graph().as_default():
            check_data(answer, images, labels, seed, again)
    return ""
