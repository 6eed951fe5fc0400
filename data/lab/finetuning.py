"""Finetuning, the second form of transfer learning: all layers are trained on, end to end.

It starts from the trained head: gradients from a random one would spoil the pretrained
layers. It is regularised as AlexNet was (Krizhevsky et al., 2012): dropout, weight decay, and
images that are changed at random. They are not flipped: that would change their signs.
"""
import hashlib
import zipfile
from types import SimpleNamespace

import numpy as np

from alexnet import AlexNet
from data.lab import paths, report
from data.lab.command import LabError
from data.lab.pictures import preprocess
from data.lab.tf1 import tf
from data.lab.weights import BACKBONE, save_weights

DROPOUT, DECAY = 0.5, 5e-4  # AlexNet's own
BATCH = 16  # images in a step: of larger ones there are fewer, and they learn less
# A layer's steps are this share of its weights' root mean square, times --learning-rate, as in
# Adafactor (Shazeer and Stern, 2018). Rates that do not know the layers' scales, 0.001 with
# momentum or 0.0001 with Adam, ruin the synthetic weights within an epoch.
RATE = 3
# The images change by up to so much, in shares of their side, in factors e**x: signs are seen
# from elsewhere, and in shade or sun.
SHIFT, ZOOM, BRIGHTNESS = 0.1, 0.15, 1.2


def augment(images, amount):
    """`images` (N, size, size, 3) shifted, zoomed, and made brighter or darker at random.

    amount: 1, or 0 to leave them as they are. They have mean 0, so that a factor does for
    the brightness.
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
    """The graph of the whole network, all layers trainable; its tensors by name.

    weights: {layer: [W, b]} from conv1 to fc8; size: of the pictures, pixels along a side;
    learning_rate: RATE times it is each layer's share; it falls to 0 within `steps`.
    """
    images = tf.placeholder(tf.float32, (None, size, size, 3))
    labels = tf.placeholder(tf.int64, (None,))
    training = tf.placeholder_with_default(0.0, ())  # 1 while training
    resized = tf.image.resize_images(augment(images, training), (227, 227))
    probs = AlexNet(resized, weights, dropout=DROPOUT * training)  # (N, 43)
    logits = tf.get_default_graph().get_tensor_by_name("fc8:0")

    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    loss = tf.reduce_mean(losses)
    correct = tf.equal(tf.argmax(logits, axis=1), labels)
    accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))

    step = tf.train.create_global_step()
    # The best validation accuracy so far, and its epoch; 0: before finetuning.
    best = tf.Variable(np.zeros(2), trainable=False, name="best")
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
    return SimpleNamespace(images=images, labels=labels, probs=probs, loss=loss,
                           accuracy=accuracy, train_op=train_op, step=step, best=best,
                           training={training: 1.0})


def save(path, sess, variables):
    """Write the values of `variables` to `path`, a NumPy archive (NPZ)."""
    with paths.atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for variable in variables:  # one at a time is in memory
            with archive.open(f"{variable.op.name}.npy", "w", force_zip64=True) as member:
                np.save(member, sess.run(variable))


def restore(path, sess, variables):
    """Set `variables` to the values in `path`; the archive's checksums tell of damage."""
    try:
        with np.load(path) as archive:
            for variable in variables:
                # Feeding the initial value leaves the graph as it is.
                initial = variable.initializer.inputs[1]
                sess.run(variable.initializer, {initial: archive[variable.op.name]})
    except Exception as error:  # a damaged archive can raise anything
        raise LabError(f"{path}: the checkpoint is damaged ({type(error).__name__}); delete its "
                       "folder to finetune from the start") from None


class Checkpoints:
    """What a finetuning keeps in data/cache/: its last state, and the network of its best epoch.

    The folder's name is a hash of all that the result depends on; another run that finetunes
    there is waited for.
    """

    def __init__(self, sess, graph, args, data, weights, accuracy):
        """Set the variables to the last state, where there is one; accuracy: the head's own."""
        self.sess, self.graph = sess, graph
        digest = hashlib.sha256()
        settings = (args.epochs, args.batch_size, args.seed, args.learning_rate, RATE, DROPOUT,
                    DECAY, BATCH, SHIFT, ZOOM, BRIGHTNESS)
        # The head is left out: it follows from the rest, though not to the last bit.
        backbone = [array for name in BACKBONE for array in weights[name]]
        images = getattr(data.images, "digests", data.images)
        for array in (images, data.labels, data.training, settings, *backbone):
            digest.update(np.ascontiguousarray(array))
        folder = paths.DATA / "cache" / f"finetuning-{digest.hexdigest()[:20]}"
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(folder / "lock", "ab")
        paths.lock(self.lock)
        # At worst two states, each with the weights and Adam's two moments, and two networks.
        there = sum(path.stat().st_size for path in folder.iterdir())
        size = sum(array.nbytes for layer in weights.values() for array in layer)
        paths.need_room(folder, 8 * size - there, "for finetuning", "free some space")
        self.last, self.best = folder / "last.npz", folder / "best.npz"
        if self.last.exists():
            restore(self.last, sess, tf.global_variables())
        else:
            sess.run(graph.best.assign([accuracy, 0]))

    def save(self, epoch=None, result=None):
        """Keep the state; after an epoch whose `result` is the best so far, the network too.

        Returns whether it is the best.
        """
        better = result is not None and result.accuracy > self.sess.run(self.graph.best)[0]
        if better:
            self.sess.run(self.graph.best.assign([result.accuracy, epoch]))
            save(self.best, self.sess, tf.trainable_variables())
        save(self.last, self.sess, tf.global_variables())
        return better

    def restore_best(self):
        """Set the variables to the best network; returns its epoch, 0: the head alone."""
        epoch = int(self.sess.run(self.graph.best)[1])
        if epoch:
            restore(self.best, self.sess, tf.trainable_variables())
        else:
            self.sess.run(tf.variables_initializer(tf.trainable_variables()))
        return epoch


def finetune(args, data, weights, head, run, train, evaluate):
    """Train all layers for `args.finetune` epochs, and save the network of the best.

    args, data, run, train, evaluate: train_feature_extraction.py's; weights: {layer: [W, b]},
    the backbone and the trained head; head: its result, which the network has to surpass.
    A checkpoint is kept after each epoch and on Ctrl-C; the same command goes on from it.
    The training loss of an epoch that was interrupted is that of its remaining batches.
    """
    batch_size = min(args.batch_size, BATCH)
    steps = -(-len(data.training) // batch_size)  # in an epoch
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.set_random_seed(args.seed)
        graph = build_graph(weights, data.size, args.learning_rate, steps * args.finetune)
        sess.run(tf.global_variables_initializer())
        checkpoints = Checkpoints(sess, graph, args, data, weights, head.accuracy)
        done = sess.run(graph.step)
        if done > steps * args.finetune:
            raise LabError(f"{checkpoints.last}: went on beyond --finetune {args.finetune} before; "
                           "give a larger number, or delete its folder to start anew")
        print("Finetuning" + (f" goes on after {done} steps" if done else "") + "\n")

        def feed(images, labels):
            return lambda i: {graph.images: preprocess(images[i]), graph.labels: labels[i]}

        first, results = done // steps + 1, {0: head}
        rng = np.random.default_rng([args.seed, 1])
        for _ in range(1, first):  # the orders of epochs before
            rng.permutation(data.training)
        try:
            for epoch, result in train(
                    sess, graph, feed(data.images, data.labels), data,
                    SimpleNamespace(batch_size=batch_size),
                    range(first, args.finetune + 1), rng, run, done % steps * batch_size):
                if checkpoints.save(epoch, result):
                    results = {epoch: result}
        except KeyboardInterrupt:
            checkpoints.save()
            raise

        epoch = checkpoints.restore_best()
        if epoch not in results:  # an earlier run had it
            results[epoch] = evaluate(sess, graph, feed(data.images, data.labels),
                                      data.validation, batch_size)
        if epoch == 0 or epoch >= first:  # in this run
            run.add_curves(run.head + epoch - first + 1 if epoch else run.best)
        print(f"Best epoch: {epoch}" if epoch else "No epoch was better than the head alone")
        report.print_accuracy("Best Validation Accuracy", results[epoch].probs, data,
                              data.validation)
        if data.test:
            result = evaluate(sess, graph, feed(data.test.images, data.test.labels),
                              np.arange(len(data.test.labels)), batch_size)
            report.print_accuracy("Test Accuracy", result.probs, data.test)
        values = sess.run(tf.trainable_variables())  # W and b of each layer in turn
    layers = {name: values[2 * i:2 * i + 2] for i, name in enumerate(weights)}
    save_weights(paths.DATA / "traffic_sign_alexnet.npy", layers | data.extra)
    print("Finetuned network: data/traffic_sign_alexnet.npy")
