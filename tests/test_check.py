"""The exercises' checks: they catch each wrong answer and pass the right ones."""
import re
import sys
import textwrap

import check
import pytest
from conftest import LAB

from data.exercises import read_exercises
from data.files import LabError


def answer(tmp_path, name, *texts):
    """A copy of the script in which `texts` stand between the marks of the exercise `name`."""
    path = LAB / check.EXERCISES[name][0]
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [place for place in read_exercises("\n".join(lines)) if place[0] == name]
    for (_, first, last), text in reversed(list(zip(places, texts, strict=True))):
        indent = re.match(" *", lines[last])[0]  # of the closing mark
        if text is not None:
            lines[first - 1:last] = [textwrap.indent(textwrap.dedent(text).strip(), indent)]
    copy = tmp_path / path.name
    copy.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return copy


RESIZE = """
x = tf.placeholder(tf.float32, {})
resized = {}
"""
SIGNS = "(None, 32, 32, 3)"
FREEZE = "fc7 = {}"
NETWORK = "AlexNet(resized, feature_extract=True, weights=backbone)"
FC8 = """
W = {W}
b = {b}
logits = {logits}
probs = {probs}
loss = {loss}
"""


def fc8(**lines):
    """The lines of the exercise fc8, some of them replaced."""
    right = {
        "W": "tf.Variable(tf.truncated_normal((4096, 43), stddev=1e-2))",
        "b": "tf.Variable(tf.zeros(43))",
        "logits": "tf.matmul(features, W) + b",
        "probs": "tf.nn.softmax(logits)",
        "loss": "tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits("
                "labels=labels, logits=logits))",
    }
    return FC8.format(**{**right, **lines})


def outputs(count):
    return fc8(W=f"tf.Variable(tf.truncated_normal((4096, {count}), stddev=1e-2))",
               b=f"tf.Variable(tf.zeros({count}))")


ADAM = "train_op = tf.train.AdamOptimizer(learning_rate).minimize({})"
ACCURACY = "accuracy = tf.reduce_mean(tf.cast({}, tf.float32))"
EVALUATE = """
for batch in {batches}:
    tensors = [graph.loss, graph.accuracy, graph.probs]
    batch_loss, batch_accuracy, batch_probs = sess.run(tensors, feed_dict=feed(batch))
    loss += batch_loss * {weight}
    accuracy += batch_accuracy * {weight}
    probs.append(batch_probs)
"""
BY_SIZE = "len(batch) / len(indices)"
CACHING = """
fc7 = [sess.run(graph.fc7, {{graph.images: {images}}}) for batch in {batches}]
fc7 = np.concatenate(fc7)
return lambda i: {{graph.features: {rows}, graph.labels: {labels}}}
"""


def caching(images="preprocess(images[batch])",
            batches="np.array_split(np.arange(len(images)), 3)", rows="fc7[i]",
            labels="labels[i]"):
    return CACHING.format(images=images, batches=batches, rows=rows, labels=labels)


WRONG = {
    "resize": [
        ("outside the graph", RESIZE.format("(None, 227, 227, 3)", "x")),
        ("outside the graph", RESIZE.format(
            SIGNS, "tf.numpy_function(lambda a: np.zeros((len(a), 227, 227, 3), np.float32), "
                   "[x], tf.float32)")),
        (r"come out as \(3, 224, 224, 3\)",
         RESIZE.format(SIGNS, "tf.image.resize_images(x, (224, 224))")),
        ("half a pixel off", RESIZE.format(
            SIGNS, "tf.image.resize_bilinear(x, (227, 227), half_pixel_centers=True)")),
        ("half a pixel off", "import tensorflow\n" + RESIZE.format(
            SIGNS, "tensorflow.image.resize(x, (227, 227))")),
        ("nearest", RESIZE.format(SIGNS, "tf.image.resize_images(x, (227, 227), method=1)")),
        ("nearest", "import tensorflow\n" + RESIZE.format(
            SIGNS, "tensorflow.image.resize(x, (227, 227), method='nearest')")),
        ("corners", RESIZE.format(
            SIGNS, "tf.image.resize_images(x, (227, 227), align_corners=True)")),
        ("bicubic", RESIZE.format(SIGNS, "tf.image.resize_images(x, (227, 227), method=2)")),
        ("number of pictures is fixed", RESIZE.format(
            "(2, 32, 32, 3)", "tf.image.resize_images(x, (227, 227))")),
        ("number of pictures is fixed", RESIZE.format(
            SIGNS, "tf.ensure_shape(tf.image.resize_images(x, (227, 227)), (2, 227, 227, 3))")),
        ("lies on its side", RESIZE.format(
            SIGNS, "tf.transpose(tf.image.resize_images(x, (227, 227)), (0, 2, 1, 3))")),
        ("Only the size may change",
         RESIZE.format(SIGNS, "tf.image.resize_images(x, (227, 227)) / 255")),
        ("shape", RESIZE.format("(None, None, None, 3)", "tf.image.resize_images(x, (227, 227))")),
        ("holds uint8", RESIZE.format(SIGNS, "tf.image.resize_images(x, (227, 227))").replace(
            "tf.float32", "tf.uint8")),
        ("NameError at line .*'x' is not defined", RESIZE.format(
            SIGNS, "tf.image.resize_images(x, (227, 227))").replace("x =", "y =", 1).replace(
            "(x,", "(y,")),
        ("depends on 0 placeholders", RESIZE.format(SIGNS, "tf.zeros((2, 227, 227, 3))")),
    ],
    "freeze": [
        ("gradients for 14 of", FREEZE.format(NETWORK)),
        ("gradients for 2 of",
         FREEZE.format("AlexNet(resized, feature_extract=True, weights=backbone)\n"
                       "g = tf.get_default_graph()\n"
                       "fc6 = tf.stop_gradient(g.get_tensor_by_name('fc6:0'))\n"
                       "fc7 = tf.nn.relu(tf.nn.xw_plus_b(fc6, *[v for v in "
                       "tf.global_variables() if v.op.name.startswith('fc7/')]))")),
        ("in `backbone`", FREEZE.format(
            "tf.stop_gradient(AlexNet(resized, feature_extract=True, weights={"
            "name: [2 * W, b] for name, (W, b) in backbone.items()}))")),
        ("not what the inference scripts compute", FREEZE.format(
            "tf.stop_gradient(AlexNet(resized / 255, feature_extract=True, weights=backbone))")),
    ],
    "fc8": [
        ("softmax is applied twice", fc8(
            loss="tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits("
                 "labels=labels, logits=probs))")),
        ("softmax twice", fc8(probs="tf.nn.softmax(tf.nn.softmax(logits))")),
        ("probs are the logits", fc8(probs="logits")),
        ("1000 outputs", outputs(1000)),
        ("42 outputs", outputs(42)),
        ("bias has no effect", fc8(logits="tf.matmul(features, W)")),
        ("reads fc6", fc8(logits="tf.nn.xw_plus_b("
                                 "tf.get_default_graph().get_tensor_by_name('fc6:0'), W, b)")),
        ("fc7 before it is rectified", fc8(
            logits="tf.matmul(fc7.op.inputs[0].op.inputs[0], W) + b")),
        ("fc7 from the network alone", fc8(logits="tf.matmul(fc7, W) + b")),
        ("first weights are equal", fc8(W="tf.Variable(tf.zeros((4096, 43)))")),
        ("standard deviation of 1", fc8(W="tf.Variable(tf.random_normal((4096, 43)))")),
        ("W has shape", fc8(W="tf.Variable(tf.truncated_normal((43, 4096), stddev=1e-2))",
                            logits="tf.matmul(features, W, transpose_b=True) + b")),
        ("sum over the batch", fc8(
            loss="tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits("
                 "labels=labels, logits=logits))")),
        ("loss has shape", fc8(loss="tf.nn.sparse_softmax_cross_entropy_with_logits("
                                    "labels=labels, logits=logits)")),
        ("computed from probabilities", fc8(
            loss="-tf.reduce_mean(tf.log(tf.reduce_sum(tf.one_hot(labels, 43) * probs, 1)))")),
        ("computed from probabilities", fc8(
            loss="-tf.reduce_mean(tf.log(tf.clip_by_value("
                 "tf.reduce_sum(tf.one_hot(labels, 43) * probs, 1), 1e-10, 1)))")),
        ("not the softmax", fc8(probs="tf.nn.softmax(logits, axis=0)")),
        ("not the softmax", fc8(logits="tf.nn.relu(tf.matmul(features, W) + b)")),
        ("not the mean cross-entropy", fc8(
            loss="tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits("
                 "labels=tf.one_hot(labels, 43), logits=logits))")),
        ("b has shape", fc8(b="tf.Variable(tf.zeros((1, 43)))")),
        ("Input to reshape is a tensor", fc8(probs="tf.reshape(logits, (-1, 43, 5))[..., 0]")),
        ("NameError at line", fc8(logits="tf.matmul(feature, W) + b")),
    ],
    "optimiser": [
        ("finds no variable", ADAM.format("loss, var_list=[]")),
        ("finds no variable", ADAM.format(
            "loss, var_list=[v for v in tf.trainable_variables() if v is not W and v is not b]")),
        ("does not move W", ADAM.format("loss, var_list=[b]")),
        ("`learning_rate` is not used",
         "train_op = tf.train.AdamOptimizer(0.001).minimize(loss, var_list=[W, b])"),
        ("does not move b", ADAM.format("loss, var_list=[W]")),
        ("loss is not lower", ADAM.format("-loss")),
    ],
    "accuracy": [
        ("to be the share", ACCURACY.format("tf.not_equal(tf.argmax(logits, 1), labels)"),
         None, None),
        ("to be the share", "accuracy = tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, 1), "
                            "labels), tf.float32))", None, None),
        ("on the wrong axis", ACCURACY.format("tf.equal(tf.argmax(logits, axis=0), labels)"),
         None, None),
        ("has shape", "accuracy = tf.cast(tf.equal(tf.argmax(logits, 1), labels), tf.float32)",
         None, None),
        ("mean of the batches' means", None, EVALUATE.format(
            batches="batches(indices, batch_size)", weight="1 / -(-len(indices) // batch_size)"),
         None),
        ("drops the last", None, EVALUATE.format(
            batches="np.split(indices[:len(indices) // batch_size * batch_size], "
                    "len(indices) // batch_size)", weight="batch_size / len(indices)"), None),
        ("drops the last", None, EVALUATE.format(
            batches="np.split(indices[:len(indices) // batch_size * batch_size], "
                    "len(indices) // batch_size)", weight="1 / (len(indices) // batch_size)"),
         None),
        ("has to count once, or the number", None, EVALUATE.format(
            batches="batches(np.arange(len(indices)), batch_size)", weight=BY_SIZE), None),
        ("in the order of `indices`", None, EVALUATE.format(
            batches="batches(np.sort(indices), batch_size)", weight=BY_SIZE), None),
        ("loss is not the mean", None, EVALUATE.format(
            batches="batches(indices, batch_size)", weight=BY_SIZE).replace(
            "loss += batch_loss * len(batch) / len(indices)", "loss = batch_loss"), None),
        ("more images at once", None, EVALUATE.format(batches="[indices]", weight=BY_SIZE), None),
        ("changes the head", None, EVALUATE.format(
            batches="batches(indices, batch_size)", weight=BY_SIZE).replace(
            "    tensors", "    sess.run(graph.train_op, feed(batch))\n    tensors", 1), None),
        ("has to count once, or the number", None, EVALUATE.format(
            batches="batches(indices, batch_size)", weight="batch_size / len(indices)"), None),
        ("trained on", None, None, "result = evaluate(sess, graph, feed, data.training, 128)"),
        ("trained on", None, None,
         "result = evaluate(sess, graph, feed, np.arange(len(data.labels)), 128)"),
        ("all validation images", None, None,
         "result = evaluate(sess, graph, feed, data.validation[:args.batch_size], 128)"),
        ("another order", None, None,
         "result = evaluate(sess, graph, feed, data.validation[::-1], 128)"),
        ("not judged after each epoch", None, None,
         "result = best or evaluate(sess, graph, feed, data.validation, 128)"),
        ("all validation images", None, None,
         "result = evaluate(sess, graph, feed, data.validation[:10], 128)"),
    ],
    "caching": [
        ("do not reach the network", caching(images="images[batch].astype(np.float32)")),
        ("do not reach the network", caching(images="preprocess(images[batch]) / 255")),
        ("do not reach the network", caching(images="images[batch] - images[batch].mean()")),
        ("frozen network then runs",
         "return lambda i: {graph.images: preprocess(images[i]), graph.labels: labels[i]}"),
        ("600 images went through", """
            def rows(i):
                return sess.run(graph.fc7, {graph.images: preprocess(images[i])})
            return lambda i: {graph.features: rows(i), graph.labels: labels[i]}
            """),
        ("in one run", caching(batches="[np.arange(len(images))]")),
        ("features of the first one", """
            path = DATA / "mine.npy"
            if not path.exists():
                batches = np.array_split(images, 10)
                fc7 = [sess.run(graph.fc7, {graph.images: preprocess(b)}) for b in batches]
                np.save(path, np.concatenate(fc7))
            fc7 = np.load(path)
            return lambda i: {graph.features: fc7[i], graph.labels: labels[i]}
            """),
        ("another order", caching(rows="fc7[np.sort(i)]")),
        ("wrong names", caching(labels="labels[np.sort(i)]")),
        ("has to return a function", "pass"),
    ],
}

RIGHT = {
    "resize": [
        RESIZE.format(SIGNS, "tf.image.resize_bilinear(x, [227, 227])"),
        RESIZE.format("[None, 32, 32, 3]", "tf.image.resize(x, size=(227, 227))"),
        RESIZE.format(SIGNS, "tf.image.resize_images(x, tf.constant([227, 227]))\n"
                             "resized = tf.reshape(resized, (-1, 227, 227, 3))"),
    ],
    "freeze": [
        "fc7 = " + NETWORK + "\nfc7 = tf.stop_gradient(fc7)",
        "fc7 = tf.grad_pass_through(tf.stop_gradient)(" + NETWORK + ")"
        "\nfc7 = tf.stop_gradient(fc7, name='frozen')",
    ],
    "fc8": [
        fc8(),
        fc8(W="tf.get_variable('W', (4096, 43))", b="tf.get_variable('b', (43,), "
            "initializer=tf.zeros_initializer())",
            loss="tf.losses.sparse_softmax_cross_entropy(labels, logits)"),
        fc8(W="tf.Variable(tf.random_normal((4096, 43), stddev=0.02))",
            logits="tf.nn.bias_add(tf.matmul(features, W), b)",
            loss="tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits_v2("
                 "labels=tf.one_hot(labels, 43), logits=logits))"),
        fc8(loss="-tf.reduce_mean(tf.reduce_sum("
                 "tf.one_hot(labels, 43) * tf.nn.log_softmax(logits), 1))",
            probs="tf.exp(tf.nn.log_softmax(logits))"),
    ],
    "optimiser": [
        ADAM.format("loss"),  # nothing flows into what is frozen
        "train_op = tf.train.MomentumOptimizer(learning_rate, 0.9).minimize(loss, None, (W, b))",
        "adam = tf.train.AdamOptimizer(learning_rate)\n"
        "train_op = adam.apply_gradients(zip(tf.gradients(loss, [W, b]), [W, b]))",
    ],
    "accuracy": [
        (ACCURACY.format("tf.nn.in_top_k(logits, labels, 1)"), None, None),
        (ACCURACY.format("tf.equal(tf.argmax(probs, -1, output_type=tf.int32), "
                         "tf.cast(labels, tf.int32))"), None, None),
        (None, """
            for batch in np.array_split(indices, -(-len(indices) // batch_size)):
                found = sess.run([graph.loss, graph.accuracy, graph.probs], feed(batch))
                loss, accuracy = loss + found[0] * len(batch), accuracy + found[1] * len(batch)
                probs += [found[2]]
            loss, accuracy = loss / len(indices), accuracy / len(indices)
            """, "result = evaluate(sess, graph, feed, np.copy(data.validation), 64)"),
    ],
    "caching": [
        caching(),
        """
        fc7 = np.zeros((len(images), 4096), np.float32)
        for i in range(len(images)):
            fed = {graph.images: preprocess(images[i:i + 1])}
            fc7[i, ...] = graph.fc7.eval(session=sess, feed_dict=fed)

        def feed(indices):
            return {graph.features: fc7[indices], graph.labels: labels[indices]}

        return feed
        """,
        """
        with sess.as_default():
            fc7 = np.concatenate([
                graph.fc7.eval({graph.images: preprocess(images[batch])})
                for batch in batches(np.arange(len(images)), args.batch_size)
            ])
        return lambda i: {graph.fc7: fc7[i], graph.labels: labels[i]}
        """,
        """
        known = {}

        def feed(indices):
            new = [i for i in indices if i not in known]
            if new:
                fc7 = sess.run(graph.fc7, {graph.images: preprocess(images[new])})
                known.update(zip(new, fc7))
            return {graph.features: [known[i] for i in indices], graph.labels: labels[indices]}

        return feed
        """,
    ],
}


def cases(table):
    """pytest's parameters of a table {exercise: [answers]}."""
    return [pytest.param(name, case, id=f"{name}-{i}")
            for name, answers in table.items() for i, case in enumerate(answers)]


@pytest.mark.parametrize("name, case", cases(WRONG))
def test_wrong_answer_is_caught(tmp_path, name, case):
    message, *texts = case
    with pytest.raises(check.Wrong, match=message):
        check.check(name, answer(tmp_path, name, *texts))


@pytest.mark.parametrize("name, case", cases(RIGHT))
def test_right_answer_passes(tmp_path, name, case):
    check.check(name, answer(tmp_path, name, *([case] if isinstance(case, str) else case)))


def test_missing_stop_gradient_and_an_optimiser_over_all_is_caught_twice(tmp_path):
    path = answer(tmp_path, "freeze", FREEZE.format(NETWORK))
    source = path.read_text().replace(", var_list=[W, b])", ")")
    assert source != path.read_text()
    path.write_text(source)
    with pytest.raises(check.Wrong, match="A step moves 14"):
        check.check("optimiser", path)
    with pytest.raises(check.Wrong, match="gradients for 14 of"):
        check.check("freeze", path)


@pytest.mark.parametrize("name", check.EXERCISES)
def test_dots_get_a_sentence(tmp_path, name):
    places = read_exercises((LAB / check.EXERCISES[name][0]).read_text(encoding="utf-8"))
    path = answer(tmp_path, name, *["..." for place in places if place[0] == name])
    with pytest.raises(check.Wrong, match="still to be written"):
        check.check(name, path)
    for other in {place[0] for place in places} - {name}:
        with pytest.raises(check.Wrong, match=f"needs the exercise {name} in"):
            check.check(other, path)


def test_lost_marks_and_unreadable_python_get_a_sentence(tmp_path):
    path = answer(tmp_path, "freeze", "fc7 = (")
    with pytest.raises(check.Wrong, match=r"Python cannot read train_feature_extraction.py, line"):
        check.check("freeze", path)
    path.write_text(path.read_text().replace("fc7 = (", "").replace("# End of freeze", ""))
    with pytest.raises(check.Wrong, match="A mark `# Exercise freeze` or"):
        check.check("freeze", path)
    path.write_bytes("# gr\xfcn".encode("latin1"))
    with pytest.raises(check.Wrong, match="is not UTF-8"):
        check.check("freeze", path)


def test_one_lost_mark_of_three_is_told(tmp_path):
    path = answer(tmp_path, "accuracy", None, None, None)
    path.write_text(path.read_text().replace("# Exercise accuracy, 2 of 3", "#"))
    with pytest.raises(check.Wrong, match="is not in .* any more: put it back .*3 such pairs"):
        check.check("accuracy", path)


def test_exit_in_an_answer_is_no_exit(tmp_path):
    with pytest.raises(check.Wrong, match="SystemExit at line"):
        check.check("freeze", answer(tmp_path, "freeze", "exit()"))


def test_an_unknown_exercise(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["check.py", "fc9"])
    with pytest.raises(LabError, match="'fc9' is no exercise; there are: resize, freeze"):
        check.main()


def test_all_are_checked_and_one_wrong_answer_fails(monkeypatch, capsys):
    def check_one(name, path):
        assert path == LAB / check.EXERCISES[name][0]
        if name == "fc8":
            raise check.Wrong("word " * 30)

    monkeypatch.setattr(check, "check", check_one)
    monkeypatch.setattr(sys, "argv", ["check.py"])
    with pytest.raises(SystemExit) as end:
        check.main()
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 1 and max(map(len, lines)) < 80
    assert [line for line in lines if not line.startswith("    ")] == [
        "resize: pass", "freeze: pass", "fc8: word" + " word" * 14,
        "optimiser: pass", "accuracy: pass", "caching: pass"]
