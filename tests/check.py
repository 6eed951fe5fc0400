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


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropies(logits, labels):
    """(N,): of the softmax of `logits`, in double precision."""
    logits = logits.astype(np.float64)
    top = logits.max(axis=1)
    sums = np.log(np.exp(logits - top[:, np.newaxis]).sum(axis=1)) + top
    return sums - logits[np.arange(len(labels)), labels]


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


def build(script):
    """The script's training graph and a session in which it is initialized."""
    graph = script.build_graph(narrow_backbone(), 0.001)
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
        raise Seen

    run_main(
        script, AlexNet=network, find=lambda name: name, read_weights=lambda *args: {},
        read_picture=lambda path, size: np.zeros((size, size, 3), np.uint8),
    )
    (resized,) = inputs
    ops = upstream(resized)
    placeholders = [op.outputs[0] for op in ops if op.type == "Placeholder"]
    expect(len(placeholders) == 1, f"AlexNet's input depends on {len(placeholders)} placeholders; "
           "it needs the one that the pictures are fed to, else it does not see them.")
    (x,) = placeholders
    size = x.shape.as_list()[1:]
    expect(size == [32, 32, 3] and not any("PyFunc" in op.type for op in ops),
           f"The pictures are resized outside the graph (its placeholder is {x.shape}). "
           "Everyone who feeds the graph would have to repeat your way of resizing exactly; "
           "in the graph it is part of the network.")
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


def check_freeze(script):
    graph, sess = build(script)
    variables, known = backbone_variables(), len(tf.global_variables())
    resized = tf.image.resize_images(graph.images, (227, 227))
    reference = AlexNet(resized, feature_extract=True, weights=narrow_backbone())
    sess.run(tf.variables_initializer(tf.global_variables()[known:]))
    ours, theirs = sess.run([graph.fc7, reference], {graph.images: make_images(2)})
    expect(close(ours, theirs),
           "fc7 is not what the inference scripts compute for the same picture. The head would "
           "learn on features that it never meets again.")
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
            expect(not close(probs, softmax(source @ W + b)),
                   f"The head reads {name}, not `features`. What it is fed from the cache, and "
                   "what it will see in inference, is the rectified fc7.")
        raise Wrong("The head does not depend on `features`: cached fc7 cannot reach it.")
    expect(not close(probs, logits),
           "probs are the logits themselves: they do not add up to 1, so they are no "
           "probabilities.")
    expect(not close(probs, softmax(features @ W)),
           "The bias has no effect on the outputs. Without it the head cannot learn how common "
           "each sign is.")
    expect(not close(probs, softmax(softmax(logits))),
           "probs have gone through softmax twice: they are nearly the same for all classes.")
    expect(close(probs, softmax(logits)), "probs are not the softmax of features times W plus b.")

    loss, losses = run(graph.loss, features), cross_entropies(logits, labels)
    expect(np.ndim(loss) == 0,
           f"The loss has shape {np.shape(loss)}: it must be one number for the batch, or the "
           "optimiser minimises the sum, whose steps grow with the batch.")
    expect(not close(loss, losses.sum()),
           "The loss is the sum over the batch. Its gradients grow with the batch size, so each "
           "batch size would need a learning rate of its own.")
    expect(not close(loss, cross_entropies(softmax(logits), labels).mean()),
           "The loss takes softmax of probabilities, so softmax is applied twice. The loss can "
           "then never come near 0, and its gradients are faint.")
    expect(close(loss, losses.mean()), "The loss is not the mean cross-entropy of the labels.")
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
    expect(close(accuracy, expected),
           f"For a batch with {expected:.1%} right answers the accuracy is {accuracy:.3f}. An "
           "answer is the likeliest class of one image: look at which axis the classes are on.")

    def feed(indices):
        return {graph.features: features[indices], graph.labels: labels[indices]}

    labels[:9] = predictions[:9]
    labels[[0, 1, 5]] += 1
    labels %= SIGN_CLASSES
    right = labels[:9] == predictions[:9]  # in batches of 4, 4 and 1: 2, 3 and 1 of them
    result = script.evaluate(sess, graph, feed, np.arange(9), 4)
    means = [right[:4].mean(), right[4:8].mean(), right[8:].mean()]
    expect(not close(result.accuracy, np.mean(means)),
           "evaluate() takes the mean of the batches' means, so the one image of a last, "
           "smaller batch counts as much as a whole batch.")
    expect(not close(result.accuracy, right[:8].mean())
           and not close(result.accuracy, right[:8].sum() / 9),
           "evaluate() drops the last, smaller batch: some images are never judged.")
    expect(close(result.accuracy, right.mean()),
           f"evaluate() finds an accuracy of {result.accuracy:.3f} where {right.sum()} of 9 "
           "answers are right, in batches of 4: every image has to count once, and equally.")
    loss = sess.run(graph.loss, feed(np.arange(9)))
    expect(close(result.loss, loss),
           "evaluate()'s loss is not the mean over all images: each has to count once, and "
           "equally, whichever batch it is in.")
    probs = sess.run(graph.probs, feed(np.arange(9)))
    expect(close(result.probs, probs), "evaluate()'s probs are not those of all images in order; "
           "the confusion matrix is drawn from them.")

    training, validation = np.arange(86)[::2], np.arange(86)[1::2]
    data = SimpleNamespace(
        images=np.zeros((86, 32, 32, 3), np.uint8), labels=np.arange(86) % SIGN_CLASSES,
        training=training, validation=validation, test=None,
    )
    features = make_features(86)
    judged = []

    def make_feed(args, sess, graph, *rest):
        return lambda i: {graph.features: features[i], graph.labels: data.labels[i]}

    def evaluate(sess, graph, feed, indices, batch_size):
        judged.extend(indices)
        raise Seen

    with tempfile.TemporaryDirectory() as folder, tf.Graph().as_default():
        run_main(script, "--epochs", "1", DATA=Path(folder), HEAD=Path(folder) / "head.npy",
                 read_data=lambda *args: data, read_weights=lambda *args: narrow_backbone(),
                 find=lambda name: name, make_feed=make_feed, evaluate=evaluate)
    expect(not set(judged) & set(training),
           "After an epoch the head is judged on images that it was trained on. That tells how "
           "well it remembers, not whether it knows signs that it has never seen.")
    expect(sorted(judged) == sorted(validation),
           "After an epoch the head has to be judged on all validation images: fewer of them "
           "make a chance result.")


def check_caching(script):
    graph, sess = build(script)
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (70, 32, 32, 3)).astype(np.uint8)
    labels = rng.integers(0, SIGN_CLASSES, 70)
    passed = []  # the images that went through the network

    class Recorder:
        def run(self, fetches, feed_dict=None):
            if feed_dict and graph.images in feed_dict:
                passed.extend(np.asarray(feed_dict[graph.images]))
            return sess.run(fetches, feed_dict=feed_dict)

    recorder = Recorder()

    with tempfile.TemporaryDirectory() as folder:
        with mock.patch.object(bottlenecks, "DATA", Path(folder)):
            feed = script.make_feed(SimpleNamespace(no_cache=False), recorder, graph,
                                    narrow_backbone(), images, labels)
            expect(callable(feed), "make_feed() has to return a function, from the images' "
                   "numbers to what is fed for them; the training calls it for each batch.")
            orders = [rng.permutation(70)[:33], rng.permutation(70)[:33]]
            feeds = [feed(order) for order in orders]
            expect(not any(graph.images in fed for fed in feeds),
                   "The images themselves are fed for a batch. The frozen network then runs in "
                   "every epoch, and always gives the same: that is the time to save.")
            for order, fed in zip(orders, feeds):
                recorder.run(graph.loss, fed)
                expect(np.array_equal(fed[graph.labels], labels[order]),
                       "The labels that are fed are not those of the batch's images: the head "
                       "learns wrong names.")
            expected = preprocess(images)
            expect(all(np.abs(expected - image).max(axis=(1, 2, 3)).min() < 0.01
                       for image in passed),
                   "The images do not reach the network as the inference scripts feed them. The "
                   "head would learn on features that it never meets again.")
            expect(len(passed) == 70,
                   f"{len(passed)} images went through the network for a data set of 70. Once "
                   "each is enough, and all are needed.")
            for order, fed in zip(orders, feeds):
                fc7 = sess.run(graph.fc7, {graph.images: expected[order]})
                expect(close(fed[graph.features], fc7),
                       "The features that are fed are not fc7 of the batch's images: they are "
                       "in another order, or of another layer.")


EXERCISES = {
    "resize": ("traffic_sign_inference.py", check_resize),
    "freeze": ("train_feature_extraction.py", check_freeze),
    "fc8": ("train_feature_extraction.py", check_fc8),
    "optimiser": ("train_feature_extraction.py", check_optimiser),
    "accuracy": ("train_feature_extraction.py", check_accuracy),
    "caching": ("train_feature_extraction.py", check_caching),
}


def load(path):
    """The script `path` as a module of its own."""
    spec = importlib.util.spec_from_file_location("answer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(name, path):
    """Check the exercise `name` in the script `path`; raises Wrong, with what is wrong."""
    try:
        waiting = unfinished(path)
    except SyntaxError as error:
        raise Wrong(f"Python cannot read {path.name}, line {error.lineno}: {error.msg}.") from None
    expect(name in [known for known, *_ in read_exercises(path.read_text(encoding="utf-8"))],
           f"The marks `# Exercise {name}` and `# End of {name}` are not in {path.name} any "
           "more: put them back around your lines.")
    expect(name not in waiting, "Your lines are still to be written: `...` stands in their place.")
    expect(not waiting, f"This needs the exercise {', '.join(waiting)} in the same script, where "
           "`...` is still in the place of your lines.")
    try:
        with tf.Graph().as_default():
            EXERCISES[name][1](load(path))
    except Wrong:
        raise
    except Exception as error:  # whatever a student's lines may raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if frame.filename == str(path)]
        place = f"line {lines[-1]} of {path.name}" if lines else path.name
        reason = (str(error).strip().splitlines() or [""])[0]
        raise Wrong(f"Your lines do not run: {type(error).__name__} at {place}. Python says: "
                    f"{reason}") from None


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
