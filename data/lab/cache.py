"""Compute a value once per image, its fc7 or its decoded pixels, and store it on disk.

A cache file contains one row per image, in order, so that a later run can resume an interrupted
one. There are no locks: all runs of the same code write the same rows at the same positions.
"""
import hashlib
import mmap
import os
import zlib

import numpy as np

from data.lab import paths
from data.lab.batches import BATCH, batches


class Mapped(np.memmap):
    """A memory-mapped array that copies what is read, so that its pages can be released."""

    def __getitem__(self, index):
        found = np.array(super().__getitem__(index))
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self._mmap.madvise(mmap.MADV_DONTNEED)
        return found


def make_key(*arrays):
    """Return a hash of the content of `arrays`."""
    digest = hashlib.sha256()
    for array in arrays:
        for start in range(0, len(array), BATCH):  # so that a mapped array is never copied whole
            digest.update(np.ascontiguousarray(array[start:start + BATCH]))
    return digest.hexdigest()[:20]


def checksum(key, number, value):
    """Return the CRC-32 of the cache's key, the row's number and its value.

    So a row that is damaged, half written, misplaced, or belongs to other images is never used.
    """
    return zlib.crc32(np.ascontiguousarray(value), zlib.crc32(f"{key} {number}".encode()))


def count_rows(file, key, row, count):
    """Return how many valid rows the open `file` starts with, and the last of them."""
    done, last = 0, None
    while done < count and len(content := file.read(row.itemsize)) == row.itemsize:
        (new,) = np.frombuffer(content, row)
        if new["checksum"] != checksum(key, done, new["value"]):
            break
        done, last = done + 1, new["value"]
    return done, last


def fill(name, key, value, count, compute, fix, agrees=lambda number, last: True):
    """Complete the file data/cache/NAME-KEY.rows; return its values, mapped into memory.

    value: (dtype, shape) of the value of each of `count` images; compute: a range of image
    numbers -> their values. An interrupted run resumes, unless agrees(number, value) rejects the
    last stored value; then all are computed again. fix: the advice in the LabError that is
    raised, before any work, if there is not enough disk space.
    """
    row = np.dtype([("value", *value), ("checksum", "<u4")])
    path = paths.make_folder(paths.DATA / "cache") / f"{name}-{key}.rows"
    path.touch()
    with open(path, "rb") as file:
        done, last = count_rows(file, key, row, count)
    if done and not agrees(done - 1, last):
        # Not overwritten: if this run breaks off, old and new rows must not mix.
        path.unlink(missing_ok=True)
        path.touch()
        done = 0
    with open(path, "r+b") as file:
        paths.need_room(path.parent, count * row.itemsize - path.stat().st_size,
                        f"for {path.name}", fix)
        with paths.report_full_disk(path):
            file.seek(done * row.itemsize)
            for batch in batches(range(count), done=done):
                rows = np.empty(len(batch), row)
                rows["value"] = compute(batch)
                for number, new in zip(batch, rows):
                    new["checksum"] = checksum(key, number, new["value"])
                file.write(rows)
                file.flush()  # a killed run loses at most one batch
            os.fsync(file.fileno())
        return np.memmap(file, row, "r", shape=count)["value"].view(Mapped)


def cached(images, weights, extract):
    """Return a function: indices (n,) -> fc7 of these images, float32 (n, 4096).

    images: uint8 (N, size, size, 3); weights: {layer: [W, b]}; extract: a batch of images ->
    their fc7. If `extract` now returns different features for the last row, the script's steps
    from image to fc7 have changed, and all rows are computed again.
    """

    def agrees(number, last):
        now = extract(images[number:number + 1])
        return np.allclose(now, last, rtol=1e-3, atol=1e-3 * np.abs(now).max())

    key = make_key(images, *(array for name in sorted(weights) for array in weights[name]))
    rows = fill("fc7", key, ("<f4", 4096), len(images),
                lambda batch: extract(images[batch.start:batch.stop]),
                "free some space, or run with --limit or --no-cache", agrees)
    return lambda indices: rows[indices]
