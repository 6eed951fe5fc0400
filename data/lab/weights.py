"""AlexNet's weights: their shapes, and the files that hold them."""
import hashlib
import pickle

import numpy as np

from data.lab import safe_pickle
from data.lab.command import LabError, printable, say
from data.lab.images import LARGEST
from data.lab.paths import atomic_write
from data.lab.safe_pickle import dictionary, read_file, read_names, unwrap

# Kernel shapes of the BVLC weights file: (height, width, input depth per group, filters)
# and (inputs, units). fc8 may have any number of classes: 1,000 for ImageNet.
SHAPES = {
    "conv1": (11, 11, 3, 96),
    "conv2": (5, 5, 48, 256),
    "conv3": (3, 3, 256, 384),
    "conv4": (3, 3, 192, 384),
    "conv5": (3, 3, 192, 256),
    "fc6": (9216, 4096),
    "fc7": (4096, 4096),
    "fc8": (4096, None),
}
BACKBONE = tuple(name for name in SHAPES if name != "fc8")
# SHA-256 of the first 7 rows of BVLC's fc6, float32, as in the first bytes of the lesson's file.
BVLC = "708f11276f6fc833bccc06d92f0e6beb187941611e48d658ca9bc66dfedfaac6"


def floats(value, name, shape):
    """Return `value` as a finite float32 array of `shape`, in which None fits any size."""
    array = unwrap(value, name)
    if isinstance(array, list) or array.dtype.kind != "f":
        dtype = getattr(array, "dtype", "object")
        raise LabError(f"{name} have dtype {dtype}, not float32")
    fits = [wanted in (size, None) for size, wanted in zip(array.shape, shape)]
    if array.ndim != len(shape) or not all(fits):
        wanted = str(shape).replace("None", "classes")
        raise LabError(f"{name} have shape {array.shape}, not {wanted}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise LabError(f"{name} hold values that are not finite (NaN or infinite)")
    return array


def layer(layers, name):
    """Return [W, b] of the layer `name`, stored as [W, b] or {"weights": W, "biases": b}."""
    if name not in layers:
        raise LabError(f"layer {name} is missing")
    pair = layers[name]
    if isinstance(pair, safe_pickle.Array):  # of two objects
        pair = pair.value
    if isinstance(pair, dict):
        pair = dictionary(pair, "weights and biases")
        pair = [pair.get("weights"), pair.get("biases")]
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise LabError(f"layer {name} is not a pair of weights and biases")
    W = floats(pair[0], f"{name}'s weights", SHAPES[name])
    return [W, floats(pair[1], f"{name}'s biases", W.shape[-1:])]


def identify(weights):
    """Return what the backbone in `weights` is, as "the synthetic weights", and its SHA-256."""
    digest = hashlib.sha256()
    for name in BACKBONE:
        for array in weights[name]:
            digest.update(np.ascontiguousarray(array, "<f4"))
    first_rows = np.ascontiguousarray(weights["fc6"][0][:7], "<f4")
    kind = "other weights"
    if hashlib.sha256(first_rows).hexdigest() == BVLC:
        kind = "the original BVLC weights"
    elif np.array_equal(weights["fc7"][0][0], np.eye(1, 4096)[0]):  # as make_weights makes them
        kind = "the synthetic weights"
    return kind, digest.hexdigest()


class Weights(dict):
    """{layer: [W, b]}. names: of the classes of fc8, or None; size: the images' side in pixels;
    backbone: what identify() returned of the weights that a head was trained on, or None."""

    names, size, backbone = None, 32, None


def read_weights(path, layers=tuple(SHAPES), *, names=None, classes=None, head=None):
    """Read the given layers of a weights file, as Weights.

    path: a NPY file of one pickled dict, by Python 2 or 3: {layer: [W, b]} or
        {layer: {"weights": W, "biases": b}}, keys str or bytes; beside them `names`, a list,
        and `size`, where classes and images are not GTSRB's or ImageNet's
    names: {number of classes: names} where the file has none; other numbers are rejected
    classes: how many classes fc8 must have, without names in the file
    head: the path of a file whose fc8 is taken; the fc8 in `path` is ignored, and its backbone
        must be the one that the head was trained on
    The arrays are float32, of the shapes in SHAPES, biases (filters,) or (units,).
    Raises LabError, with one line to show, when the file or one of the layers is bad.
    """
    if head:
        weights = read_weights(head, ("fc8",), names=names, classes=classes)
        weights.update(read_weights(path, BACKBONE))
        trained, here = weights.backbone, identify(weights)
        if not trained:
            say(f"{head}: does not say which weights it was trained on; if they were not those in "
                f"{path}, its predictions are meaningless; if unsure, train a new head")
        elif trained[1] != here[1]:
            trained, here = (f"{kind} ({digits[:8]})" for kind, digits in (trained, here))
            raise LabError(f"{head}: was trained on {trained}, but {path} holds {here}; train "
                           "again: python train_feature_extraction.py, or use --weights with the "
                           "weights that the head was trained on")
        return weights

    def read(file):
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)  # as np.save writes a dict
        if not dtype.hasobject:
            raise LabError(f"holds a {dtype} array of shape {shape}, not a dict of layers")
        stored = unwrap(safe_pickle.load(file), "the file")
        if len(stored) == 1:  # an array of shape ()
            (stored,) = stored
        stored = dictionary(stored, "layers")
        there = stored.keys() & SHAPES.keys()
        if (tuple(layers) == ("fc8",)) != (there == {"fc8"}) and "fc8" in there:
            return None
        weights = Weights({name: layer(stored, name) for name in layers})
        if "fc8" in weights:
            count = len(weights["fc8"][1])
            weights.names = read_names(stored, count) or (names or {}).get(count)
            weights.size = stored.get("size", 32)
            if names and weights.names is None:
                known = " or ".join(f"{count:,}" for count in names)
                raise LabError(f"fc8 has {count} classes, but the file has no names for them; it "
                               f"needs names, or {known} classes")
            if "backbone" in stored:
                kind, digits = stored["backbone"]
                if not all(isinstance(x, str) and len(x) <= 64 for x in (kind, digits)):
                    raise LabError("backbone is not a name and a checksum")
                weights.backbone = printable(kind), printable(digits)
            if type(weights.size) is not int or not 1 <= weights.size <= LARGEST:
                raise LabError(f"size is not a number of pixels from 1 to {LARGEST}")
        return weights

    weights = read_file(path, "head" if layers == ("fc8",) else "weights", read)
    if weights is None:
        what, flag = ("a whole network", "--weights") if layers == ("fc8",) else (
            "a trained head, without the layers before it", "--head")
        raise LabError(f"{path}: is {what}; give it to traffic_sign_inference.py as {flag}")
    if classes and (weights.names or len(weights["fc8"][1]) != classes):
        raise LabError(f"{path}: fc8 has {len(weights['fc8'][1]):,} classes, not "
                       f"ImageNet's {classes:,}; give it to traffic_sign_inference.py as --weights")
    return weights


def save_weights(path, content):
    """Write {name: [W, b]}, and names and size where they are not the usual, as a weights file."""
    array = np.array(content, object)
    with atomic_write(path) as file:
        # As np.save, whose older pickle protocol would copy all arrays first.
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(array, file, protocol=5)
