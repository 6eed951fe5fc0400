"""Step 3: AlexNet stays frozen, a new last layer learns traffic signs.

    python train_feature_extraction.py                   the lab's main job
    python train_feature_extraction.py --train FOLDER    your own classes
    python train_feature_extraction.py --finetune 2      then 2 epochs of all layers

The frozen network runs once over all images; its fc7 is cached, and the new layer trains on
that. Exercises: `# Exercise NAME` to `# End of NAME`, and python tests/check.py NAME
"""
import time
from types import SimpleNamespace

import numpy as np

from alexnet import AlexNet
from data.lab import cache, dataset, finetuning, report
from data.lab.batches import batches
from data.lab.command import at_least, parse_settings, path, positive
from data.lab.exercises import run_script
from data.lab.pictures import preprocess, print_top5
from data.lab.standin import find
from data.lab.tf1 import tf
from data.lab.weights import BACKBONE, read_weights

SETTINGS = (
    ("--train", path, None, "a folder of folders of pictures, or a pickle (default: train.p)"),
    ("--test", path, None, "test data (default: test.p, where it is present)"),
    ("--weights", path, None, "a weights file (default: bvlc-alexnet.npy)"),
    ("--epochs", at_least(1), 10, "passes over the training images"),
    ("--batch-size", at_least(1), 128, "images in a step"),
    ("--learning-rate", positive, 0.001, "of Adam, whose own default it is"),
    ("--seed", at_least(0), 0, "of the split, the first weights and the order of the images"),
    ("--size", at_least(32), 32, "to which a folder's pictures are resized"),
    ("--limit", at_least(2), None, "take only the first N tracks of each class"),
    ("--random-split", bool, None, "split image by image, as the course did, not by tracks"),
    ("--no-cache", bool, None, "run the frozen network in every epoch, as the course did"),
    ("--finetune", at_least(1), None, "then train all layers for N epochs"),
)


def build_graph(backbone, classes, learning_rate, size=32):
    """The training graph; its tensors by name. backbone: {layer: [W, b]}, conv1 to fc7."""
    images = tf.placeholder(tf.float32, (None, size, size, 3), name="images")
    labels = tf.placeholder(tf.int64, (None,), name="labels")
    resized = tf.image.resize_images(images, (227, 227), name="resize")  # (N, 227, 227, 3)
    # No gradient flows back into AlexNet.
    # Exercise freeze
    fc7 = tf.stop_gradient(AlexNet(resized, backbone, feature_extract=True))
    # End of freeze
    # The head takes fc7 from the network, or from the cache when that is fed.
    features = tf.placeholder_with_default(fc7, (None, 4096), name="features")
    # A new layer on `features`, one output for each class, and its loss.
    # Exercise fc8
    W = tf.Variable(tf.truncated_normal((4096, classes), stddev=1e-2), name="head/weights")
    b = tf.Variable(tf.zeros(classes), name="head/biases")
    logits = tf.nn.xw_plus_b(features, W, b, name="head/logits")  # (N, 43)
    probs = tf.nn.softmax(logits, name="head/probs")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=logits, name="loss/cross_entropy"), name="loss/mean")
    # End of fc8
    # A step moves the head, and only the head.
    # Exercise optimiser
    train_op = tf.train.AdamOptimizer(learning_rate).minimize(loss, var_list=[W, b], name="train")
    # End of optimiser
    # The share of right answers in a batch.
    # Exercise accuracy, 1 of 3
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, axis=1), labels), tf.float32))
    # End of accuracy
    return SimpleNamespace(
        images=images, labels=labels, fc7=fc7, features=features, W=W, b=b, probs=probs, loss=loss,
        train_op=train_op, accuracy=accuracy, training={})


def make_feed(args, sess, graph, backbone, images, labels):
    """A function: indices (n,) -> feed_dict of these images, or of their fc7, and labels."""
    if args.no_cache:
        return lambda i: {graph.images: preprocess(images[i]), graph.labels: labels[i]}
    # Run each image through the network once, feed its fc7 from then on.
    # Exercise caching
    rows = cache.cached(images, backbone, lambda batch: sess.run(
        graph.fc7, feed_dict={graph.images: preprocess(batch)}))
    return lambda i: {graph.features: rows(i), graph.labels: labels[i]}
    # End of caching


def evaluate(sess, graph, feed, indices, batch_size):
    """loss, accuracy and probs (n, 43) of the images `indices`, as a namespace."""
    loss, accuracy, probs = 0, 0, []
    # Over all the images; each batch counts by its size.
    # Exercise accuracy, 2 of 3
    for batch in batches(indices, batch_size):
        found = sess.run([graph.loss, graph.accuracy, graph.probs], feed_dict=feed(batch))
        loss += found[0] * len(batch) / len(indices)
        accuracy += found[1] * len(batch) / len(indices)
        probs.append(found[2])
    # End of accuracy
    return SimpleNamespace(loss=loss, accuracy=accuracy, probs=np.concatenate(probs))


def train(sess, graph, feed, data, args, epochs, rng, run, done=0):
    """Yield (epoch, result) after each of `epochs`; `done` images of the first are behind us."""
    for epoch in epochs:
        start, training_loss, order = time.time(), 0, rng.permutation(data.training)
        for batch in batches(order, args.batch_size, done):
            _, loss = sess.run([graph.train_op, graph.loss], {**feed(batch), **graph.training})
            training_loss += report.finite(loss) * len(batch) / (len(order) - done)
        # Of images that the head has not seen.
        # Exercise accuracy, 3 of 3
        result = evaluate(sess, graph, feed, data.validation, args.batch_size)
        # End of accuracy
        run.add_epoch(epoch, time.time() - start, training_loss, result)
        yield epoch, result
        done = 0


def main():
    args = parse_settings(__doc__, SETTINGS)
    rng = np.random.default_rng(args.seed)
    tf.set_random_seed(args.seed)
    data = dataset.load(args, rng)
    backbone = read_weights(args.weights or find("bvlc-alexnet.npy"), BACKBONE)
    graph = build_graph(backbone, len(data.names), args.learning_rate, args.size)
    run = report.Run(tf.get_default_graph())
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    feed = make_feed(args, sess, graph, backbone, data.images, data.labels)
    best = None
    for epoch, result in train(sess, graph, feed, data, args, range(1, args.epochs + 1), rng, run):
        if best is None or result.accuracy > best.accuracy:
            best, best_epoch, head = result, epoch, sess.run([graph.W, graph.b])

    run.save_head({"fc8": head, **data.extra})
    sess.run([graph.W.assign(head[0]), graph.b.assign(head[1])])
    run.add_validation(best_epoch, data, best.probs)
    run.add_neighbours(data, feed, graph.features)
    if data.test:
        feed = make_feed(args, sess, graph, backbone, data.test.images, data.test.labels)
        result = evaluate(sess, graph, feed, np.arange(len(data.test.labels)), args.batch_size)
        report.print_accuracy("Test Accuracy", result.probs, data.test)
    run.print_files()
    # The same head, now on fc7 straight from the network.
    pictures = preprocess(dataset.two_pictures(data))
    print_top5([sess.run(graph.probs, feed_dict={graph.images: pictures})], data.names)
    sess.close()
    if args.finetune:
        finetuning.finetune(args, data, {**backbone, "fc8": head}, best, run, train, evaluate)


if __name__ == "__main__":
    run_script(main)
