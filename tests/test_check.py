"""The checks catch incorrect solutions, say what is wrong, and pass correct ones."""
import os
import re
import sys
import textwrap
import time
import tracemalloc
import zipfile
from pathlib import Path

import check
import exercises
import numpy as np
import pytest
from exercises import confine, graphs, hand_ins, judge

from data.lab.command import PLACE, LabError
from data.lab.tf1 import tf

MODULES, TRAINING = judge.MODULES, exercises.TRAINING
SOURCES = {name: (check.LAB / script).read_text(encoding="utf-8")
           for name, script in exercises.EXERCISES.items()}
FREEZE = SOURCES["freeze"].split("\n").index("    # Exercise freeze") + 2  # the line after it


def fill(source, name, *texts):
    """`source` with `texts` in the places of the exercise `name`; None leaves a place as it is."""
    texts = iter(texts)

    def put(match):
        text = next(texts) if match[1] == name else None
        if text is None:
            return match[0]
        (start, end), indent = match.span(2), re.match(" *", match[0])[0]
        text = textwrap.indent(textwrap.dedent(text).strip("\n"), indent)
        return f"{source[match.start():start]}{text}\n{source[end:match.end()]}"

    return PLACE.sub(put, source)


def verdict(name, source):
    """(word, sentence) of the exercise `name` in the script's text, bytes, or None: no file."""
    path = Path(exercises.EXERCISES[name])
    if source:
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
    try:
        return "pass", judge.judge(name, path)
    except exercises.Wrong as wrong:
        return wrong.word, str(wrong)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["judge"])


X = "x = tf.placeholder(tf.float32, (None, size, size, 3))"
BILINEAR = "tf.image.resize_images(x, (227, 227))"
NETWORK = "AlexNet(resized, feature_extract=True, weights=backbone)"
ONE_HOT = "tf.one_hot(labels, classes)"
SPARSE = "tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)"


def resize(resized=BILINEAR, x=X):
    return f"import tensorflow\n{x}\nresized = {resized}"


def fc8(**lines):
    right = {
        "W": "tf.Variable(tf.truncated_normal((4096, classes), stddev=1e-2))",
        "b": "tf.Variable(tf.zeros(classes))", "logits": "tf.matmul(features, W) + b",
        "probs": "tf.nn.softmax(logits)", "loss": f"tf.reduce_mean({SPARSE})"}
    return "".join(f"{name} = {line}\n" for name, line in {**right, **lines}.items() if line)


def loss(text):
    return fc8(loss=text)


def optimiser(kind="Adam", rate="learning_rate", of="loss, var_list=[W, b]"):
    return f"train_op = tf.train.{kind}Optimizer({rate}).minimize({of})"


def share(text):
    return f"accuracy = tf.reduce_mean(tf.cast({text}, tf.float32))", None, None


def evaluate(batches="batches(indices, batch_size)", weight="len(batch) / len(indices)", more=""):
    return None, f"""
for batch in {batches}:
    found = sess.run([graph.loss, graph.accuracy, graph.probs], feed_dict=feed(batch))
    loss += found[0] * {weight}
    accuracy += found[1] * {weight}
    probs.append(found[2])
    {more}""", None


def evaluated(indices, before="", after=""):
    return None, None, f"{before}result = evaluate(sess, graph, feed, {indices}, 128)\n{after}"


def caching(images="preprocess(images[batch])", batches="np.array_split(np.arange(len(images)), 9)",
            rows="fc7[i]", labels="labels[i]"):
    return f"""
fc7 = np.concatenate([sess.run(graph.fc7, {{graph.images: {images}}}) for batch in {batches}])
return lambda i: {{graph.features: {rows}, graph.labels: {labels}}}"""


def on_disk(name):
    """Features kept in a file of this name."""
    return f"""
from hashlib import md5
from data.lab import paths
path = paths.DATA / str({name})
if not path.exists():
    parts = np.array_split(images, 9)
    fc7 = [sess.run(graph.fc7, {{graph.images: preprocess(part)}}) for part in parts]
    path.write_bytes(np.concatenate(fc7).tobytes())
fc7 = np.fromfile(path, np.float32).reshape(-1, 4096)
return lambda i: {{graph.features: fc7[i], graph.labels: labels[i]}}"""


WRONG = {  # what the message says, and the answer
    "resize": [
        (r"come out as \(3, 224, 224, 3\)", resize("tf.image.resize_images(x, (224, 224))")),
        ("half a pixel off", resize("tensorflow.image.resize(x, (227, 227))")),
        ("corners meet", resize("tf.image.resize_images(x, (227, 227), align_corners=True)")),
        ("nearest pixel", resize("tf.image.resize_images(x, (227, 227), method=1)")),
        ("bicubic", resize("tensorflow.image.resize(x, (227, 227), method='bicubic')")),
        ("as means of areas", resize("tf.image.resize_area(x, (227, 227))")),
        ("lies on its side", resize(f"tf.transpose({BILINEAR}, (0, 2, 1, 3))")),
        ("BGR", resize(f"{BILINEAR}[..., ::-1]")),
        ("upside down", resize("tf.image.resize_images(x[:, ::-1], (227, 227))")),
        ("Negative values, about half", resize(f"tf.nn.relu({BILINEAR})")),
        ("times 0.003922, plus", resize(f"{BILINEAR} / 255")),
        ("padded with zeros", resize("tf.image.resize_with_crop_or_pad(x, 227, 227)")),
        ("Nothing but the size", resize("tf.image.resize_images(x[:, 2:-2], (227, 227))")),
        ("would have to resize them", resize("x", X.replace("size, size", "227, 227"))),
        ("A Python function resizes", resize(
            "tf.numpy_function(lambda a: np.zeros((len(a), 227, 227, 3)), [x], tf.float32)")),
        ("fixed at 2", resize(x=X.replace("None", "2"))),
        ("or one, fails: .* Any number", resize(f"tf.reshape({BILINEAR}, (2, 227, 227, 3))")),
        ("differently each time", resize(f"tf.image.random_flip_left_right({BILINEAR})")),
        ("only rearranges", resize("tf.reshape(x, (-1, 227, 227, 3))")),
        ("only rearranges", resize("tf.reshape(x, (227, 227, 3))")),
        ("holds uint8", resize(x=X.replace("float32", "uint8"))),
        ("has no shape", resize(x="x = tf.placeholder(tf.float32)")),
        ("placeholder other than `x`", resize("tf.image.resize_images(y, (227, 227))",
                                         f"{X}\ny{X[1:]}")),
        ("does not define `x`", resize("tf.image.resize_images(y, (227, 227))", f"y{X[1:]}")),
        (r"line \d+: '\(' was never closed", "x = tf.placeholder((\nresized = x"),
    ],
    "freeze": [
        ("gradients for 14 of", f"fc7 = {NETWORK}\ntf.stop_gradient(fc7)"),
        ("new layer replaces it", "fc7 = tf.stop_gradient(AlexNet(resized, weights=backbone))"),
        ("weights by name", "fc7 = AlexNet(resized, backbone, feature_extract=True)"),
        ("fc7 before ReLU", f"fc7 = tf.stop_gradient({NETWORK}.op.inputs[0])"),
        ("Without weights=backbone", "fc7 = AlexNet(resized, feature_extract=True)"),
        ("not get the resized", "fc7 = AlexNet(images, feature_extract=True, weights=backbone)"),
        ("differ from `resized`", f"fc7 = tf.stop_gradient({NETWORK})".replace("ed,", "ed / 255,")),
        ("is different each time", f"fc7 = tf.nn.dropout(tf.stop_gradient({NETWORK}), rate=0.5)"),
        ("differs from what the inference scripts", f"fc7 = tf.stop_gradient(2 * {NETWORK})"),
        ("does not define `fc7`", f"frozen = tf.stop_gradient({NETWORK})"),
    ],
    "fc8": [
        ("softmax twice", fc8(probs="tf.nn.softmax(tf.nn.softmax(logits))")),
        ("reads fc7 from the network", fc8(logits="tf.matmul(fc7, W) + b")),
        ("each time", "features = tf.nn.dropout(features, rate=0.5)\n" + fc8()),
        ("W has shape .4096, 1000", fc8().replace("classes", "1000")),
        ("in the code that uses it: .* trainable variables", fc8(W="tf.zeros((4096, classes))")),
        ("tf.layers: create W", "logits = tf.layers.dense(features, classes)"),
        ("wraps its variables", "layer = tf.keras.layers.Dense(classes)\n" + fc8(
            logits="layer(features)", W=None, b=None) + "W, b = layer.weights"),
        ("trainable variables", fc8(b="tf.Variable(tf.zeros(classes), trainable=False)")),
        ("confident and wrong: its loss", fc8(W="tf.Variable(tf.random_normal((4096, classes)))")),
        ("does not define `logits`", fc8(
            logits=None, probs="tf.nn.softmax(tf.matmul(features, W) + b)", loss="probs[0, 0]")),
        (r"1 times the sum .* effective learning rate", loss(f"tf.reduce_sum({SPARSE})")),
        ("-1 times the mean .* less probable", loss(f"-tf.reduce_mean({SPARSE})")),
        ("has shape .200,.", loss(SPARSE)),
        ("shifted by one", loss("tf.losses.softmax_cross_entropy("
                                "tf.one_hot(labels - 1, classes), logits)")),
        ("outside the range", loss(f"tf.reduce_mean({SPARSE})".replace("=labels", "=labels + 1"))),
        ("only one image of the batch", loss(f"tf.reduce_max({SPARSE})")),
        ("applies softmax twice", loss(f"tf.reduce_mean({SPARSE})".replace("=logits", "=probs"))),
        ("uses sigmoid", loss(f"tf.losses.sigmoid_cross_entropy({ONE_HOT}, logits)")),
        ("squared error of prob", loss(f"tf.reduce_mean(tf.square(probs - {ONE_HOT}))")),
        ("a probability, not its", loss(f"-tf.reduce_mean(tf.reduce_sum({ONE_HOT} * probs, 1))")),
        ("loss is 18.17 instead of 182", loss(
            f"-tf.reduce_mean(tf.log(tf.reduce_sum({ONE_HOT} * probs, 1) + 1e-8))")),
        ("a penalty on weights", loss(f"tf.reduce_mean({SPARSE}) + 0.01 * tf.nn.l2_loss(W)")),
        ("for a batch whose mean", loss(f"tf.losses.hinge_loss({ONE_HOT}, logits)")),
        ("No gradient reaches", loss(f"lambda: tf.reduce_mean({SPARSE})")),
        (r"line \d+ of .*name 'feature'", fc8(logits="tf.matmul(feature, W) + b")),
    ],
    "optimiser": [
        ("finds nothing to train", optimiser(of="loss, var_list=[]")),
        ("does not change W", optimiser(of="loss, var_list=[b]")),
        ("is the step counter", optimiser(of="loss, [W, b]")),
        ("A session cannot run", "train_op = tf.train.AdamOptimizer(learning_rate)"),
        ("do not depend on `learning_rate`", optimiser(rate="0.001")),
        ("rate is 0.01 times", optimiser(rate="learning_rate / 100")),
        ("Keras optimisers", "train_op = tf.keras.optimizers.SGD(1.0).minimize(loss, [W, b])"),
        ("must lower", optimiser(of="-loss")),
        ("too slowly", optimiser("GradientDescent")),
        ("rate shrinks from 0.001 to", "step = tf.train.create_global_step()\n" + optimiser(
            rate="tf.train.exponential_decay(learning_rate, step, 1, 0.9)",
            of="loss, step, [W, b]")),
        ("against their gradients", """
adam = tf.train.AdamOptimizer(learning_rate)
train_op = adam.apply_gradients([(tf.clip_by_value(gradient, 0, 1), variable)
    for gradient, variable in adam.compute_gradients(loss, [W, b])])"""),
        ("changes 14 of", optimiser(
            of="loss + sum(map(tf.nn.l2_loss, tf.trainable_variables()))")),
    ],
    "accuracy": [
        ("wrong axis", *share("tf.equal(tf.argmax(logits, 0), labels)")),
        ("several most probable", *share("tf.nn.in_top_k(logits, labels, 2)")),
        ("mean probability of the correct", *share(f"tf.reduce_sum({ONE_HOT} * probs, 1)")),
        ("has shape", "accuracy = tf.equal(tf.argmax(logits, 1), labels)", None, None),
        ("is a tuple", "accuracy = tf.metrics.accuracy(labels, tf.argmax(logits, 1))", None, None),
        ("nothing initializes", "accuracy = tf.metrics.accuracy(labels, labels)[0]", None, None),
        ("mean of the batch means", *evaluate(weight="1 / -(-len(indices) // batch_size)")),
        ("is without the last", *evaluate("np.split(indices[:12600], 126)", "1 / 126")),
        ("smaller batch counted as a whole", *evaluate(weight="batch_size / len(indices)")),
        ("is 0.1..., but must be", *evaluate("batches(indices[:1000], 100)", "len(batch) / 1000")),
        ("a single batch", *evaluate(more="break")),
        ("0: nothing is added", *evaluate(weight="0")),
        ("a sum", *evaluate(weight="1")),
        ("images other than `indices`", *evaluate("batches(np.arange(len(indices)), 100)")),
        ("order of `indices`", *evaluate("batches(np.sort(indices), batch_size)")),
        ("More images than the batch", *evaluate("[indices]")),
        ("changes the head", *evaluate(more="sess.run(graph.train_op, feed(batch))")),
        ("its own training images", *evaluated("data.training")),
        ("order of `data.validation`", *evaluated("np.sort(data.validation)")),
        ("each of them once", *evaluated("data.validation[:20]")),
        ("not evaluated again after each epoch", *evaluated("data.validation", "if epoch == 1: ")),
        ("must not select the epoch", *evaluated("np.arange(len(data.test.labels))")),
        ("must not select the epoch", *evaluated("data.test")),
        ("`result` differs from", *evaluated("data.validation", after="result.accuracy = 0.9")),
    ],
    "caching": [
        ("mean of each image is not", caching("images[batch].astype(np.float32)")),
        ("values are scaled", caching("preprocess(images[batch]) / 255")),
        ("each channel is shifted", caching("images[batch] - images[0].mean((0, 1))")),
        ("colours are in a different order", caching("preprocess(images[batch])[..., ::-1]")),
        ("frozen network runs",
         "return lambda i: {graph.images: preprocess(images[i]), graph.labels: labels[i]}"),
        ("2200 images went through", """
known = {}
def feed(i):
    if (key := tuple(sorted(i))) not in known:
        known[key] = sess.run(graph.fc7, {graph.images: preprocess(images[i])})
    return {graph.features: known[key], graph.labels: labels[i]}
return feed"""),
        ("in a single run", caching(batches="[np.arange(len(images))]")),
        ("second data set, your cache returns", on_disk("md5(images[0]).hexdigest()")),
        ("other weights, your cache returns", on_disk("md5(images).hexdigest()")),
        ("other weights, your cache returns",
         on_disk("md5(images).hexdigest() + str(args.weights)")),  # None by default
        ("76 of 1100 images never", caching(batches="np.split(np.arange(1024), 8)",
                                            rows="np.resize(fc7, (1100, 4096))[i]")),
        ("a different order, or from", caching(rows="fc7[np.sort(i)]")),
        ("wrong names", caching(labels="labels[np.sort(i)]")),
        ("must return a function", "pass"),
    ],
}
RIGHT = {  # what a remark says, and the answer
    "resize": [
        ("", resize("tf.image.resize_bilinear(x, [227, 227])")),
        ("", resize("tf.map_fn(lambda image: tf.image.resize(image, (227, 227)), x)")),
        ("", resize(x=X.replace("size, size", "None, None"))),
        ("32 is hard-coded; use `size`", resize(x=X.replace("size, size", "32, 32"))),
    ],
    "freeze": [
        ("", f"fc7 = {NETWORK}\nfc7 = tf.stop_gradient(fc7, name='frozen')"),
        ("", f"with tf.name_scope('a'):\n    fc7 = tf.stop_gradient({NETWORK})"),
    ],
    "fc8": [
        ("equal initial weights work", fc8(W="tf.Variable(tf.zeros((4096, classes)))")),
        ("43 is hard-coded; use `classes`", fc8().replace("classes", "43")),
        ("", fc8(W="tf.get_variable('W', (4096, classes))",
                 loss="tf.losses.sparse_softmax_cross_entropy(labels, logits)")),
        ("", fc8(probs="tf.exp(tf.nn.log_softmax(logits))",
                 loss=f"-tf.reduce_mean(tf.reduce_sum({ONE_HOT} * tf.nn.log_softmax(logits), 1))")),
        ("", loss("tf.reduce_mean(tf.reduce_logsumexp(logits, 1) "
                  f"- tf.reduce_sum(logits * {ONE_HOT}, 1))")),
        ("", "layer = tf.keras.layers.Dense(classes)\nlayer.build((None, 4096))\n"
             + fc8(W="layer.kernel.value", b="layer.bias.value")),
    ],
    "optimiser": [
        ("", optimiser(of="loss")),  # nothing flows into what is frozen
        ("", optimiser("Momentum", "learning_rate, 0.9")),
        ("", optimiser("RMSProp")),
        ("", """
adam = tf.train.AdamOptimizer(learning_rate)
train_op = [adam.apply_gradients(zip(tf.gradients(loss, [W, b]), [W, b]))]"""),
        ("", "step = tf.train.create_global_step()\n" + optimiser(
            rate="tf.train.exponential_decay(learning_rate, step, 1000, 0.96)",
            of="loss, step, [W, b]")),
    ],
    "accuracy": [
        ("", *share("tf.nn.in_top_k(logits, labels, 1)")),
        ("", *share("tf.equal(tf.argmax(probs, -1, output_type=tf.int32), "
                    "tf.cast(labels, tf.int32))")),
        ("", None, """
for batch in np.array_split(indices, -(-len(indices) // batch_size)):
    share = len(batch) / len(indices)
    loss += sess.run(graph.loss, feed(batch)) * share
    accuracy += sess.run(graph.accuracy, feed(list(batch))) * share
    probs += [sess.run(graph.probs, feed(batch))]""", None),
        ("", *evaluated("data.validation", after="print(data.labels[data.validation], loss)")),
        ("", *evaluated("data.validation", after="if result.accuracy > 2:\n    break")),
        ("", *evaluated("data.validation", after="evaluate(sess, graph, feed, data.training, 64)")),
    ],
    "caching": [
        ("", caching()),
        ("", caching("images[batch] - images[batch].mean((1, 2, 3), keepdims=True)")),
        ("", on_disk("md5(images).hexdigest() + md5(backbone['fc7'][0]).hexdigest()")),
        ("", """
def rows(i):
    key = backbone["fc7"][0].tobytes()
    new = [j for j in i if (key, images[j].tobytes()) not in KNOWN]
    for part in np.array_split(new, -(-len(new) // 100) or 1):
        if len(part):
            fc7 = sess.run(graph.fc7, {graph.images: preprocess(images[part])})
            KNOWN.update(((key, images[j].tobytes()), row) for j, row in zip(part, fc7))
    return np.stack([KNOWN[key, images[j].tobytes()] for j in i])
KNOWN = tf.__dict__.setdefault("known", {})  # outlives the data set: the key is the content
return lambda i: {graph.features: rows(i), graph.labels: labels[i]}"""),
        ("", """
known = {}
def feed(i):
    new = [k for k in i if k not in known]
    for part in np.array_split(new, -(-len(new) // 128)) if new else []:
        known.update(zip(part, graph.fc7.eval({graph.images: preprocess(images[part])}, sess)))
    return {graph.fc7: [known[k] for k in i], graph.labels: labels[i]}
return feed"""),
    ],
}


@pytest.mark.parametrize("name, right, message, texts", [
    pytest.param(name, table is RIGHT, message, texts, id=f"{name}: {message}")
    for table in (WRONG, RIGHT) for name, answers in table.items() for message, *texts in answers])
def test_answers_get_their_verdict(name, right, message, texts):
    word, sentence = verdict(name, fill(SOURCES[name], name, *texts))
    assert (word == "pass") == right and re.search(message or "^$", sentence), sentence


RNG = np.random.default_rng(0)
Z, Y = RNG.normal(0, 3, (60, 43)), np.arange(60) % 43


@pytest.mark.parametrize("table, samples", [
    (MODULES["resize"].FAULTS, [[RNG.normal(5, 60, (3, 8, 8, 3))]]),
    (MODULES["freeze"].FAULTS, [[dict(zip(("fc6", "raw", "fc7", "default"), RNG.random((4, 9))))]]),
    (MODULES["fc8"].PROBS, [[Z + RNG.normal(0, 1, 43), Z]]),
    (MODULES["fc8"].LOSSES, [[Z, Y], [Z[:3], np.array([0, 42, 7])]]),
    (MODULES["accuracy"].BATCH, [MODULES["accuracy"].make_answers(np.arange(43) % 10 < 3)]),
])
def test_each_fault_has_its_own_sentence(table, samples):
    for sentence, fault in table.items():
        ways = [way if isinstance(way, list) else [way] for way in (fault(*s) for s in samples)]
        for found in zip(*ways, strict=True):
            assert graphs.find_fault(found, table, *samples) == sentence


@pytest.mark.parametrize("name", MODULES)
def test_an_exercise_is_checked_alone(name, monkeypatch):
    """Others are not looked at; the names given to its lines stand before them in the script."""
    source, given, run = SOURCES[name], {}, judge.Answer.run
    assert fill(source, name, *MODULES[name].LINES) == source
    for other in set(MODULES) - {name}:
        source = fill(source, other, *["raise SystemExit("] * len(MODULES[other].LINES))

    def record(answer, other, place=0, /, **names):
        given.setdefault((other, place), {*names} - {"_", "evaluate"})
        return run(answer, other, place, **names)

    monkeypatch.setattr(judge.Answer, "run", record)
    assert verdict(name, source) == ("pass", "")
    starts = [match.start() for match in PLACE.finditer(SOURCES[name]) if match[1] == name]
    for place, start in enumerate(starts):
        before = SOURCES[name][:start]
        assert given[name, place] <= {*re.findall(r"\w+", before[before.rindex("\ndef "):])}


def test_the_graph_of_the_checks_is_that_of_the_script():
    graph, script = graphs.build(judge.Answer("fc8", TRAINING, SOURCES["fc8"]))[0], {}
    exec(SOURCES["fc8"], script)
    script["AlexNet"] = graphs.AlexNet
    with tf.Graph().as_default():
        own = script["build_graph"](graphs.make_weights(), 43, 0.001)
    assert str(own) == str(graph)


@pytest.mark.parametrize("change, word, message", [
    (lambda text: f"\ufeff{text}".replace("\n", "\r\n"), "pass", "^$"),
    (lambda text: f"# coding: latin-1\n# gr\xfcn\n{text}".encode("latin-1"), "pass", "^$"),
    (lambda text: re.sub(" +# End of accuracy", "# End of accuracy", text), "pass", "^$"),
    (lambda text: text.replace("resized = tf", "small = tf"), "pass", "^$"),
    (lambda text: text.replace("def build", "import math\ndef one(): return math.exp(0)\ndef build")
     .replace("    # Exercise freeze", "    def f(x): return x * one()\n    # Exercise freeze")
     .replace("AlexNet(resized", "AlexNet(f(resized)"), "pass", "^$"),
    (lambda text: text.replace("fc7 = tf", "fc7 = t"), "error", f"NameError at line {FREEZE} of"),
    (lambda text: re.sub("fc7 = tf.*", "...", text), "empty", "not done: .* must define fc7"),
    (lambda text: re.sub("fc7 = tf.*", "# later", text), "empty", f"nothing in line {FREEZE}"),
    (lambda text: text.replace("# End of fc8", ""), "broken", "has 0 parts from `# Exercise fc8`"),
    (lambda text: text.replace("# Exercise accuracy, 2", "#"), "broken", "has 2 parts .* not 3"),
    (lambda text: text.replace("S = (", "S = ((", 1), "broken", r"Syntax error in .*, line \d+"),
    (lambda text: f"import nowhere\n{text}", "error", f"NotFoundError at line 1 of {TRAINING}"),
    (lambda text: b"\n\n# gr\xfcn", "broken", "cannot be read as text: .*utf-8"),
    (None, "absent", "is missing, or not an"),
])
def test_what_stands_outside_the_lines(change, word, message):
    found = verdict("freeze", change and change(SOURCES["freeze"]))
    assert found[0] == word and re.search(message, found[1]), found


def test_parts_of_an_exercise_are_told_apart():
    parts = MODULES["accuracy"].LINES
    line = SOURCES["accuracy"].split("\n").index("        # Exercise accuracy, 3 of 3") + 2
    for texts, word, message in (
            ([*parts[:2], "# mine\n..."], "partly",
             f"2 of 3 parts are written: .* in line {line + 1}. Your code must define result"),
            (["...", parts[1], "..."], "partly", r"1 of 3 parts .* line \d+ and line \d+\. "),
            (["..."] * 3, "empty", "not done: .* and line .* and line")):
        found = verdict("accuracy", fill(SOURCES["accuracy"], "accuracy", *texts))
        assert found[0] == word and re.search(message, found[1]), found


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files, limits or signals")


@posix
def test_what_is_no_ordinary_file_is_refused(tmp_path):
    for script in set(exercises.EXERCISES.values()):
        (tmp_path / script).symlink_to("/dev/null")
    assert verdict("freeze", None)[0] == "absent"
    found = hand_ins.collect(tmp_path, tmp_path / "copies")
    assert [word for word, _ in found.values()] == ["absent"] * 2
    assert all("it is a link, a pipe or a device" in sentence for _, sentence in found.values())


@posix
def test_a_check_is_confined(tmp_path):
    """What an answer prints, sends to the terminal, or writes elsewhere goes nowhere."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "keep").mkdir()
    keep = tmp_path / "keep" / "file"
    keep.write_text("mine")
    (tmp_path / "lab" / TRAINING).write_text(fill(SOURCES["freeze"], "freeze", f"""
import contextlib, glob, multiprocessing, os, shutil, socket, sqlite3, subprocess, sys, tempfile
keep, folder, new = {str(keep)!r}, {str(keep.parent)!r}, {str(keep.parent / "new")!r}
for number in range(99):
    with contextlib.suppress(OSError):
        os.write(number, b"pass " * 4_000_000)
def walk(change):
    here = os.open(".", os.O_RDONLY)
    for _, _, names, descriptor in os.fwalk(folder):
        for name in names:
            change(name, descriptor)
def spawn():
    sys.modules["__main__"].__spec__ = None
    multiprocessing.get_context("spawn").Process(target=print).start()
def descend():
    here = os.open(".", os.O_RDONLY)
    os.makedirs("a/" * 20)
    os.chdir("a/" * 20)
    os.close(os.open(os.path.relpath(new, {str(tmp_path)!r}), os.O_CREAT, dir_fd=here))
done = []
for action in (lambda: open(keep, "w"), lambda: shutil.rmtree(folder), lambda: os.remove(keep),
               lambda: socket.create_connection(("127.0.0.1", 9)), lambda: os.kill(os.getpid(), 0),
               lambda: subprocess.run(["true"]), spawn, descend, lambda: sqlite3.connect(keep),
               lambda: walk(lambda name, fd: os.remove(name, dir_fd=fd)),
               lambda: walk(lambda name, fd: os.rename(name, "x", src_dir_fd=fd, dst_dir_fd=fd)),
               lambda: tf.gfile.Remove(keep), lambda: tf.gfile.DeleteRecursively(folder),
               lambda: tf.gfile.MakeDirs(new), lambda: tf.gfile.Rename(keep, new),
               lambda: tf.gfile.Copy(keep, new), lambda: tf.gfile.GFile(new, "w").write("x"),
               lambda: tf.gfile.GFile("file://" + new, "w").write("x"),
               lambda: tf.summary.FileWriter(folder),
               lambda: tf.compat.v2.summary.create_file_writer(new),
               lambda: tf.io.write_file(new, "x"), lambda: tf.train.Saver([tf.Variable(1)])):
    try:
        done.append(action())
    except PermissionError:
        pass
open("here", "w").write("x")
shutil.rmtree(tempfile.mkdtemp())
tf.gfile.GFile("there", "w").write("x")
tf.summary.FileWriter("runs")
tf.Session().run(tf.io.write_file("file", "x"))
class Unprintable(Exception):
    pass
Unprintable.__name__ = chr(27) + f"[2J{{len(done)}}, {{len(glob.glob('*'))}}"
Unprintable.__str__ = lambda self: 1 / 0
raise Unprintable"""), encoding="utf-8")
    tracemalloc.start()
    word, sentence = check.check("freeze", tmp_path / "lab" / TRAINING)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a, here, there, file and runs, beside data
    assert word == "error" and sentence.startswith("Your code raises \\x1b[2J0, 6 at line")
    assert keep.read_text() == "mine" and list(keep.parent.iterdir()) == [keep]
    assert peak < 5e6


@posix
@pytest.mark.parametrize("line, limits, word, message", [
    ("while True: pass", (1, 60), "late", "did not finish within 1 s of CPU time"),
    ("import time; time.sleep(99)", (60, 0.1), "busy", "The machine is busy; try again"),
    ("import os; os._exit(0)", (60, 600), "ended", "ended without a verdict, with status 0"),
    (f"bytearray({int(confine.MEMORY)})", (60, 600), "error", "raises MemoryError"),
    ("open('big', 'wb').truncate(10**9)", (60, 600), "error", "File too large"),
])
def test_a_check_ends(tmp_path, monkeypatch, line, limits, word, message):
    monkeypatch.setattr(check, "LIMIT", limits[0])
    monkeypatch.setattr(check, "WAIT", limits[1])
    (tmp_path / TRAINING).write_text(fill(SOURCES["freeze"], "freeze", line), encoding="utf-8")
    found = check.check("freeze", tmp_path / TRAINING)
    assert found[0] == word and message in found[1], found


@posix
def test_no_process_outlives_its_check(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / TRAINING).write_text(fill(SOURCES["freeze"], "freeze", f"""
import ctypes
ctypes.CDLL(None).system(b"sleep 20 > {tmp_path}/pipe & echo > {tmp_path}/started")
raise SystemExit"""), encoding="utf-8")
    assert check.check("freeze", tmp_path / TRAINING)[0] == "error"
    os.set_blocking(pipe, True)
    start = time.monotonic()
    assert os.read(pipe, 1) == b"" and time.monotonic() - start < 15  # its other end is closed
    os.close(pipe)
    assert (tmp_path / "started").exists()


@pytest.fixture
def run(monkeypatch, capsys):
    """Run check.py's main(): run(*arguments) -> stdout, exit status."""

    def main(*arguments):
        monkeypatch.setattr(sys, "argv", ["check.py", *map(str, arguments)])
        status = 0
        try:
            check.main()
        except SystemExit as end:
            status = int(end.code)
        return capsys.readouterr().out, status

    return main


def test_verdicts_are_printed(run, monkeypatch):
    verdicts = {"fc8": ("wrong", "word " * 30), "freeze": ("pass", "a remark"),
                "accuracy": ("busy", "Try again."), "caching": ("given", "It is there.")}
    monkeypatch.setattr(check, "check", lambda name, path: verdicts.get(name, ("pass", "")))
    output, status = run()
    assert status == 1 and max(map(len, output.splitlines())) < 80
    assert [line for line in output.splitlines() if not line.startswith("    ")] == [
        "resize: pass", "freeze: pass (a remark)", "fc8: word" + " word" * 14,
        "optimiser: pass", "accuracy: Try again.", "caching: It is there."]
    assert run("optimiser", "resize") == ("optimiser: pass\nresize: pass\n", 0)
    assert run("resize", "accuracy")[1] == 3 and run("caching", "resize")[1] == 0


def zipped(file, *names, text=""):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, text or name)


RESIZE = exercises.EXERCISES["resize"]


@pytest.mark.parametrize("names, archive, found", [
    ([f"lab/a/{RESIZE}", f"lab/a/{TRAINING}"], "", [f"lab/a/{RESIZE}", f"lab/a/{TRAINING}"]),
    ([RESIZE, "train_feature_extraction (1).py", "train_feature_extractions.pyc", "._" + TRAINING],
     "", [RESIZE, "train_feature_extraction (1).py"]),
    ([f"old/{TRAINING}", TRAINING, f"copy of {TRAINING}"], "", ["absent", TRAINING]),
    ([f"J\xf6rg_12_{TRAINING}", ".DS_Store", "a.txt"], "", ["absent", f"J\xf6rg_12_{TRAINING}"]),
    ([f"a/b/c/d/e/f/{TRAINING}"], "", ["absent", "absent"]),
    ([f"a/{TRAINING}", f"b/{TRAINING}"], "", ["absent", f"double Keep only one {TRAINING}"]),
    ([f"__MACOSX/._{TRAINING}", f"lab/{TRAINING}", RESIZE], "s.zip", [RESIZE, f"lab/{TRAINING}"]),
    ([f"a\\b\\{TRAINING}", f".venv/{RESIZE}"], "s.zip", ["absent", f"a\\b\\{TRAINING}"]),
    ([f"../../{TRAINING}", f"/etc/{RESIZE}"], "s.ZIP", [f"/etc/{RESIZE}", f"../../{TRAINING}"]),
])
def test_scripts_are_found_in_submissions(tmp_path, names, archive, found):
    """found: the text of the script that is taken, or the word why there is none."""
    source = tmp_path / "hand"
    source.mkdir()
    if archive:
        zipped(source / archive, *names)
    for name in () if archive else names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name, encoding="utf-8")
    before = files(tmp_path)
    for number, given in enumerate([source, source / archive] if archive else [source]):
        scripts = hand_ins.collect(given, tmp_path / f"copies{number}")
        for script, text in zip((RESIZE, TRAINING), found, strict=True):
            taken = scripts[script]
            taken = " ".join(taken) if isinstance(taken, tuple) else taken.read_text("utf-8")
            assert taken.startswith(text)
    assert {name for name in files(tmp_path) - before if not name.startswith("copies")} == set()


def test_bad_submissions_are_a_sentence(tmp_path):
    zipped(tmp_path / "bomb.zip", TRAINING, text="x" * 50_000_000)
    zipped(tmp_path / "many.zip", *[f"{i}/{TRAINING}" for i in range(3000)], text="x" * 100_000)
    (tmp_path / "broken.zip").write_bytes((tmp_path / "bomb.zip").read_bytes()[:-30])
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    tracemalloc.start()
    for name, word, message in (("bomb.zip", "absent", "larger than 1 MB"), ("many.zip", "", ""),
                                ("broken.zip", "absent", "not a zip file"),
                                ("a.rar", "absent", "neither a folder nor a .zip file; unpack it")):
        found = hand_ins.collect(tmp_path / name, tmp_path / f"copies of {name}")[TRAINING]
        assert not word or found[0] == word and message in found[1], found
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e7


@pytest.fixture
def submissions(tmp_path, monkeypatch):
    """Folders with a training script, whose checks give these verdicts by the script's text."""
    verdicts = {"right": ("pass", ""), "sum": ("wrong", "The loss is a sum."),
                "given": ("given", ""), "busy": ("busy", "Try again.")}

    def make(**texts):
        for name, text in texts.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / TRAINING).write_text(text)

    def find_verdict(name, path):
        if path.read_text() == "stop":
            raise KeyboardInterrupt
        return verdicts[path.read_text()]

    monkeypatch.setattr(check, "check", find_verdict)
    return make


def test_grades_are_a_table(run, submissions):
    submissions(anna="right", **{"b\x1b": "sum", "=1+1": "given", "d": "busy"})
    Path("erik").mkdir()
    Path("readme.txt").touch()
    output, status = run("freeze", "--grade", "anna", "b\x1b", "=1+1", "d", "erik", "readme.txt",
                         "fc8", "--csv", "new.csv", "--feedback", "texts")
    assert output == """\
       freeze fc8    total
anna   pass   pass   2 of 2
b\\x1b  wrong  wrong  0 of 2
=1+1   given  given  0 of 0
d      busy   busy   0 of 0
erik   absent absent 0 of 2

wrong: the exercise runs, but does something else
absent: the exercise is not there: no script, or none that can be read
given: the exercise was in the hand-out, so it does not count
busy: the exercise could not be checked, because the machine is busy; it does
    not count

b\\x1b, freeze fc8: The loss is a sum.

erik, freeze fc8: train_feature_extraction.py was not found.
""" and status == 3
    assert Path("new.csv").read_text("utf-8-sig").splitlines() == [
        "submission,freeze,fc8,total", "anna,pass,pass,2", "b\\x1b,wrong,wrong,0",
        "'=1+1,given,given,0", "d,busy,busy,0", "erik,absent,absent,0"]
    assert files(Path("texts")) == {"anna.txt", "b_x1b.txt", "_1_1.txt", "d.txt", "erik.txt"}
    assert Path("texts", "b_x1b.txt").read_text() == (
        "freeze: The loss is a sum.\n\nfc8: The loss is a sum.\n")
    with pytest.raises(LabError, match="new.csv: already exists; choose a new name"):
        run("--grade", "anna", "--csv", "new.csv")
    with pytest.raises(LabError, match="texts: already exists"):
        run("--grade", "anna", "--feedback", "texts")


def test_a_table_fits_a_terminal(run, submissions):
    long, wide = "M\xfcller J\xf6rg_12345_assignsubmission_file", "\u738b" * 84
    submissions(**{long: "right", wide: "right"})
    output, _ = run("--grade", long, wide, f"./{long}", "--feedback", "texts")
    rows = output.split("\n\n")[0].splitlines()
    assert [check.width(row) for row in rows[1:]] == [79] * 3
    assert rows[1].startswith("M\xfcller J\xf6rg_12345_ass..  absent pass")
    assert rows[2].startswith("\u738b" * 10 + "..   absent") and rows[3].startswith("./M\xfcller")
    assert len(files(Path("texts"))) == 3  # two of them of the same person


def test_rows_that_are_done_are_kept(run, submissions):
    submissions(anna="right", ben="stop", carl="right")
    with pytest.raises(KeyboardInterrupt):
        run("fc8", "--grade", "anna", "ben", "carl", "--csv", "new.csv", "--feedback", "texts")
    assert Path("new.csv").read_text("utf-8-sig") == "submission,fc8,total\nanna,pass,1\n"
    assert files(Path("texts")) == {"anna.txt"}


@pytest.mark.parametrize("arguments, message", [
    (["fc9"], "'fc9' is not an exercise; the exercises are resize, freeze"),
    (["--grade", "nobody"], "nobody: does not exist; give folders, .zip files, or exercises: res"),
    (["--grade", "fc8"], "there is no submission"),
    (["--csv", "new.csv"], "--csv and --feedback need --grade"),
])
def test_bad_arguments(run, arguments, message):
    with pytest.raises(LabError, match=message):
        run(*arguments)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")
            if path.is_file() and path.suffix != ".pyc"}


def test_hand_out(run, tmp_path, monkeypatch):
    output, _ = run("--hand-out", "students")
    assert output.startswith("students: the lab, with `...` for resize freeze fc8 optimiser")
    copy = tmp_path / "students"
    for script in exercises.EXERCISES.values():
        text = (copy / script).read_text(encoding="utf-8")
        assert {lines.strip() for _, lines in PLACE.findall(text)} == {"..."}
    unsolved = (copy / TRAINING).read_text("utf-8")
    assert "# No gradient flows back into AlexNet." in unsolved
    assert "\n**Student copy.** In this copy, you complete these exercises: resize freeze" in (
        copy / "README.md").read_text("utf-8")
    for name in "README.md", "data/README.md", "tests/README.md":  # nothing that is not there
        text = (copy / name).read_text("utf-8")
        assert "## For teachers" not in text
        for target in re.findall(r"\]\(([\w./-]+)\)", text) + re.findall(r"\w+/\w+\.py\b", text):
            assert (copy / name).parent.joinpath(target).exists() or (copy / target).exists()
    names = files(copy)
    assert files(copy / "data" / "lab") == files(check.LAB / "data" / "lab")
    assert {"alexnet.py", "requirements.txt", "tests/check.py", "tests/exercises/judge.py",
            "tests/benchmark.py", "tests/conftest.py", "tests/test_weights.py",
            "tests/test_download.py"} <= names
    assert not {"tests/test_check.py", "tests/test_training.py", "tests/test_readme.py"} & names
    assert not any(name.endswith((".npy", ".p", ".rows")) for name in names)
    with pytest.raises(LabError, match="students: already exists"):
        run("--hand-out", "students")
    partial, _ = run("fc8", "--hand-out", "partial")
    assert partial == "partial: the lab, with `...` for fc8\n"
    text = (tmp_path / "partial" / TRAINING).read_text("utf-8")
    assert [verdict(name, text)[0] for name in MODULES if name != "resize"] == [
        "given", "empty", "given", "given", "given"]
    monkeypatch.setattr(check, "LAB", tmp_path / "partial")
    run("freeze", "--hand-out", "again")  # blanks more, and says so
    text = (tmp_path / "again" / TRAINING).read_text("utf-8")
    assert [verdict(name, text)[0] for name in ("freeze", "fc8", "caching")] == [
        "empty", "empty", "given"]
    assert re.findall("you complete.*", (tmp_path / "again" / "README.md").read_text("utf-8")) == [
        "you complete these exercises: freeze fc8."]
    monkeypatch.setattr(check, "LAB", copy)
    for folder in "tests/new", "data/lab/a.new", "data/lab/standin/pictures/new", "data/new.py":
        run("fc8", "--hand-out", copy / folder)
    run("--hand-out", "later")
    assert files(tmp_path / "later") == names  # and nothing of those
    solved = fill(unsolved, "freeze", *MODULES["freeze"].LINES)
    (copy / TRAINING).write_text(solved, encoding="utf-8")
    assert check.check("freeze", copy / TRAINING) == ("pass", "")
    (copy / TRAINING).write_text(unsolved.replace("# End of fc8", ""), encoding="utf-8")
    with pytest.raises(LabError, match="a marker of an exercise is missing"):
        run("--hand-out", "damaged")
