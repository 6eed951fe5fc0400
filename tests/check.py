"""Check your answers to the exercises in the scripts.

    python tests/check.py            all of them
    python tests/check.py resize     one: resize freeze fc8 optimiser accuracy caching

Each answer passes, or you read in a sentence or two what is wrong and why it matters. Your
own lines are run: the scripts' graph is built on a narrow AlexNet and fed with a few
made-up images, so that any way of writing a right answer passes.
"""
import argparse
import contextlib
import functools
import importlib.util
import os
import sys
import tempfile
import textwrap
import traceback
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
from scipy.special import log_softmax, softmax

LAB = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB))

from alexnet import AlexNet  # noqa: E402
from data import bottlenecks  # noqa: E402
from data.exercises import read_exercises, unfinished  # noqa: E402
from data.files import Parser, run_script  # noqa: E402
from data.pictures import preprocess  # noqa: E402
from data.reading import BACKBONE, SIGN_CLASSES  # noqa: E402
from data.tf1 import tf  # noqa: E402


class Wrong(Exception):
    """An answer is wrong; the message says what and why it matters."""


class Seen(Exception):
    """Ends a script's main() once what is to be checked has been seen."""


def expect(condition, message):
    if not condition:
        raise Wrong(message)


def close(a, b):
    return np.shape(a) == np.shape(b) and np.allclose(a, b, 1e-3, 1e-5 * max(1, np.max(b)))


def cross_entropies(logits, labels):
    """(N,): of the softmax of `logits`, in double precision."""
    return -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]


@functools.cache
def narrow_backbone():
    """{layer: [W, b]} of an AlexNet with few channels, quick to build and to run."""
    rng = np.random.default_rng(0)
    shapes = [(11, 11, 3, 8), (5, 5, 4, 16), (3, 3, 16, 16), (3, 3, 8, 16), (3, 3, 8, 256),
              (9216, 4096), (4096, 4096)]
    layers = {}
    for name, shape in zip(BACKBONE, shapes):
        W = rng.standard_normal(shape, dtype=np.float32)
        W *= np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        layers[name] = [W, rng.uniform(0, 0.1, shape[-1]).astype(np.float32)]
    layers["conv1"][0] /= 50  # images reach from -255 to 255, fc7 is to stay near 1
    return layers


def make_images(count):
    """float32 (count, 32, 32, 3): preprocessed noise."""
    images = np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3))
    return preprocess(images)


def make_features(count):
    """float32 (count, 4096): what fc7 may be, rectified."""
    features = np.random.default_rng(2).standard_normal((count, 4096), dtype=np.float32)
    return np.maximum(features, 0)


def build(script, learning_rate=0.001):
    """The script's training graph and a session in which it is initialized."""
    tf.set_random_seed(0)  # the same verdict for the same lines
    graph = script.build_graph(narrow_backbone(), learning_rate)
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    return graph, sess


def backbone_variables():
    return [v for v in tf.global_variables() if v.op.name.split("/")[0] in BACKBONE
            and v.op.name.endswith(("/weights", "/biases"))]


def upstream(tensor):
    """The operations that `tensor` is computed from."""
    found, waiting = set(), [tensor.op]
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [source.op for source in op.inputs]
    return found


def run_main(script, *arguments, **replaced):
    """Run the script's main() with `replaced` names of its own, until Seen is raised."""
    with contextlib.ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(mock.patch.object(script, name, value))
        stack.enter_context(mock.patch.object(sys, "argv", [script.__file__, *arguments]))
        nowhere = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        with contextlib.suppress(Seen):
            script.main()


def check_resize(script):
    inputs = []

    def network(features, *args, **kwargs):
        inputs.append(features)
        return tf.zeros((tf.shape(features)[0], SIGN_CLASSES))

    def print_top5(*args):
        raise Seen

    def run_once():
        run_main(
            script, AlexNet=network, find=lambda name: name, read_weights=lambda *args: {},
            read_picture=lambda path, size: np.zeros((size, size, 3), np.uint8),
            print_top5=print_top5,
        )

    try:
        run_once()
    except Exception:
        if not inputs:  # else it is the feeding that fails: first look at what is fed
            raise
    resized = inputs[0]
    ops = upstream(resized)
    placeholders = [op.outputs[0] for op in ops if op.type == "Placeholder"]
    expect(len(placeholders) == 1, f"AlexNet's input depends on {len(placeholders)} placeholders; "
           "it needs the one that the pictures are fed to, else it does not see them.")
    (x,) = placeholders
    outside = x.shape.as_list()[1:3] == [227, 227] or any("PyFunc" in op.type for op in ops)
    expect(not outside,
           f"The pictures are resized outside the graph (its placeholder is {x.shape}). "
           "Everyone who feeds the graph would have to repeat your way of resizing exactly; "
           "in the graph it is part of the network.")
    expect(x.shape.as_list()[1:] == [32, 32, 3],
           f"The placeholder has shape {x.shape}, but several pictures of 32x32 RGB pixels are "
           "fed. A shape that says so finds wrong input at once.")
    expect(x.dtype == tf.float32,
           f"The placeholder holds {x.dtype.name}. The pictures are fed minus their mean, so "
           "they have fractions and negative values, which other types cut off or turn round.")
    expect(x.shape[0] is None and resized.shape[0] is None,
           "The number of pictures is fixed in the graph. It then refuses every other number: "
           "one picture of your own, or the last batch of a data set.")
    images = make_images(3)
    candidates = {
        "right": tf.image.resize_images(x, (227, 227)),
        "swapped": tf.transpose(tf.image.resize_images(x, (227, 227)), (0, 2, 1, 3)),
        "nearest": tf.image.resize_nearest_neighbor(x, (227, 227)),
        "nearest, half-pixel": tf.image.resize_nearest_neighbor(
            x, (227, 227), half_pixel_centers=True),
        "half-pixel": tf.image.resize_bilinear(x, (227, 227), half_pixel_centers=True),
        "corners": tf.image.resize_bilinear(x, (227, 227), align_corners=True),
        "bicubic": tf.image.resize_bicubic(x, (227, 227)),
    }
    with tf.Session() as sess:
        output, values = sess.run([resized, candidates], {x: images})
    expect(output.shape == (3, 227, 227, 3),
           f"Three pictures come out as {output.shape}. AlexNet was trained on inputs of "
           "(227, 227, 3); at some other sizes it runs too, and is wrong without a word.")
    matches = [name for name, value in values.items() if np.allclose(output, value, atol=0.01)]
    reasons = {
        "swapped": "Height and width are swapped: every sign lies on its side. The shape does "
                   "not tell, for both are 227.",
        "nearest": "Each pixel is the nearest one of the sign: blocks of 7x7. Their edges are "
                   "not in the sign, but they are what AlexNet's first layer looks for.",
        "half-pixel": "The samples are taken half a pixel off, as TensorFlow 2 does. Enlarged "
                      "seven times that moves the picture by three pixels: not the course's "
                      "numbers, nor those the head was trained on.",
        "corners": "The corners are aligned, which stretches the picture a little: not the "
                   "course's numbers, nor those the head was trained on.",
        "bicubic": "The sampling is bicubic, not bilinear: it overshoots at edges. The numbers "
                   "are not the course's, nor those the head was trained on.",
    }
    reasons["nearest, half-pixel"] = reasons["nearest"]
    if "right" not in matches:
        name = matches[0] if matches else None
        raise Wrong(reasons.get(name, "The values are not the signs', bilinearly resized. Only "
                                      "the size may change here: the mean is subtracted already."))
    with tf.Graph().as_default():
        run_once()  # the rest of the script has to find `x`


def check_freeze(script):
    graph, sess = build(script)
    variables, known = backbone_variables(), len(tf.global_variables())
    resized = tf.image.resize_images(graph.images, (227, 227))
    reference = AlexNet(resized, feature_extract=True, weights=narrow_backbone())
    sess.run(tf.variables_initializer(tf.global_variables()[known:]))
    ours, theirs = sess.run([graph.fc7, reference], {graph.images: make_images(2)})
    expect(close(ours, theirs),
           "fc7 is not what the inference scripts compute for the same picture with the weights "
           "in `backbone`. The head would learn on features that it never meets again, or "
           "--weights would have no effect.")
    gradients = [g for g in tf.gradients(graph.loss, variables) if g is not None]
    expect(not gradients,
           f"The loss still has gradients for {len(gradients)} of AlexNet's variables. Whoever "
           "minimises it over all variables spoils the pretrained features, and pays for a "
           "backward pass through the whole network.")


def check_fc8(script):
    graph, sess = build(script)
    outputs = graph.probs.shape.as_list()[-1]
    expect(outputs == SIGN_CLASSES,
           f"The head has {outputs} outputs, but the signs' labels go from 0 to "
           f"{SIGN_CLASSES - 1}. A label without an output has no loss, one more output "
           "takes part of the probability.")
    expect(graph.W.shape == (4096, SIGN_CLASSES),
           f"W has shape {graph.W.shape}. The saved head has the layout of the weights file, "
           "inputs by outputs, or the inference script cannot use it.")
    expect(graph.b.shape == (SIGN_CLASSES,),
           f"b has shape {graph.b.shape}. It needs one number for each class; the saved head has "
           "the layout of the weights file, or the inference script cannot use it.")
    spread = sess.run(graph.W).std()
    expect(spread > 0,
           "All first weights are equal. A lone last layer recovers from that, but the units of "
           "any layer below it would stay copies of each other for ever.")
    expect(spread < 0.15,
           f"The first weights have a standard deviation of {spread:.2g}. Over 4096 inputs that "
           "gives huge logits: the untrained head is sure, and wrong, and the loss starts high.")

    images, features = make_images(7), make_features(7)
    labels = np.arange(7) * 6
    rng = np.random.default_rng(3)
    W = rng.normal(0, 0.02, (4096, SIGN_CLASSES)).astype(np.float32)
    b = rng.normal(0, 1, SIGN_CLASSES).astype(np.float32)
    graph.W.load(W, sess)
    graph.b.load(b, sess)

    def run(tensor, features):
        feed = {graph.images: images, graph.features: features, graph.labels: labels}
        return sess.run(tensor, feed)

    probs, logits = run(graph.probs, features), features @ W + b
    if close(probs, run(graph.probs, 2 * features)):
        fc6 = tf.get_default_graph().get_tensor_by_name("fc6:0")
        fc7 = tf.get_default_graph().get_tensor_by_name("fc7:0")
        raw = fc7.op.inputs[0]
        names = ["fc6", "fc7 before it is rectified", "fc7 from the network alone"]
        for name, tensor in zip(names, (fc6, raw, fc7)):
            source = run(tensor, features)
            expect(not close(probs, softmax(source @ W + b, axis=1)),
                   f"The head reads {name}, not `features`. What it is fed from the cache, and "
                   "what it will see in inference, is the rectified fc7.")
        raise Wrong("The head does not depend on `features`: cached fc7 cannot reach it.")
    expect(not close(probs, logits),
           "probs are the logits themselves: they do not add up to 1, so they are no "
           "probabilities.")
    expect(not close(probs, softmax(features @ W, axis=1)),
           "The bias has no effect on the outputs. Without it the head cannot learn how common "
           "each sign is.")
    expect(not close(probs, softmax(softmax(logits, axis=1), axis=1)),
           "probs have gone through softmax twice: they are nearly the same for all classes.")
    expect(close(probs, softmax(logits, axis=1)),
           "probs are not the softmax, over the classes, of features times W plus b. A last "
           "layer is linear (a rectified one cannot speak against a class), and the inference "
           "script will use W and b just so.")

    loss, losses = run(graph.loss, features), cross_entropies(logits, labels)
    expect(np.ndim(loss) == 0,
           f"The loss has shape {np.shape(loss)}: it must be one number for the batch. Of several "
           "the optimiser minimises the sum, which grows with the batch.")
    expect(not close(loss, losses.sum()),
           "The loss is the sum over the batch. It and its gradients grow with the batch size: "
           "losses cannot be compared, and gradient descent would need another learning rate.")
    expect(not close(loss, cross_entropies(softmax(logits, axis=1), labels).mean()),
           "The loss takes softmax of probabilities, so softmax is applied twice. The loss can "
           "then never come near 0, and its gradients are faint.")
    expect(close(loss, losses.mean()),
           "The loss is not the mean cross-entropy of the labels. Of a softmax over classes that "
           "exclude each other, that is the one whose gradient is the error of the probabilities.")
    large = 1000 * features
    loss, losses = run(graph.loss, large), cross_entropies(large @ W + b, labels)
    expect(close(loss, losses.mean()),
           "The loss is computed from probabilities. For a sure and wrong answer these round "
           "to 0, and the logarithm or its gradient is lost; from logits it is exact.")


def check_optimiser(script):
    try:
        graph, sess = build(script)
    except ValueError as error:
        if "ariable" not in str(error):
            raise
        raise Wrong("The optimiser finds no variable that it could train. The variables that it "
                    "is given must be ones that the loss depends on, past what is frozen.")
    frozen = backbone_variables()
    feed = {graph.images: make_images(4), graph.labels: [3, 14, 15, 42]}
    before = sess.run([graph.W, graph.b, frozen, graph.loss], feed)
    sess.run(graph.train_op, feed)
    after = sess.run([graph.W, graph.b, frozen], feed)
    moved = sum(not np.array_equal(old, new) for old, new in zip(before[2], after[2]))
    expect(not moved,
           f"A step moves {moved} of AlexNet's variables. They were to stay as they are: the "
           "cached features would no longer be the network's, and a few signs would overwrite "
           "what it learned from a million pictures.")
    for old, new, name in zip(before, after, "Wb"):
        expect(not np.array_equal(old, new), f"A step does not move {name}: a part of the head "
               "stays as it was drawn, and does not learn.")
    with tf.Graph().as_default():
        slow, slow_sess = build(script, learning_rate=1e-5)
        slow_feed = {slow.features: make_features(4), slow.labels: [3, 14, 15, 42]}
        start = slow_sess.run(slow.W)
        slow_sess.run(slow.train_op, slow_feed)
        step = np.abs(slow_sess.run(slow.W) - start).max()
    expect(step < np.abs(after[0] - before[0]).max() / 3,
           "A hundredth of the learning rate makes steps as large as before, so `learning_rate` "
           "is not used: the flag --learning-rate would have no effect.")
    feed[graph.features] = sess.run(graph.fc7, feed)
    for _ in range(20):
        sess.run(graph.train_op, feed)
    expect(sess.run(graph.loss, feed) < before[3],
           "After twenty steps on one batch its loss is not lower: the steps have to go down.")


def check_accuracy(script):
    graph, sess = build(script)
    count = SIGN_CLASSES  # as many as there are classes: the wrong axis then goes unnoticed
    features = make_features(count)
    predictions = sess.run(graph.probs, {graph.features: features}).argmax(axis=1)
    labels = np.where(np.arange(count) % 3 > 0, predictions, (predictions + 1) % SIGN_CLASSES)
    expected = np.mean(labels == predictions)
    accuracy = sess.run(graph.accuracy, {graph.features: features, graph.labels: labels})
    expect(np.ndim(accuracy) == 0, f"The accuracy has shape {np.shape(accuracy)}: one number, "
           "the share of right answers in the batch, is wanted.")
    probs, W, b = sess.run([graph.probs, graph.W, graph.b], {graph.features: features})
    swapped = [np.mean(scores.argmax(axis=0) == labels) for scores in (probs, features @ W + b)]
    expect(not any(close(accuracy, wrong) for wrong in swapped),
           f"For a batch with {expected:.1%} right answers the accuracy is {accuracy:.3f}: the "
           "likeliest image of each class is taken, on the wrong axis, and not the likeliest "
           "class of each image.")
    expect(close(accuracy, expected),
           f"For a batch with {expected:.1%} right answers the accuracy is {accuracy:.3f}. It is "
           "to be the share, from 0 to 1, of images whose likeliest class is the label; else "
           "runs cannot be compared, and the best epoch is another one.")

    indices = np.random.default_rng(5).permutation(count)[:9]
    labels[:] = (predictions + 1) % SIGN_CLASSES
    labels[indices[[2, 3, 4, 6, 7, 8]]] = predictions[indices[[2, 3, 4, 6, 7, 8]]]
    right = labels[indices] == predictions[indices]  # in batches of 4, 4 and 1: 2, 3 and 1
    means = [right[:4].mean(), right[4:8].mean(), right[8:].mean()]
    sizes = []

    def feed(indices):
        sizes.append(len(indices))
        return {graph.features: features[indices], graph.labels: labels[indices]}

    head = sess.run([graph.W, graph.b])
    result = script.evaluate(sess, graph, feed, indices, 4)
    expect(all(map(np.array_equal, head, sess.run([graph.W, graph.b]))),
           "evaluate() changes the head: it trains on the images that are to judge it.")
    expect(max(sizes, default=0) <= 4,
           "evaluate() feeds more images at once than batch_size. With --no-cache, and with many "
           "images, they do not fit into memory.")
    expect(not close(result.accuracy, np.mean(means)),
           "evaluate() takes the mean of the batches' means, so the one image of a last, "
           "smaller batch counts as much as a whole batch.")
    expect(not close(result.accuracy, right[:8].mean())
           and not close(result.accuracy, right[:8].sum() / 9),
           "evaluate() drops the last, smaller batch: some images are never judged.")
    expect(close(result.accuracy, right.mean()),
           f"evaluate() finds an accuracy of {result.accuracy:.3f} where {right.sum()} of 9 "
           "answers are right, in batches of 4: each of the images in `indices`, and no other, "
           "has to count once, or the number is of something else.")
    loss, probs = sess.run([graph.loss, graph.probs], feed(indices))
    expect(close(result.loss, loss),
           "evaluate()'s loss is not the mean over all images: each has to count once, and "
           "equally, whichever batch it is in.")
    expect(close(result.probs, probs),
           "evaluate()'s probs are not those of all images, in the order of `indices`: the "
           "confusion matrix would pair them with the labels of others.")

    training, validation = np.arange(86)[::2], np.arange(86)[1::2]
    data = SimpleNamespace(
        images=np.zeros((86, 32, 32, 3), np.uint8), labels=np.arange(86) % SIGN_CLASSES,
        training=training, validation=validation, test=None,
    )
    features = make_features(86)
    judged = []  # the images, for each epoch

    def stop(*args):
        raise Seen

    def make_feed(args, sess, graph, *rest):
        return lambda i: {graph.features: features[i], graph.labels: data.labels[i]}

    def evaluate(sess, graph, feed, indices, batch_size):
        judged.append(list(indices))
        if len(judged) == 2:
            raise Seen
        probs = np.full((len(indices), SIGN_CLASSES), 1 / SIGN_CLASSES)
        return SimpleNamespace(loss=1.0, accuracy=0.5, probs=probs)

    with tempfile.TemporaryDirectory() as folder, tf.Graph().as_default():
        run_main(script, "--epochs", "2", "--batch-size", "8", DATA=Path(folder),
                 LAB=Path(folder), HEAD=Path(folder) / "head.npy", make_feed=make_feed,
                 read_data=lambda *args: data, evaluate=evaluate, print_top5=stop,
                 read_picture=stop, report=mock.MagicMock(), find=lambda name: name,
                 read_weights=lambda *args: narrow_backbone())
    expect(len(judged) == 2,
           "The head is not judged after each epoch, so the best epoch may go by unseen.")
    expect(not any(set(images) & set(training) for images in judged),
           "After an epoch the head is judged on images that it was trained on. That tells how "
           "well it remembers, not whether it knows signs that it has never seen.")
    expect(all(sorted(images) == sorted(validation) for images in judged),
           "After an epoch the head has to be judged on all validation images: fewer of them "
           "make a chance result.")
    expect(all(images == list(validation) for images in judged),
           "The validation images are judged in another order than they have in the data: the "
           "confusion matrix would pair the answers with the labels of others.")


def check_caching(script):
    graph, sess = build(script)
    rng = np.random.default_rng(4)
    passed = []  # a list of images for each run of the network
    run = sess.run

    def record(fetches, feed_dict=None, *args):
        if feed_dict and graph.images in feed_dict:
            passed.append(list(np.asarray(feed_dict[graph.images])))
        return run(fetches, feed_dict, *args)

    sess.run = record
    with mock.patch.object(sys, "argv", [script.__file__]):
        args = script.parse_arguments()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for module in (bottlenecks, script):
            stack.enter_context(mock.patch.object(module, "DATA", Path(folder)))
        for attempt in range(2):  # the second time with other images
            images = rng.integers(0, 256, (300, 32, 32, 3)).astype(np.uint8)
            labels = rng.integers(0, SIGN_CLASSES, 300)
            passed.clear()
            feed = script.make_feed(args, sess, graph, narrow_backbone(), images, labels)
            expect(callable(feed), "make_feed() has to return a function, from the images' "
                   "numbers to what is fed for them; the training calls it for each batch.")
            orders = np.split(rng.permutation(300), [128, 256])
            epochs = [[feed(order) for order in orders] for _ in range(2)]
            expect(not any(graph.images in fed for fed in epochs[1]),
                   "The images themselves are fed for a batch. The frozen network then runs in "
                   "every epoch, and always gives the same: that is the time to save.")
            expected, count = preprocess(images), sum(map(len, passed))
            expect(attempt == 0 or count > 0,
                   "For a second data set the features of the first one are served. What is "
                   "kept on disk has to tell which images it is of.")
            expect(all(np.abs(expected - image).max(axis=(1, 2, 3)).min() < 0.01
                       for batch in passed for image in batch),
                   "The images do not reach the network as the inference scripts feed them. The "
                   "head would learn on features that it never meets again.")
            expect(count == 300,
                   f"{count} images went through the network for two epochs of 300. Once each is "
                   "enough, and all are needed.")
            expect(max(map(len, passed)) < 300,
                   "All images go through the network in one run. Its inner layers need about "
                   "5 MB for each: with a whole data set that is more than the memory.")
            for order, fed in zip(orders, epochs[1]):
                expect(np.array_equal(run(graph.labels, fed), labels[order]),
                       "The labels that are fed are not those of the batch's images: the head "
                       "learns wrong names.")
                features = run(graph.features, fed)
                fc7 = run(graph.fc7, {graph.images: expected[order]})
                expect(close(features, fc7),
                       "The features that are fed are not fc7 of the batch's images: they are "
                       "in another order, or of another layer, and the head learns wrong pairs.")


EXERCISES = {  # the script, how many places are marked in it, the check
    "resize": ("traffic_sign_inference.py", 1, check_resize),
    "freeze": ("train_feature_extraction.py", 1, check_freeze),
    "fc8": ("train_feature_extraction.py", 1, check_fc8),
    "optimiser": ("train_feature_extraction.py", 1, check_optimiser),
    "accuracy": ("train_feature_extraction.py", 3, check_accuracy),
    "caching": ("train_feature_extraction.py", 1, check_caching),
}


def load(path):
    """The script `path` as a module of its own."""
    spec = importlib.util.spec_from_file_location("answer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def first_reason(error):
    """The line of an exception's message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if isinstance(error, tf.errors.OpError):  # behind a trace that ends in "Node: 'name'"
        nodes = [i for i, line in enumerate(lines[:-1]) if line.startswith("Node:")]
        return lines[nodes[-1] + 1] if nodes else lines[0]
    return lines[0]


def check(name, path):
    """Check the exercise `name` in the script `path`; raises Wrong, with what is wrong."""
    _, places, check_answer = EXERCISES[name]
    try:
        waiting = unfinished(path)
        marked = [found for found, *_ in read_exercises(path.read_text(encoding="utf-8"))]
    except SyntaxError as error:
        raise Wrong(f"Python cannot read {path.name}, line {error.lineno}: {error.msg}.") from None
    except UnicodeDecodeError:
        raise Wrong(f"{path.name} is not UTF-8 text: save it in that encoding.") from None
    expect(marked.count(name) == places,
           f"A mark `# Exercise {name}` or `# End of {name}` is not in {path.name} any more: put "
           f"it back around your lines ({places} such pairs).")
    expect(name not in waiting, "Your lines are still to be written: `...` stands in their place.")
    expect(not waiting, f"This needs the exercise {', '.join(waiting)} in the same script, where "
           "`...` is still in the place of your lines.")
    try:
        with tf.Graph().as_default():
            check_answer(load(path))
    except Wrong:
        raise
    except (Exception, SystemExit) as error:  # whatever a student's lines may raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if frame.filename == str(path)]
        place = f"line {lines[-1]} of {path.name}" if lines else path.name
        raise Wrong(f"Your lines do not run: {type(error).__name__} at {place}. Python says: "
                    f"{first_reason(error)}") from None


def exercise(name):
    """An argument type: the name of an exercise."""
    if name not in EXERCISES:
        raise argparse.ArgumentTypeError(f"{name!r} is no exercise; there are: "
                                         f"{', '.join(EXERCISES)}")
    return name


def main():
    parser = Parser(__doc__)
    parser.add_argument("names", nargs="*", type=exercise, metavar="exercise")
    args = parser.parse_args()
    wrong = False
    for name in args.names or EXERCISES:
        try:
            check(name, LAB / EXERCISES[name][0])
            message = "pass"
        except Wrong as error:
            message, wrong = str(error), True
        print(textwrap.fill(f"{name}: {message}", 79, subsequent_indent="    "), flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    run_script(main)
