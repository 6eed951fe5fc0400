"""Finetuning, the second form of transfer learning: all layers are trained on, end to end.

It starts from the trained head: gradients from a random one would spoil the pretrained
layers. These learn slowly, the head faster, both by gradient descent with momentum.
"""
import time
from types import SimpleNamespace

import numpy as np

from alexnet import AlexNet
from data import report
from data.bottlenecks import fingerprint
from data.files import DATA, LAB, LabError, atomic_write, need_room
from data.pictures import preprocess
from data.progress import batches
from data.reading import BACKBONE
from data.tf1 import tf

MOMENTUM = 0.9  # as AlexNet was trained (Krizhevsky et al., 2012)
# Shares of --learning-rate. That the head learns ten times faster than the backbone is the
# custom of Caffe's example of finetuning, flickr_style.
HEAD_RATE, BACKBONE_RATE = 0.1, 0.01
NETWORK = DATA / "traffic_sign_alexnet.npy"


def build_graph(weights, learning_rate):
    """The graph of the whole network, all layers trainable; its tensors by name.

    weights: {layer: [W, b]} from conv1 to fc8; learning_rate: HEAD_RATE of it is fc8's.
    """
    images = tf.placeholder(tf.float32, (None, 32, 32, 3))
    labels = tf.placeholder(tf.int64, (None,))
    resized = tf.image.resize_images(images, (227, 227))  # (N, 227, 227, 3)
    probs = AlexNet(resized, weights=weights)  # (N, 43)
    logits = tf.get_default_graph().get_tensor_by_name("fc8:0")

    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    loss = tf.reduce_mean(losses)
    correct = tf.equal(tf.argmax(logits, axis=1), labels)
    accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))

    step = tf.train.create_global_step()
    variables = tf.trainable_variables()
    pairs = list(zip(tf.gradients(loss, variables), variables))
    head = [pair for pair in pairs if pair[1].op.name.startswith("fc8/")]
    backbone = [pair for pair in pairs if not pair[1].op.name.startswith("fc8/")]
    fast = tf.train.MomentumOptimizer(learning_rate * HEAD_RATE, MOMENTUM)
    slow = tf.train.MomentumOptimizer(learning_rate * BACKBONE_RATE, MOMENTUM)
    train_op = tf.group(
        slow.apply_gradients(backbone), fast.apply_gradients(head, global_step=step)
    )
    return SimpleNamespace(
        images=images, labels=labels, probs=probs, loss=loss, accuracy=accuracy,
        train_op=train_op, step=step,
    )


def open_checkpoints(folder, sess, saver, size):
    """Load the newest checkpoint in `folder`, where there is one; see that there is room.

    size: of the weights, in bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # At worst two checkpoints, each with the weights and their momentum, and the result.
    there = sum(path.stat().st_size for path in folder.iterdir())
    need_room(folder, 5 * size - there, "for finetuning", "free some space")
    checkpoints = tf.train.get_checkpoint_state(str(folder))
    if checkpoints:
        try:
            saver.restore(sess, checkpoints.model_checkpoint_path)
        except (tf.errors.OpError, ValueError) as error:
            raise LabError(f"{folder}: the checkpoint is damaged ({type(error).__name__}); "
                           "delete the folder to finetune from the start") from None
        saver.recover_last_checkpoints(checkpoints.all_model_checkpoint_paths)


def save_checkpoint(folder, sess, saver, step):
    """Write a checkpoint into `folder`; the one before it goes when this one is complete."""
    try:
        saver.save(sess, str(folder / "model"), global_step=step)
    except tf.errors.OpError as error:
        raise LabError(f"{folder}: a checkpoint cannot be written ({type(error).__name__}); "
                       "free some space, then run the same command again") from None


def save_network(sess, layers):
    """Write the network as a weights file of the layers named in `layers`."""
    variables = {variable.op.name: variable for variable in tf.trainable_variables()}
    network = {
        name: sess.run([variables[name + "/weights"], variables[name + "/biases"]])
        for name in layers
    }
    with atomic_write(NETWORK) as file:
        np.save(file, network)


def train_epoch(sess, graph, feed, order, batch_size, seen):
    """Train on the images order[seen:]; returns their mean loss."""
    total = 0
    for batch in batches(order, batch_size, seen):
        _, loss = sess.run([graph.train_op, graph.loss], feed_dict=feed(batch))
        total += loss * len(batch)
        if not np.isfinite(loss):
            raise LabError("the loss is no longer a number: finetuning diverged; "
                           "choose a smaller --learning-rate")
    return total / (len(order) - seen)


def finetune(args, data, weights, evaluate, writer):
    """Train all layers for `args.finetune` epochs, print each, and save the network.

    args, data, evaluate: as in train_feature_extraction.py; weights: {layer: [W, b]}, the
    backbone and the trained head; writer: TensorBoard's, which counts the epochs on.
    A checkpoint is kept after each epoch and on Ctrl-C; the same command goes on from it.
    The training loss of an epoch that was interrupted is that of its remaining batches.
    Raises LabError when the disk has too little room or the loss is no longer finite.
    """
    with tf.Graph().as_default(), tf.Session() as sess:
        graph = build_graph(weights, args.learning_rate)
        sess.run(tf.global_variables_initializer())
        saver = tf.train.Saver(max_to_keep=1)
        # The head is not in the key: it follows from the rest, though not to the last bit.
        settings = np.array([args.epochs, args.batch_size, args.seed])
        backbone = [array for name in BACKBONE for array in weights[name]]
        arrays = [data.images, data.labels, data.training, settings, *backbone]
        folder = DATA / "cache" / f"finetuning-{fingerprint(arrays, graph.train_op)}"
        size = sum(array.nbytes for layer in weights.values() for array in layer)
        open_checkpoints(folder, sess, saver, size)

        def make_feed(images, labels):
            return lambda i: {graph.images: preprocess(images[i]), graph.labels: labels[i]}

        feed = make_feed(data.images, data.labels)
        steps = len(range(0, len(data.training), args.batch_size))  # in an epoch
        done = sess.run(graph.step)
        if done > steps * args.finetune:
            raise LabError(f"{folder}: went on beyond --finetune {args.finetune} before; give "
                           "a larger number, or delete the folder to start anew")
        print("Finetuning" + (f" goes on after {done} steps" if done else "") + "\n")
        result = None
        for epoch in range(done // steps + 1, args.finetune + 1):
            start = time.time()
            order = np.random.default_rng([args.seed, epoch]).permutation(data.training)
            seen = sess.run(graph.step) % steps * args.batch_size
            try:
                loss = train_epoch(sess, graph, feed, order, args.batch_size, seen)
            except KeyboardInterrupt:
                save_checkpoint(folder, sess, saver, graph.step)
                raise
            save_checkpoint(folder, sess, saver, graph.step)
            result = evaluate(sess, graph, feed, data.validation, args.batch_size)
            report.print_epoch(epoch, time.time() - start, loss, result)
            report.add_scalars(writer, args.epochs + epoch, training_loss=loss,
                               validation_loss=result.loss, validation_accuracy=result.accuracy)
        if result is None:  # a run before this one did all epochs
            result = evaluate(sess, graph, feed, data.validation, args.batch_size)

        save_network(sess, weights)
        report.print_accuracy("Validation", result.probs, data.labels[data.validation])
        if data.test:
            images, labels = data.test["features"], data.test["labels"]
            feed = make_feed(images, labels)
            result = evaluate(sess, graph, feed, np.arange(len(labels)), args.batch_size)
            report.print_accuracy("Test", result.probs, labels)
        print(f"Finetuned network: {NETWORK.relative_to(LAB)}")
