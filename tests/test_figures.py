"""Figures: of any number of classes, with any names, and what they choose to show."""
from types import SimpleNamespace

import numpy as np
import pytest

from data.lab import figures
from data.lab.gtsrb import class_names


def count(picture, colour):
    """The number of pixels of exactly this colour."""
    return (np.asarray(picture) == colour).all(axis=2).sum()


@pytest.fixture
def captions(monkeypatch):
    """What figures write under the images: a list of (caption, colour)."""
    written, grid = [], figures.grid

    def record(images, columns, side, captions, colours=None, **settings):
        written.extend(zip(captions, colours or [None] * len(captions), strict=True))
        return grid(images, columns, side, captions, colours, **settings)

    monkeypatch.setattr(figures, "grid", record)
    return written


@pytest.mark.parametrize("name, letters", [
    (class_names[42], "7 " + class_names[42]), ("Müll, Straße", "7 Mull, Strasse"),
    ("Cafe\u0301 Niño", "7 Cafe Nino"), ("止まれ", "7 ???"), ("قف", "7 ??"), ("🚗", "7 ?"),
    ("ＳＴＯＰ", "7 STOP"), ("two\nlines", r"7 two\nlines"), ("\x1b[31m", r"7 \x1b[31m"),
    ("x" * 200, "7 " + "x" * 58), ("", "7"),
])
def test_a_name_in_ascii_behind_its_number(name, letters):
    assert figures.label(7, name) == letters


def test_a_grid_shows_each_image_and_no_caption_covers_another():
    colours = [(10 * i, 0, 200) for i in range(7)]
    images = [np.full((i + 1, i + 2, 3), colour, np.uint8) for i, colour in enumerate(colours)]
    for columns in 1, 3, 7:
        picture = figures.grid(images, columns, 40, ["W" * 200, "two\nlines", "", *"abcd"])
        assert [count(picture, colour) for colour in colours] == [40 * 40] * 7
    grey = figures.grid([np.full((2, 2), 77, np.uint8)], 1, 40)
    assert count(grey, (77, 77, 77)) == 40 * 40 and grey.width < 50


@pytest.mark.parametrize("classes, name", [
    (2, "x" * 200), (43, class_names[42]), (60, "两\n"), (1000, "class")])
def test_confusions_of_any_number_of_classes(classes, name):
    labels = np.arange(3 * classes) % classes
    probs = np.random.default_rng(0).dirichlet(np.ones(classes), len(labels))
    probs[labels >= 10] = np.eye(classes)[labels[labels >= 10]]  # ten classes are worst
    matrix = figures.confusion_matrix(labels, probs.argmax(axis=1), classes)
    picture = figures.draw_confusion(matrix, [name] * classes)
    shown = min(classes, 50)
    assert 100 < picture.width - figures.CELL * shown < 600 and picture.width == picture.height
    cell = count(figures.draw_confusion(np.eye(1, dtype=int), [name]), figures.RIGHT)  # 100 %
    assert count(picture, figures.RIGHT) == cell * max(shown - 10, 0)


def test_mistakes_are_the_most_confident_of_each_track():
    labels, tracks = np.zeros(6, int), np.array([0, 0, 1, 1, 2, 2])
    probs = np.array([[1, 0], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.05, 0.95], [0.4, 0.6]])
    assert figures.find_mistakes(labels, probs, tracks).tolist() == [4, 1, 2]
    assert figures.find_mistakes(labels, probs, np.arange(6)).tolist() == [4, 1, 2, 3, 5]
    assert figures.find_mistakes(labels, probs, np.arange(6), count=2).tolist() == [4, 1]
    assert figures.find_mistakes(labels, np.eye(2)[labels], tracks).tolist() == []


def test_mistakes_bear_their_file_and_both_names(captions):
    images = np.zeros((2, 32, 32, 3), np.uint8)
    probs = np.array([[0.25, 0.75], [1, 0]])
    figures.draw_mistakes(images, np.array([0, 1]), probs, ["Müll", "too\nlong " + "x" * 200])
    (first, _), (second, _) = captions
    assert first.startswith("mistakes/1.png\ntrue: 0 Mull\nprediction: 1 too\\nlong xxx")
    assert first.endswith("xx\nprobability: 0.750") and len(first) < 150
    assert second.startswith("mistakes/2.png\ntrue: 1 too") and "prediction: 0 Mull" in second


def test_ticks_are_round():
    for high, step in (1, 0.2), (0.713, 0.2), (2, 0.5), (10, 2), (2.6, 1), (3e-3, 1e-3), (7e4, 2e4):
        assert figures.round_step(high) == pytest.approx(step)


@pytest.mark.parametrize("epochs", [1, 2, 10, 300])
def test_curves_show_losses_and_accuracies(epochs):
    history = [(4 / i, 1, 5, 1 - 1 / i) for i in range(1, epochs + 1)]
    picture = figures.draw_curves(history, epochs)
    ends = (240 - 40 * 4 / epochs, 40), (280, 280 + 200 / epochs)  # 5 is at 40, 0 at 240, ...
    for panel, (red, blue) in zip((0, 260), ends):
        for colour, end in (figures.WRONG, red), (figures.BLUE, blue):
            drawn = np.argwhere((np.asarray(picture) == colour).all(axis=2))
            drawn = drawn[(panel < drawn[:, 0]) & (drawn[:, 0] < panel + 240)]
            assert len(drawn) > 20
            assert abs(drawn[drawn[:, 1] > drawn[:, 1].max() - 3, 0].mean() - end) < 4
    figures.draw_curves([(0, 0, 0, 0)] * epochs, 1)


@pytest.fixture
def features():
    """fc7 of 3,000 images in tracks of 3; those of the last track are all zeros."""
    rows = np.maximum(np.random.default_rng(0).standard_normal((3000, 8)), 0)
    rows[-3:] = 0
    return rows.astype(np.float32)


def test_neighbours_are_the_nearest_of_each_track(features):
    queries, others, tracks = np.array([0, 5, 2999]), np.arange(9, 3000), np.arange(3000) // 3
    near = figures.find_neighbours(lambda i: features[i], queries, others, tracks)
    assert near.shape == (3, 5)
    for query, found in zip(queries[:2], near):
        lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(features[query])
        similar = features @ features[query] / np.maximum(lengths, 1e-12)
        best = [others[np.argmax(np.where(tracks[others] == track, similar[others], -1))]
                for track in np.unique(tracks[others])]
        assert found.tolist() == sorted(best, key=lambda i: -similar[i])[:5]
    assert near[2].tolist() == [9, 12, 15, 18, 21]  # zeros are as near to all: the first ones


def test_zeros_are_the_last_neighbours(features):
    others, tracks = np.array([2999, 1, 2998, 2]), np.arange(3000)
    near = figures.find_neighbours(lambda i: features[i], np.array([0]), others, tracks)
    assert sorted(near[0, :2]) == [1, 2] and near[0, 2:].tolist() == [2999, 2998]


def test_neighbours_of_few_tracks_and_in_blocks(features):
    asked = []

    def rows(indices):
        asked.append(len(indices))
        return features[indices]

    tracks = np.arange(3000) % 2
    near = figures.find_neighbours(rows, np.array([0, 1]), np.arange(2, 3000), tracks)
    assert near.shape == (2, 2) and (np.sort(tracks[near]) == [0, 1]).all()
    assert max(asked) <= 1024 and sum(asked) == 3000


def test_predictions_and_neighbours_are_green_where_the_class_is_right(captions):
    data = SimpleNamespace(images=np.zeros((4, 32, 32, 3), np.uint8),
                           labels=np.array([0, 0, 1, 1]), names=["Müll", "Stop"])
    figures.draw_neighbours(data, np.array([0, 3]), [1, 1], np.array([[1, 2], [2, 1]]))
    right, wrong = figures.RIGHT, figures.WRONG
    assert captions == [("0 Mull\nprediction: 1 Stop", wrong), ("0 Mull", right), ("1 Stop", wrong),
                        ("1 Stop\nprediction: 1 Stop", right), ("1 Stop", right), ("0 Mull", wrong)]
