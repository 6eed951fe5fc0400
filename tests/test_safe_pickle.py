"""Pickles: a hostile one never runs, reads memory, or takes much of it; other bad files."""
import io
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from conftest import bad_file

from data.lab import safe_pickle
from data.lab.command import LabError
from data.lab.gtsrb import read_signs
from data.lab.weights import read_weights

CALL = b"(U\x09touch rantR."
HOSTILE = {
    "REDUCE": b"cos\nsystem\n" + CALL,
    "INST": b"(U\x09touch ranios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nU\x09touch rano.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\n(U\x09touch rant\x81.",
    "NEWOBJ_EX": b"\x80\x04csubprocess\nPopen\n(U\x09touch rant}\x92.",
    "BUILD": b"\x80\x02cfunctools\npartial\n)\x81(cos\nsystem\n(U\x09touch rant}Ntb.",
    "BUILD on what is admitted": b"\x80\x02cnumpy\nndarray\n}U\x0c__setstate__cos\nsystem\nsb.",
    "BUILD of what is admitted": b"\x80\x02cnumpy\ndtype\n(cnumpy\nndarray\n)}Ntb.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + CALL,
    "STACK_GLOBAL nested": b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93)R.",
    "nested from numpy": b"\x80\x04\x8c\x05numpy\x8c\x0bos.system__\x93" + CALL,
    **{name: b"c" + name.replace(" ", "\n").encode() + b"\n" + CALL for name in (
        "builtins getattr", "builtins eval", "__builtin__ eval", "copyreg _reconstructor",
        "pickle loads", "numpy load", "numpy fromfile", "numpy memmap", "numpy.f2py.diagnose run",
        "numpy.testing._private.utils runstring", "numpy.distutils.exec_command exec_command",
        "_codecs decode")},
    "other codecs": b"c_codecs\nencode\n(U\x09touch ranU\x05rot13tR.",
    "structured dtype": b"cnumpy\ndtype\n(U\x05O8,i4tR.",
    "dtype with a line end": b"cnumpy\ndtype\n(U\x03f4\ntR.",
    "state of a dtype": b"cnumpy\ndtype\n(U\x02f4tR(I3\nU\x02O,tb.",
    "a long dtype": b"cnumpy\ndtype\n(T\x80\x96\x98\x00" + bytes(10_000_000) + b"tR.",
}
BROKEN = {
    "PERSID": b"Pos.system\n.",
    "EXT1": b"\x80\x02\x82\x01.",
    "state of a dtype alone": b"cnumpy\ndtype\n(U\x02f4tR(I3\nU\x01<cnumpy\nndarray\ntb.",
    "huge shape": b"\x80\x02}(U\x08featurescnumpy\nndarray\n)R(K\x01J\xff\xff\xff\x7f\x85"
                  b"cnumpy\ndtype\nU\x02u1\x85RI0\nU\x01atbU\x06labels]u.",
    "objects as bytes": b"\x80\x02}(U\x08featurescnumpy\nndarray\n)R(K\x01K\x01\x85cnumpy\ndtype\n"
                        b"U\x02O8\x85RI0\nU\x08AAAAAAAAtbU\x06labels]u.",
    "an array never filled": b"\x80\x02}U\x08featurescnumpy\nndarray\n)Rs.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "features in themselves": b"\x80\x02}(U\x08features]q\x00h\x00aU\x06labels]u.",
    "lists of lists": pickle.dumps({"features": [[[0] * 32] * 32] * 9, "labels": [0] * 9}, 2),
    "nested tuples as a key": b"\x80\x02})" + b"\x85" * 11_900 + b"Ns.",
    "memory as an array": b"\x80\x02}(U\x08featuresc_codecs\nencode\nN}U\x13__array_interface__"
                          b"}(U\x04dataJ\x00\x10\x00\x00\x88\x86U\x05shape(K\x05tus\x86bu.",
    "pointers as an array": b"\x80\x02}(U\x08featurescnumpy.core.multiarray\n_reconstruct\n(tR"
                            b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8\x85RI0\nU\x08AAAAAAAAtbu.",
}


def payload(code, size):
    """A pickle of one string of 10 bytes that claims to have `size`."""
    return b"\x80\x05" + code + struct.pack("<Q", size) + b"0123456789."


def frame(content):
    return b"\x95" + struct.pack("<Q", len(content)) + content


def keys_of_one_hash(count, string=b""):
    """A dict whose keys are integers, or tuples of `string` and an integer, of one hash."""
    numbers = [b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") for i in range(count)]
    if string:
        numbers = [b"T" + struct.pack("<I", len(string)) + string + n + b"\x86" for n in numbers]
    return b"\x80\x02}(" + b"".join(number + b"N" for number in numbers) + b"u."


MILLION = bytes(1_000_000)
BOMBS = {  # that would take memory or time, or crash; not even the harmless part of them runs
    "a header of 4 gigabytes": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "tuples of tuples as a key": b"\x80\x04})\x94" + b"".join(
        b"h%ch%c\x86\x94" % (i, i) for i in range(23)) + b"Ns.",
    "tuples doubled": b"\x80\x02})" + b"2\x86" * 23 + b"Ns.",
    "memo index": b"\x80\x02Nr\x00\x00\x00\x10.",
    # Python's unpickler drops the end of a large frame, "a", where a string continues after it,
    # reads "bcdeU", then N, which looked like a size, and then the index.
    "memo index behind a frame": b"\x80\x04" + frame(b"(B\xff\xff\0\0" + bytes(65_535) + b"U\x05a")
                                 + b"bcdeUN" + b"r\x00\x00\x00\x02".ljust(78, b"N") + b"t.",
    # It also drops the rest of a frame, "U\x1e", for a frame inside of it that is longer.
    "memo index in two frames": b"\x80\x04" + frame(b"(B\xff\xff\0\0" + bytes(65_535)
                                + frame(bytes(32))[:9] + b"U\x1e")
                                + b"r\x00\x00\x00\x02".ljust(30, b"N") + b"t.",
    "memo index after zeros": b"Np" + b"0" * 99 + b"99999999\n.",
    "many encodes": b"\x80\x02c_codecs\nencode\nq\x00X\x40\x42\x0f\x00" + MILLION + b"q\x01"
                    b"X\x06\x00\x00\x00latin1q\x02(" + b"h\x00h\x01h\x02\x86R" * 900 + b"t.",
    "empty dicts": b"\x80\x02(" + b"}" * 20_000_000 + b"t.",
    "keys of one hash": keys_of_one_hash(60_000),
    "long keys of one hash": keys_of_one_hash(2_000, bytes(9_000)),
    "nested tuples": b"\x80\x02)" + b"\x85" * 200_000 + b".",
    "bytearray8": payload(b"\x96", 5 * 10**9), "binbytes8": payload(b"\x8e", 2**62),
    "binunicode8": payload(b"\x8d", 4 * 10**9), "frame": payload(b"\x95", 5 * 10**9)[:-11] + b"N.",
    "a long name": b"c" + b"a" * 50_000_000,
    "a long integer": b"L" + b"9" * 4_000_000 + b"L\n.",
}
READERS = {"weights": read_weights, "train": read_signs,
           "head": lambda path: read_weights(path, ("fc8",))}
NAMES = {"weights": "bvlc-alexnet.npy", "train": "train.p", "head": "my.npy"}  # with a fix each
FIX = {"weights": "python data/download.py --only weights", "train": "download.py --only train",
       "head": "train one with: python train_feature_extraction.py"}


def write(folder, body, what):
    """A data set (`train`) or weights file whose pickle is `body`."""
    path = folder / NAMES[what]
    with open(path, "wb") as file:
        np.save(file, np.array(None, object))
    header = path.read_bytes().partition(b"\n")[0] + b"\n"
    path.write_bytes(body if what == "train" or body[:6] == header[:6] else header + body)
    return path


def good(what, **more):
    """The bytes of a small data set (`train`) or head of three classes."""
    if what == "train":
        signs = {"features": np.zeros((3, 32, 32, 3), np.uint8), "labels": np.arange(3)}
        return pickle.dumps({**signs, **more})
    file = io.BytesIO()
    np.save(file, {"fc8": [np.ones((4096, 3), np.float32), np.ones(3, np.float32)], **more})
    return file.getvalue()


@pytest.mark.parametrize("name", [*HOSTILE, *BROKEN, *BOMBS])
@pytest.mark.parametrize("what", ["weights", "train"])
def test_a_hostile_pickle_runs_no_code_and_takes_little_memory(tmp_path, monkeypatch, name, what):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, {**HOSTILE, **BROKEN, **BOMBS}[name], what)
    if name in BOMBS:
        monkeypatch.setattr(safe_pickle.Unpickler, "load", lambda _: pytest.fail("it ran"))
    tracemalloc.start()
    try:
        with bad_file("rejected: it refers to" if name in HOSTILE else None, FIX[what]):
            READERS[what](path)
        assert tracemalloc.get_traced_memory()[1] < 300e6 + path.stat().st_size
    finally:
        tracemalloc.stop()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["REDUCE", "INST", "OBJ", "STACK_GLOBAL"])
def test_the_hostile_pickles_are_live(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE[name])
    assert (tmp_path / "ran").exists()


def test_the_memory_of_an_array_stays(tmp_path):
    """A bytearray that an array lies in cannot grow, and so move, under it."""
    buffer = b"\x96" + struct.pack("<Q", 4) + b"1234\x94"
    array = b"cnumpy.core.numeric\n_frombuffer\n(h\x00cnumpy\ndtype\nU\x02u1\x85R" \
            b"K\x04\x85U\x01CtR"
    with open(write(tmp_path, b"\x80\x05(" + buffer + array + b"t.", "train"), "rb") as file:
        assert safe_pickle.load(file)[1].value.tolist() == [*b"1234"]
    grown = b"\x80\x05(" + buffer + array + b"h\x00(" + b"K\x00" * 999 + b"et."
    with open(write(tmp_path, grown, "train"), "rb") as file, pytest.raises(BufferError):
        safe_pickle.load(file)


@pytest.mark.parametrize("what", READERS)
@pytest.mark.parametrize("content, message", [
    (b"", "is empty"),
    (b"\n <!DOCTYPE html><html>404</html>", "is a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer, not the"),
    (b"PK\x03\x04\x14\0\0\0\x08\0", "is a zip archive"),
    (b"\x08\x03\x12\x0bonnx-caffe2:\xa2", "is an ONNX model"),
    (b"\n\x07AlexNet\x12\xaf\x05\x12\x06conv1", "is a Caffe model"),
    (b"\n\x07AlexNet\xa2\x06\xaf\x05\x12\x06conv1", "is a Caffe model"),
    (b"\x93NUMPY", "is truncated, damaged or in the wrong format"),
    (b"\x80\x04N.", "is truncated|holds a NoneType"),
])
def test_files_of_another_kind(tmp_path, what, content, message):
    (tmp_path / NAMES[what]).write_bytes(content)
    with bad_file(message, FIX[what]):
        READERS[what](tmp_path / NAMES[what])
    own = FIX["head"] if what == "head" else "see data/README.md for the format"
    for path, wrong in ("absent", "does not exist"), (".", "is not a file"):
        with bad_file(wrong, own):
            READERS[what](tmp_path / path)


@pytest.mark.parametrize("what", ["head", "train"])
def test_every_truncation_is_noticed_and_bytes_after_the_end(tmp_path, what):
    whole = good(what)
    for content in [whole + b"x", *(whole[:n] for n in range(0, len(whole), len(whole) // 60))]:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(LabError, match="file: is"):
            READERS[what](tmp_path / "file")


@pytest.mark.parametrize("what", ["head", "train"])
@pytest.mark.parametrize("names, message", [
    (["a", "b"], "names: 2 entries for 3 classes"),
    (["a", "b", None], "names: not a list of texts"),
    ({"b": 1, "a": 0, "c": 2}, "names: not a list of texts"),
    ("a" * 10**6, "names: not a list of texts"),
    (["a", "b", "c" * 201], "names: one of them has more than 200 characters"),
    (["a" * 10**5] * 3, "has an unusual structure"),
    (np.array(["a", "bc", "d"]), "holds an array of dtype U2, not of numbers"),
    (["a", "b", "\x1b[2J"], None),
    ([b"a", b"b", b"\x1b[2J"], None),
    (np.array(["a", "b", "\x1b[2J"], object), None),
])
def test_names(tmp_path, what, names, message):
    (tmp_path / NAMES[what]).write_bytes(good(what, names=names))
    if message:
        with bad_file(f"{NAMES[what]}: {message}", FIX[what]):
            READERS[what](tmp_path / NAMES[what])
    else:
        assert READERS[what](tmp_path / NAMES[what]).names == ["a", "b", "\\x1b[2J"]
