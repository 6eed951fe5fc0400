"""Data sets: honest splits, folders of pictures, a user's own classes from end to end."""
import pickle
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import imagenet_inference
import traffic_sign_inference
import train_feature_extraction
from data.lab import dataset, gtsrb, paths
from data.lab.command import LabError
from data.lab.gtsrb import TRACK
from data.lab.standin import __main__ as draw
from data.lab.weights import read_weights

# Splits


def test_split_by_track_keeps_tracks_whole_and_every_class_on_both_sides():
    labels = np.repeat(np.arange(43), 90)
    tracks = np.repeat(np.arange(129), TRACK)
    split = [dataset.split_by_track(tracks, labels, np.random.default_rng(seed))
             for seed in (0, 0, 1)]
    training, validation = split[0]
    assert not set(tracks[training]) & set(tracks[validation])
    assert sorted([*training, *validation]) == list(range(len(labels)))
    assert set(labels[training]) == set(labels[validation]) == set(range(43))
    np.testing.assert_array_equal(validation, split[1][1])
    assert set(validation) != set(split[2][1])


def test_split_at_random_mixes_tracks():
    labels = np.repeat(np.arange(43), TRACK)
    training, validation = dataset.split_at_random(labels, np.random.default_rng(0))
    assert len(validation) == round(0.33 * len(labels)) and not set(training) & set(validation)
    assert len(training) + len(validation) == len(labels)
    assert len(set(labels[validation])) == 43


# Loading


@pytest.fixture
def load(tmp_path):
    """load(data, **settings) -> the data set; data: a folder, or what is written into t.p."""

    def load(data, **settings):
        if isinstance(data, dict):
            (tmp_path / "t.p").write_bytes(pickle.dumps(data))
            data = tmp_path / "t.p"
        settings = {"limit": None, "random_split": False, "test": None, "size": 32} | settings
        return dataset.load(SimpleNamespace(train=data, **settings), np.random.default_rng(0))

    return load


@pytest.mark.parametrize("start", [0, 2])  # without 2 frames, the tracks are not known
def test_limit_takes_the_first_tracks_or_30_images_a_class(load, drawn, start):
    images, labels = (array[start:] for array in drawn)
    data = load({"features": images, "labels": labels}, limit=1)
    assert (data.tracks is None) == (start == 2)
    firsts = [np.flatnonzero(labels == label)[:TRACK] for label in range(43)]
    np.testing.assert_array_equal(data.images, images[np.concatenate(firsts)])


def part(signs, keep):
    return {key: array[keep] for key, array in signs.items()}


def test_an_empty_class_is_an_error(load, few):
    with pytest.raises(LabError, match=r"t.p: class 17 \(No entry\) has 0 images"):
        load(part(few, few["labels"] != 17))
    with pytest.raises(LabError, match=r"t.p: has 1 classes; give 2 to 1,000"):
        load(part(few, few["labels"] == 0))


def test_without_tracks_each_class_is_split_at_random_and_that_is_told(load, few, capsys):
    del few["tracks"]
    data = load(few)
    captured = capsys.readouterr()
    assert data.tracks is None
    assert captured.out.startswith("258 images, split at random, class by class: 172 train the")
    assert "t.p: shows no tracks, so each class is split at random" in captured.err
    assert set(data.labels[data.validation]) == set(data.labels[data.training]) == set(range(43))


def test_a_class_that_chance_leaves_out_is_told(load, few, capsys):
    data = load(part(few, slice(None, None, 3)), random_split=True)
    absent = np.setdiff1d(data.labels, data.labels[data.training]).tolist()
    assert absent
    told = f"the training has none of class {', '.join(map(str, absent))}\n"
    assert told in capsys.readouterr().err


def test_a_class_with_one_track_is_told(load, few, capsys):
    data = load(part(few, (few["labels"] != 17) | (np.cumsum(few["labels"] == 17) <= 3)))
    assert 17 in data.labels[data.training] and 17 not in data.labels[data.validation]
    captured = capsys.readouterr()
    assert captured.out.startswith("255 images, split by its 85 tracks")
    assert captured.err.endswith("split; the validation has none of class 17\n")


# Folders


def make_folders(folder, labels, names):
    """Folders of random pictures, all of the same names."""
    rng = np.random.default_rng(0)
    for label in labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for name in names:
            picture = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8))
            picture.save(folder / label / f"{name}.png")


@pytest.fixture
def folder(tmp_path):
    """Two classes, 3 tracks of 2 pictures in each, among other files."""
    folder = tmp_path / "my"
    make_folders(folder, ["cat", "dog"], [f"pet{i // 2}_{i % 2}" for i in range(6)])
    for other in (".hidden.png", "notes.txt", "GT-00000.csv"):
        (folder / "cat" / other).write_text("no picture")
    (folder / ".git").mkdir()
    return folder


def test_a_folder_of_folders(load, folder, capsys):
    data = load(folder)
    assert data.names == ["cat", "dog"] and data.extra == {"names": ["cat", "dog"]}
    assert data.labels.tolist() == [0] * 6 + [1] * 6
    assert np.bincount(data.tracks).tolist() == [2] * 6
    assert data.images[:3].shape == (3, 32, 32, 3) and data.images[data.training].dtype == np.uint8
    picture = Image.open(folder / "dog" / "pet2_1.png").resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(data.images[np.array([11])][0], np.asarray(picture))
    captured = capsys.readouterr()
    assert captured.out == "12 images, split by its 6 tracks: 8 train the head, 4 validate it\n\n"
    assert captured.err == ""
    assert load(folder, size=227).images[:1].shape == (1, 227, 227, 3)
    data = load(folder, limit=2)
    assert data.images.digests.shape == (8, 32) and len(data.tracks) == len(data.labels) == 8


def test_pictures_that_cannot_be_read_are_told_and_left_out(load, folder, capsys):
    (folder / "cat" / "pet0_0.png").write_bytes(b"<html>")
    (folder / "cat" / "a\x1b[2J_1.png").write_bytes(b"")
    data = load(folder)
    lines = capsys.readouterr().err.splitlines()
    assert len(data.labels) == 11 and len(lines) == 3
    assert re.match(r"left out: .*/cat/a\\x1b\[2J_1.png: is not a picture", lines[0])
    assert lines[2].endswith("my: 2 of 13 pictures are left out")


@pytest.mark.parametrize("names", [
    ["IMG_1", "IMG_2", "IMG_3"], ["a", "b_1", "b_2"], ["a_1", "b_1", "c_1"], ["_1", "_2", "_3"]])
def test_names_that_show_no_tracks(load, tmp_path, capsys, names):
    make_folders(tmp_path, ["cat", "dog"], names)
    data = load(tmp_path)
    assert data.tracks is None and set(data.labels[data.validation]) == {0, 1}
    assert "shows no tracks" in capsys.readouterr().err


@pytest.mark.parametrize("labels, names, message", [
    ([], "", "holds no pictures in folders"),
    (["cat"], "", "holds no pictures in folders"),
    (["."], "1234", "holds no pictures in folders"),
    (["cat"], "1234", "has 1 classes; give 2 to 1,000"),
    (["cat", "dog"], "a", r"class 0 \(cat\) has 1 images; give each class two"),
])
def test_folders_that_are_too_small(load, tmp_path, labels, names, message):
    make_folders(tmp_path, labels, names)
    with pytest.raises(LabError, match=message):
        load(tmp_path)


def test_gtsrbs_own_folder_has_the_german_names_and_the_very_tracks(load, tmp_path, few):
    for i, (image, label) in enumerate(zip(few["features"], few["labels"])):
        (tmp_path / f"{label:05}").mkdir(exist_ok=True)
        name = f"{i % 6 // 3:05}_{i % 3:05}.ppm"
        Image.fromarray(image).save(tmp_path / f"{label:05}" / name)
    data = load(tmp_path)
    assert data.names == gtsrb.class_names and data.extra == {}
    pickled = load(few)
    np.testing.assert_array_equal(data.training, pickled.training)
    np.testing.assert_array_equal(data.images[data.validation], pickled.images[pickled.validation])
    assert dataset.find_names([tmp_path / "00042", tmp_path / "00043"]) == ["00042", "00043"]


def test_test_folders_are_of_the_trainings_names(load, folder, tmp_path):
    data = load(folder, test=folder)
    assert data.test.labels.tolist() == data.labels.tolist()
    (tmp_path / "other" / "bird").mkdir(parents=True)
    with pytest.raises(LabError, match="other: the head was trained on no class bird"):
        load(folder, test=tmp_path / "other")


def test_size_is_of_folders_only(load, few):
    with pytest.raises(LabError, match="t.p: its images have 32x32 pixels; --size 64 needs"):
        load(few, size=64)


@pytest.mark.parametrize("size", [32, 227])
def test_own_classes_from_end_to_end(tmp_path, run_main, size):
    """Five classes of drawn signs as a folder, from training to named inference."""
    folder, head = tmp_path / "my_pictures", paths.DATA / "traffic_sign_head.npy"
    run_main(draw, folder, "--classes", 5)
    names = sorted(path.name for path in folder.iterdir())
    output = run_main(train_feature_extraction, "--train", folder, "--size", size, "--limit", 2,
                      "--epochs", 8)
    assert output.startswith("300 images, split by its 10 tracks: 150 train the head, 150 valid")
    assert float(re.search(r"Best Validation Accuracy = (\S+)", output)[1]) > 0.4  # chance: 0.2
    assert {*re.findall(r"(?m)^(.+): [01]\.\d{3}$", output)} == {*names}
    weights = read_weights(head, ("fc8",), {1: []})
    assert weights.names == names and weights.size == size and len(weights["fc8"][1]) == 5
    (copy,) = paths.DATA.glob("runs/*/head.npy")
    assert copy.read_bytes() == head.read_bytes()
    pictures = sorted(folder.glob("*/00000_00029.png"))  # of tracks that trained or validated
    whole = {**read_weights(paths.DATA / "standin" / "bvlc-alexnet.npy"), **weights}
    np.save(tmp_path / "whole.npy", {**whole, "names": names, "size": size})
    for script, *flags in ((traffic_sign_inference, "--head", head),
                           (imagenet_inference, "--weights", tmp_path / "whole.npy")):
        output = run_main(script, *flags, *pictures)
        assert {*re.findall(r"(?m)^(.+): [01]\.\d{3}$", output)} == {*names}
    assert output.count("Image") == 5
