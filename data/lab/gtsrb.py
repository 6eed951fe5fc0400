"""The German Traffic Sign Recognition Benchmark: classes, files, tracks, honest splits.

GTSRB's frames come in tracks: 30 frames of one physical sign, taken while the car
approaches. Frames of one track look alike; with some of them in training and others in
validation, the validation measures memory (data leakage). An honest split keeps tracks
whole.
"""
import functools
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from data.lab import safe_pickle
from data.lab.command import LabError
from data.lab.paths import find_real
from data.lab.weights import content, dictionary, read_file

TRACK = 30  # frames
VALIDATION = 0.33  # of each class's tracks, rounded; of the images where tracks are not known

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


def read_signs(path, what="train"):
    """A pickled GTSRB file such as train.p, as a namespace.

    images: uint8 (N, 32, 32, 3) RGB; labels: int64 (N,) from 0 to 42; tracks: the number of
    each image's track, int64 (N,), from the key `tracks` or as find_tracks finds it.
    Raises LabError, with one line to show, when the file is bad.
    """

    def read(file):
        signs = dictionary(safe_pickle.load(file), "features and labels")
        images = numbers(signs, "features", 255)
        if images.ndim != 4 or images.shape[1:] != (32, 32, 3):
            raise LabError(f"features have shape {images.shape}, not (images, 32, 32, 3)")
        if images.dtype.kind == "f":
            images = np.rint(images, np.empty(images.shape, np.uint8), casting="unsafe")
        images = images.astype(np.uint8, copy=False)
        labels = whole_numbers(signs, "labels", len(class_names) - 1, len(images))
        if "tracks" not in signs:
            return SimpleNamespace(images=images, labels=labels, tracks=find_tracks(images, labels))
        # They may be counted from 0 in each class.
        tracks = np.stack([labels, whole_numbers(signs, "tracks", 2**31 - 1, len(images))])
        tracks = np.unique(tracks, axis=1, return_inverse=True)[1].reshape(-1)
        return SimpleNamespace(images=images, labels=labels, tracks=tracks)

    return read_file(path, what, read)


def first_tracks(tracks, labels, limit):
    """Indices of the first `limit` tracks of each class; without tracks, of 30 * limit images."""
    chosen = []
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        if tracks is None:
            chosen.append(members[:limit * TRACK])
        else:
            chosen.append(members[np.isin(tracks[members], np.unique(tracks[members])[:limit])])
    return np.concatenate(chosen)


def split_by_track(tracks, labels, rng):
    """(training indices, validation indices): VALIDATION of each class's tracks validate.

    At least one track of a class trains it; a class of a single track is not validated.
    """
    validates = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = np.unique(tracks[labels == label])
        count = min(max(round(VALIDATION * len(own)), 1), len(own) - 1)
        validates |= np.isin(tracks, rng.permutation(own)[:count])
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def split_at_random(labels, rng):
    """(training indices, validation indices), the course's way: image by image."""
    order = rng.permutation(len(labels))
    count = round(VALIDATION * len(labels))
    return np.sort(order[count:]), np.sort(order[:count])


def load(path, args, rng):
    """The data set at `path`, split as `args` says, the training's; prints how.

    Returns images uint8 (N, 32, 32, 3), labels (N,), tracks (N,) or None, the classes'
    names, the indices `training` and `validation`, and `test`, None or as read_signs gives
    it, as a namespace.
    """
    signs = read_signs(path)
    images, labels, tracks = signs.images, signs.labels, signs.tracks
    for label, count in enumerate(np.bincount(labels, minlength=len(class_names))):
        if count < 2:
            raise LabError(f"{path}: class {label} ({class_names[label]}) has {count} images; "
                           "give each class two or more, from different tracks")
    if args.limit:
        chosen = first_tracks(tracks, labels, args.limit)
        images, labels = images[chosen], labels[chosen]
        tracks = tracks if tracks is None else tracks[chosen]
    if tracks is None and not args.random_split:
        print(f"{path}: its order shows no tracks, so it is split at random: the accuracy is "
              "optimistic where images of one sign are on both sides", file=sys.stderr)
    if tracks is None or args.random_split:
        how, split = "at random", split_at_random(labels, rng)
    else:
        how = f"by its {len(np.unique(tracks)):,} tracks"
        split = split_by_track(tracks, labels, rng)
    for part, indices in zip(("training", "validation"), split):
        absent = np.setdiff1d(labels, labels[indices])
        if len(absent):
            print(f"{path}: too few images or tracks for the split; the {part} has none of "
                  f"class {', '.join(map(str, absent))}", file=sys.stderr)
    training, validation = split
    print(f"{len(images):,} images, split {how}: {len(training):,} train the head, "
          f"{len(validation):,} validate it\n")
    test = args.test or find_real("test.p")
    return SimpleNamespace(
        images=images, labels=labels, tracks=tracks, names=class_names, training=training,
        validation=validation, test=test and read_signs(test, "test"))
