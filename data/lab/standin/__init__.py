"""Stand-ins for the files that are missing, so that the lab runs with nothing downloaded.

Each is made once, into data/standin/, always with the same content, and has the format of
the real file. Delete the folder to have them made anew.
"""
import functools
import pickle
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from data.lab import paths
from data.lab.standin import signs
from data.lab.standin.weights import make_weights


def write(name, file):
    """Write the stand-in for the lab's file `name` to the binary file object `file`."""
    if name == "bvlc-alexnet.npy":
        np.save(file, make_weights())
    elif name == "train.p":
        pickle.dump(signs.make_dataset(), file, protocol=4)
    else:
        iio.imwrite(file, signs.make_pictures()[name], extension=Path(name).suffix)


@functools.cache
def tell():
    """Say once that stand-ins are used."""
    print("Stand-ins replace missing files; for real answers: python data/download.py",
          file=sys.stderr)


def find_standin(name):
    """The path of the stand-in for the lab's file `name`, made now if it is not there."""
    tell()
    path = paths.DATA / "standin" / name
    if not path.exists():
        with paths.atomic_write(path) as file:
            write(name, file)
    return path


def find(name):
    """The path of the lab's file `name`; where it is missing, of its stand-in."""
    return paths.find_real(name) or find_standin(name)
