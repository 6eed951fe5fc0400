"""What a run prints and draws: intervals that are true, recalls, pictures, folders."""
import re
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from data.lab import figures, gtsrb, paths, report
from data.lab.command import LabError
from data.lab.tf1 import tf

EPOCH = (r"Epoch \d+\nTime: \d+\.\d{3} seconds\nTraining Loss = \d+\.\d{4}\n"
         r"Validation Loss = \d+\.\d{4}\nValidation Accuracy = [01]\.\d{4}\n\n")


def test_an_epoch_has_the_courses_form(capsys):
    run = report.Run(tf.get_default_graph())
    run.add_epoch(3, 1.5, 0.25, SimpleNamespace(loss=2.0, accuracy=0.5))
    assert re.fullmatch(EPOCH, capsys.readouterr().out)
    with pytest.raises(LabError, match="diverged; choose a smaller --learning-rate"):
        run.add_epoch(4, 1.5, 0.25, SimpleNamespace(loss=np.nan, accuracy=0.5))


def test_each_run_has_a_folder_of_its_own():
    folders = {report.Run(tf.get_default_graph()).folder for _ in range(5)}
    assert len(folders) == 5 == len(list((paths.DATA / "runs").iterdir()))


def test_without_tracks_the_interval_is_wilsons(capsys):
    data = SimpleNamespace(labels=np.full(10, 3), tracks=None)
    report.print_accuracy("Test Accuracy", np.eye(43)[[3] * 8 + [4] * 2], data)
    # Wilson's interval for 8 of 10, from its formula.
    expected = "Test Accuracy = 0.800 (95 % interval 0.490 to 0.943, Wilson)\n"
    assert capsys.readouterr().out == expected


def test_the_interval_by_tracks_holds_the_truth_as_often_as_it_says():
    """200 data sets of 60 tracks of 30 frames, which are right together: of known accuracy."""
    rng = np.random.default_rng(0)
    inside = {"by tracks": 0, "Wilson": 0}
    for _ in range(200):
        chances = rng.beta(2, 0.5, 60)  # of mean 0.8
        right = rng.random((60, 30)) < chances[:, np.newaxis]
        for tracks in (np.repeat(np.arange(60), 30), None):
            low, high, how = report.interval(right.ravel(), tracks)
            inside[how] += low <= 0.8 <= high
    assert 0.9 < inside["by tracks"] / 200 < 0.98
    assert inside["Wilson"] / 200 < 0.5  # why tracks are resampled


def test_the_interval_is_the_same_each_time_and_none_is_of_width_0():
    right, tracks = np.arange(90) % 4 > 0, np.arange(90) // 30
    assert report.interval(right, tracks) == report.interval(right, tracks)
    for answer in (0, 1):
        low, high, how = report.interval(np.full(90, bool(answer)), tracks)
        wilson = binomtest(3 * answer, 3).proportion_ci(0.95, method="wilson")
        assert (low, high, how) == (wilson.low, wilson.high, "Wilson by tracks")


def test_confusions_and_recalls(capsys):
    labels = np.array([0, 0, 0, 0, 5, 5, 42])
    predictions = np.array([0, 0, 0, 5, 5, 5, 7])
    matrix = figures.confusion_matrix(labels, predictions, 43)
    assert matrix.shape == (43, 43) and matrix.sum() == 7
    assert matrix[0, 0] == 3 and matrix[0, 5] == 1 and matrix[42, 7] == 1
    report.print_worst(matrix, gtsrb.class_names, 2)
    assert capsys.readouterr().out == (
        f"Lowest recall:\n  0.000 of 1 {gtsrb.class_names[42]}\n"
        f"  0.750 of 4 {gtsrb.class_names[0]}\n"
    )


@pytest.mark.parametrize("classes, shown", [(2, 2), (43, 43), (1000, 50)])
def test_figures_of_any_number_of_classes(classes, shown):
    rng = np.random.default_rng(0)
    labels = np.arange(3 * classes) % classes
    probs = rng.dirichlet(np.ones(classes), len(labels))
    probs[labels >= 10] = np.eye(classes)[labels[labels >= 10]]  # ten classes are worst
    matrix = figures.confusion_matrix(labels, probs.argmax(axis=1), classes)
    names = [f"class {i} " + "x" * 200 for i in range(classes)]
    picture = figures.draw_confusion(matrix, names)
    margin = picture.width - 8 - shown * figures.CELL
    assert 130 < margin < 600 and picture.size == (picture.width, picture.width)
    cells = [picture.getpixel((margin + figures.CELL * i + 3,) * 2) for i in range(shown)]
    assert sum(cell == figures.RIGHT for cell in cells) == max(shown - 10, 0)  # 100 % found


def test_mistakes_are_the_most_confident_of_each_track():
    labels, tracks = np.zeros(6, int), np.array([0, 0, 1, 1, 2, 2])
    probs = np.array([[1, 0], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.05, 0.95], [0.4, 0.6]])
    assert figures.find_mistakes(labels, probs, tracks).tolist() == [4, 1, 2]
    assert figures.find_mistakes(labels, probs).tolist() == [4, 1, 2, 3, 5]
    assert figures.find_mistakes(labels, probs, count=2).tolist() == [4, 1]
