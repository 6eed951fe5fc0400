"""The German Traffic Sign Recognition Benchmark: its classes, files and tracks.

Its frames come in tracks: 30 frames of one physical sign, taken while the car approaches.
"""
import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from data.lab import safe_pickle
from data.lab.command import LabError
from data.lab.weights import content, dictionary, read_file, read_names

TRACK = 30  # frames
CLASSES = 1000  # at most

class_names = Path(__file__).with_name("gtsrb_classes.txt").read_text("utf-8").splitlines()


def numbers(signs, key, high):
    """The array `key` of a data set; its values reach from 0 to `high`."""
    if key not in signs:
        raise LabError(f"the key {key} is missing")
    array = content(signs[key], key)
    if isinstance(array, list) or array.dtype.kind not in "uif":
        raise LabError(f"{key} have dtype {getattr(array, 'dtype', object)}, not numbers")
    if not array.size:
        raise LabError("it holds no images")
    least, most = array.min(), array.max()
    if not np.isfinite([least, most]).all():
        raise LabError(f"{key} hold values that are not finite (NaN or infinite)")
    if least < 0 or most > high:
        raise LabError(f"{key} reach from {least} to {most}, not 0 to {high}")
    if key == "features" and array.dtype.kind == "f" and most <= 1:
        raise LabError("features reach from 0 to 1, not 0 to 255: multiply them by 255")
    return array


def whole_numbers(signs, key, high, count):
    """The array `key` of a data set of `count` images as int64 (count,)."""
    array = numbers(signs, key, high)
    if array.shape != (count,):
        raise LabError(f"{count} images, but {key} of shape {array.shape}")
    if (array % 1).any():
        raise LabError(f"{key} are not whole numbers")
    return array.astype(np.int64)


def starts_of_tracks(jump, count):
    """Where the tracks of a class of `count` images begin, at 30 frames each.

    One of them may lack a frame: the pictures tell which, for they change more from track to
    track than inside one. jump: (count,), how much each differs from the one before. Where
    two answers are nearly as good, the tracks between them are taken as one.
    """
    whole = np.arange(0, count, TRACK)
    # The tracks behind the short one begin earlier.
    shifted = [whole - (whole > before) * (-count % TRACK) for before in whole]
    scores = [jump[starts[1:]].sum() for starts in shifted]
    good = max(scores) - 1.5 * np.median(jump[1:])  # 1 in 100 is off by a frame on GTSRB
    return functools.reduce(
        np.intersect1d, [starts for starts, score in zip(shifted, scores) if score > good])


def find_tracks(features, labels):
    """The number of each image's track, int (N,), or None where that cannot be known.

    features: uint8 (N, 32, 32, 3); labels: int (N,). The images of a class must stand
    together, in whole tracks of 30 frames, and change more between tracks than inside. One
    track may have 29, as one of GTSRB's class 33 has.
    """
    small = features[:, ::2, ::2, 1].reshape(len(features), -1).astype(np.int16)
    small -= small.mean(axis=1, keepdims=True).astype(np.int16)
    jump = np.r_[0, np.abs(np.diff(small, axis=0)).mean(axis=1)]  # (N,), to the image before

    firsts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    counts = np.diff(np.r_[firsts, len(labels)])
    if (-counts % TRACK).sum() > 1:
        return None
    is_start = np.zeros(len(labels), bool)
    for first, count in zip(firsts, counts):
        own = jump[first:first + count]
        starts = starts_of_tracks(own, count)
        inside = np.delete(own, starts)
        if len(starts) > 1 and np.median(own[starts[1:]]) < 1.5 * np.median(inside):
            return None
        is_start[first + starts] = True
    return np.cumsum(is_start) - 1


def read_signs(path, what="train", names=None):
    """A pickled data set such as GTSRB's train.p, as a namespace.

    names: the classes that the labels may be of, for a test set; else they are found.
    images: uint8 (N, 32, 32, 3) RGB; labels: int64 (N,) from 0; names: one for each class,
    from the key `names`, GTSRB's for 43 classes, else "class 0" and so on; tracks: the
    number of each image's track, int64 (N,), from the key `tracks` or as find_tracks finds
    it. Raises LabError, with one line to show, when the file is bad.
    """

    def read(file):
        signs = dictionary(safe_pickle.load(file), "features and labels")
        images = numbers(signs, "features", 255)
        if images.ndim != 4 or images.shape[1:] != (32, 32, 3):
            raise LabError(f"features have shape {images.shape}, not (images, 32, 32, 3)")
        if images.dtype.kind == "f":
            images = np.rint(images, np.empty(images.shape, np.uint8), casting="unsafe")
        images = images.astype(np.uint8, copy=False)
        labels = whole_numbers(signs, "labels", len(names or range(CLASSES)) - 1, len(images))
        count = labels.max() + 1
        found = names or read_names(signs, count) or (
            class_names if count == 43 else [f"class {i}" for i in range(count)])
        tracks = find_tracks(images, labels)
        if "tracks" in signs:  # they may be counted from 0 in each class
            tracks = whole_numbers(signs, "tracks", 2**31 - 1, len(images))
            pairs = np.stack([labels, tracks])
            tracks = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)
        return SimpleNamespace(images=images, labels=labels, names=found, tracks=tracks)

    return read_file(path, what, read)
