"""The training script: a frozen backbone, the lesson's output, nothing good overwritten."""
import pickle
import re
from types import SimpleNamespace

import numpy as np
import pytest

import train_feature_extraction as script
from data.lab import paths
from data.lab.command import LabError
from data.lab.gtsrb import TRACK
from data.lab.images import preprocess
from data.lab.tf1 import tf
from data.lab.weights import BACKBONE, read_weights


@pytest.fixture
def train_p(tmp_path, few):
    """Training data of two short tracks a class."""
    (tmp_path / "train.p").write_bytes(pickle.dumps(few))
    return tmp_path / "train.p"


def test_only_the_head_is_trained(weights, graph):
    tf.set_random_seed(0)
    built = script.build_graph({name: weights[name] for name in BACKBONE}, 43, 0.001)
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


def test_training_feeds_what_the_inference_scripts_feed():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.float32)
    expected = image - np.mean(image)  # as in step 1 and step 2
    np.testing.assert_allclose(preprocess([image.astype(np.uint8)])[0], expected, atol=1e-4)


def test_evaluation_weights_each_batch_by_its_size(graph):
    x = tf.placeholder(tf.float32, (None,))
    tensors = SimpleNamespace(loss=tf.reduce_mean(x), accuracy=tf.reduce_mean(2 * x), probs=x)
    values = np.array([1, 2, 3, 4, 10], np.float32)
    with tf.Session() as sess:
        result = script.evaluate(sess, tensors, lambda i: {x: values[i]}, np.arange(5), 2)
    assert result.loss == pytest.approx(4) and result.accuracy == pytest.approx(8)
    np.testing.assert_array_equal(result.probs, values)


def test_equally_many_correct_predictions_give_the_same_accuracy():
    """The first of equally good epochs is the best, whatever the rounding errors."""
    found, rng = set(), np.random.default_rng(0)
    for _ in range(20):
        right = rng.permutation(1000) < 713
        sess = SimpleNamespace(run=lambda fetches, feed_dict, right=right: (
            np.float32(1), np.float32(right[feed_dict].mean()), right[feed_dict]))
        graph = SimpleNamespace(loss=None, accuracy=None, probs=None)
        found.add(script.evaluate(sess, graph, lambda i: i, np.arange(1000), 7).accuracy)
    assert found == {0.713}


def test_training_end_to_end(run_main, train_p):
    def train(*arguments):
        output = run_main(script, "--train", train_p, *arguments)
        return re.sub(r"Time: .*|runs/.*", "", output)

    first = train("--epochs", 9, "--test", train_p)
    head = read_weights(paths.DATA / "traffic_sign_head.npy", ("fc8",))["fc8"]
    assert head[0].shape == (4096, 43) and head[0].any()
    assert "258 images in 86 tracks, split by track: 129 for training, 129 for validation" in first
    assert len(re.findall(r"Training Loss = \d+\.\d{4}\nValidation Loss", first)) == 9
    accuracies = [float(x) for x in re.findall(r"Accuracy.*? = ([\d.]+)", first)]
    assert accuracies[-1] > 0.5  # the test data holds the training data
    assert max(accuracies[:9]) == pytest.approx(accuracies[9], abs=0.001)  # the best is kept
    (run, *_) = sorted((paths.DATA / "runs").iterdir())
    assert {"confusion.png", "mistakes.png"} <= {p.name for p in run.iterdir()}
    assert any("tfevents" in p.name for p in run.iterdir())
    assert len(list((paths.DATA / "cache").iterdir())) == 1

    assert train("--epochs", 9, "--test", train_p) == first
    live = re.findall(r"Loss = ([\d.]+)", train("--epochs", 1, "--no-cache"))
    cached = re.findall(r"Loss = ([\d.]+)", first)[:2]
    np.testing.assert_allclose(np.array(live, float), np.array(cached, float), rtol=1e-3)
    at_random = train("--epochs", 1, "--random-split")
    assert "258 images, split at random: 173 for training, 85 for validation" in at_random


def test_a_diverged_head_does_not_replace_a_good_one(run_main, train_p):
    """One batch, whose loss is finite before the step that ruins the head."""
    head = paths.DATA / "traffic_sign_head.npy"
    head.write_bytes(b"good")
    with pytest.raises(LabError, match="diverged: .* choose a smaller --learning-rate"):
        run_main(script, "--train", train_p, "--epochs", 1, "--batch-size", 1000,
                 "--learning-rate", 9e37)
    assert head.read_bytes() == b"good"


def test_split_by_track_keeps_tracks_whole_and_every_class_on_both_sides():
    labels = np.repeat(np.arange(43), 90)
    tracks = np.repeat(np.arange(129), TRACK)
    split = [script.split_by_track(tracks, labels, np.random.default_rng(seed))
             for seed in (0, 0, 1)]
    training, validation = split[0]
    assert not set(tracks[training]) & set(tracks[validation])
    assert sorted([*training, *validation]) == list(range(len(labels)))
    assert set(labels[training]) == set(labels[validation]) == set(range(43))
    np.testing.assert_array_equal(validation, split[1][1])
    assert set(validation) != set(split[2][1])


def test_split_at_random_mixes_tracks():
    labels = np.repeat(np.arange(43), TRACK)
    tracks = np.arange(len(labels)) // TRACK
    training, validation = script.split_at_random(tracks, labels, np.random.default_rng(0))
    assert len(validation) == round(0.33 * len(labels)) and not set(training) & set(validation)
    assert len(training) + len(validation) == len(labels)
    assert len(set(labels[validation])) == 43


@pytest.mark.parametrize("flag", ["--train", "--weights", "--test"])
def test_absent_files(run_main, train_p, flag):
    with pytest.raises(LabError, match="absent: does not exist"):
        run_main(script, "--train", train_p, flag, "absent")


def test_a_folder_that_cannot_be_made_is_told_before_the_work(run_main, train_p, monkeypatch):
    (paths.DATA / "runs").write_text("a file where the folder is to be")
    monkeypatch.setattr(script, "make_feed", lambda *args: pytest.fail("worked"))
    with pytest.raises(LabError, match="runs: cannot create this folder"):
        run_main(script, "--train", train_p)
