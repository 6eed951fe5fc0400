"""Bottleneck features: fc7 of every image, computed once and kept on disk.

The frozen network gives the same fc7 for the same image in every epoch, so one pass over
the images is enough. The cache is an ordinary NumPy file, (images, 4096) float32, with a
check sum of 4 bytes behind it; rows are read as they are needed, so that memory does not
grow with the number of images.
"""
import hashlib
import os
import zlib

import numpy as np

from data.files import DATA, need_room
from data.progress import batches
from data.tf1 import tf

BATCH = 32  # images in one run of the frozen network; larger is not faster on CPUs
ROW = 4096 * 4  # bytes


def fingerprint(arrays, op):
    """A name for the outcome of `op`, a graph's, from all that it depends on.

    arrays: the data and the weights; the steps from there on are read from the graph.
    """
    key = hashlib.sha256()
    for array in arrays:
        key.update(np.ascontiguousarray(array))
    steps = tf.graph_util.extract_sub_graph(op.graph.as_graph_def(), [op.name])
    key.update(steps.SerializeToString(deterministic=True))
    return key.hexdigest()[:20]


def cache_path(images, weights, fc7):
    """Where fc7 of `images`, uint8 (N, 32, 32, 3), is cached; weights: {layer: [W, b]}."""
    arrays = [array for name in sorted(weights) for array in weights[name]]
    return DATA / "cache" / f"fc7-{fingerprint([images, *arrays], fc7.op)}.npy"


def make_header(count):
    """The first bytes of a NumPy file of shape (count, 4096) and dtype float32."""
    fields = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, 4096), }}"
    return b"\x93NUMPY\x01\x00\x76\x00" + fields.encode().ljust(117) + b"\n"


def check_sum(path, size):
    """CRC-32 of the name of `path` and of its first `size` bytes, as 4 bytes."""
    crc = zlib.crc32(path.stem.encode())
    with open(path, "rb") as file:
        for start in range(0, size, 1 << 20):
            crc = zlib.crc32(file.read(min(1 << 20, size - start)), crc)
    return crc.to_bytes(4, "little")


def is_complete(path, header, size):
    """Whether `path` is a whole and undamaged cache of `size` bytes and a check sum."""
    if not path.exists() or path.stat().st_size != size + 4:
        return False
    with open(path, "rb") as file:
        if file.read(len(header)) != header:
            return False
        file.seek(size)
        return file.read() == check_sum(path, size)


def compute(path, images, extract):
    """Fill the cache `path` with `extract(batch of images)`, where it is not complete.

    extract: uint8 (n, 32, 32, 3) -> float32 (n, 4096). What an interrupted run left is
    continued. Raises LabError, before any work, when the disk has too little room.
    """
    header = make_header(len(images))
    size = len(header) + len(images) * ROW
    if is_complete(path, header, size):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.touch()
    done = max(partial.stat().st_size - len(header), 0) // ROW
    need_room(path.parent, size - partial.stat().st_size, "for the bottleneck features",
              "free some space, or run with --limit or --no-cache")
    with open(partial, "r+b") as file:
        file.write(header)
        file.seek(done * ROW, os.SEEK_CUR)
        for batch in batches(images, BATCH, done):
            file.write(extract(batch).astype("<f4", copy=False).tobytes())
            file.flush()  # a run that is killed has lost no more than one batch
    with open(partial, "r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write(check_sum(partial, size))
        os.fsync(file.fileno())
    os.replace(partial, path)


def open_rows(path):
    """A function: indices (n,) -> the cached features of these images, float32 (n, 4096)."""
    start = len(make_header(0))
    file = open(path, "rb", buffering=0)

    def rows(indices):
        features = np.empty((len(indices), 4096), "<f4")
        for row, index in zip(features, indices):
            file.seek(start + int(index) * ROW)
            file.readinto(row)
        return features

    return rows
