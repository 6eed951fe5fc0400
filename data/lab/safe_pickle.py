"""Read pickled arrays without running code.

A pickle is a program for a small machine with a stack, and some of its instructions import
and call what they name. The lab's files come from strangers' web hosts. So Python's own
unpickler is cut down here to the instructions that arrays, dicts and lists need. The names
that NumPy writes are never looked up; each array is built from its bytes. Nothing that a
file says can reach an attribute or a function of Python or NumPy.
"""
import os
import pickle
import pickletools
import re
from types import SimpleNamespace

import numpy as np

INSTRUCTIONS = 20_000  # at most; the weights need 600, GTSRB's train.p 150
HARMLESS = """PROTO FRAME STOP MARK MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 LIST EMPTY_LIST APPEND APPENDS
    DICT EMPTY_DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL REDUCE BUILD""".split()
NAMES = {  # that may stand in a file, and what they mean
    "numpy.ndarray": "class",
    "numpy.dtype": "dtype",
    "_codecs.encode": "encode",  # how Python 3 writes bytes under protocol 2
    "numpy.core.multiarray._reconstruct": "array",
    "numpy._core.multiarray._reconstruct": "array",  # since NumPy 2
    "numpy.core.numeric._frombuffer": "frombuffer",  # protocol 5
    "numpy._core.numeric._frombuffer": "frombuffer",
}


class Refused(Exception):
    """The pickle asks for something that arrays do not need and that could run code."""


class NotNumbers(Exception):
    """The pickle holds an array of text or of another kind that is no number."""


class Array:
    """An array of the file: `value` is an ndarray, or a list for one of Python objects."""

    __slots__ = ("value",)

    def fill(self, shape, dtype, fortran, buffer):
        objects = dtype.code.startswith("O")
        if type(buffer) is not (list if objects else bytes):
            raise ValueError("an array without content")
        self.value = buffer if objects else np.ndarray(
            shape, np.dtype(dtype.order + dtype.code), buffer, order="F" if fortran else "C")


class Dtype:
    """A number's code and byte order, such as "f4" and "<"."""

    __slots__ = ("code", "order")

    def __init__(self, code):
        if re.fullmatch(r"[USVcmM]\d{0,9}", code):
            raise NotNumbers(code)
        if not re.fullmatch(r"[fiu][1248]|b1|O8?", code):
            raise Refused(f"arrays of dtype {code}")
        self.code, self.order = code, "|"


class Name:
    """A name that stands in the file."""

    __slots__ = ("means",)


def text(value):
    """`value` as str: Python 2 pickles give bytes."""
    return value.decode("latin1") if isinstance(value, bytes) else value


class Unpickler(pickle._Unpickler):  # the one in Python, whose instructions can be replaced
    dispatch = {}

    def __init__(self, file):
        size = os.fstat(file.fileno()).st_size

        def read(count):
            if count > size - file.tell():  # before memory is taken for it
                raise EOFError("the file ends too early")
            return file.read(count)

        super().__init__(SimpleNamespace(read=read, readline=file.readline), encoding="bytes")
        self.instructions = INSTRUCTIONS
        self.encodable = size  # characters; the file cannot hold more

    def find_class(self, module, name):
        name = f"{module[:99]}.{name[:99]}"
        if name not in NAMES:
            raise Refused(name)
        found = Name()
        found.means = NAMES[name]
        return found

    def reduce(self):
        """REDUCE: what the named thing makes of its arguments."""
        arguments, name = self.stack.pop(), self.stack.pop()
        means = name.means if type(name) is Name else None
        if means == "array":
            result = Array()
        elif means == "frombuffer":
            buffer, dtype, shape, order = arguments
            result = Array()
            result.fill(shape, dtype, order == "F", buffer)
        elif means == "dtype":
            result = Dtype(text(arguments[0]))
        elif means == "encode" and arguments[1] in ("latin1", "latin-1"):
            self.encodable -= len(arguments[0])
            if self.encodable < 0:
                raise ValueError("more bytes than the file holds")
            result = arguments[0].encode("latin1")
        else:
            raise Refused(f"a call of {means}")
        self.stack.append(result)

    def build(self):
        """BUILD: the state of the array or dtype below it."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is Array:
            target.fill(*state[1:])
        elif type(target) is Dtype and text(state[1]) in ("<", ">", "|", "="):
            target.order = text(state[1])
        else:
            raise Refused(f"a new state for a {type(target).__name__}")

    def bytearray8(self):
        """BYTEARRAY8, as plain bytes: no memory is taken before they are there."""
        self.stack.append(self.read(int.from_bytes(self.read(8), "little")))


def instruction(name, run):
    """What the unpickler does for the instruction `name`."""

    def counted(unpickler):
        unpickler.instructions -= 1
        if unpickler.instructions < 0:
            raise OverflowError(f"more than {INSTRUCTIONS:,} instructions")
        if name in ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"):
            raise Refused(f"the instruction {name}")
        if name not in HARMLESS:
            raise ValueError(f"the instruction {name}")
        run(unpickler)

    return counted


for opcode in pickletools.opcodes:
    code = ord(opcode.code)
    run = getattr(Unpickler, opcode.name.lower(), pickle._Unpickler.dispatch[code])
    Unpickler.dispatch[code] = instruction(opcode.name, run)


def load(file):
    """The content of the pickle in the binary `file`, its arrays as Array; no code is run.

    Raises Refused for what could run code, NotNumbers for an array of something else, and
    any other exception for a damaged file.
    """
    content = Unpickler(file).load()
    if file.read(1):
        raise ValueError("bytes behind its end")
    return content
