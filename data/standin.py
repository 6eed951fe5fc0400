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

from data import signs
from data.files import DATA, LAB, atomic_write
from data.reading import SHAPES

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


def make_weights(seed=0):
    """{layer: [W, b]} of AlexNet's shapes: untrained, yet fc7 tells traffic signs apart.

    Edges in conv1, random mixtures in conv2, fc6 and fc8, channels passed on elsewhere:
    each further random layer would cost accuracy. Biases are zero.
    """
    rng = np.random.default_rng(seed)

    def mix(inputs, units):
        # He-normal: the signal keeps its scale through rectified layers (He et al., 2015).
        # Of zero mean: rectified inputs share a large mean, which would drown the rest.
        W = rng.standard_normal((inputs, units), dtype=np.float32)
        return (W - W.mean(axis=0)) * np.float32(np.sqrt(2 / inputs))

    y, x = np.mgrid[-5:6, -5:6][..., np.newaxis]
    angle = 2.4 * np.arange(96)  # golden angle: neighbours, normalised together, differ
    edges = np.sin((x * np.cos(angle) + y * np.sin(angle)) * np.pi / 6)
    edges *= np.exp(-(x**2 + y**2) / 18)
    edges *= np.sqrt(2 / 363) / edges.std(axis=(0, 1))  # (11, 11, 96)
    kernels = {"conv1": np.repeat(edges[:, :, np.newaxis], 3, axis=2)}
    kernels["conv2"] = mix(5 * 5 * 48, 256).reshape(SHAPES["conv2"])
    for name, groups in ("conv3", 1), ("conv4", 2), ("conv5", 2):
        *_, inputs, units = SHAPES[name]
        source = np.linspace(0, inputs - 1, units // groups).round().astype(int)
        kernels[name] = np.zeros(SHAPES[name])
        kernels[name][1, 1, np.tile(source, groups), np.arange(units)] = 1
    unit = np.arange(4096)
    # Each unit of fc6 mixes the 256 channels of one of pool5's 6x6 places.
    fc6 = np.zeros((36, 256, 4096), np.float32)
    fc6[unit % 36, :, unit] = mix(256, 4096).T / 15  # fc7's mean comes near 1
    kernels["fc6"] = fc6.reshape(SHAPES["fc6"])
    kernels["fc7"] = np.eye(4096)
    kernels["fc8"] = mix(4096, 1000)
    return {
        name: [W.astype(np.float32, copy=False), np.zeros(W.shape[-1], np.float32)]
        for name, W in kernels.items()
    }


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

    A sentence on stderr says what is missing, what is used instead, and the cure.
    """
    path = DATA / "standin" / name
    if not path.exists():
        with atomic_write(path) as file:
            write_standin(name, file)
    message = (f"{name} is missing; {path.relative_to(LAB)} is used, {MEANING[name]}. "
               "Get the real one: python data/download.py")
    print(textwrap.fill(message, 79, subsequent_indent="    ", break_on_hyphens=False),
          file=sys.stderr)
    return path
