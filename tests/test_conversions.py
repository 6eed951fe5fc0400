"""What other hosts have becomes the lab's files: order of axes, limits, formats."""
import io
import pickle
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from data.lab import conversions

# ONNX and Caffe's format, written by hand: https://protobuf.dev/programming-guides/encoding/


def number(value):
    if value < 128:
        return bytes([value])
    return bytes([value & 127 | 128]) + number(value >> 7)


def message(*items):
    """A protobuf message of (field number, int or bytes)."""
    return b"".join(
        number(field << 3) + number(value) if isinstance(value, int)
        else number(field << 3 | 2) + number(len(value)) + value for field, value in items)


def onnx(layers, field):
    """field: 9 for raw_data, 4 for float_data."""
    tensors = [
        (5, message(*((1, size) for size in array.shape), (2, 1), (8, f"{name}_{part}_0".encode()),
                    (field, array.tobytes())))
        for name, arrays in layers.items() for part, array in zip("wb", arrays)]
    return message((1, 4), (2, b"onnx-caffe2"), (7, message((1, message((4, b"Conv"))), *tensors)))


def caffemodel(layers, legacy):
    layer_field, name_field, blob_field = (2, 4, 6) if legacy else (100, 1, 7)
    parts = [(layer_field, message((name_field, b"data")))]
    for name, arrays in layers.items():
        blobs = []
        for array in arrays:
            shape = (7, message((1, b"".join(map(number, array.shape)))))
            blobs.append((blob_field, message(
                *(zip((1, 2, 3, 4), (1,) * (4 - array.ndim) + array.shape) if legacy else [shape]),
                (5, array.tobytes()))))
        parts.append((layer_field, message((name_field, name.encode()), *blobs)))
    return message((1, b"AlexNet"), *parts)


FORMATS = {
    "raw ONNX": ("from_onnx", lambda layers: onnx(layers, 9)),
    "ONNX": ("from_onnx", lambda layers: onnx(layers, 4)),
    "Caffe": ("from_caffemodel", lambda layers: caffemodel(layers, False)),
    "old Caffe": ("from_caffemodel", lambda layers: caffemodel(layers, True)),
}


def convert(folder, name, *downloads):
    """What the conversion `name` writes for the contents `downloads`."""
    out, paths = io.BytesIO(), [folder / str(i) for i, _ in enumerate(downloads)]
    for path, content in zip(paths, downloads):
        path.write_bytes(content)
    name, *arguments = name.split()
    getattr(conversions, name)(out, *arguments, *paths)
    return out.getvalue()


@pytest.fixture
def small(monkeypatch):
    """The last layers of a small network, in Caffe's order."""
    shapes = {"conv5": (3, 3, 3, 4), "fc6": (36, 130), "fc7": (130, 5)}
    monkeypatch.setattr(conversions, "SHAPES", shapes)
    monkeypatch.setattr(conversions, "POOL5", (3, 3, 4))
    rng = np.random.default_rng(2)
    return {name: [rng.standard_normal(shape, dtype=np.float32) for shape in (W, W[:1])]
            for name, W in [("conv5", (4, 3, 3, 3)), ("fc6", (130, 36)), ("fc7", (5, 130))]}


def correlate(image, W):
    """Convolution as in a network: image (in, h, w), W (out, in, h', w'), no border."""
    windows = np.lib.stride_tricks.sliding_window_view(image, W.shape[2:], axis=(1, 2))
    return np.einsum("iyxhw,oihw->oyx", windows, W)


@pytest.mark.parametrize("name", FORMATS)
def test_both_orders_give_one_output(tmp_path, small, name):
    """conv5 and two dense layers, computed in Caffe's order and in the lab's."""
    conversion, write = FORMATS[name]
    made = convert(tmp_path, conversion, write(small))
    assert made == convert(tmp_path, "from_onnx", onnx(small, 9))
    layers = np.load(io.BytesIO(made), allow_pickle=True).item()
    assert list(layers) == list(small)
    for array in (array for pair in layers.values() for array in pair):
        assert array.dtype == np.float32 and array.flags.c_contiguous

    image = np.random.default_rng(3).normal(size=(3, 5, 5))  # channels, height, width
    (W, b), *dense = small.values()
    wanted = (correlate(image, W) + b[:, None, None]).reshape(-1)
    for W, b in dense:
        wanted = W @ wanted + b

    (W, b), *dense = layers.values()
    found = (correlate(image, W.transpose(3, 2, 0, 1)).transpose(1, 2, 0) + b).reshape(-1)
    for W, b in dense:
        found = found @ W + b
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_models(tmp_path, small, name):
    conversion, write = FORMATS[name]
    whole = write(small)
    for damaged in (whole[:-100], whole[:-7], b"\x00" + whole, b"PNG" * 50, b""):
        with pytest.raises(Exception):
            convert(tmp_path, conversion, damaged)


PEAK = """
import re
from data.lab import conversions
with open(sys.argv[1], "wb") as out:
    getattr(conversions, sys.argv[2])(out, Path(sys.argv[3]))
print(re.search("VmHWM:(.*)kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in /proc")
def test_the_whole_network(tmp_path, weights, start):
    """From ONNX and from Caffe the same file, bit for bit, in less than 1.2 GB of memory."""
    caffe = {}
    for name, (W, b) in weights.items():
        if name == "fc6":
            W = W.reshape(6, 6, 256, -1).transpose(3, 2, 0, 1).reshape(-1, 9216)
        else:
            W = W.T if W.ndim == 2 else W.transpose(3, 2, 0, 1)
        caffe[name] = [np.ascontiguousarray(W), b]
    path, out = tmp_path / "model", tmp_path / "made"
    made = []
    for name in ("raw ONNX", "old Caffe"):
        conversion, write = FORMATS[name]
        path.write_bytes(write(caffe))
        peak = start(PEAK, out, conversion, path).communicate()[0]
        assert 0.5e9 < int(peak) * 1024 < 1.2e9
        made.append(out.read_bytes())
    assert made[0] == made[1]
    layers = np.load(out, allow_pickle=True).item()
    for name, pair in weights.items():
        assert all(map(np.array_equal, layers[name], pair))


# GTSRB's archives and the course's.


def picture(color, form="PPM"):
    file = io.BytesIO()
    Image.new("RGB", (40, 50), color).save(file, form)
    return file.getvalue()


def make_zip(members, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


FOLDER = "GTSRB/Final_Training/Images/"
TRAINING = {  # out of order, between members that try to leave the folder
    "../../escaped.txt": "x", "/escaped.txt": "x", "GTSRB/Readme.txt": "x",
    FOLDER + "00001/00000_00000.ppm": picture((11, 0, 0)),
    FOLDER + "00001/GT-00001.csv": "Filename;...",
    FOLDER + "00000/00001_00000.ppm": picture((10, 1, 0)),
    FOLDER + "00000/00000_00001.ppm": picture((10, 0, 1)),
    FOLDER + "00000/00000_00000.ppm": picture((10, 0, 0)),
}


def test_training_archive(tmp_path):
    signs = pickle.loads(convert(tmp_path, "from_gtsrb", make_zip(TRAINING)))
    colors = [(10, 0, 0), (10, 0, 1), (10, 1, 0), (11, 0, 0)]  # class, track, frame
    assert signs["features"].shape == (4, 32, 32, 3) and signs["features"].dtype == np.uint8
    assert (signs["features"] == np.array(colors)[:, None, None]).all()
    assert signs["labels"].tolist() == [0, 0, 0, 1]
    assert not list(tmp_path.parent.rglob("escaped*"))


def test_test_archives(tmp_path):
    images = make_zip({f"GTSRB/Final_Test/Images/0000{i}.ppm": picture((i, 2, 3)) for i in (1, 0)})
    table = make_zip({"GT-final_test.csv": "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;"
                      "ClassId\r\n00001.ppm;41;50;5;6;7;8;1\r\n00000.ppm;40;50;1;2;3;4;16\r\n"})
    signs = pickle.loads(convert(tmp_path, "from_gtsrb", images, table))
    assert signs["features"][:, 0, 0].tolist() == [[0, 2, 3], [1, 2, 3]]
    assert signs["labels"].tolist() == [16, 1]


def test_course_archive(tmp_path):
    members = {"__MACOSX/._train.p": b"x", "../../traffic/train.p": b"signs", "test.p": b"y"}
    assert convert(tmp_path, "from_course_zip train.p", make_zip(members)) == b"signs"
    with pytest.raises(KeyError, match="no item named 'valid.p'"):
        convert(tmp_path, "from_course_zip valid.p", make_zip(members))


def put(content, **options):
    return make_zip({**TRAINING, FOLDER + "00000/00000_00000.ppm": content}, **options)


@pytest.mark.parametrize("archive, message", [
    (put(picture((0, 0, 0))[:-9]), "truncated"),
    (put(picture((0, 0, 0), "PNG")), "cannot identify"),
    (put(b"P6 8000 8000 255\n" + bytes(99)), "absurdly large"),
    (put(b"")[:-30], "not a zip file"),
    (make_zip(TRAINING | {"x" * 600: ""}), "table of contents is absurdly large"),
    (put(bytes(1_000_001)), "absurdly large"),
    (put(bytes(10**6), compression=zipfile.ZIP_BZIP2), "absurdly large"),
])
def test_bad_archives(tmp_path, monkeypatch, archive, message):
    monkeypatch.setattr(conversions, "CONTENTS", 1200)
    with pytest.raises(Exception, match=message):
        convert(tmp_path, "from_gtsrb", archive)
