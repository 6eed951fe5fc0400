"""GTSRB: files, and tracks that are found or not known."""
import csv
import pickle

import numpy as np
import pytest
from conftest import bad_file

from data.lab import gtsrb
from data.lab.command import LabError
from data.lab.gtsrb import TRACK, find_tracks, read_signs


@pytest.fixture
def signs():
    rng = np.random.default_rng(0)
    features = rng.integers(0, 256, (86, 32, 32, 3)).astype(np.uint8)
    return {"features": features, "labels": np.repeat(np.arange(43), 2).astype(np.uint8)}


@pytest.fixture
def read(tmp_path):
    """read(signs) -> what read_signs finds in such a file, t.p."""

    def read(signs, protocol=4):
        (tmp_path / "t.p").write_bytes(pickle.dumps(signs, protocol))
        return read_signs(tmp_path / "t.p")

    return read


def test_class_names_are_those_of_the_course(real_data):
    with open(real_data / "gtsrb_class_names.csv", newline="") as file:
        names = [row["SignName"] for row in csv.DictReader(file)]
    assert gtsrb.class_names == [name.replace("echiles", "ehicles") for name in names]


def test_there_are_43_named_classes():
    assert len(gtsrb.class_names) == len(set(gtsrb.class_names)) == 43
    assert gtsrb.class_names[14] == "Stop" and gtsrb.class_names[25] == "Road work"
    assert gtsrb.class_names[10] == "No passing for vehicles over 3.5 metric tons"


# Files


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_protocol(read, signs, protocol):
    data = read({**signs, "sizes": np.zeros((86, 2))}, protocol)
    np.testing.assert_array_equal(data.images, signs["features"])
    np.testing.assert_array_equal(data.labels, signs["labels"])
    assert data.images.dtype == np.uint8 and data.labels.dtype == np.int64


def test_floats_are_rounded(read, signs):
    floats = signs["features"] - 0.1 * (signs["features"] > 0)
    np.testing.assert_array_equal(read({**signs, "features": floats}).images, signs["features"])


@pytest.mark.parametrize("change, message", [
    (lambda s: s.pop("labels"), "key labels is missing"),
    (lambda s: s.update(labels=s["labels"][:-1]), r"86 images, but labels of shape \(85,\)"),
    (lambda s: s.update(features=s["features"][:, :16]), r"shape \(86, 16, 32, 3\), not \(images"),
    (lambda s: s.update(labels=s["labels"].astype(int) + 958), "labels reach .* to 1000, not 0 to"),
    (lambda s: s.update(labels=s["labels"].astype(int) - 1), "labels reach from -1 to 41"),
    (lambda s: s.update(labels=s["labels"] / 2), "not whole numbers"),
    (lambda s: s.update(labels=["stop"] * 86), "labels: a list instead of a NumPy array"),
    (lambda s: s.update(labels=np.array(["a"] * 86, object)), "labels have dtype .*, not numbers"),
    (lambda s: s.update(features=s["features"] * np.nan), "features hold values that are not f"),
    (lambda s: s.update(features=s["features"] / 255), "multiply them by 255"),
    (lambda s: s.update(features=s["features"] * 2.0), "features reach from 0.0 to 510.0"),
    (lambda s: s.update(features=s["features"][:0], labels=s["labels"][:0]), "holds no images"),
    (lambda s: s.update(names=["a"] * 42), "names: 42 of them for 43 classes"),
    (lambda s: s.update(names=[None] * 43), "names: 43 of them for 43 classes"),
    (lambda s: s.update(tracks=np.zeros(85, int)), r"86 images, but tracks of shape \(85,\)"),
    (lambda s: s.update(tracks=np.full(86, -1)), "tracks reach from -1"),
])
def test_bad_signs(read, signs, change, message):
    change(signs)
    with bad_file(message):
        read(signs)


def test_every_truncation_is_noticed(tmp_path, signs):
    whole = pickle.dumps(signs)
    for length in range(0, len(whole), len(whole) // 60):
        (tmp_path / "t.p").write_bytes(whole[:length])
        with pytest.raises(LabError):
            read_signs(tmp_path / "t.p")


@pytest.mark.parametrize("classes, given, names", [
    (43, {}, gtsrb.class_names), (3, {}, ["class 0", "class 1", "class 2"]),
    (3, {"names": ["a", "b", "\x1b[2J"]}, ["a", "b", "\\x1b[2J"]),
    (3, {"names": np.array(["a", "b", "c"], object)}, ["a", "b", "c"]),
])
def test_names(read, signs, classes, given, names):
    assert read({**signs, "labels": np.arange(86) % classes, **given}).names == names


def test_tracks_of_the_file_itself_are_taken_and_may_count_from_0_in_each_class(read, signs):
    for tracks, count in ((np.tile([0, 1], 43), 86), (np.repeat(np.arange(43), 2), 43)):
        assert len(np.unique(read({**signs, "tracks": tracks}).tracks)) == count


# Tracks


def same(tracks, true):
    """Whether two numberings of tracks divide the images alike."""
    return tracks is not None and np.array_equal(np.diff(tracks) != 0, np.diff(true) != 0)


def test_tracks_are_found(drawn):
    assert same(find_tracks(*drawn), np.arange(2580) // TRACK)


def test_a_short_track_is_found_wherever_it_is(drawn):
    images, labels = drawn
    for dropped, expected in ((60, [29, 30]), (119, [30, 29])):  # in class 1: 60 to 119
        keep = np.arange(len(labels)) != dropped
        tracks = find_tracks(images[keep], labels[keep])
        assert np.bincount(tracks)[2:4].tolist() == expected
        assert np.bincount(tracks)[4:].tolist() == [30] * 82


EVERY = np.arange(2580)
SHUFFLED = np.random.default_rng(0).permutation(EVERY)


@pytest.mark.parametrize("order", [
    np.delete(EVERY, [0, 60]),
    np.delete(EVERY, [0, 30]),
    EVERY[EVERY % 30 >= 10],
    SHUFFLED,
    SHUFFLED[np.argsort(SHUFFLED // 60, kind="stable")],
    np.r_[EVERY[:600], SHUFFLED[SHUFFLED // 60 == 10], EVERY[660:]],
], ids=["two classes lack a frame", "two tracks of a class do", "every track does",
        "shuffled", "each class is shuffled", "one class is shuffled"])
def test_where_tracks_cannot_be_known_none_are_told(drawn, order):
    images, labels = drawn
    assert find_tracks(images[order], labels[order]) is None


def test_nearly_equal_places_of_a_short_track_are_taken_as_one():
    jump = np.ones(89)  # three tracks, one frame is missing, nothing tells where
    jump[[29, 30, 59]] = 5, 6.4, 5
    assert gtsrb.starts_of_tracks(jump, 89).tolist() == [0, 59]
    jump[30] = 6.6
    assert gtsrb.starts_of_tracks(jump, 89).tolist() == [0, 30, 59]


def in_another_order(images, labels, tracks, dropped):
    """The classes in another order, without the tracks `dropped`: as in the course's later file."""
    kept = np.flatnonzero(~np.isin(tracks, dropped))
    order = np.random.default_rng(0).permutation(43)
    kept = np.concatenate([kept[labels[kept] == label] for label in order])
    return images[kept], labels[kept], tracks[kept]


def test_tracks_are_found_in_any_order_of_the_classes(drawn):
    images, labels, tracks = in_another_order(*drawn, np.arange(2580) // TRACK, [0, 40, 85])
    assert same(find_tracks(images, labels), tracks)


def test_real_tracks(real_data):
    """Of the file itself, and of one such as the course's later one, of 34,799 images."""
    real = read_signs(real_data / "train.p")
    assert len(real.images) == 39_209 and real.tracks[-1] == 1306
    (short,) = np.flatnonzero(np.bincount(real.tracks) != TRACK)
    assert np.flatnonzero(real.tracks == short).tolist() == [*range(33_660, 33_689)]
    rng = np.random.default_rng(1)
    dropped = rng.choice(np.delete(np.arange(1307), short), 147, replace=False)
    images, labels, tracks = in_another_order(real.images, real.labels, real.tracks, dropped)
    assert len(images) == 34_799 and same(find_tracks(images, labels), tracks)
    for count in (20, 100, 200, 400):  # one frame less in so many tracks
        lost = rng.choice(39_209 // TRACK, count, replace=False) * TRACK + 7
        kept = np.delete(np.arange(39_209), lost)
        assert find_tracks(real.images[kept], real.labels[kept]) is None
