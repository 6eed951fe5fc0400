"""Load data sets, from pickles and folders of images, and report problems with their split.

Images of one object, such as the frames of a track, look alike. If some of them are used for
training and others for validation, the validation measures memory (data leakage). So each image
has the number of its track, and the training script splits the data by track.
"""
import hashlib
from pathlib import Path

import numpy as np

from data.lab.command import LabError, say
from data.lab.folder import first_tracks, read_folder
from data.lab.gtsrb import CLASSES, TRACK, class_names, find_runs, read_signs
from data.lab.paths import find_real


def read(path, what, size, limit=None):
    """Read the data set at `path`, a folder or a pickled file, as load() describes it."""
    if Path(path).is_dir():
        data = read_folder(path, size, limit)
    elif size != 32:
        raise LabError(f"{path}: its images are 32x32 pixels; to use --size {size}, give a folder "
                       "of images")
    else:
        data = read_signs(path, what)
        if limit:
            keep = first_tracks(data.tracks, data.labels, data.tracked, limit)
            data.images, data.labels, data.tracks = (
                array[keep] for array in (data.images, data.labels, data.tracks))
    data.path, data.size, data.title = path, size, "Test Accuracy"
    return data


def load(path, size, limit=None):
    """Load the training data at `path`, a folder of class folders or a pickled file.

    size: side length of the images in pixels; limit: use only the first `limit` tracks of each
    class. Returns a namespace: images, uint8 (N, size, size, 3); labels, int64 (N,); names, of
    the classes; numbered, whether labels are comparable between data sets; tracks, int (N,);
    tracked, whether they are known (else each image is its own track); why, the reason if not;
    size; path; title, under which its accuracy is printed. Raises LabError if the file is bad,
    or if a class has fewer than two images.
    """
    data = read(path, "train", size, limit)
    counts = np.bincount(data.labels, minlength=len(data.names))
    if not 2 <= len(counts) <= CLASSES:
        raise LabError(f"{path}: has {len(counts)} classes, but needs 2 to {CLASSES:,}; give a "
                       "folder with one folder for each class, or a pickle")
    if counts.min() < 2:
        few = counts.argmin()
        raise LabError(f"{path}: class {few} ({data.names[few]}) needs at least two "
                       f"images, of different objects, but has {counts[few]}; add images")
    if len(set(data.names)) < len(data.names):
        twice = next(name for name in data.names if data.names.count(name) > 1)
        raise LabError(f"{path}: two classes have the same name, {twice!r}; rename one")
    return data


def match_labels(test, data):
    """Change the labels of `test` to those of the same classes in `data`, or raise LabError.

    Classes are matched by name or, if both data sets are numbered, by number.
    """
    used = np.unique(test.labels)
    unknown = [test.names[label] for label in used if test.names[label] not in data.names]
    if not unknown:
        numbers = [data.names.index(name) if name in data.names else 0 for name in test.names]
        test.labels = np.array(numbers)[test.labels]
    elif not (test.numbered and data.numbered and used[-1] < len(data.names)):
        raise LabError(f"{test.path}: the head was not trained on a class named {unknown[0]!r}; "
                       f"use the names of the training data: {', '.join(data.names)[:99]}")
    test.names = data.names


def load_test(path, data):
    """Load test data with the classes of `data`, as load() returns it, or return None.

    path: if None, test.p is used if it is present and `data` has GTSRB's classes.
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
        say(f"test data ignored: {error}")
        return None
    known = np.isin(digests(test.images), digests(data.images)).sum()
    if known:
        test.title += f" ({known:,} of {len(test.labels):,} are training or validation images)"
    return test


def digests(images):
    """Return a hash of each of `images`, bytes (N,)."""
    return np.array([hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest()
                     for image in images], "V16")


def find_copies(images, labels):
    """Return group numbers, int (N,): equal images share one, and so do those of copied runs.

    A run, consecutive images of a class, is a copy if it repeats an earlier run of the same class
    and length, perhaps with another brightness or contrast.
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
    """Print how many images of `data` occur more than once, in both sets, in two classes."""
    same = find_copies(data.images, data.labels)
    copies = np.bincount(same)[same] > 1  # (N,)
    if copies.any():
        both = np.intersect1d(same[data.training], same[data.validation])
        pairs = np.unique(np.stack([same, data.labels]), axis=1)[0]
        classes = np.flatnonzero(np.bincount(pairs) > 1)
        say(f"{data.path}: {copies.sum():,} images are duplicates or near-duplicates; "
            f"{np.isin(same, both).sum():,} of them occur in both training and validation"
            f"{', so the accuracy is optimistic' if len(both) else ''}; "
            f"{np.isin(same, classes).sum():,} have two different labels")


def print_split(data, at_random):
    """Print how `data` is split into the indices data.training and data.validation.

    at_random: whether it is split by image, ignoring tracks. Warns about duplicates, and about
    classes that are missing in a set; raises LabError if a set is empty.
    """
    how = f" in {len(np.unique(data.tracks)):,} tracks, split by track"
    if at_random:
        how = ", split at random"
    elif not data.tracked:
        how = ", split at random within each class"
        say(f"{data.path}: no track information found{data.why}, so each class is split at random; "
            "if several images show the same object, the accuracy is an optimistic estimate")
    for part in "training", "validation":
        indices = getattr(data, part)
        if not len(indices):
            raise LabError(f"{data.path}: no images are left for {part}; give each class at least "
                           "two tracks, or use --random-split")
        absent = np.setdiff1d(data.labels, data.labels[indices])
        if len(absent):
            say(f"{data.path}: too few images or tracks to split; the {part} set has no images of "
                f"class {', '.join(map(str, absent))}; add images of more objects")
    report_copies(data)
    print(f"{len(data.labels):,} images{how}: {len(data.training):,} for training, "
          f"{len(data.validation):,} for validation\n")
