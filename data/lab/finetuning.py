"""Finetuning, the second form of transfer learning: all layers are trained on, end to end.

It starts from the trained head: gradients from a random one would spoil the pretrained
layers. It is regularised as AlexNet was (Krizhevsky et al., 2012): dropout, weight decay, and
images that are changed at random. They are not flipped: that would change their signs.
"""
import time
import zipfile
from types import SimpleNamespace

import numpy as np

from alexnet import AlexNet
from data.lab import cache, paths, report
from data.lab.batches import batches
from data.lab.command import LabError, about
from data.lab.images import preprocess
from data.lab.tf1 import tf
from data.lab.weights import BACKBONE, save_weights

DROPOUT, DECAY = 0.5, 5e-4  # AlexNet's own
SOURCES = [paths.LAB / name for name in (  # the code that the result depends on
    "alexnet.py", "train_feature_extraction.py", "data/lab/images.py", "data/lab/finetuning.py")]
BATCH = 16  # images in a step; larger batches mean fewer steps in an epoch, which learns less
# A step changes the weights of a layer by about --learning-rate times this multiple of their
# root mean square, as in Adafactor (Shazeer and Stern, 2018). One rate for all layers, 0.001
# with momentum or 0.0001 with Adam, ruins the synthetic weights within an epoch.
RATE = 3
# The images change by up to so much, in fractions of their side, in factors e**x: signs are
# seen from elsewhere, and in shade or sun.
SHIFT, ZOOM, BRIGHTNESS = 0.1, 0.15, 1.2


def augment(images, amount):
    """Shift, zoom, and brighten or darken `images` (N, size, size, 3) at random.

    amount: 1, or 0 to leave them as they are. They have mean 0, so a factor changes their
    brightness.
    """
    count, size = tf.shape(images)[0], int(images.shape[1])

    def draw(most):
        return amount * tf.random.uniform((count,), -most, most)

    zoom, zeros = tf.exp(draw(ZOOM)), tf.zeros((count,))
    x, y = ((1 - zoom) * size / 2 + draw(SHIFT * size) for _ in "xy")
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images, transforms=tf.stack([zoom, zeros, x, zeros, zoom, y, zeros, zeros], axis=1),
        output_shape=(size, size), fill_value=0, interpolation="BILINEAR", fill_mode="NEAREST")
    return moved * tf.exp(draw(BRIGHTNESS))[:, tf.newaxis, tf.newaxis, tf.newaxis]


def build_graph(weights, size, learning_rate, steps):
    """Build the graph of the whole network, all layers trainable; returns its tensors by name.

    weights: {layer: [W, b]} from conv1 to fc8; size: of the images, pixels along a side;
    learning_rate: times RATE, how much a step changes a layer, relative to its weights; it falls
    to 0 over `steps`.
    """
    images = tf.placeholder(tf.float32, (None, size, size, 3))
    labels = tf.placeholder(tf.int64, (None,))
    training = tf.placeholder_with_default(0.0, ())  # 1 while training
    resized = tf.image.resize_images(augment(images, training), (227, 227))
    probs = AlexNet(resized, weights=weights, dropout=DROPOUT * training)  # (N, 43)
    logits = tf.get_default_graph().get_tensor_by_name("fc8:0")

    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, axis=1), labels), tf.float32))

    step = tf.train.create_global_step()
    variables = tf.trainable_variables()  # W and b of each layer in turn
    gradients = tf.gradients(loss, variables)
    rate = tf.train.cosine_decay(RATE * learning_rate, step, steps)
    updates = []
    for i, (initial, _) in enumerate(weights.values()):
        W, b, dW, db = (tensors[2 * i + j] for tensors in (variables, gradients) for j in (0, 1))
        # First the gradients of the layer below: until then W is read, and would be copied.
        with tf.control_dependencies([dW, *gradients[2 * i - 2:2 * i]]):
            decayed = dW + DECAY * W
        adam = tf.train.AdamOptimizer(rate * np.sqrt(np.mean(np.square(initial))))
        updates.append(adam.apply_gradients([(decayed, W), (db, b)]))
    with tf.control_dependencies(updates):
        train_op = step.assign_add(1)
    return SimpleNamespace(images=images, labels=labels, training=training, probs=probs,
                           loss=loss, accuracy=accuracy, train_op=train_op, step=step)


def save(path, sess, variables):
    """Write the values of `variables` to `path`, a NumPy archive (NPZ)."""
    with paths.atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for variable in variables:  # one at a time is in memory
            with archive.open(f"{variable.op.name}.npy", "w", force_zip64=True) as member:
                np.save(member, sess.run(variable))


def restore(path, sess, variables):
    """Set `variables` to their values in `path`. Raises LabError if the archive is damaged."""
    with about(path, "delete its folder to finetune from the start"), np.load(path) as archive:
        for variable in variables:
            variable.load(archive[variable.op.name], sess)


def make_folder(args, data, weights):
    """Make the folder of the checkpoints; its name is a hash of all that the result depends on.

    So a script that was changed does not resume from what it trained before. The head is left
    out: it follows from the rest, though not to the last bit. Raises LabError if the disk is
    too full.
    """
    settings = (args.epochs, args.batch_size, args.seed, args.learning_rate, len(data.names),
                *data.images.shape, len(data.training))
    code = [np.frombuffer(source.read_bytes(), np.uint8) for source in SOURCES]
    key = cache.make_key(settings, *code, data.images, data.labels, data.training,
                         data.validation, *(a for name in BACKBONE for a in weights[name]))
    folder = paths.make_folder(paths.DATA / "cache" / f"finetuning-{key}")
    # At worst two states, each with the weights and Adam's two moments, and two networks.
    size = sum(array.nbytes for layer in weights.values() for array in layer)
    there = sum(path.stat().st_size for path in folder.glob("*.npz"))
    paths.need_room(folder, 8 * size - there, "for finetuning", "free some space")
    return folder


def finetune(args, data, weights, head, run, evaluate):
    """Train all layers for `args.finetune` epochs, and save the network of the best epoch.

    args, data, run, evaluate: of train_feature_extraction.py
    weights: {layer: [W, b]}, the backbone and the trained head
    head: the result of the head, which the network has to surpass
    Each epoch ends with a checkpoint in data/cache/, from which the same settings resume.
    Raises LabError if training diverges, a checkpoint is damaged, or the disk is full.
    """
    folder = make_folder(args, data, weights)
    batch_size = min(args.batch_size, BATCH)
    steps = -(-len(data.training) // batch_size)  # in an epoch
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.set_random_seed(args.seed)
        graph = build_graph(weights, data.size, args.learning_rate, steps * args.finetune)
        network = tf.trainable_variables()
        # Validation accuracy and number of the best epoch so far; 0: before finetuning.
        best = tf.Variable(np.array([head.accuracy, 0.0]), trainable=False, name="best")
        sess.run(tf.global_variables_initializer())
        if (folder / "last.npz").exists():
            restore(folder / "last.npz", sess, tf.global_variables())
        done = sess.run(graph.step) // steps  # epochs
        if done > args.finetune:
            raise LabError(f"{folder}: already finetuned for {done} epochs; use --finetune {done} "
                           "or more, or delete the folder to start over")
        print("Finetuning" + (f", resumed after epoch {done}" if done else "") + "\n")

        def feed(i, data=data):
            return {graph.images: preprocess(data.images[i]), graph.labels: data.labels[i]}

        results = {(head.accuracy, 0): head}
        rng = np.random.default_rng([args.seed, 1])
        for epoch in range(1, args.finetune + 1):
            order = rng.permutation(data.training)
            if epoch <= done:
                continue
            start, training_loss, training_accuracy = time.time(), 0, 0
            for batch in batches(order, batch_size):
                _, loss, accuracy = sess.run([graph.train_op, graph.loss, graph.accuracy],
                                             feed_dict={**feed(batch), graph.training: 1})
                training_loss += loss * len(batch) / len(order)
                training_accuracy += accuracy * len(batch) / len(order)
            result = evaluate(sess, graph, feed, data.validation, batch_size)
            run.add_epoch(epoch, time.time() - start, training_loss, training_accuracy, result)
            if result.accuracy > sess.run(best)[0]:
                best.load([result.accuracy, epoch], sess)
                save(folder / "best.npz", sess, [best, *network])
                results = {(result.accuracy, epoch): result}
            save(folder / "last.npz", sess, tf.global_variables())

        if sess.run(best)[1]:
            restore(folder / "best.npz", sess, [best, *network])
        else:
            sess.run(tf.variables_initializer(network))
        accuracy, epoch = sess.run(best)
        result = results.get((accuracy, epoch)) or evaluate(  # if another run had it
            sess, graph, feed, data.validation, batch_size)
        run.add_curves()
        print(f"Best epoch: {epoch:.0f}" if epoch else "No epoch was better than the head alone")
        run.print_accuracy("Best Validation Accuracy", result.probs, data, data.validation)
        if data.test:
            result = evaluate(sess, graph, lambda i: feed(i, data.test),
                              np.arange(len(data.test.labels)), batch_size)
            run.print_accuracy(data.test.title, result.probs, data.test)
        layers = {name: sess.run(network[2 * i:2 * i + 2]) for i, name in enumerate(weights)}
    save_weights(paths.DATA / "traffic_sign_alexnet.npy", {**layers, **report.extra(data)})
    print(f"Finetuned network: {paths.in_lab(paths.DATA / 'traffic_sign_alexnet.npy')}")
