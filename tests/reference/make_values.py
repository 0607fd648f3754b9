#!/usr/bin/env python3
"""Makes values.bin: what PyTorch gives for every operation, on the samples of its record and on extremes.

    build/tests/test_op_values --dump samples.bin
    python3 tests/reference/make_values.py samples.bin tests/reference/values.bin

Needs torch and numpy. Nothing here is used by the tests themselves, which read values.bin only. The file's form is that of
tests/support/cases.c. Random operations are checked against a Philox written here from the paper.
"""
import math
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

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


# ---- Philox4x32-10 (Salmon et al. 2011) ----
def philox(seed, position, block):
    c = [block & 0xFFFFFFFF, block >> 32, position & 0xFFFFFFFF, position >> 32]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


assert philox(0, 0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # from the authors' known answers


def words(a, count):
    return [philox(a["seed"], a["position"], i // 4)[i % 4] for i in range(count + 1)]


def uniforms(a, count):
    return np.array([(w >> 8) * 2.0**-24 for w in words(a, count)[:count]])


def normals(a, count):
    w, out = words(a, count), []
    for i in range(count):
        u1, u2 = (w[i - i % 2] + 1) * 2.0**-32, w[i - i % 2 + 1] * 2.0**-32
        out.append(math.sqrt(-2 * math.log(u1)) * (math.sin if i % 2 else math.cos)(2 * math.pi * u2))
    return np.array(out)


# ---- each operation: (attributes, *inputs) -> results ----
def conv(a, x, w, b=None):
    return F.conv2d(x, w, b, a["stride"], a["padding"], a["dilation"], a["groups"])


def conv_grad(a, which, x, w, g):
    x, w = x.requires_grad_(), w.requires_grad_()
    return torch.autograd.grad(conv(a, x, w), (x, w)[which], g)[0]


def avg_pool(a, x):
    """By hand: in PyTorch the divisor of windows over the edge is the same, but its fast path refuses empty batches."""
    return F.avg_pool2d(x, a["kernel"], a["stride"], a["padding"], count_include_pad=not a["exclude_pad"])


def window_places(a, index):
    """Flat indices into the plane, as PyTorch gives them, as places i kernel_width + j in each window; and back."""
    n, c, h, w = a["input_shape"]
    (kh, kw), (sh, sw), (ph, pw) = a["kernel"], a["stride"], a["padding"]
    top = (torch.arange(index.shape[2]) * sh - ph).reshape(-1, 1)
    left = (torch.arange(index.shape[3]) * sw - pw).reshape(1, -1)
    return top, left, kh, kw, h, w


def max_pool(a, x):
    y, index = F.max_pool2d(x, a["kernel"], a["stride"], a["padding"], return_indices=True)
    top, left, kh, kw, h, w = window_places(a, index)
    place = (index // w - top) * kw + index % w - left
    return y, place.to(torch.uint8 if kh * kw <= 256 else torch.int64)


def max_pool_places(a, place):
    """Flat indices, and whether each lies in the plane."""
    top, left, kh, kw, h, w = window_places(a, place)
    at_h, at_w = top + place.long() // kw, left + place.long() % kw
    inside = (place.long() < kh * kw) & (at_h >= 0) & (at_h < h) & (at_w >= 0) & (at_w < w)
    return torch.where(inside, at_h * w + at_w, 0).flatten(2), inside.flatten(2)


def max_pool_backward(a, g, place):
    n, c, h, w = a["input_shape"]
    index, inside = max_pool_places(a, place)
    return torch.zeros(n, c, h * w, dtype=g.dtype).scatter_add(2, index, g.flatten(2) * inside).reshape(n, c, h, w)


def max_pool_take(a, x, place):
    index, inside = max_pool_places(a, place)
    return (x.flatten(2).gather(2, index) * inside).reshape(place.shape)


def avg_pool_backward(a, g):
    x = torch.zeros(*a["input_shape"], dtype=g.dtype, requires_grad=True)
    return torch.autograd.grad(avg_pool(a, x), x, g)[0]


def batch_norm(a, x, weight, bias):
    axes = [d for d in range(x.dim()) if d != 1]
    y = F.batch_norm(x, None, None, weight, bias, True, 0.1, a["eps"])
    return y, x.mean(axes), (x.var(axes, correction=0) + a["eps"]).rsqrt()


def batch_norm_backward(a, x, weight, mean, rstd, g):
    """mean and rstd are taken as given, as the record says."""
    shape = [1, -1] + [1] * (x.dim() - 2)
    axes = [d for d in range(x.dim()) if d != 1]
    xhat = (x - mean.reshape(shape)) * rstd.reshape(shape)
    m = x.numel() / x.shape[1]
    db, dw = g.sum(axes), (g * xhat).sum(axes)
    dx = (weight * rstd).reshape(shape) * (g - (db.reshape(shape) + xhat * dw.reshape(shape)) / m)
    return dx, dw, db


def batch_norm_relu_backward(a, x, weight, bias, mean, rstd, g):
    shape = [1, -1] + [1] * (x.dim() - 2)
    z = (x - mean.reshape(shape)) * (rstd * weight).reshape(shape) + bias.reshape(shape)
    return batch_norm_backward(a, x, weight, mean, rstd, torch.where(z <= 0, 0, g))


def reduce_axes(a, x):
    return a["axes"] if a["axes"] else list(range(x.dim()))


def reduce_max(a, x):
    return torch.amax(x, reduce_axes(a, x), bool(a["keepdim"])) if x.dim() else x


def argmax(a, x):
    axes = reduce_axes(a, x)
    if x.dtype == torch.bool:
        x = x.to(torch.uint8)
    if len(axes) == 1:
        return torch.argmax(x, axes[0], bool(a["keepdim"]))
    r = torch.argmax(x.flatten(), 0)
    return r.reshape([1] * x.dim()) if a["keepdim"] else r


def slice_of(a, x):
    i = [slice(None)] * x.dim()
    i[a["axis"]] = slice(a["start"], a["start"] + a["length"] * a["step"], a["step"])
    y = x[tuple(i)]
    return y.narrow(a["axis"], 0, a["length"])


def slice_scatter(a, base, source):
    i = [slice(None)] * base.dim()
    i[a["axis"]] = torch.arange(a["length"]) * a["step"] + a["start"]
    y = base.clone()
    y[tuple(i)] = source
    return y


def cross_entropy(a, x, t):
    t = t.long()
    loss = F.cross_entropy(x, t) if t.numel() else torch.tensor(math.nan, dtype=x.dtype)
    return loss, torch.logsumexp(x, 1)


def cross_entropy_backward(a, x, t, lse, g):
    hot = F.one_hot(t.long(), x.shape[1]).movedim(-1, 1)
    return (torch.exp(x - lse.unsqueeze(1)) - hot) * g / t.numel()


def one_hot(a, i):
    return F.one_hot(i.long(), a["classes"]).to(torch.from_numpy(np.zeros(0, NUMPY[a["dtype"]])).dtype)


def filled(a, value):
    return torch.from_numpy(np.full(a["shape"], value).astype(NUMPY[a["dtype"]]))


def random(a, numbers):
    count = math.prod(a["shape"])
    return torch.from_numpy(numbers(a, count).reshape(a["shape"]).astype(NUMPY[a["dtype"]]))


def matmul(a, x, y):
    return torch.matmul(x, y)


OPS = {
    "add": lambda a, x, y: x + y, "sub": lambda a, x, y: x - y, "mul": lambda a, x, y: x * y,
    "div": lambda a, x, y: x / y, "pow": lambda a, x, y: torch.pow(x, y),
    "maximum": lambda a, x, y: torch.maximum(x, y), "minimum": lambda a, x, y: torch.minimum(x, y),
    "neg": lambda a, x: -x, "exp": lambda a, x: torch.exp(x), "log": lambda a, x: torch.log(x),
    "sqrt": lambda a, x: torch.sqrt(x), "abs": lambda a, x: torch.abs(x), "relu": lambda a, x: torch.relu(x),
    "relu6": lambda a, x: F.relu6(x),
    "sigmoid": lambda a, x: torch.sigmoid(x), "tanh": lambda a, x: torch.tanh(x), "erf": lambda a, x: torch.erf(x),
    "gelu": lambda a, x: F.gelu(x),
    "equal": lambda a, x, y: x == y, "not_equal": lambda a, x, y: x != y, "less": lambda a, x, y: x < y,
    "less_equal": lambda a, x, y: x <= y, "greater": lambda a, x, y: x > y, "greater_equal": lambda a, x, y: x >= y,
    "where": lambda a, c, x, y: torch.where(c, x, y),
    "cast": lambda a, x: x.to(torch.from_numpy(np.zeros(0, NUMPY[a["dtype"]])).dtype),
    "scalar": lambda a: filled(a, a["value"]), "full": lambda a: filled(a, a["value"]),
    "copy": lambda a, x: x, "assign": lambda a, old, new: new,
    "sum": lambda a, x: torch.sum(x, reduce_axes(a, x), bool(a["keepdim"])).to(x.dtype),
    "mean": lambda a, x: torch.mean(x, reduce_axes(a, x), bool(a["keepdim"])),
    "max": reduce_max, "argmax": argmax, "matmul": matmul,
    "softmax": lambda a, x: torch.softmax(x, a["axis"]), "log_softmax": lambda a, x: torch.log_softmax(x, a["axis"]),
    "reshape": lambda a, x: x.reshape(a["shape"]), "permute": lambda a, x: x.permute(a["shape"]),
    "expand": lambda a, x: x.expand(a["shape"]), "slice": slice_of, "slice_scatter": slice_scatter,
    "concat": lambda a, *x: torch.cat(x, a["axis"]),
    "one_hot": one_hot, "gather": lambda a, x, i: torch.gather(x, a["axis"], i.long()),
    "scatter_add": lambda a, x, i, s: x.scatter_add(a["axis"], i.long(), s),
    "conv2d": conv,
    "conv2d_input_grad": lambda a, g, w: conv_grad(a, 0, torch.zeros(*a["input_shape"], dtype=g.dtype), w, g),
    "conv2d_weight_grad": lambda a, x, g: conv_grad(a, 1, x, torch.zeros(*a["weight_shape"], dtype=g.dtype), g),
    "max_pool2d": max_pool, "max_pool2d_backward": max_pool_backward, "max_pool2d_take": max_pool_take, "avg_pool2d": avg_pool,
    "avg_pool2d_backward": avg_pool_backward, "batch_norm": batch_norm, "batch_norm_backward": batch_norm_backward,
    "batch_norm_relu_backward": batch_norm_relu_backward,
    "cross_entropy": cross_entropy, "cross_entropy_backward": cross_entropy_backward,
    "uniform": lambda a: random(a, lambda a, n: a["low"] + (a["high"] - a["low"]) * uniforms(a, n)),
    "normal": lambda a: random(a, lambda a, n: a["mean"] + a["deviation"] * normals(a, n)),
    "dropout": lambda a, x: x * torch.from_numpy(((uniforms(a, x.numel()) >= a["p"]) * a["scale"]).reshape(tuple(x.shape))),
}


def evaluate(c):
    if c.op not in OPS:
        raise SystemExit(f"[{c.op}] is not in OPS of {sys.argv[0]}: add what PyTorch computes for it")
    results = OPS[c.op](c.a, *[torch.from_numpy(x.copy()) for x in c.inputs])
    results = results if isinstance(results, tuple) else (results,)
    c.results = [None if r is None else r.detach().contiguous().numpy() for r in results]
    if c.outputs:
        c.results += [None] * (c.outputs - len(c.results))
    return c


# ---- extremes ----
INF, NAN = math.inf, math.nan


def extremes():
    edge = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-30, -1e-30, 1e30, -1e30, 88.0, -87.0, 0.5, 20.0, -20.0, 3.0, 6.0]
    near = [0.0, -0.0, 1.0, -1.0, 2.0, INF, -INF, NAN, 0.5, 3.0]
    cases = []

    def both(op, label, fields, inputs):
        """In f32 and in f64, each compared with PyTorch in the same dtype."""
        for kind, name in ((np.float64, "f64"), (np.float32, "f32")):
            given = [np.asarray(x).astype(kind) if np.asarray(x).dtype == np.float64 else np.asarray(x) for x in inputs]
            cases.append(Case(op, f"{label} {name}", fields, given, True))

    for op in ("neg", "exp", "log", "sqrt", "abs", "relu", "relu6", "sigmoid", "tanh", "erf", "gelu"):
        finite = np.isfinite(edge) | (op != "gelu")  # PyTorch's gelu of infinity is NaN in f32, right in f64
        both(op, "extremes", [], [np.array(edge)[finite]])
        both(op, "long", [], [np.linspace(-9, 9, 1031)])
    cases.append(Case("gelu", "infinities", [], [np.array([INF, -INF, NAN])]))
    for op in ("log", "sqrt"):
        both(op, "wide", [], [np.logspace(-30, 30, 301)])
    both("exp", "wide", [], [np.linspace(-85, 88, 501)])
    pairs = np.meshgrid(near, near)
    for op in ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "equal", "not_equal", "less", "less_equal",
               "greater", "greater_equal"):
        both(op, "extremes", [], [pairs[0].copy(), pairs[1].copy()])
        both(op, "broadcast", [], [np.array(near).reshape(-1, 1), np.array(near)])
    wrap = {I32: [2**31 - 1, -2**31, 7, -7], U8: [255, 0, 200, 100], I64: [2**63 - 1, -2**63, 7, -7]}
    for dtype, numbers in wrap.items():
        x = np.array(numbers, NUMPY[dtype])
        for op in ("add", "sub", "mul", "maximum", "minimum", "less", "equal"):
            cases.append(Case(op, f"wrap {NUMPY[dtype].__name__}", [], [x.reshape(-1, 1), x], True))
        cases.append(Case("neg", f"wrap {NUMPY[dtype].__name__}", [], [x], True))
    cast = lambda to: [("dtype", DTYPE, to)]
    for to in (F32, F64, BOOL):
        cases.append(Case("cast", f"extremes to {to}", cast(to), [np.array(edge)], True))
    for to in (I64, I32):
        cases.append(Case("cast", f"truncates to {to}", cast(to), [np.array([0.9, -0.9, 1.5, -1.5, 1e9, -1e9, -0.0])], True))
    cases.append(Case("cast", "wraps to u8", cast(U8), [np.array([255, 256, 257, -1, 1000], np.int64)], True))
    cases.append(Case("cast", "wraps to i32", cast(I32), [np.array([2**31, 2**40 + 5, -2**31 - 1], np.int64)], True))
    both("where", "extremes", [], [np.array([True, False, True, False]), np.array([NAN, NAN, 1, 2]), np.array([1, 2, NAN, NAN])])

    axes = lambda v, keep=0: [("axes", SHAPE, v), ("keepdim", INT, keep)]
    special = np.array([[1, NAN, 3], [-INF, -INF, -INF], [INF, 2, INF], [0.0, -0.0, 0.0], [INF, -INF, 1]])
    for op in ("sum", "mean", "max", "argmax"):
        for name, v in (("rows", [1]), ("columns", [0]), ("all", [0, 1])):
            both(op, f"extremes, {name}", axes(v), [special])
            both(op, f"extremes, {name}, kept", axes(v, 1), [special])
        both(op, "long", axes([0, 1]), [np.sin(np.arange(7 * 1003.0)).reshape(7, 1003)])
        both(op, "one axis of three", axes([1]), [np.cos(np.arange(5 * 33 * 7.0)).reshape(5, 33, 7)])
        both(op, "size-1 axes", axes([0]), [np.array([[1.0], [2.0]]).reshape(1, 2, 1)])
    for op in ("sum", "mean"):
        both(op, "empty", axes([0]), [np.zeros((0, 3))])
        both(op, "all of nothing", axes([0, 1]), [np.zeros((0, 3))])
    both("sum", "scattered axes", axes([0, 2]), [np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)])
    both("mean", "scattered axes", axes([1, 3], 1), [np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)])
    for dtype in (I64, I32, U8):
        x = np.arange(24).reshape(2, 3, 4).astype(NUMPY[dtype])
        for op in ("max", "argmax") + (("sum",) if dtype == I64 else ()):
            cases.append(Case(op, f"{NUMPY[dtype].__name__}", axes([1]), [x], True))

    axis = lambda v: [("axis", INT, v)]
    rows = np.array([[0, 0, 0], [1e4, 0, -1e4], [NAN, 0, 1], [-INF, 0, 1], [INF, 0, 1], [-1e30, 1e30, 0], [5, 5, 5.0]])
    for op in ("softmax", "log_softmax"):
        both(op, "extremes", axis(1), [rows])
        both(op, "other axis", axis(0), [rows[:2]])
        both(op, "nothing but -inf", axis(0), [np.array([-INF, -INF])])
        both(op, "one element", axis(1), [np.array([[3.0], [-2.0]])])
        both(op, "empty", axis(1), [np.zeros((0, 4))])
        both(op, "long", axis(1), [np.sin(np.arange(3 * 517.0)).reshape(3, 517) * 10])

    m = np.array([[1, INF], [NAN, 2]])
    both("matmul", "extremes", [], [m, np.array([[1.0, 0], [3, 4]])])
    both("matmul", "no inner extent", [], [np.zeros((2, 0)), np.zeros((0, 3))])
    both("matmul", "no rows", [], [np.zeros((0, 4)), np.ones((4, 3))])
    both("matmul", "batches broadcast", [], [np.arange(2 * 1 * 2 * 3.0).reshape(2, 1, 2, 3) / 7,
                                             np.arange(5 * 3 * 4.0).reshape(5, 3, 4) / 9])

    reshape = lambda v: [("shape", SHAPE, v)]
    for dtype in range(6):
        x = (np.arange(24) % 2 if dtype == BOOL else np.arange(24)).astype(NUMPY[dtype]).reshape(2, 3, 4)
        name = NUMPY[dtype].__name__
        cases.append(Case("reshape", name, reshape([4, 6]), [x], True))
        cases.append(Case("permute", name, reshape([2, 0, 1]), [x], True))
        cases.append(Case("expand", name, reshape([2, 2, 3, 4]), [x[:1].copy()], True))
        part = [("axis", INT, 2), ("start", INT, 1), ("step", INT, 2), ("length", INT, 2)]
        cases.append(Case("slice", name, part, [x], True))
        cases.append(Case("concat", name, axis(1), [x, x[:, :1].copy(), x], True))
        cases.append(Case("copy", name, [], [x], True))
        cases.append(Case("gather", name, axis(2), [x, np.array([[[3, 0]], [[1, 1]]], np.int64)], True))
    both("concat", "with nothing", axis(0), [np.zeros((0, 2)), np.ones((1, 2)), np.zeros((0, 2))])
    both("concat", "alone", axis(0), [np.ones((1, 2))])
    both("scatter_add", "one place many times", axis(0), [np.zeros(3), np.array([1] * 9, np.int64), np.ones(9)])
    both("scatter_add", "extremes", axis(0), [np.zeros(3), np.array([0, 1, 2], np.int64), np.array([INF, NAN, -0.0])])
    both("gather", "extremes", axis(0), [np.array([INF, NAN, -INF]), np.array([2, 1, 0, 0], np.int64)])
    both("gather", "fewer rows", axis(1), [np.arange(12.0).reshape(3, 4), np.array([[3, 3, 0, 1, 2]], np.int64)])
    for dtype in (F32, U8, I64, BOOL):
        cases.append(Case("one_hot", NUMPY[dtype].__name__, [("classes", INT, 4), ("dtype", DTYPE, dtype)],
                          [np.array([[3, 0], [1, 1]], np.int32)], True))

    labels = np.array([0, 2, 1, 1, 0, 2, 1], np.int64)
    both("cross_entropy", "large", [], [rows[[0, 1, 5, 6]], labels[:4]])
    both("cross_entropy", "NaN", [], [rows[:3], labels[:3]])
    both("cross_entropy", "u8 labels", [], [rows[[0, 6]], labels[:2].astype(np.uint8)])
    both("cross_entropy", "i32 labels", [], [rows[[0, 6]], labels[:2].astype(np.int32)])
    both("cross_entropy", "pictures", [], [np.sin(np.arange(2 * 3 * 4 * 5.0)).reshape(2, 3, 4, 5), (np.arange(40) % 3).reshape(2, 4, 5)])

    def pool(kernel, stride, padding, x, exclude=0):
        return [("kernel", SHAPE, kernel), ("stride", SHAPE, stride), ("padding", SHAPE, padding),
                ("exclude_pad", INT, exclude), ("input_shape", SHAPE, list(x.shape))]

    x = np.sin(np.arange(2 * 3 * 7 * 9.0)).reshape(2, 3, 7, 9)
    odd = np.array([[NAN, 1, -INF, -INF], [2, INF, -INF, -INF], [0, 0, -1, -2], [0, 0, -3, NAN]]).reshape(1, 1, 4, 4)
    for kernel, stride, padding in (([2, 2], [2, 2], [0, 0]), ([3, 2], [1, 2], [1, 0]), ([3, 3], [2, 2], [1, 1]),
                                    ([1, 1], [1, 1], [0, 0]), ([7, 9], [1, 1], [0, 0])):
        name = f"{kernel} {stride} {padding}"
        both("max_pool2d", name, pool(kernel, stride, padding, x), [x])
        for exclude in (0, 1):
            both("avg_pool2d", f"{name} {exclude}", pool(kernel, stride, padding, x, exclude), [x])
            g = avg_pool(dict(kernel=kernel, stride=stride, padding=padding, exclude_pad=exclude), torch.from_numpy(x)).numpy()
            both("avg_pool2d_backward", f"{name} {exclude}", pool(kernel, stride, padding, x, exclude), [g + 1])
        y, place = max_pool(dict(kernel=kernel, stride=stride, padding=padding, input_shape=x.shape), torch.from_numpy(x))
        both("max_pool2d_backward", name, pool(kernel, stride, padding, x), [y.numpy(), place.numpy()])
        both("max_pool2d_take", name, pool(kernel, stride, padding, x), [x, place.numpy()])
    both("max_pool2d", "extremes", pool([2, 2], [2, 2], [0, 0], odd), [odd])
    both("avg_pool2d", "extremes", pool([2, 2], [2, 2], [0, 0], odd), [odd])

    for n, (cin, cout, groups, kernel, stride, padding, dilation) in enumerate((
            (3, 4, 1, [3, 3], [1, 1], [0, 0], [1, 1]), (4, 6, 2, [3, 2], [2, 1], [1, 1], [1, 1]),
            (4, 4, 4, [3, 3], [1, 1], [1, 1], [1, 1]), (2, 3, 1, [3, 3], [1, 2], [2, 2], [2, 2]),
            (3, 2, 1, [1, 1], [1, 1], [0, 0], [1, 1]), (2, 2, 1, [7, 8], [1, 1], [0, 0], [1, 1]),
            (2, 2, 1, [2, 2], [3, 4], [0, 1], [1, 3]), (16, 16, 16, [3, 3], [1, 1], [1, 1], [1, 1]),
            (17, 17, 17, [3, 3], [2, 2], [1, 1], [1, 1]))):
        x = np.sin(np.arange(2 * cin * 7 * 8.0)).reshape(2, cin, 7, 8)
        w = np.cos(np.arange(cout * cin // groups * kernel[0] * kernel[1] * 1.0)).reshape(cout, cin // groups, *kernel)
        fields = [("stride", SHAPE, stride), ("padding", SHAPE, padding), ("dilation", SHAPE, dilation),
                  ("groups", INT, groups), ("input_shape", SHAPE, list(x.shape)), ("weight_shape", SHAPE, list(w.shape))]
        a = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
        g = np.cos(conv(a, torch.from_numpy(x), torch.from_numpy(w)).numpy())
        both("conv2d", f"shape {n}", fields, [x, w])
        both("conv2d", f"shape {n} with bias", fields, [x, w, np.arange(cout * 1.0)])
        both("conv2d_input_grad", f"shape {n}", fields, [g, w])
        both("conv2d_weight_grad", f"shape {n}", fields, [x, g])

    eps = [("eps", FLOAT, 1e-5)]
    x = np.sin(np.arange(4 * 3 * 5 * 6.0)).reshape(4, 3, 5, 6)
    flat = np.ones((4, 2)) * 3
    both("batch_norm", "pictures", eps, [x, np.arange(3.0), np.arange(3.0) - 1])
    both("batch_norm", "rows", eps, [x.reshape(-1, 6), np.ones(6), np.zeros(6)])
    cases.append(Case("batch_norm", "no variance", eps, [flat, np.ones(2), np.zeros(2)]))  # PyTorch's f32 is not exact
    both("batch_norm", "NaN in one channel", eps, [np.array([[NAN, 1], [2, 3], [4, 9.0]]), np.ones(2), np.zeros(2)])
    return cases


def main():
    torch.set_num_threads(1)
    cases = read(sys.argv[1]) + extremes()
    write(sys.argv[2], [evaluate(c) for c in cases])
    print(len(cases), "cases")


main()
