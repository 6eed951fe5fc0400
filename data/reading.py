"""Read the lab's two pickle formats, checked, and without ever running code from them.

A pickle is a program. `bvlc-alexnet.npy` (a pickled dict in a NumPy file) and `train.p`
come from strangers' web hosts, so they are read by an unpickler that knows the few names
that pickled arrays need, under stand-ins of its own, and refuses every other name.
"""
import pickle
import re
from pathlib import Path

import numpy as np

from data.files import LabError

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
SIGN_CLASSES = 43


class Refused(pickle.UnpicklingError):
    """The pickle asks for something that could run code."""


def text(value):
    """`value` as str: Python 2 pickles give bytes."""
    return value.decode("latin1") if isinstance(value, bytes) else value


class _Dtype:
    """Stands for numpy.dtype: a plain number, or a Python object."""

    def __init__(self, code, align=False, copy=False):
        if re.fullmatch(r"[USVcmM]\d*", text(code)):
            raise LabError(f"holds an array of dtype {text(code)}, which are no real numbers")
        if not re.fullmatch(r"[fiu][1248]|b1|O8?", text(code)):
            raise Refused(f"arrays of dtype {text(code)!r}")
        self.code, self.byte_order = text(code), "|"

    def __setstate__(self, state):
        self.byte_order = text(state[1])


class _Array:
    """Stands for numpy.ndarray: its shape, its dtype and its bytes, as the pickle has them.

    NumPy's own unpickling is avoided: a forged dtype state can make it follow raw bytes
    as pointers.
    """

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.buffer = state

    def content(self):
        """The array, without a copy; an array of Python objects as a list of them."""
        if self.dtype.code.startswith("O"):
            return list(self.buffer)
        dtype = np.dtype(self.dtype.byte_order + self.dtype.code)
        order = "F" if self.fortran else "C"
        return np.ndarray(self.shape, dtype, buffer=self.buffer, order=order)


def _frombuffer(buffer, dtype, shape, order):
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", buffer))
    return array


def _encode(characters, encoding):
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"the codec {encoding!r}")
    return characters.encode("latin1")


ADMITTED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes under protocol 2
}
for core in ("numpy.core", "numpy._core"):  # until and since NumPy 2
    ADMITTED[core + ".multiarray", "_reconstruct"] = lambda *arguments: _Array()
    ADMITTED[core + ".numeric", "_frombuffer"] = _frombuffer  # protocol 5


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ADMITTED:
            raise Refused(f"{module}.{name}")
        return ADMITTED[module, name]


def _load(path, what, read):
    """`read(file)`, with every way in which a file can be bad as a LabError."""
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
    except Refused as refused:
        # repr: the name is the stranger's and may hold anything, line ends too.
        raise LabError(
            f"{path}: refused, it asks for {str(refused)!r}, which {what} do not need and which "
            f"could run code; delete the file and {cure}"
        ) from None
    except OSError as error:
        raise LabError(f"{path}: cannot be read ({error.strerror}); check its rights") from None
    except LabError as error:
        raise LabError(f"{path}: {error}; {cure}") from None
    except Exception as error:  # a damaged pickle can raise anything
        if not start:
            wrong = "is empty"
        elif start.lstrip().startswith(b"<"):
            wrong = "is a web page, not the file: a download went wrong"
        else:
            wrong = f"is cut short, damaged or of another kind ({type(error).__name__})"
        raise LabError(f"{path}: {wrong}; {cure}") from None


def _content(value):
    return value.content() if isinstance(value, _Array) else value


def _dictionary(value, what):
    if not isinstance(value, dict):
        raise LabError(f"holds a {type(value).__name__}, not a dict of {what}")
    return {text(key): _content(item) for key, item in value.items()}


def _floats(value, name, shape):
    """`value` as a finite float32 array of `shape`, in which None fits any size."""
    array = np.asarray(_content(value))
    if array.dtype.kind != "f":
        raise LabError(f"{name} have dtype {array.dtype}, not float32")
    fits = [wanted in (size, None) for size, wanted in zip(array.shape, shape)]
    if array.ndim != len(shape) or not all(fits):
        wanted = str(shape).replace("None", "classes")
        raise LabError(f"{name} have shape {array.shape}, not {wanted}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise LabError(f"{name} hold values that are not finite (NaN or infinite)")
    return array


def _layer(layers, name):
    """[W, b] of the layer `name`, stored as [W, b] or {"weights": W, "biases": b}."""
    if name not in layers:
        raise LabError(f"layer {name} is missing")
    layer = layers[name]
    if isinstance(layer, dict):
        layer = _dictionary(layer, "weights and biases")
        layer = [layer.get("weights"), layer.get("biases")]
    if not isinstance(layer, (list, tuple)) or len(layer) != 2:
        raise LabError(f"layer {name} is not a pair of weights and biases")
    W = _floats(layer[0], f"{name}'s weights", SHAPES[name])
    return [W, _floats(layer[1], f"{name}'s biases", W.shape[-1:])]


def read_weights(path, names=tuple(SHAPES)):
    """The layers `names` of a weights file, as {name: [W, b]}.

    path: a NPY file of one pickled dict, by Python 2 or 3: {layer: [W, b]} or
        {layer: {"weights": W, "biases": b}}, keys str or bytes.
    Returns float32 arrays of the shapes in SHAPES, biases (filters,) or (units,).
    Raises LabError, with one line to show, when the file or one of the layers is bad.
    """

    def read(file):
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(file)
        if dtype != object:
            raise LabError(f"holds a {dtype} array of shape {shape}, not a dict of layers")
        content = _content(_Unpickler(file, encoding="bytes").load())
        if isinstance(content, list) and len(content) == 1:  # NumPy's array of shape ()
            content = content[0]
        layers = _dictionary(content, "layers")
        return {name: _layer(layers, name) for name in names}

    return _load(path, "head" if tuple(names) == ("fc8",) else "weights", read)


def read_signs(path, what="train"):
    """The images and labels of a pickled GTSRB file such as train.p.

    Returns {"features": uint8 (N, 32, 32, 3) RGB, "labels": int64 (N,) from 0 to 42}.
    Raises LabError, with one line to show, when the file is bad.
    """

    def read(file):
        signs = _dictionary(_Unpickler(file, encoding="bytes").load(), "features and labels")
        for key in ("features", "labels"):
            if key not in signs:
                raise LabError(f"the key {key} is missing")
        features, labels = np.asarray(signs["features"]), np.asarray(signs["labels"])
        if features.ndim != 4 or features.shape[1:] != (32, 32, 3):
            raise LabError(f"features have shape {features.shape}, not (images, 32, 32, 3)")
        if labels.shape != features.shape[:1]:
            raise LabError(f"{len(features)} images, but labels of shape {labels.shape}")
        if not len(features):
            raise LabError("it holds no images")
        ranges = ("features", features, 255), ("labels", labels, SIGN_CLASSES - 1)
        for key, array, high in ranges:
            if array.dtype.kind not in "uif":
                raise LabError(f"{key} have dtype {array.dtype}, not numbers")
            if not np.isfinite(array).all():
                raise LabError(f"{key} hold values that are not finite (NaN or infinite)")
            if array.min() < 0 or array.max() > high:
                raise LabError(f"{key} reach from {array.min()} to {array.max()}, not 0 to {high}")
        if features.dtype.kind == "f" and features.max() <= 1:
            raise LabError("features reach from 0 to 1, not 0 to 255: multiply them by 255")
        if (labels % 1).any():
            raise LabError("labels are not whole numbers")
        features = features.astype(np.uint8, copy=False)
        return {"features": features, "labels": labels.astype(np.int64)}

    return _load(path, what, read)
