"""Step 3: AlexNet stays frozen, a new last layer learns traffic signs.

    python train_feature_extraction.py                 the lab's main job
    python train_feature_extraction.py --limit 2       a quick look: 2 tracks a class
    python train_feature_extraction.py --train my.p    your own data
    python train_feature_extraction.py --test test.p   ... and the test accuracy
    python train_feature_extraction.py --random-split  the course's split, to compare
    python train_feature_extraction.py --no-cache      the course's way: much slower
    python train_feature_extraction.py --finetune 2    then 2 epochs of all layers

The frozen network runs once over all images; its fc7 is cached in data/cache/ and the
new layer, 4096 x 43, trains on that. The trained head goes to
data/traffic_sign_head.npy, a finetuned network to data/traffic_sign_alexnet.npy.

The lines between `# Exercise NAME` and `# End of NAME` are yours to write anew: put
`...` in their place, write, and ask `python tests/check.py NAME`.
"""
import sys
import time
from types import SimpleNamespace

import numpy as np

from alexnet import AlexNet
from data import bottlenecks, report, splits
from data.files import (
    DATA, LAB, LabError, Parser, at_least, atomic_write, find, find_real, positive, run_script,
)
from data.finetuning import finetune
from data.pictures import preprocess, print_top5, read_picture
from data.progress import batches
from data.reading import BACKBONE, read_signs, read_weights
from data.signs import class_names
from data.tf1 import tf

EPOCHS = 10
BATCH_SIZE = 128
LEARNING_RATE = 0.001  # Adam's own default
SEED = 0  # of the split, the first weights of the head and the order of the batches
VALIDATION = 0.33  # share of the images, as in the course
PICTURES = ("construction.jpg", "stop.jpg")
HEAD = DATA / "traffic_sign_head.npy"


def parse_arguments():
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--train", metavar="FILE", help="training data; default: train.p")
    add("--test", metavar="FILE", help="test data; default: test.p, where it is present")
    add("--weights", metavar="FILE", help="a weights file; default: bvlc-alexnet.npy")
    add("--epochs", type=at_least(1), metavar="N", default=EPOCHS, help="default: %(default)s")
    add("--batch-size", type=at_least(1), metavar="N", default=BATCH_SIZE,
        help="default: %(default)s")
    add("--learning-rate", type=positive, metavar="X", default=LEARNING_RATE,
        help="default: %(default)s")
    add("--seed", type=at_least(0), metavar="N", default=SEED, help="default: %(default)s")
    add("--limit", type=at_least(2), metavar="N", help="only the first N tracks of each class")
    add("--random-split", action="store_true", help="split image by image, not by tracks")
    add("--no-cache", action="store_true", help="run the frozen network in every epoch")
    add("--finetune", type=at_least(1), metavar="N", help="then train all layers N epochs")
    return parser.parse_args()


def build_graph(backbone, learning_rate):
    """The training graph; its tensors by name.

    backbone: {layer: [W, b]} from conv1 to fc7; learning_rate: Adam's.
    """
    images = tf.placeholder(tf.float32, (None, 32, 32, 3))
    labels = tf.placeholder(tf.int64, (None,))
    resized = tf.image.resize_images(images, (227, 227))  # (N, 227, 227, 3)

    # Exercise freeze: no gradient flows back into AlexNet.
    fc7 = tf.stop_gradient(AlexNet(resized, feature_extract=True, weights=backbone))
    # End of freeze
    # The head takes fc7 from the network, or from the cache when that is fed.
    features = tf.placeholder_with_default(fc7, (None, 4096))

    # Exercise fc8: a new layer with one output for each class, and its loss.
    W = tf.Variable(tf.truncated_normal((4096, len(class_names)), stddev=1e-2))
    b = tf.Variable(tf.zeros(len(class_names)))
    logits = tf.nn.xw_plus_b(features, W, b)  # (N, 43)
    probs = tf.nn.softmax(logits)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    loss = tf.reduce_mean(losses)
    # End of fc8

    # Exercise optimiser: Adam moves the head, and only the head.
    train_op = tf.train.AdamOptimizer(learning_rate).minimize(loss, var_list=[W, b])
    # End of optimiser

    # Exercise accuracy, 1 of 3: the share of right answers in a batch.
    correct = tf.equal(tf.argmax(logits, axis=1), labels)
    accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
    # End of accuracy
    return SimpleNamespace(
        images=images, labels=labels, fc7=fc7, features=features, W=W, b=b, probs=probs,
        loss=loss, train_op=train_op, accuracy=accuracy,
    )


def read_data(args, rng):
    """images, labels, training and validation (indices) and test, as the arguments ask."""
    path = args.train or find("train.p")
    signs = read_signs(path)
    images, labels = signs["features"], signs["labels"]
    for label, count in enumerate(np.bincount(labels, minlength=len(class_names))):
        if count < 2:
            raise LabError(f"{path}: class {label} ({class_names[label]}) has {count} images; "
                           "give each class two or more, from different tracks")
    tracks = splits.find_tracks(images, labels)
    if args.limit:
        chosen = splits.first_tracks(tracks, labels, args.limit)
        images, labels = images[chosen], labels[chosen]
        tracks = tracks if tracks is None else tracks[chosen]
    if tracks is None and not args.random_split:
        print(f"{path}: its order shows no tracks, so it is split at random: the accuracy "
              "flatters where images of one sign are on both sides", file=sys.stderr)
    if tracks is None or args.random_split:
        how, split = "at random", splits.split_at_random(labels, VALIDATION, rng)
    else:
        how = f"by its {len(np.unique(tracks)):,} tracks"
        split = splits.split_by_track(tracks, labels, VALIDATION, rng)
    training, validation = split
    for part, indices in ("training", training), ("validation", validation):
        absent = np.setdiff1d(labels, labels[indices])
        if len(absent):
            print(f"{path}: too few images or tracks for the split; the {part} has none of "
                  f"class {', '.join(map(str, absent))}", file=sys.stderr)
    print(f"{len(images):,} images, split {how}: {len(training):,} train the head, "
          f"{len(validation):,} validate it\n")
    test = args.test or find_real("test.p")
    return SimpleNamespace(
        images=images, labels=labels, training=training, validation=validation,
        test=test and read_signs(test, "test"),
    )


def make_feed(args, sess, graph, backbone, images, labels):
    """A function: indices (n,) -> feed_dict of these images and their labels.

    The images go through the frozen network once, here; with --no-cache in every epoch.
    """
    if args.no_cache:
        return lambda i: {graph.images: preprocess(images[i]), graph.labels: labels[i]}

    # Exercise caching: run each image through the network once, feed its fc7 from then on.
    def extract(batch):
        return sess.run(graph.fc7, feed_dict={graph.images: preprocess(batch)})

    path = bottlenecks.cache_path(images, backbone, graph.fc7)
    bottlenecks.compute(path, images, extract)
    rows = bottlenecks.open_rows(path)
    return lambda i: {graph.features: rows(i), graph.labels: labels[i]}
    # End of caching


def evaluate(sess, graph, feed, indices, batch_size):
    """loss, accuracy and probs (n, 43) of the images `indices`, as a namespace.

    feed: a function, indices -> feed_dict.
    """
    loss = accuracy = 0
    probs = []
    # Exercise accuracy, 2 of 3: over all the images; each batch counts by its size.
    for batch in batches(indices, batch_size):
        tensors = [graph.loss, graph.accuracy, graph.probs]
        batch_loss, batch_accuracy, batch_probs = sess.run(tensors, feed_dict=feed(batch))
        loss += batch_loss * len(batch) / len(indices)
        accuracy += batch_accuracy * len(batch) / len(indices)
        probs.append(batch_probs)
    # End of accuracy
    return SimpleNamespace(loss=loss, accuracy=accuracy, probs=np.concatenate(probs))


def main():
    args = parse_arguments()
    rng = np.random.default_rng(args.seed)
    tf.set_random_seed(args.seed)
    data = read_data(args, rng)
    backbone = read_weights(args.weights or find("bvlc-alexnet.npy"), BACKBONE)

    graph = build_graph(backbone, args.learning_rate)
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())

    folder = DATA / "runs" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)  # before the long work, in case it cannot be
    feed = make_feed(args, sess, graph, backbone, data.images, data.labels)
    writer = tf.summary.FileWriter(str(folder))
    best = None
    for epoch in range(1, args.epochs + 1):
        start = time.time()
        order, training_loss = rng.permutation(data.training), 0
        for batch in batches(order, args.batch_size):
            _, loss = sess.run([graph.train_op, graph.loss], feed_dict=feed(batch))
            training_loss += loss * len(batch) / len(order)
        # Exercise accuracy, 3 of 3: of images that the head has not seen.
        result = evaluate(sess, graph, feed, data.validation, args.batch_size)
        # End of accuracy
        report.print_epoch(epoch, time.time() - start, training_loss, result)
        report.add_scalars(writer, epoch, training_loss=training_loss,
                           validation_loss=result.loss, validation_accuracy=result.accuracy)
        if not np.isfinite(training_loss):
            raise LabError("the loss is no longer a number: training diverged; "
                           "choose a smaller --learning-rate")
        if best is None or result.accuracy > best.accuracy:
            best = result
            best.epoch, best.head = epoch, sess.run([graph.W, graph.b])

    for variable, value in zip((graph.W, graph.b), best.head):
        variable.load(value, sess)
    with atomic_write(HEAD) as file:
        np.save(file, {"fc8": best.head})
    validation_labels = data.labels[data.validation]
    report.write_pictures(
        folder, writer, data.images[data.validation], validation_labels, best.probs
    )
    print(f"Best epoch: {best.epoch}")
    report.print_accuracy("Validation", best.probs, validation_labels)
    report.print_worst(best.probs, validation_labels)
    if data.test:
        images, labels = data.test["features"], data.test["labels"]
        feed = make_feed(args, sess, graph, backbone, images, labels)
        result = evaluate(sess, graph, feed, np.arange(len(labels)), args.batch_size)
        report.print_accuracy("Test", result.probs, labels)
    print(f"Head: {HEAD.relative_to(LAB)}")
    print(f"Pictures and TensorBoard's file: {folder.relative_to(LAB)}\n")

    # The same head, now on fc7 straight from the network.
    pictures = [read_picture(find(name), 32) for name in PICTURES]
    output = sess.run(graph.probs, feed_dict={graph.images: preprocess(pictures)})
    print_top5(output, class_names)

    if args.finetune:
        sess.close()  # its copy of the weights is not needed any more
        finetune(args, data, {**backbone, "fc8": best.head}, evaluate, writer)
    writer.close()


if __name__ == "__main__":
    run_script(main)
