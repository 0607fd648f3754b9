"""cases.py: stored cases of operations: their file (in the form of tests/support/cases.c), and what the families share."""
import math
import struct

import numpy as np
import torch

F32, F64, I64, I32, U8, BOOL = range(6)
NUMPY = [np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_]
INT, FLOAT, UINT, SHAPE, DTYPE = range(5)  # kinds of attributes
MAGIC = b"CBMCASE\0"


# ---- the file ----
class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        part = self.data[self.at:self.at + size]
        assert len(part) == size
        self.at += size
        return part

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def text(self):
        return self.take(self.u32()).decode()

    def tensor(self):
        if not self.u32():
            return None
        dtype, rank = self.u32(), self.u32()
        shape = struct.unpack(f"<{rank}q", self.take(8 * rank))
        kind = np.dtype(NUMPY[dtype])
        return np.frombuffer(self.take(math.prod(shape) * kind.itemsize), kind).reshape(shape).copy()

    def field(self):
        name, kind = self.text(), self.u32()
        raw = self.take(8 * (9 if kind == SHAPE else 1))
        if kind == SHAPE:
            v = struct.unpack("<9q", raw)
            return name, kind, list(v[1:1 + v[0]])
        return name, kind, struct.unpack({INT: "<q", FLOAT: "<d", UINT: "<Q", DTYPE: "<q"}[kind], raw)[0]


class Case:
    def __init__(self, op, label, fields, inputs, exact=False, outputs=0):
        self.op, self.label, self.fields, self.inputs, self.exact = op, label, fields, inputs, exact
        self.outputs = outputs
        self.a = {name: value for name, _, value in fields}


def read(path):
    r = Reader(open(path, "rb").read())
    assert r.take(8) == MAGIC
    cases = []
    for _ in range(r.u32()):
        op, label, exact = r.text(), r.text(), bool(r.u32())
        fields = [r.field() for _ in range(r.u32())]
        n_in, n_out = r.u32(), r.u32()
        inputs = [r.tensor() for _ in range(n_in)]
        for _ in range(n_out):
            r.tensor()
        cases.append(Case(op, label, fields, inputs, exact, n_out))
    return cases


def text(s):
    return struct.pack("<I", len(s.encode())) + s.encode()


def tensor(x):
    if x is None:
        return struct.pack("<I", 0)
    x = np.asarray(x)
    head = struct.pack("<III", 1, NUMPY.index(x.dtype.type), x.ndim) + struct.pack(f"<{x.ndim}q", *x.shape)
    return head + x.tobytes()


def field(f):
    name, kind, v = f
    if kind == SHAPE:
        raw = struct.pack("<9q", len(v), *v, *[0] * (8 - len(v)))
    else:
        raw = struct.pack({INT: "<q", FLOAT: "<d", UINT: "<Q", DTYPE: "<q"}[kind], v)
    return text(name) + struct.pack("<I", kind) + raw


def write(path, cases):
    out = [MAGIC, struct.pack("<I", len(cases))]
    for c in cases:
        out += [text(c.op), text(c.label), struct.pack("<II", c.exact, len(c.fields))]
        out += [field(f) for f in c.fields]
        out.append(struct.pack("<II", len(c.inputs), len(c.results)))
        out += [tensor(x) for x in c.inputs + c.results]
    with open(path, "wb") as f:
        f.write(b"".join(out))


# ---- for the families ----
INF, NAN = math.inf, math.nan


def dtype_of(number):
    """PyTorch's dtype of a cbm_dtype."""
    return torch.from_numpy(np.zeros(0, NUMPY[number])).dtype


def both(op, label, fields, inputs):
    """The case in f64 and in f32, each compared with PyTorch in the same dtype. Integers stay as they are."""
    out = []
    for kind, name in ((np.float64, "f64"), (np.float32, "f32")):
        given = [np.asarray(x).astype(kind) if np.asarray(x).dtype == np.float64 else np.asarray(x) for x in inputs]
        out.append(Case(op, f"{label} {name}", fields, given, True))
    return out


def axis(v):
    return [("axis", INT, v)]
