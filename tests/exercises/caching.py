"""caching: each image passes the network once, and what is kept is of these images."""
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
INPUTS = {  # "They ...": if so changed, pixels p (n, 36, 3) are what they should be
    "do not lose the mean of each, or another": lambda p: p - p.mean((1, 2), keepdims=True),
    "are shifted, channel by channel": lambda p: p - p.mean(1, keepdims=True),
    "have their colours in another order": lambda p: np.sort(p, axis=2),
    "are scaled": lambda p: (p - p.mean((1, 2), keepdims=True)) / p.std((1, 2), keepdims=True),
}


def distances(seen, pixels):
    """How far each row seen is from the nearest in `pixels`, and which that is."""
    return cKDTree(pixels.reshape(-1, 108)).query(seen.reshape(-1, 108))


def check_data(answer, images, labels, seed, again):
    """Two epochs, with other batches in each; again: what is new since the check before."""
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
    args.weights = f"{seed}.npy"
    feed = answer.run("caching", args=args, sess=sess, graph=graph, backbone=weights,
                      images=images, labels=labels)
    expect(callable(feed), "make_feed() has to return a function, from the images' indices to "
           "a feed_dict; the training calls it for each batch.")
    for sizes in (128, 1024, 1025), (300, 301, 900):
        for order in np.split(rng.permutation(COUNT), sizes):
            fed = feed(order)
            expect(graph.features in fed or graph.fc7 in fed, "No features are fed for a batch, "
                   "so the frozen network runs in every epoch, and always gives the same: that is "
                   "the time to save.")
            features = fed[graph.features if graph.features in fed else graph.fc7]
            expect(graph.labels in fed and np.array_equal(fed[graph.labels], labels[order]), "The "
                   "labels that are fed are not those of the batch's images: the head learns wrong "
                   "names.")
            wrong += not close(features, fc7[order])

    expect(seen or not again, f"For {again} the features of the first are served: what is kept, in "
           "a file or in memory, has to tell which images and which weights it is of.")
    most, seen = max(map(len, seen), default=0), np.concatenate([*seen, np.empty((0, 108))])
    far, which = distances(seen, right)
    if (far > 0.01).any():
        seen, right = [rows.reshape(-1, 36, 3)[:200] for rows in (seen, right)]
        fault = next((f": they {fault}" for fault, change in INPUTS.items()
                      if distances(change(seen), change(right))[0].min() < 0.01), "")
        expect(False, "The images that reach the network are not as the inference scripts feed "
               f"them{fault}. The head would learn on features that it never meets again.")
    missing = COUNT - len(np.unique(which))
    expect(not missing, f"{missing} of {COUNT} images never went through the network"
           f"{again and f', for {again}'}: their features are those of others.")
    expect(len(which) < 1.05 * COUNT, f"{len(which)} images went through the network for two "
           f"epochs of {COUNT}, whose batches are drawn anew. Once for each image is enough.")
    expect(most < COUNT, "All images go through the network in one run. Its layers need about 5 MB "
           "for each, too much for a whole data set.")
    expect(not wrong, "The features that are fed are not fc7 of the batch's images: they are in "
           "another order, or of another layer, and the head learns wrong pairs.")


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
