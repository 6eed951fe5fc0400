"""A data set: a pickled file or a folder of pictures, and its honest split.

Pictures of one object, such as the frames of a track, look alike; with some of them in
training and others in validation, the validation measures memory (data leakage). An honest
split keeps them together.
"""
import hashlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from data.lab.batches import batches
from data.lab.command import LabError, printable
from data.lab.gtsrb import CLASSES, TRACK, class_names, read_signs
from data.lab.paths import find_real
from data.lab.pictures import SUFFIXES, read_picture, read_pictures
from data.lab.standin import find

VALIDATION = 0.33  # of each class's tracks, rounded; of its images where tracks are not known


class Pictures:
    """Pictures that are read when they are asked for: pictures[i] is uint8 (n, size, size, 3)."""

    def __init__(self, paths, size, digests):
        """digests: SHA-256 of each picture's pixels, uint8 (N, 32)."""
        self.paths, self.size, self.digests = paths, size, digests

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return read_pictures(self.paths[i], self.size)

    def take(self, indices, axis=0):
        """The Pictures `indices`, as an array's method of this name."""
        return Pictures(self.paths[indices], self.size, self.digests[indices])


def find_names(folders):
    """The classes' names: those of the folders, or of GTSRB's classes 00000 to 00042."""
    names = [printable(folder.name) for folder in folders]
    numbers = [int(name) for name in names if re.fullmatch(r"000\d\d", name)]
    german = len(numbers) == len(names) and max(numbers, default=43) < len(class_names)
    return [class_names[number] for number in numbers] if german else names


def tracks_in_names(paths, labels):
    """The number of each picture's track, int (N,), or None where the names show none.

    The track is what stands before the last `_`, as in GTSRB's 00003_00017.ppm, in each
    class for itself. A class of one track, or nothing but tracks of one picture, show that
    the names mean something else, such as IMG_0001.jpg.
    """
    starts = [path.stem.rpartition("_")[0] for path in paths]
    found, tracks = np.unique(
        [f"{label} {start}" for label, start in zip(labels, starts)], return_inverse=True)
    in_class = np.bincount([int(name.split(" ")[0]) for name in found])
    return tracks if all(starts) and len(found) < len(paths) and in_class.min() > 1 else None


def read_folder(path, size, names=None):
    """A folder of folders of pictures, one for each class, as a namespace.

    size: to which the pictures are resized, in pixels along a side; names: the classes that
    the folders may be of, for a test set; else they are the folders' names.
    images: Pictures; labels: int64 (N,); names; tracks: int (N,) or None.
    A picture that cannot be read is told and left out; hidden files are left out.
    """
    folders = sorted(f for f in Path(path).iterdir() if f.is_dir() and f.name[0] != ".")
    found = find_names(folders)
    unknown = [name for name in found if names and name not in names]
    if unknown:
        raise LabError(f"{path}: the head was trained on no class {unknown[0]}; give folders of "
                       "the training's names")
    files = [(file, (names or found).index(name)) for name, folder in zip(found, folders)
             for file in sorted(folder.iterdir())
             if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
    good, digests = [], []
    for (file_and_label,) in batches(files, 1):
        try:
            digests.append(hashlib.sha256(read_picture(file_and_label[0], size)).digest())
            good.append(file_and_label)
        except LabError as error:
            print(f"left out: {printable(error)}", file=sys.stderr)
    if not good:
        raise LabError(f"{path}: holds no pictures in folders; give one folder for each class")
    if len(good) < len(files):
        print(f"{path}: {len(files) - len(good):,} of {len(files):,} pictures are left out",
              file=sys.stderr)
    paths, labels = (np.array(column) for column in zip(*good))
    digests = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    return SimpleNamespace(images=Pictures(paths, size, digests), labels=labels,
                           names=names or found, tracks=tracks_in_names(paths, labels))


def read(path, what, size, names=None):
    """The data set at `path`, a folder or a pickled file, as read_folder and read_signs do."""
    if Path(path).is_dir():
        return read_folder(path, size, names)
    if size != 32:
        raise LabError(f"{path}: its images have 32x32 pixels; --size {size} needs a folder of "
                       "pictures")
    return read_signs(path, what, names)


def choose_tracks(tracks, labels, choose):
    """bool (N,): whether an image's track is of those that `choose` takes of its class's."""
    chosen = [choose(np.unique(tracks[labels == label])) for label in np.unique(labels)]
    return np.isin(tracks, np.concatenate(chosen))


def split_by_track(tracks, labels, rng):
    """(training indices, validation indices): VALIDATION of each class's tracks validate.

    At least one track of a class trains it; a class of a single track is not validated.
    """

    def choose(own):
        return rng.permutation(own)[:min(max(round(VALIDATION * len(own)), 1), len(own) - 1)]

    validates = choose_tracks(tracks, labels, choose)
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def split_at_random(labels, rng):
    """(training indices, validation indices), the course's way: image by image."""
    order = rng.permutation(len(labels))
    count = round(VALIDATION * len(labels))
    return np.sort(order[count:]), np.sort(order[:count])


def load(args, rng):
    """The data set that `args`, the training's, ask for, split as they say; prints how.

    Returns what read() does, the indices `training` and `validation`, `test`, such a data
    set or None, and `size` and `extra`, what a head's file tells of its classes, in one
    namespace.
    """
    path = args.train or find("train.p")
    data = read(path, "train", args.size)
    counts = np.bincount(data.labels, minlength=len(data.names))
    if not 2 <= len(counts) <= CLASSES:
        raise LabError(f"{path}: has {len(counts)} classes; give 2 to {CLASSES:,}, in a folder "
                       "of folders one for each class")
    if counts.min() < 2:
        few = counts.argmin()
        raise LabError(f"{path}: class {few} ({data.names[few]}) has {counts[few]} images; "
                       "give each class two or more, from different tracks")
    tracks = np.arange(len(data.labels)) if data.tracks is None else data.tracks
    if args.limit:
        limit = args.limit * (TRACK if data.tracks is None else 1)
        (chosen,) = np.nonzero(choose_tracks(tracks, data.labels, lambda own: own[:limit]))
        data.images, data.labels = data.images.take(chosen, axis=0), data.labels[chosen]
        tracks = tracks[chosen]
        data.tracks = None if data.tracks is None else tracks
    if args.random_split:
        how, split = "at random", split_at_random(data.labels, rng)
    else:
        how = f"by its {len(np.unique(tracks)):,} tracks"
        split = split_by_track(tracks, data.labels, rng)
        if data.tracks is None:
            how = "at random, class by class"
            print(f"{path}: shows no tracks, so each class is split at random: the accuracy is "
                  "optimistic where images of one object are on both sides", file=sys.stderr)
    data.training, data.validation = split
    for part in "training", "validation":
        absent = np.setdiff1d(data.labels, data.labels[getattr(data, part)])
        if len(absent):
            print(f"{path}: too few images or tracks for the split; the {part} has none of "
                  f"class {', '.join(map(str, absent))}", file=sys.stderr)
    print(f"{len(data.labels):,} images, split {how}: {len(data.training):,} train the head, "
          f"{len(data.validation):,} validate it\n")
    test = args.test or (data.names == class_names and find_real("test.p"))
    data.test = read(test, "test", args.size, data.names) if test else None
    data.size, data.extra = args.size, {}
    if data.names != class_names:
        data.extra["names"] = data.names
    if data.size != 32:
        data.extra["size"] = data.size
    return data


def two_pictures(data):
    """Two pictures to try a new head on, uint8 (2, size, size, 3).

    For GTSRB's classes the course's, for others two that validate.
    """
    if data.names == class_names and data.size == 32:
        return read_pictures(map(find, ("construction.jpg", "stop.jpg")), 32)
    return data.images[data.validation[[0, -1]]]
