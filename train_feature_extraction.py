"""Step 3: keep AlexNet frozen, and train a new last layer, the head, on signs.

    python train_feature_extraction.py                   train on train.p
    python train_feature_extraction.py --train FOLDER    your own classes
    python train_feature_extraction.py --finetune 2      then train all layers

The frozen layers run once over all images; their output, fc7, is cached, and
the head trains on that. To do an exercise, write the code between
`# Exercise NAME` and `# End of NAME`, then run: python tests/check.py NAME
"""
import time
from types import SimpleNamespace

import numpy as np

from alexnet import AlexNet
from data.lab import cache, dataset
from data.lab.batches import batches
from data.lab.command import at_least, parse_settings, path, positive, run_script
from data.lab.finetuning import finetune
from data.lab.images import LARGEST, preprocess  # each image minus its mean, as in steps 1 and 2
from data.lab.report import Run
from data.lab.standin import find  # the real file, or a synthetic one in its place
from data.lab.tf1 import tf  # tensorflow.compat.v1: first build a graph, then run it
from data.lab.weights import BACKBONE, read_weights

VALIDATION = 0.33  # fraction of each class's tracks; with --random-split, of all images
SETTINGS = (  # name, type, default, help
    ("--train", path, None, "a folder of class folders, or a pickle (default: train.p)"),
    ("--test", path, None, "test data (default: test.p, if present)"),
    ("--weights", path, None, "a weights file (default: bvlc-alexnet.npy)"),
    ("--epochs", at_least(1), 10, "number of training epochs"),
    ("--batch-size", at_least(1), 128, "images per training step"),
    ("--learning-rate", positive, 0.001, "learning rate of Adam"),
    ("--seed", at_least(0), 0, "random seed of the split, the initial weights and the order"),
    ("--size", at_least(32, LARGEST), 32, "resize the images of a folder to N x N pixels"),
    ("--limit", at_least(2), None, "use only the first N tracks of each class"),
    ("--random-split", bool, None, "split image by image, as the course did, not by track"),
    ("--no-cache", bool, None, "compute fc7 again in every epoch, as the course did"),
    ("--finetune", at_least(1), None, "after the head, finetune all layers for N epochs"),
)


def split_by_track(tracks, labels, rng):
    """Return the indices of the images for training and for validation.

    A track is a series of frames of one physical sign. If both sets had frames of it, the
    validation would reward memorising that sign, so each track goes as a whole to one set.
    """
    validates = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = rng.permutation(np.unique(tracks[labels == label]))
        count = min(max(round(VALIDATION * len(own)), 1), len(own) - 1)  # at least one trains
        validates |= np.isin(tracks, own[:count])
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def split_at_random(tracks, labels, rng):
    """Split image by image, ignoring tracks, as the course did."""
    order, count = rng.permutation(len(labels)), round(VALIDATION * len(labels))
    return np.sort(order[count:]), np.sort(order[:count])


def build_graph(backbone, classes, learning_rate, size=32):
    """Build the training graph; return its tensors. backbone: {layer: [W, b]}, conv1 to fc7."""
    images = tf.placeholder(tf.float32, (None, size, size, 3), name="images")
    labels = tf.placeholder(tf.int64, (None,), name="labels")
    resized = tf.image.resize_images(images, (227, 227), name="resize")  # (N, 227, 227, 3)
    # No gradient flows back into AlexNet.
    # Exercise freeze
    fc7 = tf.stop_gradient(AlexNet(resized, feature_extract=True, weights=backbone))
    # End of freeze
    # By default, `features` is fc7 of `images`. If cached fc7 is fed, AlexNet does not run.
    features = tf.placeholder_with_default(fc7, (None, 4096), name="features")
    # A new layer on `features`, one output for each class, and its loss.
    # Exercise fc8
    W = tf.Variable(tf.truncated_normal((4096, classes), stddev=1e-2), name="head/weights")
    b = tf.Variable(tf.zeros(classes), name="head/biases")
    logits = tf.nn.xw_plus_b(features, W, b, name="head/logits")  # (N, classes)
    probs = tf.nn.softmax(logits, name="head/probs")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=logits, name="loss/cross_entropy"), name="loss/mean")
    # End of fc8
    # Each step changes the head, and only the head.
    # Exercise optimiser
    train_op = tf.train.AdamOptimizer(learning_rate).minimize(loss, var_list=[W, b], name="train")
    # End of optimiser
    # The fraction of correct predictions in a batch.
    # Exercise accuracy, 1 of 3
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, axis=1), labels), tf.float32))
    # End of accuracy
    return SimpleNamespace(images=images, labels=labels, fc7=fc7, features=features, W=W, b=b,
                           probs=probs, loss=loss, train_op=train_op, accuracy=accuracy)


def make_feed(args, sess, graph, backbone, images, labels):
    """Return a function: indices (n,) -> feed_dict of their images, or fc7, and labels."""
    if args.no_cache:
        return lambda i: {graph.images: preprocess(images[i]), graph.labels: labels[i]}
    # Run each image through the backbone once, and feed its fc7 from then on.
    # Exercise caching
    rows = cache.cached(images, backbone, lambda batch: sess.run(
        graph.fc7, feed_dict={graph.images: preprocess(batch)}))
    return lambda i: {graph.features: rows(i), graph.labels: labels[i]}
    # End of caching


def evaluate(sess, graph, feed, indices, batch_size):
    """Evaluate the images `indices`; return a namespace: loss, accuracy, probs (n, classes)."""
    loss, accuracy, probs = 0, 0, []
    # Over all images; each batch is weighted by its size.
    # Exercise accuracy, 2 of 3
    for batch in batches(indices, batch_size):
        found = sess.run([graph.loss, graph.accuracy, graph.probs], feed_dict=feed(batch))
        loss += found[0] * len(batch) / len(indices)
        accuracy += found[1] * len(batch) / len(indices)
        probs.append(found[2])
    # End of accuracy
    correct = round(float(accuracy) * len(indices))  # exact: of equal epochs, the first is best
    return SimpleNamespace(loss=loss, accuracy=correct / len(indices), probs=np.concatenate(probs))


def main():
    args = parse_settings(__doc__, SETTINGS)
    rng = np.random.default_rng(args.seed)
    tf.set_random_seed(args.seed)

    data = dataset.load(args.train or find("train.p"), args.size, args.limit)
    split = split_at_random if args.random_split else split_by_track
    data.training, data.validation = split(data.tracks, data.labels, rng)
    dataset.print_split(data, args.random_split)
    data.test = dataset.load_test(args.test, data)  # or None
    backbone = read_weights(args.weights or find("bvlc-alexnet.npy"), BACKBONE)

    graph = build_graph(backbone, len(data.names), args.learning_rate, args.size)
    run = Run(tf.get_default_graph())
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    feed = make_feed(args, sess, graph, backbone, data.images, data.labels)

    best = None
    for epoch in range(1, args.epochs + 1):
        start, training_loss, training_accuracy = time.time(), 0, 0
        for batch in batches(rng.permutation(data.training), args.batch_size):
            _, loss, accuracy = sess.run([graph.train_op, graph.loss, graph.accuracy],
                                         feed_dict=feed(batch))
            training_loss += loss * len(batch) / len(data.training)
            training_accuracy += accuracy * len(batch) / len(data.training)
        # Evaluate on images that the head was not trained on.
        # Exercise accuracy, 3 of 3
        result = evaluate(sess, graph, feed, data.validation, args.batch_size)
        # End of accuracy
        run.add_epoch(epoch, time.time() - start, training_loss, training_accuracy, result)
        if best is None or result.accuracy > best.accuracy:
            best, best_epoch, head = result, epoch, sess.run([graph.W, graph.b])

    # The head of the best epoch: save it, report on it, and evaluate it on test data.
    sess.run([graph.W.assign(head[0]), graph.b.assign(head[1])])
    run.save_head(head, data, backbone)
    run.add_validation(best_epoch, data, best.probs)
    if not args.no_cache:
        run.add_neighbours(data, best.probs, lambda i: sess.run(graph.features, feed(i)))
    if data.test:
        feed = make_feed(args, sess, graph, backbone, data.test.images, data.test.labels)
        result = evaluate(sess, graph, feed, np.arange(len(data.test.labels)), args.batch_size)
        run.print_accuracy(data.test.title, result.probs, data.test)
    run.print_files()
    sess.close()
    if args.finetune:
        finetune(args, data, {**backbone, "fc8": head}, best, run, evaluate)  # in a new graph


if __name__ == "__main__":
    run_script(main)
