"""AlexNet's weights: their shapes, and the files that hold them."""
import pickle
from pathlib import Path

import numpy as np

from data.lab import safe_pickle
from data.lab.command import LabError, printable
from data.lab.paths import atomic_write

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


def read_file(path, what, read):
    """`read(file)`, with every way in which a file can be bad as a LabError.

    what: weights, train or test, as `download.py --only` calls it, or head
    """
    path = Path(path)
    cure = f"get the real one with: python data/download.py --only {what}"
    if what == "head":
        cure = "train one with: python train_feature_extraction.py"
    if not path.is_file():
        wrong = "is not a file" if path.exists() else "does not exist"
        raise LabError(f"{path}: {wrong}; check the path, or {cure}")
    try:
        with open(path, "rb") as file:
            start = file.read(256)
            file.seek(0)
            return read(file)
    except safe_pickle.Refused as refused:
        raise LabError(
            f"{path}: refused, it asks for '{printable(refused)[:60]}', which {what} do not need "
            f"and which could run code; delete the file and {cure}"
        ) from None
    except safe_pickle.NotNumbers as error:
        raise LabError(f"{path}: holds an array of dtype {error}, which are no real numbers; "
                       f"{cure}") from None
    except OSError as error:
        raise LabError(f"{path}: cannot be read ({error.strerror}); check its rights") from None
    except LabError as error:
        raise LabError(f"{path}: {error}; {cure}") from None
    except Exception as error:  # a damaged file can raise anything
        if not start:
            wrong = "is empty"
        elif start.lstrip().startswith(b"<"):
            wrong = "is a web page, not the file: a download went wrong"
        else:
            wrong = f"is cut short, damaged or of another kind ({type(error).__name__})"
        raise LabError(f"{path}: {wrong}; {cure}") from None


def dictionary(value, what):
    """A dict of the file, its keys as str; `what` it should be one of."""
    if not isinstance(value, dict):
        raise LabError(f"holds a {type(value).__name__}, not a dict of {what}")
    return {safe_pickle.text(key): item for key, item in value.items()}


def content(value, name):
    """The array, or the list for one of Python objects, that is called `name` in the file."""
    if not isinstance(value, safe_pickle.Array):
        raise LabError(f"{name}: a {type(value).__name__} instead of a NumPy array")
    return value.value


def floats(value, name, shape):
    """`value` as a finite float32 array of `shape`, in which None fits any size."""
    array = content(value, name)
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
    """[W, b] of the layer `name`, stored as [W, b] or {"weights": W, "biases": b}."""
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


def read_names(stored, count):
    """The names of `count` classes that a file holds beside its arrays, or None."""
    names = stored.get("names")
    if isinstance(names, safe_pickle.Array):  # of Python objects
        names = names.value
    if names is None:
        return None
    names = [safe_pickle.text(name) for name in names]
    if len(names) != count or not all(isinstance(name, str) for name in names):
        raise LabError(f"names: {len(names)} of them for {count} classes")
    return [printable(name) for name in names]


class Weights(dict):
    """{layer: [W, b]}. names: of fc8's classes; size: the pictures' pixels along a side."""

    names, size = None, 32


def read_weights(path, layers=tuple(SHAPES), names=None, head=None):
    """The given layers of a weights file, as Weights.

    path: a NPY file of one pickled dict, by Python 2 or 3: {layer: [W, b]} or
        {layer: {"weights": W, "biases": b}}, keys str or bytes; beside them `names`, a list,
        and `size`, where classes and pictures are not GTSRB's or ImageNet's
    names: {number of classes: names} where the file has none; other numbers are refused
    head: the path of a file whose fc8 is taken; then that of `path` is not looked at
    The arrays are float32, of the shapes in SHAPES, biases (filters,) or (units,).
    Raises LabError, with one line to show, when the file or one of the layers is bad.
    """
    if head:
        weights = read_weights(head, ("fc8",), names)
        weights.update(read_weights(path, BACKBONE))
        return weights

    def read(file):
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(file)
        if not dtype.hasobject:
            raise LabError(f"holds a {dtype} array of shape {shape}, not a dict of layers")
        stored = content(safe_pickle.load(file), "the file")
        if len(stored) == 1:  # an array of shape ()
            (stored,) = stored
        stored = dictionary(stored, "layers")
        weights = Weights({name: layer(stored, name) for name in layers})
        if names and "fc8" in weights:
            count = len(weights["fc8"][1])
            weights.names = read_names(stored, count) or names.get(count)
            weights.size = stored.get("size", 32)
            if weights.names is None:
                known = " or ".join(f"{count:,}" for count in names)
                raise LabError(f"fc8 has {count} classes without names, not {known}")
            if type(weights.size) is not int or not 1 <= weights.size <= 2000:
                raise LabError("size is not a number of pixels")
        return weights

    return read_file(path, "head" if layers == ("fc8",) else "weights", read)


def save_weights(path, content):
    """Write {name: [W, b]}, and names and size where they are not the usual, as a weights file."""
    array = np.array(content, object)
    with atomic_write(path) as file:
        # As np.save, whose older pickle protocol would copy all arrays first.
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(array, file, protocol=5)
