"""What a run prints and draws: intervals that are true, recalls, figures, folders."""
import re
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from data.lab import figures, gtsrb, report
from data.lab.command import LabError
from data.lab.tf1 import tf

EPOCH = (r"Epoch \d+\nTime: \d+\.\d{3} seconds\nTraining Loss = \d+\.\d{4}\n"
         r"Validation Loss = \d+\.\d{4}\nValidation Accuracy = [01]\.\d{4}\n\n")


@pytest.fixture
def run():
    return report.Run(tf.get_default_graph())


def test_an_epoch_has_the_courses_form(run, capsys):
    run.add_epoch(3, 1.5, 0.25, 0.5, SimpleNamespace(loss=2.0, accuracy=0.5))
    assert re.fullmatch(EPOCH, capsys.readouterr().out)
    for training, validation in (0.25, np.nan), (np.inf, 2.0):
        with pytest.raises(LabError, match="diverged: .* choose a smaller --learning-rate"):
            run.add_epoch(4, 1.5, training, 0.5, SimpleNamespace(loss=validation, accuracy=0.5))


def test_without_tracks_the_interval_is_wilsons(run, capsys):
    data = SimpleNamespace(labels=np.full(10, 3), tracks=np.arange(10), tracked=False)
    run.print_accuracy("Test Accuracy", np.eye(43)[[3] * 8 + [4] * 2], data)
    # Wilson's interval for 8 of 10, from its formula.
    expected = "Test Accuracy = 0.800\n  95% confidence interval: 0.490 to 0.943 (Wilson)\n"
    assert capsys.readouterr().out == expected


def test_the_interval_by_tracks_holds_the_truth_as_often_as_it_says():
    """200 data sets of 60 tracks of 30 frames, which are right together: of known accuracy."""
    rng = np.random.default_rng(0)
    inside = {"bootstrap by track": 0, "Wilson": 0}
    for _ in range(200):
        chances = rng.beta(2, 0.5, 60)  # of mean 0.8
        right = rng.random((60, 30)) < chances[:, np.newaxis]
        for tracks, tracked in (np.repeat(np.arange(60), 30), True), (np.arange(1800), False):
            low, high, how = report.interval(right.ravel(), tracks, tracked)
            inside[how] += low <= 0.8 <= high
    assert 0.9 < inside["bootstrap by track"] / 200 < 0.98
    assert inside["Wilson"] / 200 < 0.5  # why tracks are resampled


def test_the_interval_is_the_same_each_time_and_none_is_of_width_0():
    right, tracks = np.arange(90) % 4 > 0, np.arange(90) // 30
    assert report.interval(right, tracks, True) == report.interval(right, tracks, True)
    for right, tracks in ((np.arange(90) % 30 > 0, tracks), (np.arange(90) % 2, np.zeros(90))):
        low, high, how = report.interval(right, tracks, True)
        assert high - low > 0.4 and how == "Wilson by track"  # of 3 tracks alike, of a single one
    tracks = np.arange(90) // 30
    for answer in (0, 1):
        low, high, how = report.interval(np.full(90, bool(answer)), tracks, True)
        wilson = binomtest(3 * answer, 3).proportion_ci(0.95, method="wilson")
        assert (low, high, how) == (wilson.low, wilson.high, "Wilson by track")


def test_the_interval_of_many_tracks_takes_little_memory():
    tracks = np.arange(25_000)
    tracemalloc.start()
    low, high, _ = report.interval(tracks % 10 > 0, tracks, True)
    assert tracemalloc.get_traced_memory()[1] < 100e6 and low < 0.9 < high
    tracemalloc.stop()


def test_a_validation_without_mistakes_has_no_picture_of_them(run, capsys):
    data = SimpleNamespace(
        labels=np.array([0, 0, 1, 1]), validation=np.array([1, 3]), tracks=np.arange(4),
        tracked=False, names=["cat", "dog"], images=np.zeros((4, 32, 32, 3), np.uint8))
    run.add_epoch(1, 1.5, 0.25, 0.5, SimpleNamespace(loss=2.0, accuracy=0.5))
    for probs, mistakes in (np.eye(2), False), (np.eye(2)[::-1], True):
        run.add_validation(1, data, probs)
        assert (run.folder / "mistakes.png").exists() == mistakes
        assert (run.folder / "confusion.png").exists() and (run.folder / "curves.png").exists()
    assert (run.folder / "mistakes" / "2.png").exists()
    assert "Best Validation Accuracy = 0.000\n  95% confidence" in capsys.readouterr().out


def test_confusions_and_recalls(capsys):
    labels = np.array([0, 0, 0, 0, 5, 5, 42])
    predictions = np.array([0, 0, 0, 5, 5, 5, 7])
    matrix = figures.confusion_matrix(labels, predictions, 43)
    assert matrix.shape == (43, 43) and matrix.sum() == 7
    assert matrix[0, 0] == 3 and matrix[0, 5] == 1 and matrix[42, 7] == 1
    report.print_worst(matrix, gtsrb.class_names, 2)
    assert capsys.readouterr().out == (
        f"Lowest recall:\n  0.000 (1 image) {gtsrb.class_names[42]}\n"
        f"  0.750 (4 images) {gtsrb.class_names[0]}\n"
    )
