"""Stand-ins for the files that are missing, so that the lab runs with nothing downloaded.

Each is made once, into data/standin/, always with the same content, and has the format of
the real file. Delete the folder to have them made anew.
"""
import pickle
import sys
import textwrap
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from data.lab import paths
from data.lab.standin import signs
from data.lab.standin.weights import make_weights

UNTRAINED = "untrained weights: the answers are guesses"
DRAWN = "a drawing: the answer says nothing about photographs"
MEANING = {  # what is used instead, and what that means for the output
    "bvlc-alexnet.npy": UNTRAINED,
    "train.p": "drawn signs: the accuracy says nothing about real ones",
    "construction.jpg": DRAWN,
    "stop.jpg": DRAWN,
    "poodle.png": DRAWN,
    "weasel.png": DRAWN,
}


def write(name, file):
    """Write the stand-in for the lab's file `name` to the binary file object `file`."""
    if name == "bvlc-alexnet.npy":
        np.save(file, make_weights())
    elif name == "train.p":
        pickle.dump(signs.make_dataset(), file, protocol=4)
    else:
        iio.imwrite(file, signs.make_pictures()[name], extension=Path(name).suffix)


def find_standin(name):
    """The path of the stand-in for the lab's file `name`, made now if it is not there.

    A sentence on stderr says what is missing, what is used instead, and the cure.
    """
    path = paths.DATA / "standin" / name
    if not path.exists():
        with paths.atomic_write(path) as file:
            write(name, file)
    message = (f"{name} is missing; {paths.shown(path)} is used, {MEANING[name]}. "
               "Get the real one: python data/download.py")
    print(textwrap.fill(message, 79, subsequent_indent="    ", break_on_hyphens=False),
          file=sys.stderr)
    return path


def find(name):
    """The path of the lab's file `name`; where it is missing, of its stand-in."""
    return paths.find_real(name) or find_standin(name)
