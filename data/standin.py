"""Stand-ins for the files that are missing, so that the lab runs with nothing downloaded.

Each is made once, into data/standin/, always with the same content, and has the format of
the real file. Delete the folder to have them made anew.
"""
import pickle
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from data import signs
from data.files import DATA, LAB, atomic_write
from data.reading import SHAPES

UNTRAINED = "untrained weights: the answers are guesses"
DRAWN = "a drawing: the answer says nothing about photographs"
MEANING = {  # what is used instead, and what that means for the output
    "bvlc-alexnet.npy": UNTRAINED,
    "train.p": "drawn signs: accuracies say nothing about real ones",
    "construction.jpg": DRAWN,
    "stop.jpg": DRAWN,
    "poodle.png": DRAWN,
    "weasel.png": DRAWN,
}


def make_weights(seed=0):
    """{layer: [W, b]} of AlexNet's shapes: random filters of zero mean, biases zero.

    He-normal: W has variance 2 / inputs, so that the signal keeps its scale through
    rectified layers (He et al., "Delving Deep into Rectifiers", 2015).
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for name, (*fan_in, units) in SHAPES.items():
        W = rng.standard_normal((*fan_in, units or 1000), dtype=np.float32)
        W -= W.mean(axis=tuple(range(len(fan_in))))
        weights[name] = [W * np.sqrt(2 / np.prod(fan_in), dtype=np.float32), np.zeros(W.shape[-1:], np.float32)]
    return weights


def write_standin(name, file):
    """Write the stand-in for the lab's file `name` to the binary file object `file`."""
    if name == "bvlc-alexnet.npy":
        np.save(file, make_weights())
    elif name == "train.p":
        pickle.dump(signs.make_dataset(), file, protocol=4)
    else:
        iio.imwrite(file, signs.make_pictures()[name], extension=Path(name).suffix)


def find_standin(name):
    """The path of the stand-in for the lab's file `name`, made now if it is not there.

    One line on stderr says what is missing, what is used instead, and the cure.
    """
    path = DATA / "standin" / name
    if not path.exists():
        with atomic_write(path) as file:
            write_standin(name, file)
    print(
        f"{name} is missing; {path.relative_to(LAB)} is used, {MEANING[name]}. "
        "Get the real one: python data/download.py",
        file=sys.stderr,
    )
    return path
