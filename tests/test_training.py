"""Training: honest splits, a cache that can be trusted, a backbone that stays frozen."""
import pickle
import re
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import train_feature_extraction as script
from conftest import LAB
from data import bottlenecks, finetuning, report, signs, splits
from data.files import LabError
from data.reading import read_signs, read_weights
from data.tf1 import tf


@pytest.fixture(scope="module")
def drawn():
    """Two tracks of each class: (images, labels)."""
    dataset = signs.make_dataset(tracks_per_class=2)
    return dataset["features"], dataset["labels"].astype(np.int64)


# Splits


def sizes(tracks):
    return np.bincount(tracks).tolist()


def test_tracks_are_found(drawn):
    assert sizes(splits.find_tracks(*drawn)) == [30] * 86


def test_a_short_track_is_found_wherever_it_is(drawn):
    images, labels = drawn
    for dropped, expected in ((60, [29, 30]), (119, [30, 29])):  # in class 1: 60 to 119
        keep = np.arange(len(labels)) != dropped
        tracks = splits.find_tracks(images[keep], labels[keep])
        assert sizes(tracks)[2:4] == expected and sizes(tracks)[4:] == [30] * 82


def test_shuffled_images_show_no_tracks(drawn):
    images, labels = drawn
    order = np.random.default_rng(0).permutation(len(labels))
    assert splits.find_tracks(images[order], labels[order]) is None
    order = order[np.argsort(labels[order], kind="stable")]  # sorted by class, no tracks
    assert splits.find_tracks(images[order], labels[order]) is None


def test_real_tracks(real_data):
    dataset = read_signs(real_data / "train.p")
    tracks = splits.find_tracks(dataset["features"], dataset["labels"])
    (short,) = np.flatnonzero(np.bincount(tracks) != 30)
    assert tracks[-1] == 1306 and np.flatnonzero(tracks == short).tolist() == [*range(33660, 33689)]


def in_another_order(images, labels, tracks, dropped):
    """The classes in another order, without the tracks `dropped`: as in the course's later file."""
    kept = np.flatnonzero(~np.isin(tracks, dropped))
    order = np.random.default_rng(0).permutation(43)
    kept = np.concatenate([kept[labels[kept] == label] for label in order])
    return images[kept], labels[kept], tracks[kept]


def test_tracks_are_found_in_any_order_of_the_classes(drawn):
    images, labels, tracks = in_another_order(*drawn, np.arange(2580) // 30, [0, 40, 85])
    assert np.array_equal(np.diff(splits.find_tracks(images, labels)) != 0, np.diff(tracks) != 0)


def test_real_tracks_of_the_courses_later_file(real_data):
    """Of its form: 34,799 images, 147 whole tracks fewer, classes in another order."""
    dataset = read_signs(real_data / "train.p")
    tracks = splits.find_tracks(dataset["features"], dataset["labels"])
    whole = np.flatnonzero(np.bincount(tracks) == 30)
    dropped = np.random.default_rng(1).choice(whole, 147, replace=False)
    images, labels, tracks = in_another_order(*dataset.values(), tracks, dropped)
    assert len(images) == 34_799
    assert np.array_equal(np.diff(splits.find_tracks(images, labels)) != 0, np.diff(tracks) != 0)


def test_split_by_track_keeps_tracks_whole_and_every_class_on_both_sides():
    labels = np.repeat(np.arange(43), 90)
    tracks = np.repeat(np.arange(129), 30)
    rngs = [np.random.default_rng(seed) for seed in (0, 0, 1)]
    split = [splits.split_by_track(tracks, labels, 0.33, rng) for rng in rngs]
    training, validation = split[0]
    assert not set(tracks[training]) & set(tracks[validation])
    assert sorted([*training, *validation]) == list(range(len(labels)))
    assert set(labels[training]) == set(labels[validation]) == set(range(43))
    np.testing.assert_array_equal(validation, split[1][1])
    assert set(validation) != set(split[2][1])


def test_split_at_random_mixes_tracks():
    labels = np.repeat(np.arange(43), 30)
    training, validation = splits.split_at_random(labels, 0.33, np.random.default_rng(0))
    assert len(validation) == round(0.33 * len(labels)) and not set(training) & set(validation)
    assert len(training) + len(validation) == len(labels)
    assert len(set(labels[validation])) == 43


def test_limit_takes_the_first_tracks(drawn):
    images, labels = drawn
    tracks = splits.find_tracks(images, labels)
    chosen = splits.first_tracks(tracks, labels, 1)
    assert set(tracks[chosen]) == set(range(0, 86, 2))
    np.testing.assert_array_equal(splits.first_tracks(None, labels, 1), chosen)


# The cache


def extract(batch):
    """Features that tell which image they are of."""
    return np.repeat(batch.reshape(len(batch), -1).sum(axis=1, dtype=np.float32)[:, None], 4096, 1)


@pytest.fixture
def cache(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3)).astype(np.uint8)
    return SimpleNamespace(path=tmp_path / "cache" / "fc7-x.npy", images=images)


def test_cache_holds_each_images_features_in_order(cache):
    bottlenecks.compute(cache.path, cache.images, extract)
    rows = bottlenecks.open_rows(cache.path)
    order = np.random.default_rng(1).permutation(70)
    np.testing.assert_array_equal(rows(order), extract(cache.images[order]))
    np.testing.assert_array_equal(np.load(cache.path), extract(cache.images))


def test_complete_cache_needs_no_work(cache):
    bottlenecks.compute(cache.path, cache.images, extract)
    bottlenecks.compute(cache.path, cache.images, lambda batch: pytest.fail("computed again"))


@pytest.mark.parametrize("torn", [0, 5000])
def test_interrupted_pass_goes_on_where_it_stopped(cache, torn):
    seen = []

    def interrupted(batch):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(batch))
        return extract(batch)

    with pytest.raises(KeyboardInterrupt):
        bottlenecks.compute(cache.path, cache.images, interrupted)
    assert not cache.path.exists()
    with open(cache.path.with_suffix(".partial"), "ab") as file:
        file.write(b"x" * torn)  # what a killed run may leave of a row
    again = []
    bottlenecks.compute(cache.path, cache.images, lambda b: again.append(len(b)) or extract(b))
    assert sum(again) == 70 - sum(seen)
    np.testing.assert_array_equal(np.load(cache.path), extract(cache.images))
    assert [p.name for p in cache.path.parent.iterdir()] == [cache.path.name]


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from data import bottlenecks
images, batches = np.load(sys.argv[2]), []

def extract(batch):
    if len(batches) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    batches.append(batch)
    return np.repeat(batch.reshape(len(batch), -1).sum(axis=1, dtype="f4")[:, None], 4096, 1)

bottlenecks.compute(Path(sys.argv[1]), images, extract)
"""


def test_killed_pass_goes_on_where_it_stopped(cache, tmp_path):
    np.save(tmp_path / "images.npy", cache.images)
    command = [sys.executable, "-c", KILLED, str(cache.path), str(tmp_path / "images.npy")]
    assert subprocess.run(command, cwd=LAB).returncode == -signal.SIGKILL
    again = []
    bottlenecks.compute(cache.path, cache.images, lambda b: again.append(len(b)) or extract(b))
    assert sum(again) == 70 - 2 * bottlenecks.BATCH
    np.testing.assert_array_equal(np.load(cache.path), extract(cache.images))


@pytest.mark.parametrize("damage", ["truncate", "flip", "foreign"])
def test_damaged_or_foreign_cache_is_not_served(cache, damage):
    bottlenecks.compute(cache.path, cache.images, extract)
    content = bytearray(cache.path.read_bytes())
    if damage == "truncate":
        content = content[:-20000]
    elif damage == "flip":
        content[500000] ^= 1
    else:
        other = cache.path.with_name("fc7-y.npy")
        bottlenecks.compute(other, cache.images[::-1], extract)
        content = other.read_bytes()
    cache.path.write_bytes(content)
    bottlenecks.compute(cache.path, cache.images, extract)
    np.testing.assert_array_equal(np.load(cache.path), extract(cache.images))


def test_too_little_disk_is_told_before_the_work(cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(LabError, match=r"1 MB are needed .* 1 MB are free"):
        bottlenecks.compute(cache.path, cache.images, lambda batch: pytest.fail("worked"))


def test_cache_path_depends_on_images_weights_and_steps(graph):
    x = tf.placeholder(tf.float32, (None, 32, 32, 3))
    images, weights = np.zeros((2, 32, 32, 3), np.uint8), {"conv1": [np.zeros(3), np.zeros(1)]}
    steps = [tf.identity(tf.image.resize_images(x, size)) for size in ((227, 227), (224, 224))]
    path = bottlenecks.cache_path(images, weights, steps[0])
    assert path == bottlenecks.cache_path(images.copy(), {**weights}, steps[0])
    others = [
        bottlenecks.cache_path(images + np.uint8(1), weights, steps[0]),
        bottlenecks.cache_path(images, {"conv1": [np.ones(3), np.zeros(1)]}, steps[0]),
        bottlenecks.cache_path(images, weights, steps[1]),
    ]
    assert len({path, *others}) == 4


# The graph


def test_only_the_head_is_trained(weights, graph):
    tf.set_random_seed(0)
    backbone = {name: weights[name] for name in script.BACKBONE}
    built = script.build_graph(backbone, learning_rate=0.001)
    assert built.W.shape.as_list() == [4096, 43] and built.b.shape.as_list() == [43]
    frozen = [v for v in tf.trainable_variables() if v is not built.W and v is not built.b]
    assert len(frozen) == 14
    assert tf.gradients(built.loss, frozen) == [None] * 14
    rng = np.random.default_rng(0)
    feed = {built.images: rng.normal(0, 60, (4, 32, 32, 3)), built.labels: [0, 1, 2, 42]}
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        before = sess.run([built.W, built.b, *frozen])
        assert abs(before[0].std() - 0.0088) < 0.0002  # normal of stddev 1e-2, cut at 2 of them
        assert not before[1].any()
        live = sess.run(built.probs, feed)
        fc7 = sess.run(built.fc7, feed)
        cached = sess.run(built.probs, {built.features: fc7})
        np.testing.assert_allclose(cached, live, rtol=1e-4)
        for _ in range(3):
            sess.run(built.train_op, feed)
        after = sess.run([built.W, built.b, *frozen])
    changed = [not np.array_equal(a, b) for a, b in zip(before, after)]
    assert changed == [True, True] + [False] * 14


def test_evaluation_weights_each_batch_by_its_size(graph):
    x = tf.placeholder(tf.float32, (None,))
    tensors = SimpleNamespace(loss=tf.reduce_mean(x), accuracy=tf.reduce_mean(2 * x), probs=x)
    values = np.array([1, 2, 3, 4, 10], np.float32)
    with tf.Session() as sess:
        result = script.evaluate(sess, tensors, lambda i: {x: values[i]}, np.arange(5), 2)
    assert result.loss == pytest.approx(4) and result.accuracy == pytest.approx(8)
    np.testing.assert_array_equal(result.probs, values)


# The report


def test_accuracy_has_a_wilson_interval(capsys):
    probs = np.eye(43)[[3] * 8 + [4] * 2]
    report.print_accuracy("Test", probs, np.full(10, 3))
    # Wilson's interval for 8 of 10, from its formula.
    expected = "Test Accuracy = 0.800 (95 % interval 0.490 to 0.943)\n"
    assert capsys.readouterr().out == expected


def test_confusions_and_recalls(capsys):
    labels = np.array([0, 0, 0, 0, 5, 5, 42])
    predictions = np.array([0, 0, 0, 5, 5, 5, 7])
    matrix = report.confusion_matrix(labels, predictions)
    assert matrix.shape == (43, 43) and matrix.sum() == 7
    assert matrix[0, 0] == 3 and matrix[0, 5] == 1 and matrix[42, 7] == 1
    report.print_worst(np.eye(43)[predictions], labels, 2)
    assert capsys.readouterr().out == (
        f"Lowest recall:\n  0.000 of 1 {signs.class_names[42]}\n"
        f"  0.750 of 4 {signs.class_names[0]}\n"
    )


# Finetuning


@pytest.fixture
def narrow(tmp_path, monkeypatch, graph):
    """Finetuning's arguments on a few images and an AlexNet of few units."""
    for name, value in (("DATA", tmp_path), ("LAB", tmp_path), ("NETWORK", tmp_path / "net.npy")):
        monkeypatch.setattr(finetuning, name, value)
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
        labels=np.arange(12), training=np.arange(7), validation=np.arange(7, 12),
    )
    args = SimpleNamespace(finetune=2, epochs=1, batch_size=3, seed=0, learning_rate=0.01)
    return SimpleNamespace(args=args, data=data, weights=weights, folder=tmp_path)


def finetune(narrow):
    """{layer: [W, b]} after finetuning."""
    writer = SimpleNamespace(add_summary=lambda *args: None)
    finetuning.finetune(narrow.args, narrow.data, narrow.weights, script.evaluate, writer)
    return np.load(finetuning.NETWORK, allow_pickle=True).item()


def differences(a, b):
    return [np.abs(x - y).max() for name in a for x, y in zip(a[name], b[name])]


def test_finetuning_moves_every_layer_and_the_head_faster(narrow, capsys):
    narrow.data.test = {"features": narrow.data.images[:3], "labels": narrow.data.labels[:3]}
    network = finetune(narrow)
    assert list(network) == list(narrow.weights)
    assert min(differences(network, narrow.weights)) > 0
    assert re.fullmatch(
        rf"Finetuning\n\n({EPOCH}){{2}}Validation Accuracy = .*\nTest Accuracy = .*\n"
        r"Finetuned network: net.npy\n", capsys.readouterr().out)
    built = finetuning.build_graph(narrow.weights, 1.0)
    feed = {built.images: np.ones((2, 32, 32, 3)), built.labels: [3, 4]}
    variables = tf.trainable_variables()
    gradients = tf.gradients(built.loss, variables)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        before, slopes = sess.run([variables, gradients], feed)
        sess.run(built.train_op, feed)
        after = sess.run(variables)
        assert sess.run(built.step) == 1
    for variable, old, new, slope in zip(variables, before, after, slopes):
        rate = 0.1 if variable.op.name.startswith("fc8/") else 0.01
        np.testing.assert_allclose(old - new, rate * slope, atol=1e-6 + 1e-3 * abs(slope).max())


@pytest.mark.parametrize("stop, kept", [(KeyboardInterrupt, 4), (RuntimeError, 3)])
def test_interrupted_finetuning_goes_on(narrow, monkeypatch, stop, kept):
    through = finetune(narrow)
    shutil.rmtree(narrow.folder / "cache")
    trained = []  # sizes of the batches; 3 in an epoch

    def train(images):
        trained.append(len(images))
        if len(trained) == limit:
            raise stop
        return preprocess(images)

    preprocess = finetuning.preprocess
    monkeypatch.setattr(finetuning, "preprocess", train)
    nothing = SimpleNamespace(loss=0, accuracy=0, probs=np.zeros((5, 43)))
    monkeypatch.setattr(script, "evaluate", lambda *args: nothing)
    limit = 5
    with pytest.raises(stop):
        finetune(narrow)
    limit = None
    trained.clear()
    resumed = finetune(narrow)
    assert len(trained) == 6 - kept
    np.testing.assert_allclose(differences(resumed, through), 0, atol=1e-5)
    assert len(list((narrow.folder / "cache").glob("*/*.index"))) == 1  # the older one is gone
    trained.clear()
    finetune(narrow)
    assert not trained
    narrow.args.finetune = 3
    finetune(narrow)
    assert len(trained) == 3
    narrow.args.finetune = 2
    with pytest.raises(LabError, match="beyond --finetune 2 before; give a larger number"):
        finetune(narrow)


def test_finetunings_checkpoint_depends_on_what_it_continues(narrow):
    narrow.args.finetune = 1
    finetune(narrow)
    for name, value in (("learning_rate", 0.02), ("batch_size", 4), ("seed", 1)):
        before = len(list((narrow.folder / "cache").iterdir()))
        setattr(narrow.args, name, value)
        finetune(narrow)
        assert len(list((narrow.folder / "cache").iterdir())) == before + 1, name


def test_finetuning_tells_what_is_wrong(narrow, monkeypatch):
    finetune(narrow)
    (checkpoint,) = (narrow.folder / "cache").glob("*/*.data*")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(LabError, match="the checkpoint is damaged .* delete the folder"):
        finetune(narrow)
    checkpoint.unlink()
    with pytest.raises(LabError, match="the checkpoint is damaged .* delete the folder"):
        finetune(narrow)
    shutil.rmtree(narrow.folder / "cache")

    def full(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.Saver, "save", full)
        with pytest.raises(LabError, match="a checkpoint cannot be written"):
            finetune(narrow)
    narrow.args.learning_rate = 1e9
    with pytest.raises(LabError, match="diverged; choose a smaller --learning-rate"):
        finetune(narrow)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**5))
    with pytest.raises(LabError, match="MB are needed for finetuning and 0 MB are free"):
        finetune(narrow)


# The script


EPOCH = (r"Epoch \d+\nTime: \d+\.\d{3} seconds\nTraining Loss = \d+\.\d{4}\n"
         r"Validation Loss = \d+\.\d{4}\nValidation Accuracy = [01]\.\d{4}\n\n")


@pytest.fixture
def lab(tmp_path, monkeypatch, drawn):
    """Training data of two short tracks a class, and output folders of this test's own."""
    for name, value in (("DATA", tmp_path), ("LAB", tmp_path), ("HEAD", tmp_path / "head.npy")):
        monkeypatch.setattr(script, name, value)
    monkeypatch.setattr(bottlenecks, "DATA", tmp_path)
    monkeypatch.setattr(script, "find_real", lambda name: None)
    monkeypatch.setattr(splits, "TRACK", 3)
    images, labels = drawn
    keep = np.arange(len(labels)) % 10 == 0
    dataset = {"features": images[keep], "labels": labels[keep]}
    (tmp_path / "train.p").write_bytes(pickle.dumps(dataset))
    return tmp_path


def test_training_end_to_end(run_main, lab):
    def train(*arguments):
        with tf.Graph().as_default():
            output = run_main(script, "--train", lab / "train.p", *arguments)
        return re.sub(r"Time: .*|runs/.*", "", output)

    first = train("--epochs", 9, "--test", lab / "train.p")
    head = read_weights(lab / "head.npy", ["fc8"])["fc8"]
    assert head[0].shape == (4096, 43) and head[0].any()
    assert "258 images, split by its 86 tracks: 129 train the head, 129 validate it" in first
    assert len(re.findall(r"Training Loss = \d+\.\d{4}\nValidation Loss", first)) == 9
    accuracies = [float(x) for x in re.findall(r"Accuracy = ([\d.]+)", first)]
    assert accuracies[-1] > 0.5  # the test data holds the training data
    assert max(accuracies[:9]) == pytest.approx(accuracies[9], abs=0.001)  # the best is kept
    assert re.search(r"Image 0\n(?:.+: \d\.\d{3}\n){5}\nImage 1\n", first)
    (run, *_) = sorted((lab / "runs").iterdir())
    assert {"confusion.png", "mistakes.png"} <= {p.name for p in run.iterdir()}
    assert any("tfevents" in p.name for p in run.iterdir())
    assert len(list((lab / "cache").iterdir())) == 1

    assert train("--epochs", 9, "--test", lab / "train.p") == first
    live = re.findall(r"Loss = ([\d.]+)", train("--epochs", 1, "--no-cache"))
    cached = re.findall(r"Loss = ([\d.]+)", first)[:2]
    np.testing.assert_allclose(np.array(live, float), np.array(cached, float), rtol=1e-3)
    at_random = train("--epochs", 1, "--random-split")
    assert "258 images, split at random: 173 train the head, 85 validate it" in at_random


def test_first_epoch_has_the_courses_form(capsys):
    report.print_epoch(3, 1.5, 0.25, SimpleNamespace(loss=2.0, accuracy=0.5))
    assert re.fullmatch(EPOCH, capsys.readouterr().out)


@pytest.mark.parametrize("arguments, message", [
    (["--epochs", "0"], "'0' is not a whole number from 1 on"),
    (["--epochs", "ten"], "'ten' is not a whole number from 1 on"),
    (["--learning-rate", "-1"], "'-1' is not a number above zero"),
    (["--learning-rate", "nan"], "'nan' is not a number above zero"),
    (["--batch-size", "1.5"], "'1.5' is not a whole number from 1 on"),
    (["--finetune", "0"], "'0' is not a whole number from 1 on"),
    (["--limit", "1"], "'1' is not a whole number from 2 on"),
    (["--train", "absent.p"], "absent.p: does not exist"),
    (["--weights", "absent.npy"], "absent.npy: does not exist"),
    (["--test", "absent.p"], "absent.p: does not exist"),
])
def test_bad_arguments(run_main, lab, monkeypatch, arguments, message):
    monkeypatch.chdir(lab)
    arguments = arguments if "--train" in arguments else ["--train", "train.p", *arguments]
    with pytest.raises(LabError, match=re.escape(message)):
        run_main(script, *arguments)


def test_an_empty_class_is_an_error(run_main, lab):
    dataset = pickle.loads((lab / "train.p").read_bytes())
    keep = dataset["labels"] != 17
    (lab / "train.p").write_bytes(pickle.dumps({k: v[keep] for k, v in dataset.items()}))
    with pytest.raises(LabError, match=r"train.p: class 17 \(No entry\) has 0 images"):
        run_main(script, "--train", lab / "train.p")


def test_a_class_that_chance_leaves_out_is_told(run_main, lab, capsys):
    dataset = pickle.loads((lab / "train.p").read_bytes())
    keep = np.arange(len(dataset["labels"])) % 3 == 0  # two images a class
    (lab / "train.p").write_bytes(pickle.dumps({k: v[keep] for k, v in dataset.items()}))
    args = SimpleNamespace(train=lab / "train.p", limit=None, random_split=True, test=None)
    data = script.read_data(args, np.random.default_rng(0))
    absent = np.setdiff1d(data.labels, data.labels[data.training]).tolist()
    assert absent
    told = f"the training has none of class {', '.join(map(str, absent))}\n"
    assert told in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told_before_the_work(run_main, lab, monkeypatch):
    (lab / "runs").write_text("a file where the folder is to be")
    monkeypatch.setattr(script, "make_feed", lambda *args: pytest.fail("worked"))
    with pytest.raises(OSError, match="runs"):
        run_main(script, "--train", lab / "train.p")


def test_a_class_with_one_track_is_told(run_main, lab, monkeypatch, capsys):
    dataset = pickle.loads((lab / "train.p").read_bytes())
    keep = (dataset["labels"] != 17) | (np.cumsum(dataset["labels"] == 17) <= 3)
    (lab / "train.p").write_bytes(pickle.dumps({k: v[keep] for k, v in dataset.items()}))
    args = SimpleNamespace(train=lab / "train.p", limit=None, random_split=False, test=None)
    data = script.read_data(args, np.random.default_rng(0))
    assert 17 in data.labels[data.training] and 17 not in data.labels[data.validation]
    captured = capsys.readouterr()
    assert captured.out.startswith("255 images, split by its 85 tracks")
    assert captured.err.endswith("split; the validation has none of class 17\n")
