"""Weights files: every known form is read, every bad one gets one clear line."""
import pickle
import struct

import numpy as np
import pytest
from conftest import bad_file

from data.lab import weights as weights_module
from data.lab.command import LabError
from data.lab.weights import BACKBONE, SHAPES, read_weights, save_weights

TINY = {name: (2, 2, 3, 4) if name.startswith("conv") else (4, 5) for name in SHAPES}
TINY["fc8"] = (4, None)
HEAD = [np.ones((4, 3), np.float32), np.ones(3, np.float32)]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Layers of a few numbers; the code under test does not know true sizes otherwise."""
    monkeypatch.setattr(weights_module, "SHAPES", TINY)


@pytest.fixture
def layers():
    rng = np.random.default_rng(0)
    shapes = {name: (*fan_in, units or 7) for name, (*fan_in, units) in TINY.items()}
    return {name: [rng.integers(-99, 99, s).astype("f4") for s in (shape, shape[-1:])]
            for name, shape in shapes.items()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.npy"


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its str: STRING or BINSTRING, without _codecs.encode."""

    dispatch = {**pickle._Pickler.dispatch}

    def save_bytes(self, value):
        binary = b"T" + struct.pack("<i", len(value)) + value
        self.write(binary if self.bin else b"S" + repr(value)[1:].encode() + b"\n")
        self.memoize(value)

    dispatch[bytes] = save_bytes


def write_npy(path, content, pickler, protocol, old_names):
    """A NPY 1.0 file of one pickled object, as np.save writes it."""
    with open(path, "wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        pickler(file, protocol).dump(np.array(content, object))
    if old_names:
        path.write_bytes(path.read_bytes().replace(b"numpy._core", b"numpy.core"))


def assert_same(read, layers):
    assert set(read) == set(layers)
    for name, pair in layers.items():
        for a, b in zip(read[name], pair):
            assert a.dtype == np.float32
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("pickler, protocol, old_names", [
    (Python2Pickler, 0, True), (Python2Pickler, 2, True), (pickle.Pickler, 2, True),
    *((pickle.Pickler, protocol, False) for protocol in range(6)),
])
def test_every_pickle(path, layers, pickler, protocol, old_names):
    write_npy(path, layers, pickler, protocol, old_names)
    assert (b"_codecs" in path.read_bytes()) == (pickler is pickle.Pickler and protocol < 3)
    assert_same(read_weights(path), layers)


@pytest.mark.parametrize("form", [
    lambda layers: {k: {"weights": W, "biases": b} for k, (W, b) in layers.items()},
    lambda layers: {k.encode(): {b"weights": W, b"biases": b} for k, (W, b) in layers.items()},
    lambda layers: {k.encode(): (W, b) for k, (W, b) in layers.items()},
    lambda layers: {k: [np.asfortranarray(W), b.astype(">f4")] for k, (W, b) in layers.items()},
    lambda layers: {k: [W.astype("f8"), b.astype("f8")] for k, (W, b) in layers.items()},
    lambda layers: {k: [W.astype("f2"), b.astype("f2")] for k, (W, b) in layers.items()},
    lambda layers: {k: np.array([W, b, None], object)[:2] for k, (W, b) in layers.items()},
])
def test_every_layout(path, layers, form):
    np.save(path, form(layers))
    assert_same(read_weights(path), layers)


def test_only_the_layers_asked_for_are_looked_at(path, layers):
    layers["fc8"] = "spoilt"
    np.save(path, layers)
    assert set(read_weights(path, ["conv1", "fc7"])) == {"conv1", "fc7"}
    with pytest.raises(LabError, match="layer fc8 is not a pair"):
        read_weights(path)


def spoil(name, W=None, b=None):
    def change(layers):
        layers[name] = [layers[name][0] if W is None else W, layers[name][1] if b is None else b]
    return change


@pytest.mark.parametrize("change, message", [
    (lambda layers: layers.pop("conv3"), "layer conv3 is missing"),
    (spoil("fc6", W=np.zeros((5, 4), np.float32)), r"fc6's weights have .*\(5, 4\), not \(4, 5\)"),
    (spoil("fc8", b=np.zeros(6, np.float32)), r"fc8's biases have shape \(6,\), not \(7,\)"),
    (spoil("fc8", W=np.zeros(4, np.float32)), r"shape \(4,\), not \(4, classes\)"),
    (spoil("fc6", W=np.zeros((4, 5), np.int32)), "fc6's weights have dtype int32, not float32"),
    (spoil("fc7", b=np.full(5, 1e300)), "fc7's biases hold values that are not finite"),
    (spoil("conv1", W="text"), "conv1's weights: a str instead of a NumPy array"),
    (lambda layers: layers.update(conv1=[layers["conv1"][0]]), "conv1 is not a pair"),
    (lambda layers: layers.update(conv1={"kernel": 1}), "conv1's weights: a NoneType instead of"),
])
def test_bad_layers(path, layers, change, message):
    change(layers)
    np.save(path, layers)
    with bad_file(f"w.npy: .*{message}"):
        read_weights(path)


def test_array_file_that_is_no_dict(path):
    np.save(path, np.zeros((3, 4)))
    with pytest.raises(LabError, match=r"float64 array of shape \(3, 4\), not a dict of layers"):
        read_weights(path)
    np.save(path, np.array([1, "a"], object))
    with pytest.raises(LabError, match="holds a list, not a dict of layers"):
        read_weights(path)


def test_real_broken_download(real_data):
    with pytest.raises(LabError, match="bvlc-alexnet.truncated.npy: is truncated"):
        read_weights(real_data / "bvlc-alexnet.truncated.npy")


def test_a_head_given_as_weights(path):
    save_weights(path, {"fc8": HEAD})
    for layers in tuple(SHAPES), BACKBONE:
        with bad_file("w.npy: is a trained head", "traffic_sign_inference.py as --head"):
            read_weights(path, layers)


@pytest.mark.parametrize("more", [{}, {"names": list("abcdefg")}])
def test_the_classes_of_fc8_are_those_asked_for(path, layers, more):
    """Such as ImageNet's 1,000: with other names, fc8 is another layer of that size."""
    save_weights(path, {**layers, **more})
    with bad_file("fc8 has 7 classes, not ImageNet's", "traffic_sign_inference.py as --weights"):
        read_weights(path, classes=7 if more else 1000)
    assert len(read_weights(path, classes=None if more else 7)["fc8"][1]) == 7


def test_a_heads_fc8_takes_the_place_of_the_weights(tmp_path, path, layers):
    save_weights(path, {**layers, "fc8": "spoilt"})
    save_weights(tmp_path / "head.npy", {"fc8": HEAD})
    read = read_weights(path, names={3: "abc"}, head=tmp_path / "head.npy")
    assert_same(read, {**layers, "fc8": HEAD})
    assert read.names == "abc" and read.size == 32
    with pytest.raises(LabError, match="head.npy: fc8 has 3 classes, but the file has no names for "
                                       "them; it needs names, or 1,000 or 43 classes"):
        read_weights(path, names={1000: [], 43: []}, head=tmp_path / "head.npy")


def test_sizes(path):
    for size, good in (1, True), (512, True), ("32", False), (0, False), (513, False):
        save_weights(path, {"fc8": HEAD, "size": size})
        if good:
            assert read_weights(path, ("fc8",)).size == size
            continue
        with pytest.raises(LabError, match="size is not a number of pixels from 1 to 512"):
            read_weights(path, ("fc8",))


@pytest.mark.parametrize("backbone", [(["a"], "b"), ("a", "b" * 65), (b"a", None)])
def test_a_bad_backbone(path, backbone):
    """A list of lists, or a long text, would take all memory where it is printed."""
    save_weights(path, {"fc8": HEAD, "backbone": backbone})
    with pytest.raises(LabError, match="backbone is not a name and a checksum"):
        read_weights(path, ("fc8",))
