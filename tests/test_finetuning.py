"""Finetuning: every layer moves, the best epoch is kept, checkpoints survive."""
import re
import shutil
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from test_report import EPOCH

import train_feature_extraction as script
from alexnet import AlexNet
from data.lab import figures, finetuning, gtsrb, paths, report
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
        labels=np.arange(12), names=gtsrb.class_names, tracks=np.arange(12), tracked=True, size=32,
        training=np.arange(7), validation=np.arange(7, 12),
    )
    args = SimpleNamespace(finetune=2, epochs=1, batch_size=3, seed=0, learning_rate=0.001)
    return SimpleNamespace(args=args, data=data, weights=weights, patch=monkeypatch)


def finetune(narrow, accuracy=-1.0, evaluate=script.evaluate):
    """{layer: [W, b]} after finetuning from a head of that accuracy."""
    head = SimpleNamespace(accuracy=accuracy, probs=np.eye(43)[narrow.data.validation])
    run = report.Run(tf.get_default_graph())
    run.history.append((1.0, 0.0, 1.0, 0.0))
    finetuning.finetune(narrow.args, narrow.data, narrow.weights, head, run, evaluate)
    return np.load(paths.DATA / "traffic_sign_alexnet.npy", allow_pickle=True).item()


def differences(a, b):
    return [np.abs(x - y).max() for name in SHAPES for x, y in zip(a[name], b[name])]


def the_folder():
    (folder,) = (paths.DATA / "cache").iterdir()
    return folder


def test_finetuning_moves_every_layer(narrow, capsys):
    narrow.data.names = [f"class {i}" for i in range(43)]
    narrow.data.test = SimpleNamespace(images=narrow.data.images[:3], labels=narrow.data.labels[:3],
                                       tracks=np.arange(3), tracked=False, title="Test Accuracy")
    network = finetune(narrow)
    assert list(network) == [*SHAPES, "names"] and network["names"] == narrow.data.names
    assert min(differences(network, narrow.weights)) > 0
    assert re.fullmatch(
        rf"Finetuning\n\n({EPOCH}){{2}}Best epoch: [12]\nBest Validation Accuracy = .*\n.*\n"
        r"Test Accuracy = .*\n.* \(Wilson\)\nFinetuned network: data/traffic_sign_alexnet.npy\n",
        capsys.readouterr().out)


def test_each_layer_moves_by_a_fraction_of_its_scale(narrow):
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
            sess.run(built.train_op, {**feed, built.training: 1})
            values.append(sess.run(tf.trainable_variables()))
        assert sess.run(built.step) == 3
    for i, name in enumerate(np.repeat(list(SHAPES), 2)):
        scale = np.sqrt(np.mean(np.square(narrow.weights[name][0])))
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
        probs = AlexNet(tf.image.resize_images(x, (227, 227)), weights=narrow.weights)
        sess.run(tf.global_variables_initializer())
        expected = sess.run(probs, {x: narrow.data.images[:4]})
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        np.testing.assert_allclose(sess.run(built.probs, feed), expected, atol=1e-5)
        first, second = (sess.run(built.loss, {**feed, built.training: 1}) for _ in range(2))
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
    """An evaluate() that finds these accuracies, one after the other."""
    return mock.Mock(side_effect=[
        SimpleNamespace(loss=1.0, accuracy=accuracy, probs=np.eye(43)[7:12])
        for accuracy in accuracies])


def test_changed_code_does_not_resume(narrow, tmp_path, capsys):
    """As when an exercise was wrong in the first run."""
    source = tmp_path / "train_feature_extraction.py"
    narrow.patch.setattr(finetuning, "SOURCES", [source])
    for code in b"loss", b"-loss":
        source.write_bytes(code)
        finetune(narrow)
    assert "resumed" not in capsys.readouterr().out


def test_the_best_epoch_is_kept(narrow, capsys):
    narrow.args.finetune = 1
    one = finetune(narrow, evaluate=scores(0.7))
    narrow.args.finetune = 3  # resumes; the epochs after the first are worse
    with mock.patch.object(figures, "draw_curves", wraps=figures.draw_curves) as draw:
        three = finetune(narrow, evaluate=scores(0.5, 0.6, 0.7))
    assert max(differences(one, three)) == 0
    assert "Best epoch: 1\n" in capsys.readouterr().out.rpartition("Finetuning")[2]
    assert draw.call_args[0][1] == 3  # after the head's epoch and the second


def test_a_ruined_network_does_not_replace_the_heads(narrow, capsys):
    """As seen: 0.178 of the head became 0.023."""
    network = finetune(narrow, 0.178, scores(0.023, 0.023))
    assert max(differences(network, narrow.weights)) == 0
    out = capsys.readouterr().out
    assert "No epoch was better than the head alone\nBest Validation Accuracy = 1.000" in out


def test_interrupted_finetuning_resumes(narrow, capsys, tmp_path):
    """It ends where it would have ended without the interruption, except for the random changes."""
    narrow.patch.setattr(paths, "DATA", tmp_path / "my [b] lab" / "data")
    narrow.patch.setattr(paths, "LAB", paths.DATA.parent)
    changed = finetune(narrow, evaluate=scores(0.1, 0.2))
    shutil.rmtree(paths.DATA / "cache")
    for name in "DROPOUT", "SHIFT", "ZOOM", "BRIGHTNESS":
        narrow.patch.setattr(finetuning, name, 0)
    expected = finetune(narrow, evaluate=scores(0.1, 0.2))
    assert max(differences(changed, expected)) > 1e-4
    shutil.rmtree(paths.DATA / "cache")
    save = np.save

    def interrupt(*args):  # the second time that last.npz is written
        if list(tmp_path.rglob("last.npz")):
            raise KeyboardInterrupt
        save(*args)

    with mock.patch.object(np, "save", interrupt), pytest.raises(KeyboardInterrupt):
        finetune(narrow, evaluate=scores(0.1, 0.0))
    capsys.readouterr()
    resumed = finetune(narrow, evaluate=scores(0.2))
    assert re.match(r"Finetuning, resumed after epoch 1\n\nEpoch 2\n", capsys.readouterr().out)
    assert max(differences(resumed, expected)) < 1e-6 < min(differences(resumed, narrow.weights))
    narrow.args.finetune = 1
    with pytest.raises(LabError, match="already finetuned for 2 epochs; use --finetune 2 or more"):
        finetune(narrow)


def test_of_two_at_once_each_saves_the_network_that_it_reports(narrow, capsys):
    first, second = scores(0.7, 0.6, 0.9), scores(0.9)
    networks = []

    def evaluate(*args):
        if first.call_count == 1:  # meanwhile, the other does the second epoch
            networks.append(finetune(narrow, evaluate=second))
        return first()

    networks.append(finetune(narrow, evaluate=evaluate))
    assert max(differences(*networks)) == 0 and first.call_count == 3
    assert capsys.readouterr().out.count("Best epoch: 2\nBest Validation Accuracy = 1.000") == 2
    assert sorted(file.name for file in the_folder().iterdir()) == ["best.npz", "last.npz"]


def test_a_checkpoint_depends_on_what_it_continues(narrow):
    def folder(args={}, data={}, weights={}):
        return finetuning.make_folder(SimpleNamespace(**{**vars(narrow.args), **args}),
                                      SimpleNamespace(**{**vars(narrow.data), **data}),
                                      {**narrow.weights, **weights})

    other = {"epochs": 2, "batch_size": 4, "seed": 1, "learning_rate": 0.02}
    folders = {folder(), *(folder(args={name: value}) for name, value in other.items())}
    for name in "images", "labels", "training", "validation", "names":
        folders.add(folder(data={name: getattr(narrow.data, name)[::-1]}))
        folders.add(folder(data={name: getattr(narrow.data, name)[:-1]}))
    folders |= {folder(weights={name: [W, b + 1]}) for name, (W, b) in narrow.weights.items()}
    assert len(folders) == 5 + 9 + 7  # neither the order of the names nor the head counts
    assert folder(args={"finetune": 3}) == folder()


def test_finetuning_reports_what_is_wrong(narrow):
    finetune(narrow)
    for name in "best.npz", "last.npz":
        file = the_folder() / name
        content = file.read_bytes()
        file.write_bytes(content[:9000] + bytes([content[9000] ^ 1]) + content[9001:])
        with pytest.raises(LabError, match=f"{name}: is truncated, .*; delete its folder to fine"):
            finetune(narrow)
        file.write_bytes(content)
    shutil.rmtree(the_folder())
    narrow.args.learning_rate = 1e9
    with pytest.raises(LabError, match="diverged: .* choose a smaller --learning-rate"):
        finetune(narrow)
    assert not list(the_folder().iterdir())
    narrow.patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**5))
    with pytest.raises(LabError, match="disk space for finetuning: .* MB needed, 0 MB free"):
        finetune(narrow)
