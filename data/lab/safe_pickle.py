"""Read files of pickled arrays without running code.

A pickle is a program that can import and call what it names, and the lab's files come from
strangers' web hosts. Two things tame it. First its instructions are checked without running
them: only those that arrays, dicts and lists need may occur, and not many of them. Then
Python's unpickler runs it, but gets, whatever name it looks up, one of the classes below,
which build arrays from plain bytes. No function of Python or NumPy can be reached by name.
"""
import functools
import itertools
import os
import pickle
import pickletools
import re
from pathlib import Path

import numpy as np

from data.lab.command import LabError, about, printable

OTHERS = {  # how other files begin that are given by mistake
    rb"\Z": "is empty",
    rb"\s*<": "is a web page, not the file: a download went wrong",
    rb"version https://git-lfs": "is a Git LFS pointer, not the file itself",
    rb"PK[\x03\x05]": "is a zip archive: unpack it, if the file is in it",
    rb"\x08[\x01-\x1f]\x12.[ -~]": "is an ONNX model",  # version, producer
    rb"\n.[ -~]+(\x12|\xa2\x06)": "is a Caffe model",  # name, first layer
}
INSTRUCTIONS = 12_000  # at most; the weights need 600, train.p 150, names of 1,000 classes 10,000
LONG, LONG_VALUES = 1000, 64  # bytes; how many texts may be longer. The weights have 16 arrays
# Instructions that make a value which the pickle may use again, unless it is LONG. Tuples are
# not among them: a pair of the same pair, of the same pair ... takes for ever as a dict's key.
REUSABLE = set("""STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 LIST EMPTY_LIST DICT EMPTY_DICT
    GLOBAL STACK_GLOBAL REDUCE""".split())
HARMLESS = REUSABLE | set("""PROTO FRAME STOP MARK MEMOIZE PUT BINPUT LONG_BINPUT
    GET BINGET LONG_BINGET NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1
    FLOAT BINFLOAT TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS
    BUILD""".split())
CODES = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}


def refuse(wanted):
    """Raise the LabError for a pickle that refers to what could run code."""
    raise LabError(f"rejected: it refers to '{printable(wanted[:60])[:60]}', which arrays do not "
                   "need and which could run code; store only arrays, lists, numbers and texts")


def text(value):
    """Return `value` as str: Python 2 pickles give bytes."""
    return value.decode("latin1") if isinstance(value, bytes) else value


class Array:
    """Takes the place of an ndarray: `value` is one, or a list for an array of Python objects."""

    __slots__ = ("value",)

    def __init__(self, *_):
        self.value = None  # until its state comes, as with NumPy's _reconstruct

    def __setstate__(self, state):
        _, shape, dtype, fortran, self.value = state
        if not dtype.code.startswith("O"):
            # np.ndarray(buffer=...) would let a bytearray be resized, and freed, under it.
            array = np.frombuffer(self.value, dtype.order + dtype.code)
            self.value = array.reshape(shape, order="F" if fortran else "C")


class Dtype:
    """Takes the place of a dtype: a number's code and byte order, such as "f4" and "<"."""

    __slots__ = ("code", "order")

    def __init__(self, code, *_):
        self.code, self.order = text(code), "|"
        if re.fullmatch(r"[USVcmM]\d{0,9}", self.code):
            raise LabError(f"holds an array of dtype {self.code}, not of numbers")
        if not re.fullmatch(r"[fiu][1248]|b1|O8?", self.code):
            refuse(f"arrays of dtype {self.code}")

    def __setstate__(self, state):
        self.order = text(state[1])
        if self.order not in ("<", ">", "|", "="):
            refuse("a new state for a dtype")


class Name(functools.partial):
    """Takes the place of a function or class that the file names: calls one of NAMES."""

    __slots__ = ()

    def __setstate__(self, state):
        refuse("a new state for a name")


def from_buffer(buffer, dtype, shape, order):
    array = Array()
    array.__setstate__((1, shape, dtype, order == "F", buffer))
    return array


def encode(string, codec):
    if codec not in ("latin1", "latin-1"):
        refuse("bytes in another encoding")
    return string.encode("latin1")


NAMES = {
    "numpy.ndarray": Array,  # only an argument of _reconstruct
    "numpy.dtype": Dtype,
    "numpy.core.multiarray._reconstruct": Array,
    "numpy.core.numeric._frombuffer": from_buffer,  # protocol 5
    "_codecs.encode": encode,  # how Python 3 writes bytes up to protocol 2
}


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        name = f"{module[:99]}.{name[:99]}".replace("numpy._core", "numpy.core")  # since NumPy 2
        if name not in NAMES:
            refuse(name)
        return Name(NAMES[name])


def instructions(file):
    """Yield (name, start, number, length) of each instruction in the rest of `file`.

    start: where it begins; number: its index or size, if it has one; length: of its text or
    bytes, which are skipped. (pickletools.genops reads them, and fails on those of Python 2.)
    """
    size = os.fstat(file.fileno()).st_size
    while True:
        start = file.tell()
        opcode = CODES[file.read(1)]
        name, kind, number, length = opcode.name, opcode.arg, 0, 0
        if kind and kind.n == pickletools.UP_TO_NEWLINE:
            line = file.readline() + (file.readline() if name == "GLOBAL" else b"")
            number, length = int(line[:255]) if name in ("GET", "PUT") else 0, len(line)
        elif kind:  # such as uint4, a number of 4 bytes, or bytes4, whose length that is
            number = int.from_bytes(file.read(int(kind.name[-1])), "little")
            if (kind.n < 0 or name == "FRAME") and number > size - file.tell():
                raise EOFError("the file ends too early")
            if kind.n < 0:
                length = number
                file.seek(length, os.SEEK_CUR)
        yield name, start, number, length


def check(file):
    """Raise an error unless the rest of `file` is one pickle of few and harmless instructions."""
    frame, long, reusable, memo = 0, 0, False, {}  # frame: where it ends; memo: {index: reusable}
    for name, start, number, length in itertools.islice(instructions(file), INSTRUCTIONS):
        if name in ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"):
            refuse(f"the instruction {name}")
        # Of an instruction that crosses a frame's end the unpickler would read other bytes.
        if (name not in HARMLESS or length > 255 and name not in REUSABLE
                or name.endswith("PUT") and number > INSTRUCTIONS
                or start < frame and (name == "FRAME" or file.tell() > frame)):
            raise ValueError(f"the instruction {name}")
        if name == "STOP":
            if file.read(1):
                raise ValueError("bytes after its end")
            return
        if name == "FRAME":
            frame = file.tell() + number
            continue
        if name.endswith(("PUT", "MEMOIZE")):
            memo[len(memo) if name == "MEMOIZE" else number] = reusable
        if name.endswith("GET") and memo.get(number) is False:
            raise LabError("has an unusual structure that could use up all memory")
        reusable, long = name in REUSABLE and length <= LONG, long + (length > LONG)
        if long > LONG_VALUES:
            break
    raise LabError("is made of too many Python objects; store numbers as NumPy arrays, not lists")


def load(file):
    """Return the content of the pickle in the rest of the binary `file`, its arrays as Array.

    Runs no code. Raises LabError for a pickle that refers to what could run code, or that holds
    an array of something else than numbers, and any other exception if it is damaged.
    """
    start = file.tell()
    check(file)
    file.seek(start)
    return Unpickler(file, encoding="bytes").load()


def read_file(path, what, read):
    """Return `read(file)` of the binary file at `path`; raise LabError if the file is bad.

    what: weights, train or test, as `download.py --only` calls it, or head
    """
    fix = "see data/README.md for the format"
    if Path(path).name in ("bvlc-alexnet.npy", "train.p", "test.p"):
        fix = f"get the real one with: python data/download.py --only {what}"
    if what == "head":
        fix = "train one with: python train_feature_extraction.py"
    with about(path, fix), open(path, "rb") as file:
        start = file.read(256)
        for mark, wrong in OTHERS.items():
            if re.match(mark, start, re.DOTALL):
                raise LabError(wrong)
        file.seek(0)
        return read(file)


def dictionary(value, what):
    """Return the dict of `what` that a file holds: its keys as str, others than text left out."""
    if not isinstance(value, dict):
        raise LabError(f"holds a {type(value).__name__}, not a dict of {what}")
    return {text(key): item for key, item in value.items() if isinstance(key, (str, bytes))}


def unwrap(value, name):
    """Return the ndarray, or the list for one of Python objects, called `name` in the file."""
    if not isinstance(value, Array):
        raise LabError(f"{name}: a {type(value).__name__} instead of a NumPy array")
    return value.value


def read_names(stored, count):
    """Return the names of `count` classes that a file contains in addition to arrays, or None."""
    names = stored.get("names")
    if isinstance(names, Array):  # of Python objects
        names = names.value
    if names is None:
        return None
    if not isinstance(names, (list, tuple)) or not all(
            isinstance(name, (str, bytes)) for name in names):
        raise LabError("names: not a list of texts")
    if len(names) != count:
        raise LabError(f"names: {len(names)} entries for {count} classes")
    names = [printable(text(name[:201])) for name in names]
    if any(len(name) > 200 for name in names):
        raise LabError("names: one of them has more than 200 characters")
    return names
