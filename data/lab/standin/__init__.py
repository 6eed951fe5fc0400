"""Synthetic files in place of missing ones, so that the lab runs without any download.

Each is made once, in the format of the real file, in data/standin/VERSION/. You may delete them.
"""
import functools
import pickle
import textwrap
import zlib
from pathlib import Path

import numpy as np

from data.lab import paths
from data.lab.command import say
from data.lab.standin.weights import make_weights

NAMES = "bvlc-alexnet.npy", "train.p", "poodle.png", "weasel.png", "construction.jpg", "stop.jpg"
HERE = Path(__file__).parent
SOURCES = [HERE / "signs.py", HERE / "weights.py", *sorted(HERE.rglob("*.[jp]*g"))]
VERSION = f"{zlib.crc32(b''.join(map(Path.read_bytes, SOURCES))):08x}"  # a pull makes new files


def write(name, file):
    """Write the synthetic file `name` to the binary file object `file`."""
    if name == "bvlc-alexnet.npy":
        np.save(file, make_weights())
    elif name == "train.p":
        from data.lab.standin import signs  # here, because SciPy takes long to import
        pickle.dump(signs.make_dataset(), file, protocol=4)
    else:
        file.write((HERE / "pictures" / name).read_bytes())


@functools.cache
def announce():
    """Print once which files are synthetic, and what that means."""
    missing = ", ".join(name for name in NAMES if not paths.find_real(name))
    say(textwrap.fill(f"Using synthetic files in place of {missing}. With synthetic weights, "
                      "AlexNet's own predictions are meaningless. To get real files, run: python "
                      "data/download.py (or, for weights of 9 MB only, add --small)", 79))


def find_standin(name):
    """Return the path of the synthetic file `name`; make the file first if it is missing."""
    announce()
    places = [folder / "standin" / VERSION / name for folder in (paths.DATA, paths.LAB / "data")]
    for path in places:  # the second is shared, where LAB_DATA is set
        if path.exists():
            return path
    with paths.atomic_write(places[0]) as file:
        write(name, file)
    return places[0]


def find(name):
    """Return the path of the lab's file `name`, or of a synthetic one if it is missing."""
    return paths.find_real(name) or find_standin(name)
