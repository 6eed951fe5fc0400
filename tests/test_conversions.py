"""What other hosts have becomes the lab's files: order of axes, limits, formats."""
import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from data.lab import conversions

# ONNX, Caffe's and TensorFlow's formats: https://protobuf.dev/programming-guides/encoding/


def number(value):
    if value < 128:
        return bytes([value])
    return bytes([value & 127 | 128]) + number(value >> 7)


def message(*items):
    """A protobuf message of (field number, int or bytes)."""
    return b"".join(
        number(field << 3) + number(value) if isinstance(value, int)
        else number(field << 3 | 2) + number(len(value)) + value for field, value in items)


def to_caffe(layers):
    """`layers`, as the lab stores them, in the order of Caffe."""
    caffe = {}
    for name, (W, b) in layers.items():
        if name == "fc6":
            W = W.reshape(*conversions.POOL5, -1)
        W = np.moveaxis(W, (-1, -2), (0, 1))
        caffe[name] = [np.ascontiguousarray(W.reshape(len(b), -1) if name == "fc6" else W), b]
    return caffe


def onnx(layers, field):
    """field: 9 for raw_data, 4 for float_data."""
    tensors = [
        (5, message(*((1, size) for size in array.shape), (2, 1), (8, f"{name}_{part}_0".encode()),
                    (field, array.tobytes())))
        for name, arrays in to_caffe(layers).items() for part, array in zip("wb", arrays)]
    shape = (5, message((2, 7), (7, number(1)), (8, b"OC2_DUMMY_1")))  # int64_data
    return message((1, 4), (2, b"onnx"), (7, message((1, message((4, b"Conv"))), shape, *tensors)))


def caffemodel(layers, legacy):
    layer_field, name_field, blob_field = (2, 4, 6) if legacy else (100, 1, 7)
    parts = [(layer_field, message((name_field, b"data")))]
    for name, arrays in to_caffe(layers).items():
        blobs = []
        for array in arrays:
            shape = (7, message((1, b"".join(map(number, array.shape)))))
            blobs.append((blob_field, message(
                *(zip((1, 2, 3, 4), (1,) * (4 - array.ndim) + array.shape) if legacy else [shape]),
                (5, array.tobytes()))))
        parts.append((layer_field, message((name_field, name.encode()), *blobs)))
    return message((1, b"AlexNet"), *parts)


def graph(layers):
    """A frozen TensorFlow graph."""
    nodes = [message((1, b"Placeholder"), (2, b"Placeholder"))]
    for name, arrays in layers.items():
        for part, array in zip(("weights", "biases"), arrays):
            own, kind = f"{name}/{part}".encode(), message((1, b"dtype"), (2, message((6, 1))))
            value = message((8, message((1, 1), (4, array.tobytes()))))
            nodes += [message((1, own), (2, b"Const"), (5, kind),
                              (5, message((1, b"value"), (2, value)))),
                      message((1, own + b"/read"), (2, b"Identity"), (3, own))]
    return message(*((1, node) for node in nodes), (4, message((1, 22))))


def manifest(layers):
    """What TensorSpace's shards hold, in their order: (layer, array)."""
    (W1, b1), (W2, b2), (W3, b3), (W4, b4), (W5, b5), *dense = layers.values()
    (W20, W21), (W40, W41), (W50, W51) = (np.split(W, 2, axis=-1) for W in (W2, W4, W5))
    return [
        ("conv5", W50), ("conv4", W40), ("conv2", W20), ("conv1", W1), ("conv1", b1),
        ("conv2", W21), ("conv2", b2), ("conv3", W3), ("conv3", b3), ("conv4", W41),
        ("conv4", b4), ("conv5", W51), ("", np.int32(3)), ("conv5", b5),
        ("", np.int32([-1, 9216])),
        *((name, array) for name, pair in zip(("fc6", "fc7", "fc8"), dense) for array in pair)]


def shards(layers, size=4 << 20):
    joined = b"".join(array.tobytes() for _, array in manifest(layers))
    return [joined[i:i + size] for i in range(0, len(joined), size)]


def compress(layers):
    """Deep Compression's file; the smallest weight of a layer has code 0."""
    def pack(numbers):  # of 4 bits, the low half of a byte first
        numbers = np.append(numbers, 0)
        return (numbers[:-1:2] | numbers[1::2] << 4).astype(np.uint8).tobytes()

    counts, content = [], b""
    for name, (W, b) in to_caffe(layers).items():
        codebook, codes = np.unique(W.ravel(), return_inverse=True)
        last, entries = -1, []  # gap and code of each
        for place in np.flatnonzero(codes):
            while place - last > 16:  # more than a gap of 4 bits can say
                entries.append((15, 0))
                last += 16
            entries.append((place - last - 1, codes[place]))
            last = place
        gaps, codes = np.array(entries).T
        counts.append(len(gaps))
        dense = name.startswith("fc")
        codebook = np.resize(codebook, 16 if dense else 256)
        codes = pack(codes) if dense else codes.astype(np.uint8).tobytes()
        content += codebook.tobytes() + b.tobytes() + codes + pack(gaps)
    return np.array(counts, "<u4").tobytes() + content


FORMATS = {  # conversion; a writer of its files
    "raw ONNX": ("from_protobuf onnx", lambda layers: [onnx(layers, 9)]),
    "ONNX": ("from_protobuf onnx", lambda layers: [onnx(layers, 4)]),
    "Caffe": ("from_protobuf caffe", lambda layers: [caffemodel(layers, False)]),
    "old Caffe": ("from_protobuf caffe", lambda layers: [caffemodel(layers, True)]),
    "graph": ("from_protobuf graph", lambda layers: [graph(layers)]),
    "shards": ("from_shards", lambda layers: shards(layers, 40_000)),
    "compressed": ("from_compressed", lambda layers: [compress(layers)]),
}


def convert(name, *contents):
    """What the conversion `name` writes for files of these contents."""
    out = io.BytesIO()
    name, *arguments = name.split()
    getattr(conversions, name)(out, *arguments, *map(io.BytesIO, contents))
    return out.getvalue()


@pytest.fixture
def small(monkeypatch):
    """A small network of few different weights, most of them the smallest."""
    shapes = {
        "conv1": (3, 3, 3, 8), "conv2": (3, 3, 4, 8), "conv3": (3, 3, 8, 12),
        "conv4": (3, 3, 6, 12), "conv5": (3, 3, 6, 4), "fc6": (36, 2000), "fc7": (2000, 50),
        "fc8": (50, None)}
    monkeypatch.setattr(conversions, "SHAPES", shapes)
    monkeypatch.setattr(conversions, "POOL5", (3, 3, 4))
    rng, layers = np.random.default_rng(2), {}
    for name, (*inputs, units) in shapes.items():
        codes = rng.integers(1, 16 if name[0] == "f" else 256, (*inputs, units or 1000))
        codes *= rng.random(codes.shape) < 0.1
        b = rng.standard_normal(units or 1000, dtype=np.float32)
        layers[name] = [codes.astype(np.float32) / 8 - 1, b]
    monkeypatch.setattr(conversions, "SHARDS", [(name, x.size) for name, x in manifest(layers)])
    return layers


def correlate(image, W):
    """Convolution as in a network: image (in, h, w), W (out, in, h', w'), no border."""
    windows = np.lib.stride_tricks.sliding_window_view(image, W.shape[2:], axis=(1, 2))
    return np.einsum("iyxhw,oihw->oyx", windows, W)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_file(small, name):
    conversion, write = FORMATS[name]
    made = convert(conversion, *write(small))
    layers = np.load(io.BytesIO(made), allow_pickle=True).item()
    assert list(layers) == list(small)
    for name, pair in small.items():
        for array, wanted in zip(layers[name], pair):
            assert array.dtype == np.float32 and array.flags.c_contiguous
            np.testing.assert_array_equal(array, wanted)
    assert made == convert("from_protobuf onnx", onnx(small, 9))


def test_both_orders_compute_the_same(small):
    """conv5 and two dense layers, in Caffe's order and in the lab's."""
    layers = np.load(io.BytesIO(convert("from_protobuf caffe", caffemodel(small, True))),
                     allow_pickle=True).item()
    image = np.random.default_rng(3).normal(size=(6, 5, 5))  # channels, height, width
    (W, b), *dense = list(to_caffe(small).values())[4:]
    wanted = (correlate(image, W) + b[:, None, None]).reshape(-1)
    for W, b in dense:
        wanted = W @ wanted + b
    (W, b), *dense = list(layers.values())[4:]
    found = (correlate(image, W.transpose(3, 2, 0, 1)).transpose(1, 2, 0) + b).reshape(-1)
    for W, b in dense:
        found = found @ W + b
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_the_compressed_file_has_all_that_can_occur(small):
    counts = np.frombuffer(compress(small), "<u4", 8)
    weights = [np.count_nonzero(W + 1) for W, _ in small.values()]
    assert {*(counts % 2)} == {0, 1} and (counts > weights).all()  # odd, even; filler entries


def test_the_shards_fill_the_whole_network(weights):
    assert [(name, array.size) for name, array in manifest(weights)] == [*conversions.SHARDS]
    assert sum(size for _, size in conversions.SHARDS) * 4 == 58 * 4_194_304 + 591_276


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_models(small, name):
    conversion, write = FORMATS[name]
    *first, last = write(small)
    for damaged in (last[:-100], last[:-7], b"\x00" + last, b"PNG" * 50, b""):
        with pytest.raises(Exception):
            convert(conversion, *first, damaged)


# GTSRB's archives, Kaggle's and the course's.


def picture(red, form="PPM"):
    file = io.BytesIO()
    Image.new("RGB", (40, 50), (red, 2, 3)).save(file, form)
    return file.getvalue()


def make_zip(members, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


GERMAN = "GTSRB/Final_Training/Images/"
TRAINING = {  # out of order, between members that try to leave the folder
    "../../escaped.txt": "x", "/escaped.txt": "x", "GTSRB/Readme.txt": "x",
    GERMAN + "00001/00000_00000.ppm": picture(3), GERMAN + "00001/GT-00001.csv": "Filename;...",
    GERMAN + "00000/00001_00000.ppm": picture(2), GERMAN + "00000/00000_00001.ppm": picture(1),
    GERMAN + "00000/00000_00000.ppm": picture(0),
}
TEST = {f"GTSRB/Final_Test/Images/0000{i}.ppm": picture(i) for i in (1, 0)}
TABLE = {"GT-final_test.csv": "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"
         "00001.ppm;41;50;5;6;7;8;1\r\n00000.ppm;40;50;1;2;3;4;16\r\n"}
COLUMNS = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\r\n"
KAGGLE = {"Meta/0.png": "x", "Meta.csv": "Path,ClassId\r\nMeta/0.png,0\r\n", "Train.csv": COLUMNS,
          "Test.csv": COLUMNS + "53,54,6,5,48,49,16,Test/00000.png\r\n"
                                "42,45,5,5,36,40,1,Test/00001.png\r\n"}
for letter in "Tt":  # Kaggle's archive has all of it twice
    KAGGLE |= {f"{letter}est/0000{i}.png": picture(i, "PNG") for i in (1, 0)}
    KAGGLE |= {f"{letter}rain/{name}.png": picture(i, "PNG") for i, name in (
        (2, "10/00010_00000_00000"), (1, "2/00002_00000_00001"), (0, "2/00002_00000_00000"))}


@pytest.mark.parametrize("conversion, archives, labels", [
    ("from_gtsrb Images/", [TRAINING], [0, 0, 0, 1]),
    ("from_gtsrb Images/", [TEST, TABLE], [16, 1]),
    ("from_gtsrb Train/", [KAGGLE], [2, 2, 10]),
    ("from_gtsrb Test/", [KAGGLE], [16, 1]),
])
def test_archives_of_signs(tmp_path, monkeypatch, conversion, archives, labels):
    """In order of class, track and frame, as the colours count them."""
    monkeypatch.chdir(tmp_path)
    signs = pickle.loads(convert(conversion, *map(make_zip, archives)))
    assert signs["labels"].tolist() == labels and signs["features"].dtype == np.uint8
    assert signs["features"].shape == (len(labels), 32, 32, 3)
    for i, image in enumerate(signs["features"]):
        assert (image == (i, 2, 3)).all()
    assert not list(tmp_path.parent.rglob("escaped*"))


def test_course_archive():
    members = {"__MACOSX/._train.p": b"x", "../../traffic/train.p": b"signs", "test.p": b"y"}
    assert convert("from_course_zip train.p", make_zip(members)) == b"signs"
    with pytest.raises(ValueError, match="not enough"):
        convert("from_course_zip valid.p", make_zip(members))


def put(content, **options):
    return make_zip({**TRAINING, GERMAN + "00000/00000_00000.ppm": content}, **options)


@pytest.mark.parametrize("archive, message", [
    (put(picture(0)[:-9]), "truncated"),
    (put(picture(0, "GIF")), "cannot identify"),
    (put(b"P6 8000 8000 255\n" + bytes(99)), "absurdly large"),
    (put(b"")[:-30], "not a zip file"),
    (make_zip(TRAINING | {"x": "", "y": ""}), "table of contents is absurdly large"),
    (put(bytes(1_000_001)), "absurdly large"),
    (put(bytes(10**6), compression=zipfile.ZIP_BZIP2), "absurdly large"),
    (make_zip({"Images/1.png": picture(0, "PNG")}), "invalid literal"),  # of which class?
])
def test_bad_archives(monkeypatch, archive, message):
    monkeypatch.setattr(conversions, "ENTRIES", len(TRAINING))
    with pytest.raises(Exception, match=message):
        convert("from_gtsrb Images/", archive)
