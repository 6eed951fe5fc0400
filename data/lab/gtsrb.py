"""The German Traffic Sign Recognition Benchmark: its classes, files and tracks.

Its frames come in tracks: 30 frames of one physical sign, taken while the car approaches.
"""
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from data.lab.command import LabError
from data.lab.safe_pickle import dictionary, load, read_file, read_names, unwrap

TRACK = 30  # frames
CLASSES = 1000  # at most

class_names = Path(__file__).with_name("gtsrb_classes.txt").read_text("utf-8").splitlines()


def numbers(signs, key, high):
    """The array `key` of a data set; its values reach from 0 to `high`."""
    if key not in signs:
        raise LabError(f"the key {key} is missing")
    array = unwrap(signs[key], key)
    if isinstance(array, list) or array.dtype.kind not in "uif":
        raise LabError(f"{key} have dtype {getattr(array, 'dtype', 'object')}, not numbers")
    if not array.size:
        raise LabError("contains no images")
    least, most = array.min(), array.max()
    if not np.isfinite([least, most]).all():
        raise LabError(f"{key} hold values that are not finite (NaN or infinite)")
    if least < 0 or most > high:
        raise LabError(f"{key} must be between 0 and {high}, but range from {least} to {most}")
    if key == "features" and array.dtype.kind == "f" and most <= 1:
        raise LabError("features range from 0 to 1, not from 0 to 255: multiply them by 255")
    return array


def whole_numbers(signs, key, high, count):
    """The array `key` of a data set of `count` images as int64 (count,)."""
    array = numbers(signs, key, high)
    if array.shape != (count,):
        raise LabError(f"{count} images, but {key} of shape {array.shape}")
    if (array % 1).any():
        raise LabError(f"{key} are not integers")
    return array.astype(np.int64)


def starts_of_tracks(jump):
    """Return the indices at which the tracks of a class begin, at 30 frames each.

    jump: (count,), how much each image differs from the one before. One track may have fewer
    frames: that for which the images differ most from track to track. (Of 100 classes of GTSRB
    that lose a frame, in 96 all tracks are right; in 4 up to three begin a frame too early or
    too late.)
    """
    whole = np.arange(0, len(jump), TRACK)
    # The tracks after the short one begin earlier.
    shifted = [whole - (whole > before) * (-len(jump) % TRACK) for before in whole]
    return max(shifted, key=lambda starts: jump[starts[1:]].sum())


def find_runs(labels):
    """Return where the runs of equal `labels` begin, and how long they are: int (runs,) each."""
    firsts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    return firsts, np.diff(np.r_[firsts, len(labels)])


def find_tracks(features, labels):
    """Return the number of each image's track, int (N,), or None if that cannot be known.

    features: uint8 (N, 32, 32, 3); labels: int (N,). The images of a class must stand
    together, in two or more tracks of 30 frames, and differ more from track to track than
    inside a track. One track in all may have 29 frames, as one of GTSRB's class 33 has.
    """
    small = features[:, ::2, ::2, 1].reshape(len(features), -1).astype(np.int16)
    small -= small.mean(axis=1, keepdims=True).astype(np.int16)
    jump = np.r_[0, np.abs(np.diff(small, axis=0)).mean(axis=1)]  # (N,), to the image before

    firsts, counts = find_runs(labels)
    copied = len(np.unique(labels[firsts])) < len(firsts)  # appended, perhaps augmented
    if copied or (-counts % TRACK).sum() > 1 or counts.min() <= TRACK:
        return None
    is_start = np.zeros(len(labels), bool)
    for first, count in zip(firsts, counts):
        own = jump[first:first + count]
        starts = starts_of_tracks(own)
        if np.median(own[starts[1:]]) <= 1.5 * np.median(np.delete(own, starts)):
            return None
        is_start[first + starts] = True
    return np.cumsum(is_start) - 1


def read_signs(path, what="train"):
    """Read a pickled data set such as GTSRB's train.p, as a namespace.

    Returns images: uint8 (N, 32, 32, 3) RGB; labels: int64 (N,) from 0; names: one for each
    class, from the key `names`, GTSRB's for 43 classes, else "class 0" and so on; numbered:
    whether it has no own names; tracks: the number of each image's track, int64 (N,),
    from the key `tracks` or as find_tracks finds it, else each image is its own track; tracked:
    whether the tracks are known. Raises LabError, with one line to show, when the file is bad.
    """

    def read(file):
        signs = dictionary(load(file), "features and labels")
        images = numbers(signs, "features", 255)
        if images.ndim != 4 or images.shape[1:] != (32, 32, 3):
            raise LabError(f"features have shape {images.shape}, not (images, 32, 32, 3)")
        if images.dtype.kind == "f":
            images = np.rint(images, np.empty(images.shape, np.uint8), casting="unsafe")
        images = images.astype(np.uint8, copy=False)
        labels = whole_numbers(signs, "labels", CLASSES - 1, len(images))
        count = labels.max() + 1
        own = read_names(signs, count)
        names = own or (class_names if count == 43 else [f"class {i}" for i in range(count)])
        if "tracks" in signs:  # they may be counted from 0 in each class
            tracks = whole_numbers(signs, "tracks", 2**31 - 1, len(images))
            pairs = np.stack([labels, tracks])
            tracks = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)
        else:
            tracks = find_tracks(images, labels)
        tracked = tracks is not None
        return SimpleNamespace(images=images, labels=labels, names=names, numbered=not own,
                               tracks=tracks if tracked else np.arange(len(images)),
                               tracked=tracked, why="")

    return read_file(path, what, read)
