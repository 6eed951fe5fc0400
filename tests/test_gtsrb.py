"""GTSRB: files, and tracks that are found or not known."""
import csv
import pickle

import numpy as np
import pytest
from conftest import bad_file

from data.lab import gtsrb
from data.lab.gtsrb import TRACK, find_tracks, read_signs


@pytest.fixture
def signs():
    rng = np.random.default_rng(0)
    features = rng.integers(0, 256, (86, 32, 32, 3)).astype(np.uint8)
    return {"features": features, "labels": np.repeat(np.arange(43), 2).astype(np.uint8)}


@pytest.fixture
def read(tmp_path):
    """read(signs) -> what read_signs finds in such a file, t.p."""

    def read(signs):
        (tmp_path / "t.p").write_bytes(pickle.dumps(signs))
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


def test_a_data_set(read, signs):
    data = read({**signs, "sizes": np.zeros((86, 2))})
    np.testing.assert_array_equal(data.images, signs["features"])
    np.testing.assert_array_equal(data.labels, signs["labels"])
    assert data.images.dtype == np.uint8 and data.labels.dtype == np.int64
    assert data.names == gtsrb.class_names
    assert data.tracks.tolist() == [*range(86)] and not data.tracked
    assert read({**signs, "labels": np.arange(86) % 2}).names == ["class 0", "class 1"]


def test_floats_are_rounded(read, signs):
    floats = signs["features"] - 0.1 * (signs["features"] > 0)
    np.testing.assert_array_equal(read({**signs, "features": floats}).images, signs["features"])


@pytest.mark.parametrize("change, message", [
    (lambda s: s.pop("labels"), "key labels is missing"),
    (lambda s: s.update(labels=s["labels"][:-1]), r"86 images, but labels of shape \(85,\)"),
    (lambda s: s.update(features=s["features"][:, :16]), r"shape \(86, 16, 32, 3\), not \(images"),
    (lambda s: s.update(labels=s["labels"].astype(int) + 958),
     "labels must be between 0 and 999, but range from 958 to 1000"),
    (lambda s: s.update(labels=s["labels"].astype(int) - 1),
     "labels must be between 0 and 999, but range from -1 to 41"),
    (lambda s: s.update(labels=s["labels"] / 2), "are not integers"),
    (lambda s: s.update(labels=np.array(["a"] * 86, object)), "labels have dtype .*, not numbers"),
    (lambda s: s.update(features=s["features"] * np.nan), "features hold values that are not f"),
    (lambda s: s.update(features=s["features"] / 255), "multiply them by 255"),
    (lambda s: s.update(features=s["features"][:0], labels=s["labels"][:0]), "contains no images"),
    (lambda s: s.update(tracks=np.zeros(85, int)), r"86 images, but tracks of shape \(85,\)"),
])
def test_bad_signs(read, signs, change, message):
    change(signs)
    with bad_file(message):
        read(signs)


def test_tracks_of_the_file_itself_are_taken_and_may_count_from_0_in_each_class(read, signs):
    for tracks, count in ((np.tile([0, 1], 43), 86), (np.repeat(np.arange(43), 2), 43)):
        data = read({**signs, "tracks": tracks})
        assert len(np.unique(data.tracks)) == count and data.tracked


# Tracks


def same(tracks, true):
    """Whether two numberings of tracks divide the images alike."""
    return tracks is not None and np.array_equal(np.diff(tracks) != 0, np.diff(true) != 0)


def test_tracks_are_found_in_any_order_of_the_classes(drawn):
    images, labels = drawn
    mixed = np.argsort(np.random.default_rng(0).permutation(43)[labels], kind="stable")
    for order in np.arange(2580), mixed:
        assert same(find_tracks(images[order], labels[order]), order // TRACK)


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
    EVERY[EVERY % 30 >= 10],
    SHUFFLED[np.argsort(SHUFFLED // 60, kind="stable")],
    np.r_[EVERY[:600], SHUFFLED[SHUFFLED // 60 == 10], EVERY[660:]],
    EVERY[30:],
    EVERY[EVERY % 60 < 30],
], ids=["two classes lack a frame", "every track does", "each class is shuffled",
        "one class is shuffled", "one class has one track", "every class has"])
def test_where_tracks_cannot_be_known_none_are_told(drawn, order):
    images, labels = drawn
    assert find_tracks(images[order], labels[order]) is None


@pytest.mark.parametrize("count", [59, 60])
def test_flat_and_equal_images_show_no_tracks(drawn, read, count):
    for image in np.zeros((32, 32, 3), np.uint8), drawn[0][0]:
        data = read({"features": np.repeat(image[None], count + 60, axis=0),
                     "labels": np.repeat([0, 1], [count, 60])})
        assert not data.tracked and len(set(data.tracks)) == count + 60


def test_real_tracks(real_data):
    """Of the file itself, and of one such as the course's later one, of 34,799 images."""
    real = read_signs(real_data / "train.p")
    assert len(real.images) == 39_209 and real.tracks[-1] == 1306 and real.tracked
    (short,) = np.flatnonzero(np.bincount(real.tracks) != TRACK)
    assert np.flatnonzero(real.tracks == short).tolist() == [*range(33_660, 33_689)]
    rng = np.random.default_rng(1)
    dropped = rng.choice(np.delete(np.arange(1307), short), 147, replace=False)
    kept = np.flatnonzero(~np.isin(real.tracks, dropped))
    kept = kept[np.argsort(rng.permutation(43)[real.labels[kept]], kind="stable")]
    assert len(kept) == 34_799
    assert same(find_tracks(real.images[kept], real.labels[kept]), real.tracks[kept])
    for count in (20, 100, 200, 400):  # one frame less in so many tracks
        lost = rng.choice(39_209 // TRACK, count, replace=False) * TRACK + 7
        kept = np.delete(np.arange(39_209), lost)
        assert find_tracks(real.images[kept], real.labels[kept]) is None
