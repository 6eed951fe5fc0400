"""A data set, a pickled file or a folder of images, and what is wrong with its split.

Images of one object, such as the frames of a track, look alike; with some of them in training
and others in validation, the validation measures memory (data leakage). So each image has the
number of its track, by which the training script splits them.
"""
import hashlib
from pathlib import Path

import numpy as np

from data.lab.command import LabError, say
from data.lab.folder import first_tracks, read_folder
from data.lab.gtsrb import CLASSES, TRACK, class_names, find_runs, read_signs
from data.lab.paths import find_real


def read(path, what, size, limit=None):
    """The data set at `path`, a folder or a pickled file, as load() describes it."""
    if Path(path).is_dir():
        data = read_folder(path, size, limit)
    elif size != 32:
        raise LabError(f"{path}: its images have 32x32 pixels; --size {size} needs a folder of "
                       "pictures")
    else:
        data = read_signs(path, what)
        if limit:
            keep = first_tracks(data.tracks, data.labels, data.tracked, limit)
            data.images, data.labels, data.tracks = (
                array[keep] for array in (data.images, data.labels, data.tracks))
    data.path, data.size, data.title = path, size, "Test Accuracy"
    return data


def load(path, size, limit=None):
    """The training data at `path`, a folder of folders of images or a pickled file.

    size: of the images, in pixels along a side; limit: take only the first so many tracks of
    each class. Returns a namespace: images, uint8 (N, size, size, 3); labels, int64 (N,);
    names, of the classes; numbered, whether label i is class i in any other such data set;
    tracks, int (N,), where `tracked`, else each image is its own, and `why`; size; path.
    Raises LabError if the file is bad, or a class has fewer than two images.
    """
    data = read(path, "train", size, limit)
    counts = np.bincount(data.labels, minlength=len(data.names))
    if not 2 <= len(counts) <= CLASSES:
        raise LabError(f"{path}: has {len(counts)} classes; give 2 to {CLASSES:,}, in a folder "
                       "of folders one for each class")
    if counts.min() < 2:
        few = counts.argmin()
        raise LabError(f"{path}: class {few} ({data.names[few]}) has {counts[few]} images; "
                       "give each class two or more, from different tracks")
    if len(set(data.names)) < len(data.names):
        raise LabError(f"{path}: two classes have the same name; give each a name of its own")
    return data


def match_labels(test, data):
    """Turn the labels of `test` into those of the same classes in `data`, or raise LabError.

    Classes are the same if they have the same name; without names, if both are numbered.
    """
    used = np.unique(test.labels)
    unknown = [test.names[label] for label in used if test.names[label] not in data.names]
    if not unknown:
        numbers = [data.names.index(name) if name in data.names else 0 for name in test.names]
        test.labels = np.array(numbers)[test.labels]
    elif not (test.numbered and data.numbered and used[-1] < len(data.names)):
        raise LabError(f"{test.path}: the head was trained on no class {unknown[0]}; give names "
                       f"that the training data have: {', '.join(data.names)[:99]}")
    test.names = data.names


def load_test(path, data):
    """Test data of the classes of `data`, as load() returns it, or None.

    path: None means test.p, where it is present and `data` has GTSRB's classes.
    """
    given, path = path, path or data.names == class_names and find_real("test.p")
    if not path:
        return None
    try:
        test = read(path, "test", data.size)
        match_labels(test, data)
    except LabError as error:
        if given:
            raise
        say(f"left out: {error}")
        return None
    known = np.isin(digests(test.images), digests(data.images)).sum()
    if known:
        test.title += f" ({known:,} of {len(test.labels):,} are training or validation images)"
    return test


def digests(images):
    """A hash of each of `images`, bytes (N,)."""
    return np.array([hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest()
                     for image in images], "V16")


def find_copies(images, labels):
    """int (N,), which is equal for equal images, and for nearly equal ones of a copied run.

    A run, the images of a class behind each other, is a copy of an earlier one of that class and
    length if most of its images are like those there, but for brightness and contrast.
    """
    same = np.unique(digests(images), return_inverse=True)[1].reshape(-1)
    runs, firsts, counts = {}, *find_runs(labels)
    if len(firsts) == len(np.unique(labels)):
        return same  # each class is a single run
    for first, count in zip(firsts, counts):
        here = images[first:first + count, ::2, ::2].reshape(count, -1).astype(np.float32)
        here -= here.mean(axis=1, keepdims=True)
        here /= np.linalg.norm(here, axis=1, keepdims=True) + 1e-9
        start, there = runs.setdefault((labels[first], count), (first, here))
        alike = (here * there).sum(axis=1) > 0.95
        if start < first and count >= TRACK and alike.mean() > 0.5:
            same[first:first + count][alike] = same[start:start + count][alike]
    return same


def report_copies(data):
    """Print how many images of `data` occur more than once, on both sides, in two classes."""
    same = find_copies(data.images, data.labels)
    copies = np.bincount(same)[same] > 1  # (N,)
    if copies.any():
        both = np.intersect1d(same[data.training], same[data.validation])
        pairs = np.unique(np.stack([same, data.labels]), axis=1)[0]
        classes = np.flatnonzero(np.bincount(pairs) > 1)
        say(f"{data.path}: {copies.sum():,} images occur more than once, or nearly, "
            f"{np.isin(same, both).sum():,} of them on both sides of the split, "
            f"{np.isin(same, classes).sum():,} in two classes")


def print_split(data, at_random):
    """Print how `data` is split into the indices data.training and data.validation.

    at_random: image by image, whatever their tracks. Reports classes that one of both lacks,
    and copies; raises LabError if one is empty.
    """
    how = f"by its {len(np.unique(data.tracks)):,} tracks"
    if at_random:
        how = "at random"
    elif not data.tracked:
        how = "at random, class by class"
        say(f"{data.path}: shows no tracks{data.why}, so each class is split at random: the "
            "accuracy is optimistic where images of one object are on both sides")
    for part in "training", "validation":
        indices = getattr(data, part)
        if not len(indices):
            raise LabError(f"{data.path}: no images are left for the {part}; give each class two "
                           "or more tracks, or use --random-split")
        absent = np.setdiff1d(data.labels, data.labels[indices])
        if len(absent):
            say(f"{data.path}: too few images or tracks for the split; the {part} has none of "
                f"class {', '.join(map(str, absent))}")
    report_copies(data)
    print(f"{len(data.labels):,} images, split {how}: {len(data.training):,} train the head, "
          f"{len(data.validation):,} validate it\n")
