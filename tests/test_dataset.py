"""Data sets: splits, folders of images, a user's own classes from end to end."""
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import traffic_sign_inference
import train_feature_extraction as script
from data.lab import dataset, gtsrb, paths
from data.lab import folder as folder_module
from data.lab.command import LabError
from data.lab.gtsrb import TRACK
from data.lab.standin import __main__ as draw
from data.lab.weights import read_weights

# Loading


@pytest.fixture
def load(tmp_path):
    """load(data, **settings) -> the data set, split; data: a folder, or what is in t.p."""

    def load(data, size=32, limit=None, random_split=False, test=None):
        if isinstance(data, dict):
            (tmp_path / "t.p").write_bytes(pickle.dumps(data))
            data = tmp_path / "t.p"
        data = dataset.load(data, size, limit)
        split = script.split_at_random if random_split else script.split_by_track
        data.training, data.validation = split(
            data.tracks, data.labels, np.random.default_rng(0))
        dataset.print_split(data, random_split)
        data.test = dataset.load_test(test, data)
        return data

    return load


@pytest.mark.parametrize("start", [0, 2])  # without 2 frames, the tracks are not known
def test_limit_takes_the_first_tracks_or_30_images_a_class(tmp_path, drawn, start):
    images, labels = (array[start:] for array in drawn)
    (tmp_path / "t.p").write_bytes(pickle.dumps({"features": images, "labels": labels}))
    data = dataset.load(tmp_path / "t.p", 32, limit=1)
    assert data.tracked == (start == 0)
    firsts = [np.flatnonzero(labels == label)[:TRACK] for label in range(43)]
    np.testing.assert_array_equal(data.images, images[np.concatenate(firsts)])


def part(signs, keep):
    return {key: array[keep] for key, array in signs.items()}


def test_an_empty_class_is_an_error(load, few):
    with pytest.raises(LabError, match=r"t.p: class 17 \(No entry\) needs at least .* has 0; add"):
        load(part(few, few["labels"] != 17))
    with pytest.raises(LabError, match=r"t.p: has 1 classes, but needs 2 to 1,000"):
        load(part(few, few["labels"] == 0))


def test_without_tracks_each_class_is_split_at_random_and_that_is_told(load, few, capsys):
    del few["tracks"]
    data = load(few)
    captured = capsys.readouterr()
    assert not data.tracked and data.tracks.tolist() == list(range(258))
    assert captured.out.startswith(
        "258 images, split at random within each class: 172 for training")
    assert "t.p: no track information found, so each class is split at random" in captured.err
    assert set(data.labels[data.validation]) == set(data.labels[data.training]) == set(range(43))


def test_a_class_that_chance_leaves_out_is_told(load, few, capsys):
    data = load(part(few, slice(None, None, 3)), random_split=True)
    absent = np.setdiff1d(data.labels, data.labels[data.training]).tolist()
    assert absent
    expected = f"the training set has no images of class {', '.join(map(str, absent))}; add"
    assert expected in capsys.readouterr().err


def test_a_class_with_one_track_is_told(load, few, capsys):
    data = load(part(few, (few["labels"] != 17) | (np.cumsum(few["labels"] == 17) <= 3)))
    assert 17 in data.labels[data.training] and 17 not in data.labels[data.validation]
    captured = capsys.readouterr()
    assert captured.out.startswith("255 images in 85 tracks, split by track")
    assert captured.err.endswith("split; the validation set has no images of class 17; add "
                                 "images of more objects\n")


# Folders


def make_folders(folder, labels, names):
    """Folders of random images, all of the same names."""
    rng = np.random.default_rng(0)
    for label in labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for name in names:
            picture = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8))
            picture.save(folder / label / f"{name}.png")


@pytest.fixture
def folder(tmp_path):
    """Two classes, 3 tracks of 2 images in each, among other files."""
    folder = tmp_path / "my"
    make_folders(folder, ["cat", "dog"], [f"pet{i // 2}_{i % 2}" for i in range(6)])
    for other in (".hidden.png", "notes.txt", "GT-00000.csv"):
        (folder / "cat" / other).write_text("no image")
    (folder / ".git").mkdir()
    return folder


def test_a_folder_of_folders(load, folder, capsys, monkeypatch):
    data = load(folder)
    assert data.names == ["cat", "dog"]
    assert data.labels.tolist() == [0] * 6 + [1] * 6
    assert np.bincount(data.tracks).tolist() == [2] * 6
    assert data.images[:3].shape == (3, 32, 32, 3) and data.images[data.training].dtype == np.uint8
    picture = Image.open(folder / "dog" / "pet2_1.png").resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(data.images[np.array([11])][0], np.asarray(picture))
    captured = capsys.readouterr()
    assert captured.out == (
        "12 images in 6 tracks, split by track: 8 for training, 4 for validation\n\n")
    assert captured.err == ""
    with monkeypatch.context() as patch:  # the second run decodes nothing
        patch.setattr(folder_module, "read_image", lambda *args: pytest.fail("decoded"))
        np.testing.assert_array_equal(load(folder).images, data.images)
    assert load(folder, size=227).images[:1].shape == (1, 227, 227, 3)
    data = load(folder, limit=2)
    assert len(data.images) == len(data.tracks) == len(data.labels) == 8


def test_pictures_that_cannot_be_read_are_told_and_left_out(load, folder, capsys):
    (folder / "cat" / "pet0_0.png").write_bytes(b"<html>")
    (folder / "cat" / "pet1_\x1b[2J.png").write_bytes(b"")
    data = load(folder)
    lines = capsys.readouterr().err.splitlines()
    assert len(data.labels) == 11 and len(lines) == 3
    assert re.match(r"ignored: .*/cat/pet1_\\x1b\[2J.png: is truncated, damaged", lines[1])
    assert lines[2].endswith("my: ignored 2 of 13 images")


WAYS = {  # in which people name 36 images of a class: the names, and whether they show tracks
    "GTSRB": ([f"{i // 12:05}_{i % 12:05}" for i in range(36)], True),
    "objects": ([f"mug{i % 6}_{i // 6}" for i in range(36)], True),
    "uneven objects": ([f"{'aaaabbbbbbcccccddddddeeeefffffffggggg'[i]}_{i}" for i in range(36)],
                       True),
    "Imagenette": ([f"ILSVRC2012_val_{i}" for i in range(6)] + [f"n0144_{i}" for i in range(30)],
                   False),
    "counter": ([f"IMG_{i:04}" for i in range(36)], False),
    "times": ([f"IMG_202605{i % 28 + 1:02}_{101500 + i}" for i in range(36)], True),
    "one day and the rest": ([f"IMG_20260501_{i}" for i in range(33)]
                             + [f"IMG_2026060{i}_1" for i in range(3)], False),
    "screenshots": ([f"Screenshot_2026-05-01-{i}" for i in range(36)], False),
    "copies": ([f"photo ({i})" for i in range(36)], False),
    "dots": ([f"cat.{i}" for i in range(36)], False),
    "each its own": ([f"{i}_cat" for i in range(36)], False),
    "numbers": ([str(i) for i in range(36)], False),
}


@pytest.mark.parametrize("way", WAYS)
def test_names_show_tracks_only_where_the_split_would_be_sensible(way):
    names, shows = WAYS[way]
    files, labels = [Path(f"{name}.png") for name in names] * 2, np.repeat([0, 1], 36)
    tracks, why = folder_module.tracks_in_names(files, labels, ["cat", "dog"])
    assert (tracks is not None) == shows
    if shows:
        for seed in range(9):
            _, validation = script.split_by_track(tracks, labels, np.random.default_rng(seed))
            for share in np.bincount(labels[validation]) / 36:
                assert 0.2 <= share <= 0.6


def test_why_names_show_no_tracks_is_printed(load, tmp_path, capsys):
    make_folders(tmp_path, ["cat", "dog"], WAYS["Imagenette"][0])
    data = load(tmp_path)
    assert not data.tracked and len(data.validation) == 24
    assert ("no track information found (by the file names, class cat would have 2, of 6 to 30 "
            "images), so each class is") in capsys.readouterr().err


@pytest.mark.parametrize("labels, names, message", [
    ([], "", "found no class folders with images"),
    (["cat"], "", "found no class folders with images"),
    (["."], "1234", "found no class folders with images"),
    (["cat"], "1234", "has 1 classes, but needs 2 to 1,000"),
    (["cat", "dog"], "a", r"class 0 \(cat\) needs at least two images, of .* but has 1"),
])
def test_folders_that_are_too_small(load, tmp_path, labels, names, message):
    make_folders(tmp_path, labels, names)
    with pytest.raises(LabError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("form", ["{:05}", "{}"])
def test_gtsrbs_folder_has_the_german_names_and_the_very_tracks(load, tmp_path, few, form):
    """As in GTSRB's own archive, and as Kaggle and CS50 give it."""
    top = tmp_path / "Images"
    for i, (image, label) in enumerate(zip(few["features"], few["labels"])):
        (top / form.format(label)).mkdir(parents=True, exist_ok=True)
        name = f"{i % 6 // 3:05}_{i % 3:05}.ppm"
        Image.fromarray(image).save(top / form.format(label) / name)
    (top / "notes").mkdir()
    data = load(top)
    assert data.names == gtsrb.class_names
    pickled = load(few)
    np.testing.assert_array_equal(data.training, pickled.training)
    np.testing.assert_array_equal(data.images[data.validation], pickled.images[pickled.validation])


@pytest.mark.parametrize("folders, names, numbered", [
    (["00042", "00043"], ["00042", "00043"], False),
    (["00014", "00025"], ["Stop", "Road work"], False),
    ([str(i) for i in range(10)], [str(i) for i in range(10)], True),  # MNIST's digits
    (["1", "2", "10"], ["1", "2", "10"], False),
    (["Cafe\u0301", "dog"], ["Caf\u00e9", "dog"], False),
])
def test_names_of_folders(tmp_path, folders, names, numbered):
    for name in folders:
        (tmp_path / name).mkdir()
    assert folder_module.find_names(folder_module.subfolders(tmp_path)) == (names, numbered)


def test_two_classes_of_one_name_are_refused(load, few):
    with pytest.raises(LabError, match="two classes have the same name, 'a'; rename one"):
        load({**few, "names": ["a"] * 43})


# Test data


def test_test_folders_are_of_the_trainings_names(load, folder, tmp_path, capsys):
    (folder / "dog").rename(folder / "zebra")
    data = load(folder, test=folder)
    assert data.test.labels.tolist() == data.labels.tolist()
    make_folders(tmp_path / "other", ["zebra"], "12")  # alone, it would be class 0
    assert load(folder, test=tmp_path / "other").test.labels.tolist() == [1, 1]
    make_folders(tmp_path / "other", ["Cat"], "12")
    with pytest.raises(LabError, match="other: the head was not trained on a class named 'Cat'; "
                                       "use the names of the training data: cat, zebra"):
        load(folder, test=tmp_path / "other")


def test_pickles_match_folders_by_name_or_not_at_all(load, folder, tmp_path, few):
    test = {"features": few["features"][:4], "labels": np.array([0, 0, 1, 1])}

    def matched(**more):
        (tmp_path / "test.p").write_bytes(pickle.dumps({**test, **more}))
        return load(folder, test=tmp_path / "test.p").test.labels.tolist()

    assert matched(names=["dog", "cat"]) == [1, 1, 0, 0]
    with pytest.raises(LabError, match="not trained on a class named 'class 0'"):
        matched()
    (folder / "cat").rename(folder / "0")
    (folder / "dog").rename(folder / "1")
    assert matched() == [0, 0, 1, 1]  # label 1 is the folder 1, and there are no others
    (folder / "0").rename(folder / "2")
    with pytest.raises(LabError, match="not trained on a class named 'class 0'"):
        matched()


def test_pickles_match_by_number_unless_both_have_names(load, few, tmp_path):
    (tmp_path / "test.p").write_bytes(pickle.dumps(part(few, few["labels"] < 5)))
    assert load(few, test=tmp_path / "test.p").test.labels.max() == 4
    names = [f"sign {i}" for i in range(43)]
    (tmp_path / "test.p").write_bytes(pickle.dumps({**few, "names": names[::-1]}))
    test = load({**few, "names": names}, test=tmp_path / "test.p").test
    np.testing.assert_array_equal(test.labels, 42 - few["labels"])


def test_a_test_p_that_does_not_fit_is_left_out(load, few, tmp_path, capsys):
    for i in range(43):
        make_folders(tmp_path / "Images", [f"{i:05}"], "12")
    (paths.DATA / "test.p").write_bytes(pickle.dumps(few))
    assert len(load(tmp_path / "Images").test.labels) == 258
    assert load(tmp_path / "Images", size=64).test is None
    assert re.search("test data ignored: .*test.p: its images are 32x32 pixels",
                     capsys.readouterr().err)


# What is not as it should be


def test_duplicates_are_counted(load, few, capsys):
    load(few)
    assert "duplicates" not in capsys.readouterr().err
    few["features"] = few["features"].copy()
    few["features"][[3, 6]] = few["features"][0]  # classes 0, 0 and 1, other tracks
    few["features"][257] = few["features"][256]  # of one track
    data = load(few)
    sides = len({i in data.training for i in (0, 3, 6)})
    assert ("t.p: 5 images are duplicates or near-duplicates; "
            f"{3 * (sides > 1)} of them occur in both training and validation"
            f"{', so the accuracy is optimistic' * (sides > 1)}; "
            "3 have two different labels\n") in capsys.readouterr().err


@pytest.mark.parametrize("change", [
    lambda images: images, lambda images: np.clip(images + 12.0, 0, 255).astype(np.uint8),
    lambda images: (images * 0.7).astype(np.uint8)])
def test_appended_copies_are_no_tracks_and_are_reported(load, drawn, capsys, change):
    """As students do it who oversample or augment before they save."""
    images, labels = (array[:600] for array in drawn)
    both = {"features": np.r_[images, change(images)], "labels": np.r_[labels, labels]}
    data = load(both)
    assert not data.tracked
    found = re.search(r"([\d,]+) images are duplicates or near-duplicates; (\d+) of them occur",
                      capsys.readouterr().err)
    assert int(found[1].replace(",", "")) > 1100 and int(found[2]) > 300
    data = load({"features": images, "labels": labels})
    assert data.tracked and "duplicates" not in capsys.readouterr().err


def test_what_the_accuracy_on_training_images_is_called(load, few, tmp_path):
    """few is split into training and validation: as test data, all of it is known."""
    assert load(few, test=tmp_path / "t.p").test.title == (
        "Test Accuracy (258 of 258 are training or validation images)")
    other = {**few, "features": few["features"] // 2}
    (tmp_path / "test.p").write_bytes(pickle.dumps(other))
    assert load(few, test=tmp_path / "test.p").test.title == "Test Accuracy"


def test_what_a_folder_holds_beside_images_is_reported(load, folder, capsys):
    for name in ("cat/a.heic", "cat/b.heic", "dog/c.mov", "dog/noname", "cat/._pet.png",
                 "dog/Thumbs.db", "dog/sub/pet9_1.png", "__MACOSX/cat/._pet.png",
                 "new folder/.keep", ".ipynb_checkpoints/pet.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert len(load(folder).labels) == 12
    assert capsys.readouterr().err == (
        f"{folder}: ignored 4 files of unsupported types (.heic 2, .mov 1, no suffix 1)\n"
        f"{folder}: ignored 1 images in subfolders of the class folders\n"
        f"{folder}: ignored 3 folders that are not classes (.ipynb_checkpoints, "
        "__MACOSX, new folder)\n")


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.pgm", "a.pnm", "a.JPG", "a.ppm"])
def test_images_of_less_common_suffixes_are_read(load, folder, name):
    Image.new("L", (9, 9), 77).save(folder / "cat" / name, "PPM" if "p" in name[2:4] else "JPEG")
    assert len(load(folder).labels) == 13


@pytest.mark.parametrize("made, given, meant", [
    ("data/train/{} data/val/{}", "data", "use --train {0}/data/train --test {0}/data/val"),
    ("data/Training/{}", "data", "use --train {0}/data/Training"),
    ("data/train/{} data/test", "data", "use --train {0}/data/train"),
    ("data/Test/{}", "data", "use --train {0}/data/Test"),
    ("kaggle/Train/{} kaggle/Test kaggle/Meta", "kaggle", "use --train {0}/kaggle/Train"),
    ("data/{}", "data/cat", "give its parent, {0}/data"),
    ("a/b/train/{}", "a", "give {0}/a/b/train"),
    ("a/b/c/{}", "a", "perhaps give {0}/a/b/c"),
])
def test_one_level_off_the_folder_that_was_meant_is_named(load, tmp_path, made, given, meant):
    for place in made.split(" "):
        for label in ("cat", "dog"):
            make_folders(tmp_path, [place.format(label)], "1234")
    with pytest.raises(LabError) as error:
        load(tmp_path / given)
    assert str(error.value).endswith(meant.format(tmp_path))


def test_a_folder_whose_images_are_all_damaged_is_an_error(load, folder):
    for file in folder.rglob("*.png"):
        file.write_bytes(b"<html>")
    with pytest.raises(LabError, match="none of its images can be read"):
        load(folder)


def test_the_example_does_not_overwrite_images(run_main, folder):
    with pytest.raises(LabError, match="my already exists; give a new or empty folder"):
        run_main(draw, folder)


def test_a_folder_of_folders_beside_classes_is_ignored(load, folder, capsys):
    make_folders(folder, ["extra/crops"], "12")
    assert len(load(folder).labels) == 12
    assert f"{folder}: ignored 1 folders that are not classes (extra)" in capsys.readouterr().err


def test_size_is_of_folders_only(load, few):
    with pytest.raises(LabError, match="t.p: its images are 32x32 pixels; to use --size 64, give"):
        load(few, size=64)


@pytest.mark.parametrize("size", [32, 227])
def test_own_classes_from_end_to_end(tmp_path, run_main, size):
    """Five classes of synthetic signs as a folder, from training to named inference."""
    folder, head = tmp_path / "my_images", paths.DATA / "traffic_sign_head.npy"
    run_main(draw, folder, "--classes", 5)
    names = sorted(path.name for path in folder.iterdir())
    output = run_main(script, "--train", folder, "--size", size, "--limit", 2,
                      "--epochs", 8)
    assert output.startswith(
        "300 images in 10 tracks, split by track: 150 for training, 150 for validation")
    assert float(re.search(r"Best Validation Accuracy = (\S+)", output)[1]) > 0.4  # chance: 0.2
    weights = read_weights(head, ("fc8",), names={1: []})
    assert weights.names == names and weights.size == size and len(weights["fc8"][1]) == 5
    (copy,) = paths.DATA.glob("runs/*/head.npy")
    assert copy.read_bytes() == head.read_bytes()
    images = sorted(folder.glob("*/00000_00029.png"))  # of tracks that trained or validated
    output = run_main(traffic_sign_inference, "--head", head, *images)
    assert {*re.findall(r"(?m)^(.+): [01]\.\d{3}$", output)} == {*names}
    assert output.count("Image") == 5
