"""Weights and data files: every known form is read, every bad one gets one clear line,
and a hostile pickle never runs."""
import io
import pickle
import struct

import numpy as np
import pytest

from data import reading
from data.files import LabError
from data.reading import read_signs, read_weights

TINY = {name: (2, 2, 3, 4) if name.startswith("conv") else (4, 5) for name in reading.SHAPES}
TINY["fc8"] = (4, None)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Layers of a few numbers; the code under test does not know true sizes otherwise."""
    monkeypatch.setattr(reading, "SHAPES", TINY)


@pytest.fixture
def layers():
    rng = np.random.default_rng(0)
    shapes = {name: (*fan_in, units or 7) for name, (*fan_in, units) in TINY.items()}
    return {
        name: [rng.standard_normal(s, dtype=np.float32) for s in (shape, shape[-1:])]
        for name, shape in shapes.items()
    }


@pytest.fixture
def signs():
    rng = np.random.default_rng(0)
    features = rng.integers(0, 256, (86, 32, 32, 3)).astype(np.uint8)
    return {"features": features, "labels": np.repeat(np.arange(43), 2).astype(np.uint8)}


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its str: BINSTRING, without _codecs.encode."""

    dispatch = {**pickle._Pickler.dispatch}

    def save_bytes(self, value):
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def write_npy(path, content, pickler=pickle.Pickler, protocol=2, old_names=False):
    """A NPY 1.0 file of one pickled object, as np.save writes it."""
    array = np.empty((), object)
    array[()] = content
    file = io.BytesIO()
    pickler(file, protocol).dump(array)
    body = file.getvalue()
    if old_names:
        body = body.replace(b"numpy._core", b"numpy.core")
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (70 - len(header) - 1) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body)
    return path


def assert_same(read, layers):
    assert set(read) == set(layers)
    for name, pair in layers.items():
        for a, b in zip(read[name], pair):
            assert a.dtype == np.float32
            np.testing.assert_array_equal(a, b)


def one_line(error):
    message = str(error.value)
    assert "\n" not in message and "download.py" in message
    return message


@pytest.mark.parametrize("old_names", [False, True])
@pytest.mark.parametrize("pickler", [Python2Pickler, pickle.Pickler])
def test_both_generations_of_pickle(tmp_path, layers, pickler, old_names):
    path = write_npy(tmp_path / "w.npy", layers, pickler, old_names=old_names)
    assert (b"_codecs" in path.read_bytes()) == (pickler is pickle.Pickler)
    assert_same(read_weights(path), layers)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol(tmp_path, layers, protocol):
    assert_same(read_weights(write_npy(tmp_path / "w.npy", layers, protocol=protocol)), layers)


@pytest.mark.parametrize("form", [
    lambda layers: {k: {"weights": W, "biases": b} for k, (W, b) in layers.items()},
    lambda layers: {k.encode(): {b"weights": W, b"biases": b} for k, (W, b) in layers.items()},
    lambda layers: {k.encode(): (W, b) for k, (W, b) in layers.items()},
    lambda layers: {k: [np.asfortranarray(W), b.astype(">f4")] for k, (W, b) in layers.items()},
    lambda layers: {k: [W.astype("f8"), b.astype("f8")] for k, (W, b) in layers.items()},
    lambda layers: {k: np.array([W, b, None], object)[:2] for k, (W, b) in layers.items()},
])
def test_every_layout(tmp_path, layers, form):
    np.save(tmp_path / "w.npy", form(layers))
    assert_same(read_weights(tmp_path / "w.npy"), layers)


def test_float16_is_cast(tmp_path, layers):
    half = {name: [a.astype(np.float16) for a in pair] for name, pair in layers.items()}
    np.save(tmp_path / "w.npy", half)
    assert_same(read_weights(tmp_path / "w.npy"), half)


def test_only_the_layers_asked_for_are_looked_at(tmp_path, layers):
    layers["fc8"] = "spoilt"
    np.save(tmp_path / "w.npy", layers)
    assert set(read_weights(tmp_path / "w.npy", ["conv1", "fc7"])) == {"conv1", "fc7"}
    with pytest.raises(LabError, match="layer fc8 is not a pair"):
        read_weights(tmp_path / "w.npy")


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
    (spoil("fc7", b=np.full(5, np.nan)), "fc7's biases hold values that are not finite"),
    (spoil("fc7", b=np.full(5, 1e300)), "fc7's biases hold values that are not finite"),
    (spoil("conv1", W="text"), "conv1's weights have dtype <U4"),
    (lambda layers: layers.update(conv1=[layers["conv1"][0]]), "conv1 is not a pair"),
    (lambda layers: layers.update(conv1={"kernel": 1}), "conv1's weights have dtype object"),
])
def test_bad_layers(tmp_path, layers, change, message):
    change(layers)
    np.save(tmp_path / "w.npy", layers)
    with pytest.raises(LabError, match=message) as error:
        read_weights(tmp_path / "w.npy")
    assert "w.npy" in one_line(error)


@pytest.mark.parametrize("read", [read_weights, read_signs])
@pytest.mark.parametrize("content, message", [
    (b"", "is empty"),
    (b"\n <!DOCTYPE html><html>404</html>", "is a web page"),
    (b"\x93NUMPY", "cut short, damaged or of another kind"),
    (b"PK\x03\x04 some archive", "cut short, damaged or of another kind"),
    (b"\x80\x04N.", "cut short|holds a NoneType"),
])
def test_files_of_another_kind(tmp_path, read, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(LabError, match=message) as error:
        read(path)
    assert str(path) in one_line(error)


def test_every_truncation_is_noticed(tmp_path, layers, signs):
    np.save(tmp_path / "w.npy", layers)
    (tmp_path / "t.p").write_bytes(pickle.dumps(signs))
    for read, path in ((read_weights, tmp_path / "w.npy"), (read_signs, tmp_path / "t.p")):
        whole = path.read_bytes()
        for length in np.linspace(0, len(whole) - 1, 60).astype(int):
            path.write_bytes(whole[:length])
            with pytest.raises(LabError):
                read(path)


def test_array_file_that_is_no_dict(tmp_path):
    np.save(tmp_path / "w.npy", np.zeros((3, 4)))
    with pytest.raises(LabError, match=r"float64 array of shape \(3, 4\), not a dict of layers"):
        read_weights(tmp_path / "w.npy")
    np.save(tmp_path / "w.npy", np.array([1, "a"], object))
    with pytest.raises(LabError, match="holds a list, not a dict of layers"):
        read_weights(tmp_path / "w.npy")


def test_absent_file_and_folder(tmp_path):
    with pytest.raises(LabError, match="absent.npy: does not exist"):
        read_weights(tmp_path / "absent.npy")
    with pytest.raises(LabError, match="is not a file"):
        read_signs(tmp_path)


def test_real_broken_download(real_data):
    with pytest.raises(LabError, match="bvlc-alexnet.truncated.npy: is cut short"):
        read_weights(real_data / "bvlc-alexnet.truncated.npy")


def test_real_signs(real_data):
    signs = read_signs(real_data / "train.p")
    assert signs["features"].shape == (39209, 32, 32, 3)
    assert np.bincount(signs["labels"]).shape == (43,)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_signs(tmp_path, signs, protocol):
    path = tmp_path / "t.p"
    path.write_bytes(pickle.dumps({**signs, "sizes": np.zeros((86, 2))}, protocol))
    read = read_signs(path)
    np.testing.assert_array_equal(read["features"], signs["features"])
    np.testing.assert_array_equal(read["labels"], signs["labels"])
    assert read["features"].dtype == np.uint8


@pytest.mark.parametrize("change, message", [
    (lambda s: s.pop("labels"), "key labels is missing"),
    (lambda s: s.update(labels=s["labels"][:-1]), r"86 images, but labels of shape \(85,\)"),
    (lambda s: s.update(features=s["features"][:, :16]), r"shape \(86, 16, 32, 3\), not \(images"),
    (lambda s: s.update(labels=s["labels"] + 1), "labels reach from 1 to 43, not 0 to 42"),
    (lambda s: s.update(labels=s["labels"].astype(int) - 1), "labels reach from -1 to 41"),
    (lambda s: s.update(labels=s["labels"] / 2), "not whole numbers"),
    (lambda s: s.update(labels=["stop"] * 86), "labels have dtype <U4"),
    (lambda s: s.update(features=s["features"] * np.nan), "features hold values that are not f"),
    (lambda s: s.update(features=s["features"] / 255), "multiply them by 255"),
    (lambda s: s.update(features=s["features"] * 2.0), "features reach from 0.0 to 510.0"),
    (lambda s: s.update(features=s["features"][:0], labels=s["labels"][:0]), "holds no images"),
])
def test_bad_signs(tmp_path, signs, change, message):
    change(signs)
    (tmp_path / "t.p").write_bytes(pickle.dumps(signs))
    with pytest.raises(LabError, match=message) as error:
        read_signs(tmp_path / "t.p")
    one_line(error)


COMMAND = b"touch ran"
HOSTILE = {
    "REDUCE": b"cos\nsystem\n(U\x09" + COMMAND + b"tR.",
    "INST": b"(U\x09" + COMMAND + b"ios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nU\x09" + COMMAND + b"o.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\n(U\x09" + COMMAND + b"t\x81.",
    "NEWOBJ_EX": b"\x80\x04csubprocess\nPopen\n(U\x09" + COMMAND + b"t}\x92.",
    "BUILD": b"\x80\x02cfunctools\npartial\n)\x81(cos\nsystem\n(U\x09" + COMMAND + b"t}Ntb.",
    "BUILD on what is admitted": b"\x80\x02cnumpy\nndarray\n}U\x0c__setstate__cos\nsystem\nsb.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93(U\x09" + COMMAND + b"tR.",
    "STACK_GLOBAL nested": b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93)R.",
    "nested from numpy": b"\x80\x04\x8c\x05numpy\x8c\x0bos.system__\x93(U\x09" + COMMAND + b"tR.",
    "getattr": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
    "Python 2 eval": b"c__builtin__\neval\n(U\x09" + COMMAND + b"tR.",
    "eval": b"cbuiltins\neval\n(U\x09" + COMMAND + b"tR.",
    "numpy runstring": b"cnumpy.testing._private.utils\nrunstring\n(U\x09" + COMMAND + b"}tR.",
    "numpy exec_command": b"cnumpy.distutils.exec_command\nexec_command\n(U\x09" + COMMAND + b"tR.",
    "numpy load": b"cnumpy\nload\n(U\x09" + COMMAND + b"tR.",
    "numpy fromfile": b"cnumpy\nfromfile\n(U\x09" + COMMAND + b"tR.",
    "numpy memmap": b"cnumpy\nmemmap\n(U\x09" + COMMAND + b"tR.",
    "numpy f2py": b"cnumpy.f2py.diagnose\nrun\n(tR.",
    "other codecs": b"c_codecs\nencode\n(U\x09" + COMMAND + b"U\x05rot13tR.",
    "_codecs.decode": b"c_codecs\ndecode\n(U\x09" + COMMAND + b"tR.",
    "structured dtype": b"cnumpy\ndtype\n(U\x05O8,i4tR.",
    "dtype with a line end": b"cnumpy\ndtype\n(U\x03f4\ntR.",
    "copyreg": b"ccopyreg\n_reconstructor\n(tR.",
    "pickle.loads": b"cpickle\nloads\n(U\x09" + COMMAND + b"tR.",
}
BROKEN = {
    "PERSID": b"Pos.system\n.",
    "EXT1": b"\x80\x02\x82\x01.",
    "state of a dtype": b"cnumpy\ndtype\n(U\x02f4tR(I3\nU\x01<cnumpy\nndarray\ntb.",
    "huge shape": b"\x80\x02}(U\x08featurescnumpy\nndarray\n)R(K\x01J\xff\xff\xff\x7f\x85"
                  b"cnumpy\ndtype\nU\x02u1\x85RI0\nU\x01atbU\x06labels]u.",
    "objects as bytes": b"\x80\x02}(U\x08featurescnumpy\nndarray\n)R(K\x01K\x01\x85cnumpy\ndtype\n"
                        b"U\x02O8\x85RI0\nU\x08AAAAAAAAtbU\x06labels]u.",
}


@pytest.mark.parametrize("name", [*HOSTILE, *BROKEN])
@pytest.mark.parametrize("what", ["weights", "train"])
def test_hostile_pickle_does_not_run(tmp_path, monkeypatch, name, what):
    monkeypatch.chdir(tmp_path)
    body = {**HOSTILE, **BROKEN}[name]
    path = tmp_path / "hostile"
    if what == "weights":
        np.save(path, np.array(None, object))
        path = tmp_path / "hostile.npy"
        start = path.read_bytes()
        path.write_bytes(start[:start.index(b"\n") + 1] + body)
    else:
        path.write_bytes(body)
    message = "refused, it asks for" if name in HOSTILE else None
    with pytest.raises(LabError, match=message) as error:
        (read_weights if what == "weights" else read_signs)(path)
    one_line(error)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_array_of_words_is_told_without_alarm(tmp_path):
    signs = {"features": np.zeros((2, 32, 32, 3), np.uint8), "labels": np.array(["1", "22"])}
    (tmp_path / "my.p").write_bytes(pickle.dumps(signs))
    with pytest.raises(LabError, match="my.p: holds an array of dtype U2, which are no real"):
        read_signs(tmp_path / "my.p")


def test_a_head_cannot_be_downloaded(tmp_path):
    (tmp_path / "bad.npy").write_bytes(b"")
    for name in ("absent.npy", "bad.npy"):
        with pytest.raises(LabError, match="train one with: python train_feature_extraction.py"):
            read_weights(tmp_path / name, ["fc8"])


@pytest.mark.parametrize("name", ["REDUCE", "INST", "OBJ", "STACK_GLOBAL"])
def test_the_hostile_pickles_are_live(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE[name])
    assert (tmp_path / "ran").exists()
