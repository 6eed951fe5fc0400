"""Bottleneck features: fc7 of every image, computed once and kept on disk.

The frozen network gives the same fc7 for the same image in every epoch, so one pass over
the images is enough. A cache file is nothing but a row for each image, so its size tells
how far a pass came; the rows are read as they are needed, and memory stays flat.
"""
import hashlib
import os
import zlib

import numpy as np

from data.lab import paths
from data.lab.batches import batches

# The checksum is CRC-32 of the cache's key, the row's number and its features: a row that is
# damaged, half written, at another's place or of other images is never served.
ROW = np.dtype([("fc7", "<f4", 4096), ("checksum", "<u4")])


def make_key(images, weights):
    """A hash of the images, or of their digests, and of the weights, {layer: [W, b]}."""
    digest = hashlib.sha256()
    arrays = [array for name in sorted(weights) for array in weights[name]]
    for array in [getattr(images, "digests", images), *arrays]:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:20]


def checksum(key, number, features):
    return zlib.crc32(np.ascontiguousarray(features), zlib.crc32(f"{key} {number}".encode()))


def count_rows(file, key, images, extract):
    """How many rows of the open `file`, from the first on, hold fc7 of `images`.

    None do when the network now gives other features for the last of them: then the
    script's steps from image to fc7 have changed.
    """
    file.seek(0)
    count, row = 0, None
    while count < len(images) and len(content := file.read(ROW.itemsize)) == ROW.itemsize:
        (new,) = np.frombuffer(content, ROW)
        if new["checksum"] != checksum(key, count, new["fc7"]):
            break
        count, row = count + 1, new
    if count:
        now = extract(images[count - 1:count])
        if not np.allclose(now, row["fc7"], rtol=1e-3, atol=1e-3 * np.abs(now).max()):
            return 0
    return count


def fill(file, key, images, extract):
    """Write the rows that `file`, which is locked, does not have yet."""
    done = count_rows(file, key, images, extract)  # another run may have written some
    file.truncate(done * ROW.itemsize)
    paths.need_room(os.path.dirname(file.name), (len(images) - done) * ROW.itemsize,
                    "for the bottleneck features",
                    "free some space, or run with --limit or --no-cache")
    with paths.full_disk_is_told(file.name):
        for batch in batches(images, done=done):
            rows = np.empty(len(batch), ROW)
            rows["fc7"] = extract(batch)
            for row in rows:
                row["checksum"] = checksum(key, done, row["fc7"])
                done += 1
            file.write(rows)
            file.flush()  # a run that is killed has lost no more than one batch
        os.fsync(file.fileno())


def cached(images, weights, extract):
    """A function: indices (n,) -> fc7 of these images, float32 (n, 4096).

    images: uint8 (N, size, size, 3), or Pictures; weights: {layer: [W, b]}; extract: a batch of
    images -> their fc7. What an interrupted run left is continued; two runs at once share the
    work of the first. Raises LabError, before any work, when the disk has too little room.
    """
    key = make_key(images, weights)
    path = paths.DATA / "cache" / f"fc7-{key}.rows"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+b")
    paths.lock(file, shared=True)
    if count_rows(file, key, images, extract) < len(images):
        paths.lock(file)
        fill(file, key, images, extract)
        paths.lock(file, shared=True)
    # Mapped anew for each batch: pages of earlier ones do not stay in memory.
    return lambda indices: np.memmap(file, ROW, "r", shape=len(images))["fc7"][indices]
