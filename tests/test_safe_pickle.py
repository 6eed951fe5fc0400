"""Pickles: a hostile one never runs, reads memory, or takes much of it."""
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from conftest import bad_file

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


def payload(code, size):
    """A pickle of one string of 10 bytes that claims to have `size`."""
    return b"\x80\x05" + code + struct.pack("<Q", size) + b"0123456789."


MILLION = bytes(1_000_000)
BOMBS = {  # pickles that run no code, but take memory or time, or crash
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "features in themselves": b"\x80\x02}(U\x08features]q\x00h\x00aU\x06labels]u.",
    "lists of lists": pickle.dumps({"features": [[[0] * 32] * 32] * 9, "labels": [0] * 9}, 2),
    "memo index": b"\x80\x02Nr\x00\x00\x00\x10.",
    "many encodes": b"\x80\x02c_codecs\nencode\nq\x00X\x40\x42\x0f\x00" + MILLION + b"q\x01"
                    b"X\x06\x00\x00\x00latin1q\x02(" + b"h\x00h\x01h\x02\x86R" * 900 + b"t.",
    "empty dicts": b"\x80\x02(" + b"}" * 20_000_000 + b"t.",
    "keys of one hash": b"\x80\x02}(" + b"".join(
        b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N"
        for i in range(60_000)) + b"u.",
    "nested tuples": b"\x80\x02)" + b"\x85" * 200_000 + b".",
    "nested tuples as a key": b"\x80\x02})" + b"\x85" * 19_900 + b"Ns.",
    "bytearray8": payload(b"\x96", 5 * 10**9), "binbytes8": payload(b"\x8e", 2**62),
    "binunicode8": payload(b"\x8d", 4 * 10**9), "frame": payload(b"\x95", 5 * 10**9),
    "a long name": b"c" + b"a" * 50_000_000,
    "memory as an array": b"\x80\x02}(U\x08featuresc_codecs\nencode\nN}U\x13__array_interface__"
                          b"}(U\x04dataJ\x00\x10\x00\x00\x88\x86U\x05shape(K\x05tus\x86bu.",
    "pointers as an array": b"\x80\x02}(U\x08featurescnumpy.core.multiarray\n_reconstruct\n(tR"
                            b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8\x85RI0\nU\x08AAAAAAAAtbu.",
}


def write(folder, body, what):
    """A data set (`train`) or weights file whose pickle is `body`."""
    path = folder / "hostile.npy"
    np.save(path, np.array(None, object))
    header = path.read_bytes().partition(b"\n")[0] + b"\n" if what == "weights" else b""
    path.write_bytes(header + body)
    return path, read_weights if what == "weights" else read_signs


@pytest.mark.parametrize("name", [*HOSTILE, *BROKEN])
@pytest.mark.parametrize("what", ["weights", "train"])
def test_hostile_pickle_does_not_run(tmp_path, monkeypatch, name, what):
    monkeypatch.chdir(tmp_path)
    path, read = write(tmp_path, {**HOSTILE, **BROKEN}[name], what)
    with bad_file("refused, it asks for" if name in HOSTILE else None):
        read(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["REDUCE", "INST", "OBJ", "STACK_GLOBAL"])
def test_the_hostile_pickles_are_live(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE[name])
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("what", ["weights", "train"])
def test_a_bomb_takes_little_memory(tmp_path, name, what):
    path, read = write(tmp_path, BOMBS[name], what)
    tracemalloc.start()
    try:
        with bad_file():
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 300e6 + path.stat().st_size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read", [read_weights, read_signs])
@pytest.mark.parametrize("content, message", [
    (b"", "is empty"),
    (b"\n <!DOCTYPE html><html>404</html>", "is a web page"),
    (b"\x93NUMPY", "cut short, damaged or of another kind"),
    (b"PK\x03\x04 some archive", "cut short, damaged or of another kind"),
    (b"\x80\x04N.", "cut short|holds a NoneType"),
])
def test_files_of_another_kind(tmp_path, read, content, message):
    (tmp_path / "file").write_bytes(content)
    with bad_file(message):
        read(tmp_path / "file")


def test_absent_file_and_folder(tmp_path):
    with pytest.raises(LabError, match="absent.npy: does not exist"):
        read_weights(tmp_path / "absent.npy")
    with pytest.raises(LabError, match="is not a file"):
        read_signs(tmp_path)


def test_an_array_of_words_is_told_without_alarm(tmp_path):
    signs = {"features": np.zeros((2, 32, 32, 3), np.uint8), "labels": np.array(["1", "22"])}
    (tmp_path / "my.p").write_bytes(pickle.dumps(signs))
    with pytest.raises(LabError, match="my.p: holds an array of dtype U2, which are no real"):
        read_signs(tmp_path / "my.p")
