"""Finetuning: every layer moves, the best epoch is kept, checkpoints survive."""
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from test_report import EPOCH

import train_feature_extraction as script
from alexnet import AlexNet
from data.lab import finetuning, paths, report
from data.lab.command import LabError
from data.lab.tf1 import tf
from data.lab.weights import SHAPES


@pytest.fixture
def narrow(graph, monkeypatch):
    """Finetuning's arguments on a few images and an AlexNet of few units."""
    rng = np.random.default_rng(0)
    shapes = {"conv1": (11, 11, 3, 8), "conv2": (5, 5, 4, 8), "conv3": (3, 3, 8, 8),
              "conv4": (3, 3, 4, 8), "conv5": (3, 3, 4, 256), "fc6": (9216, 16),
              "fc7": (16, 4096), "fc8": (4096, 43)}
    weights = {
        name: [rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32),
               np.full(shape[-1], 0.1, np.float32)]
        for name, shape in shapes.items()
    }
    weights["conv1"][0] /= 50
    data = SimpleNamespace(
        images=rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8), test=None,
        labels=np.arange(12), tracks=None, size=32, extra={}, training=np.arange(7),
        validation=np.arange(7, 12),
    )
    args = SimpleNamespace(finetune=2, epochs=1, batch_size=3, seed=0, learning_rate=0.001)
    return SimpleNamespace(args=args, data=data, weights=weights, patch=monkeypatch)


def finetune(narrow, accuracy=-1.0, evaluate=script.evaluate):
    """{layer: [W, b]} after finetuning from a head of that accuracy."""
    narrow.patch.setattr(script, "evaluate", evaluate)
    head = SimpleNamespace(accuracy=accuracy, probs=np.eye(43)[narrow.data.validation])
    run = report.Run(tf.get_default_graph())
    finetuning.finetune(narrow.args, narrow.data, narrow.weights, head, run, script.train, evaluate)
    return np.load(paths.DATA / "traffic_sign_alexnet.npy", allow_pickle=True).item()


def differences(a, b):
    return [np.abs(x - y).max() for name in a for x, y in zip(a[name], b[name])]


def the_folder():
    (folder,) = (paths.DATA / "cache").iterdir()
    return folder


def test_finetuning_moves_every_layer(narrow, capsys):
    narrow.data.test = SimpleNamespace(
        images=narrow.data.images[:3], labels=narrow.data.labels[:3], tracks=None)
    network = finetune(narrow)
    assert list(network) == list(narrow.weights) == list(SHAPES)
    assert min(differences(network, narrow.weights)) > 0
    assert re.fullmatch(
        rf"Finetuning\n\n({EPOCH}){{2}}Best epoch: [12]\nBest Validation Accuracy = .*\n"
        r"Test Accuracy = .*\nFinetuned network: data/traffic_sign_alexnet.npy\n",
        capsys.readouterr().out)


def test_each_layer_moves_by_a_share_of_its_scale(narrow):
    """Adam's first step is its rate, whatever the gradient; the last is near 0."""
    rate = 0.001 * finetuning.RATE
    for name, factor in (("fc7", 100), ("conv1", 0.01)):
        narrow.weights[name][0] *= np.float32(factor)
    built = finetuning.build_graph(narrow.weights, 32, 0.001, steps=2)
    feed = {built.images: narrow.data.images[:4], built.labels: [3, 4, 5, 6]}
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        values = [sess.run(tf.trainable_variables())]
        for _ in range(3):
            sess.run(built.train_op, {**feed, **built.training})
            values.append(sess.run(tf.trainable_variables()))
        assert sess.run(built.step) == 3
    for i, W in enumerate(weights for layer in narrow.weights.values() for weights in layer):
        scale = np.sqrt(np.mean(np.square(narrow.weights[list(narrow.weights)[i // 2]][0])))
        moves = [np.abs(b[i] - a[i]).max() for a, b in zip(values, values[1:])]
        assert moves[0] == pytest.approx(rate * scale, rel=0.02), i
        assert moves[2] == 0


def test_images_and_units_are_changed_at_random_while_training_only(narrow):
    """The evaluation is that of the network as it will be used."""
    tf.set_random_seed(0)
    built = finetuning.build_graph(narrow.weights, 32, 0.001, 1)
    feed = {built.images: narrow.data.images[:4], built.labels: [3, 4, 5, 6]}
    with tf.Graph().as_default(), tf.Session() as sess:
        x = tf.placeholder(tf.float32, (None, 32, 32, 3))
        probs = AlexNet(tf.image.resize_images(x, (227, 227)), narrow.weights)
        sess.run(tf.global_variables_initializer())
        expected = sess.run(probs, {x: narrow.data.images[:4]})
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        np.testing.assert_allclose(sess.run(built.probs, feed), expected, atol=1e-5)
        first, second = (sess.run(built.loss, {**feed, **built.training}) for _ in range(2))
        assert first != second


def test_augmented_images_are_the_same_moved_a_little(graph):
    tf.set_random_seed(0)
    image = np.zeros((200, 32, 32, 3), np.float32)
    image[:, 12:20, 12:20] = 100
    x = tf.placeholder(tf.float32, (None, 32, 32, 3))
    with tf.Session() as sess:
        moved, still = (sess.run(finetuning.augment(x, amount), {x: image}) for amount in (1, 0))
    np.testing.assert_array_equal(still, image)
    rows, columns = np.mgrid[:32, :32]
    mass = moved[..., 0].sum(axis=(1, 2))
    for place in rows, columns:
        centres = (moved[..., 0] * place).sum(axis=(1, 2)) / mass
        assert np.abs(centres - 15.5).max() < 4 and centres.std() > 1
    brightness = moved.max(axis=(1, 2, 3))
    assert 30 < brightness.min() < 50 and 200 < brightness.max() < 333


def scores(*accuracies):
    """An evaluate() that finds these accuracies, one after the other, then the last for ever."""
    left = list(accuracies)
    return lambda *args: SimpleNamespace(
        loss=1.0, accuracy=left.pop(0) if left[1:] else left[0], probs=np.eye(43)[:5])


def test_the_best_epoch_is_kept(narrow, capsys):
    narrow.args.finetune = 1
    one = finetune(narrow, evaluate=scores(0.7))
    narrow.args.finetune = 3  # goes on; the epochs after the first are worse
    three = finetune(narrow, evaluate=scores(0.6, 0.5, 0.7))
    assert max(differences(one, three)) == 0
    assert "Best epoch: 1\n" in capsys.readouterr().out.rpartition("Finetuning")[2]


def test_a_ruined_network_does_not_replace_the_heads(narrow, capsys):
    """As seen: 0.178 of the head became 0.023."""
    network = finetune(narrow, 0.178, scores(0.023, 0.023))
    assert max(differences(network, narrow.weights)) == 0
    out = capsys.readouterr().out
    assert "No epoch was better than the head alone\nBest Validation Accuracy = 1.000" in out


@pytest.mark.parametrize("stop, kept", [(KeyboardInterrupt, 4), (RuntimeError, 3)])
def test_interrupted_finetuning_goes_on(narrow, monkeypatch, stop, kept):
    trained = []  # sizes of the batches; 3 in an epoch
    preprocess = finetuning.preprocess

    def train(images):
        trained.append(len(images))
        if len(trained) == limit:
            raise stop
        return preprocess(images)

    monkeypatch.setattr(finetuning, "preprocess", train)
    limit = 5
    with pytest.raises(stop):
        finetune(narrow, evaluate=scores(0.1, 0.2))
    limit = None
    trained.clear()
    with np.load(the_folder() / "last.npz") as state:
        assert state["global_step"] == kept and state["best"].tolist() == [0.1, 1]
        stopped = {name: [state[f"{name}/weights"]] for name in narrow.weights}
    resumed = finetune(narrow, evaluate=scores(0.2))
    assert len(trained) == 6 - kept
    steps = [np.abs(a - b[0]).max() / np.sqrt(np.mean(a**2)) for (a,), b in (
        (stopped[name], resumed[name]) for name in stopped)]  # it went on from that state
    assert 0 < min(steps) and max(steps) < 5 * (6 - kept) * 0.001 * finetuning.RATE
    trained.clear()
    finetune(narrow, evaluate=scores(0.2))
    assert not trained
    narrow.args.finetune = 3
    finetune(narrow, evaluate=scores(0.3))
    assert len(trained) == 3
    narrow.args.finetune = 2
    with pytest.raises(LabError, match="beyond --finetune 2 before; give a larger number"):
        finetune(narrow)


def test_a_lab_that_was_copied_or_moved_keeps_each_its_checkpoint(narrow, monkeypatch, tmp_path):
    narrow.args.finetune = 1
    finetune(narrow)
    copy = tmp_path / "my [b] lab" / "data"
    shutil.copytree(paths.DATA, copy, symlinks=True)
    before = {path.name: path.read_bytes() for path in the_folder().iterdir()}
    original = the_folder()
    monkeypatch.setattr(paths, "DATA", copy)
    monkeypatch.setattr(paths, "LAB", copy.parent)
    narrow.args.finetune = 2
    finetune(narrow, evaluate=scores(2.0))  # of the second epoch only
    assert {path.name: path.read_bytes() for path in original.iterdir()} == before


def test_a_checkpoint_depends_on_what_it_continues(narrow):
    narrow.args.finetune = 1
    finetune(narrow)
    for name, value in (("learning_rate", 0.02), ("batch_size", 4), ("seed", 1)):
        before = len(list((paths.DATA / "cache").iterdir()))
        setattr(narrow.args, name, value)
        finetune(narrow)
        assert len(list((paths.DATA / "cache").iterdir())) == before + 1, name


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: b"\xff\xfe no archive",
    lambda content: content[:-1000],
    lambda content: content[:9000] + bytes([content[9000] ^ 1]) + content[9001:],
])
def test_a_damaged_checkpoint_is_told(narrow, damage):
    finetune(narrow)
    checkpoint = the_folder() / "last.npz"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(LabError, match="the checkpoint is damaged .* delete its folder"):
        finetune(narrow)


def test_finetuning_tells_what_is_wrong(narrow, monkeypatch):
    narrow.args.learning_rate = 1e9
    with pytest.raises(LabError, match="diverged; choose a smaller --learning-rate"):
        finetune(narrow)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**5))
    with pytest.raises(LabError, match="MB are needed for finetuning and 0 MB are free"):
        finetune(narrow)
