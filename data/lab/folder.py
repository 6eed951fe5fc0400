"""Read a data set from a folder with one subfolder of images per class."""
import hashlib
import os
import re
import shlex
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL

from data.lab import cache
from data.lab.batches import batches
from data.lab.command import LabError, printable, say
from data.lab.gtsrb import TRACK, class_names
from data.lab.images import SUFFIXES, read_image

COMPANIONS = (".csv", ".txt", ".json", ".xml", ".db", ".ini")  # often stored next to images


def images_in(folder, everywhere=False):
    """Return the images in `folder`, sorted; everywhere: also those in its subfolders."""
    found = folder.rglob("*") if everywhere else folder.iterdir()
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES
                  and file.name[0] != "." and file.is_file())


def subfolders(folder):
    """Return the folders in `folder` that may be classes: numbers by value, then names."""
    found = [f for f in folder.iterdir()
             if f.is_dir() and f.name[0] != "." and f.name != "__MACOSX"]
    return sorted(found, key=lambda f: (
        int(f.name) if f.name.isdecimal() else float("inf"), f.name))


def find_classes(path):
    """Return {class folder: its images} of the folder `path`, in the order of the labels.

    Raises LabError unless `path` contains class folders; suggests a nearby folder that does.
    """
    images = {folder: images_in(folder) for folder in subfolders(path)}
    classes = {folder: found for folder, found in images.items() if found}
    inner = [f for f in images if f not in classes and any(map(images_in, subfolders(f)))]
    train = [f for f in inner if f.name.lower().startswith("train")]
    if train or inner and len(inner) >= len(classes):
        others = [f for f in inner if f.name.lower().startswith(("val", "test"))]
        train = train or [f for f in inner if f not in others] or [others.pop()]
        meant = ["--train", str(train[0])] + (["--test", str(others[0])] if others else [])
        raise LabError(f"{path}: the class folders are one level deeper; use {shlex.join(meant)}")
    if not classes:
        meant = "give a folder that contains one folder of images per class"
        if images_in(path):
            meant = f"give its parent, {path.resolve().parent}"
        elif deeper := images_in(path, everywhere=True):
            meant = f"perhaps give {deeper[0].parent.parent}"
        raise LabError(f"{path}: found no class folders with images; {meant}")
    return classes


def find_names(folders):
    """Return the classes' names, and whether the folders are numbered 0, 1, 2, ... in order.

    The names are those of the folders, but GTSRB's if the folders are exactly 0 to 42, or if all
    have five-digit names from 00000 to 00042.
    """
    names = [unicodedata.normalize("NFC", printable(folder.name))[:200] for folder in folders]
    numbers = [int(name) for name in names if name.isdecimal()]
    in_order = numbers == list(range(len(names)))
    gtsrb = all(re.fullmatch("000[0-4][0-9]", name) for name in names) and max(numbers) < 43
    if gtsrb or in_order and len(names) == 43:
        names = [class_names[number] for number in numbers]
    return names, in_order


def tracks_in_names(files, labels, names):
    """Return the number of each image's track, or None and why the file names show no tracks.

    The track is the part before the last `_`, as in GTSRB's 00003_00017.ppm, separately in each
    class. Other names, such as IMG_0001.jpg, may look alike. They are not tracks if a class would
    have only one, if each image would be its own, or if sizes vary too much: if a class's
    smallest third holds under 20% of its images, or its largest third over 60%.
    """
    starts = [file.stem.rpartition("_")[0] for file in files]
    found, first, tracks, sizes = np.unique(
        [f"{label} {start}" for label, start in zip(labels, starts)],
        return_index=True, return_inverse=True, return_counts=True)
    if not all(starts) or len(found) == len(files):
        return None, ""
    classes = labels[first]
    for label in np.unique(classes):
        own = np.sort(sizes[classes == label])
        third = max(1, round(len(own) / 3))
        least, most = own[:third].sum() / own.sum(), own[-third:].sum() / own.sum()
        if len(own) == 1 or least < 0.2 or most > 0.6:
            return None, (f" (by the file names, class {names[label]} would have {len(own)}, of "
                          f"{own[0]} to {own[-1]} images)")
    return tracks, ""


def digest(file):
    """Return the SHA-256 of the content of `file`, or of what can be read of it."""
    found = hashlib.sha256()
    try:
        with open(file, "rb") as opened:
            for block in iter(lambda: opened.read(1 << 20), b""):
                found.update(block)
    except OSError:
        pass
    return found.digest()


def decode(files, size):
    """Decode `files`; return uint8 (N, size, size, 3), and the indices of those that could be read.

    Each file is decoded once, in threads, into a file in data/cache/, which is mapped into
    memory. Its name is a hash of the contents of `files`, the size and Pillow's version. Files
    that cannot be read are left out.
    """

    def read(file):
        try:
            return read_image(file, size), True
        except LabError:
            return np.zeros((size, size, 3), np.uint8), False

    def fill(key, count, compute):
        kind = np.dtype([("pixels", "u1", (size, size, 3)), ("good", "?")])
        key = cache.make_key(np.frombuffer(key, np.uint8))
        return cache.fill("images", key, (kind, ()), count, compute,
                          "free some space, or run with --limit")

    version = f"{size} {PIL.__version__} "  # the next Pillow may decode in another way
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = [found for batch in batches(files) for found in pool.map(digest, batch)]
        key = version.encode() + b"".join(digests)
        rows = fill(key, len(files), lambda batch: [
            *pool.map(read, files[batch.start:batch.stop])])
    good = np.flatnonzero([bool(row["good"]) for row in rows])
    if 0 < len(good) < len(files):
        everything = rows
        rows = fill(key + good.tobytes(), len(good),
                    lambda batch: everything[good[batch.start:batch.stop]])
    return np.memmap.__getitem__(rows, "pixels"), good  # a view: rows["pixels"] would be a copy


def report_left_out(path, classes):
    """Print which files and folders in `path` are not used; classes: {folder: its images}."""
    others = Counter(file.suffix.lower() or "no suffix" for folder in classes
                     for file in folder.iterdir() if file.is_file() and file.name[0] != "."
                     and file.suffix.lower() not in (*SUFFIXES, *COMPANIONS))
    below = sum(len(images_in(folder, everywhere=True)) - len(images)
                for folder, images in classes.items())
    empty = [printable(f.name) for f in sorted(path.iterdir())
             if f.is_dir() and f not in classes and (f.name[0] != "." or images_in(f))]
    for count, what in ((sum(others.values()), "files of unsupported types (" + ", ".join(
            f"{kind} {others[kind]}" for kind in sorted(others, key=lambda k: (-others[k], k))[:9])
                         + ")"),
                        (below, "images in subfolders of the class folders"),
                        (len(empty), f"folders that are not classes ({', '.join(empty)})")):
        if count:
            say(f"{path}: ignored {count} {what}")


def first_tracks(tracks, labels, tracked, limit):
    """Return the indices of the images in the first `limit` tracks of each class.

    Unless tracks are known (`tracked`), take the first limit * 30 images of each class instead.
    """
    limit *= 1 if tracked else TRACK
    firsts = [np.unique(tracks[labels == label])[:limit] for label in np.unique(labels)]
    return np.flatnonzero(np.isin(tracks, np.concatenate(firsts)))


def read_folder(path, size, limit=None):
    """Read the folder of class folders at `path`, as dataset.load describes it.

    The classes are named after the folders. Reports what is not an image or cannot be read.
    """
    path = Path(path)
    classes = find_classes(path)
    report_left_out(path, classes)
    names, numbered = find_names(classes)
    files, labels = map(np.array, zip(*(
        (file, label) for label, images in enumerate(classes.values()) for file in images)))
    tracks, why = tracks_in_names(files, labels, names)
    tracked = tracks is not None
    tracks = tracks if tracked else np.arange(len(files))
    if limit:
        keep = first_tracks(tracks, labels, tracked, limit)
        files, labels, tracks = files[keep], labels[keep], tracks[keep]
    images, good = decode(files, size)
    for file in np.delete(files, good):
        try:
            read_image(file, size)
        except LabError as error:
            say(f"ignored: {printable(error)}")
    if len(good) < len(files):
        say(f"{path}: ignored {len(files) - len(good):,} of {len(files):,} images")
    if not len(good):
        raise LabError(f"{path}: none of its images can be read, as reported above; replace them")
    return SimpleNamespace(images=images, labels=labels[good], names=names, numbered=numbered,
                           tracks=tracks[good], tracked=tracked, why=why)
