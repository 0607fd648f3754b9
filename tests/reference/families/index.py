"""index.py: elements chosen by indices and masks."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import BOOL, Case, DTYPE, F32, FLOAT, I32, I64, INF, INT, NAN, NUMPY, SHAPE, U8, axis, both, dtype_of

REDUCTIONS = ["sum", "prod", "mean", "amax", "amin"]


def one_hot(a, i):
    return F.one_hot(i.long(), a["classes"]).to(dtype_of(a["dtype"]))


def scatter(a, x, index, source):
    """One after the other: PyTorch does not say which of several for one place stays."""
    y, at = x.clone(), a["axis"]
    for where in np.ndindex(*index.shape):
        to = list(where)
        to[at] = int(index[where])
        y[tuple(to)] = source[where]
    return y


def scatter_last(a, index):
    last = torch.zeros(index.shape, dtype=torch.bool)
    seen = {}
    for where in np.ndindex(*index.shape):
        to = list(where)
        to[a["axis"]] = int(index[where])
        if tuple(to) in seen:
            last[seen[tuple(to)]] = False
        seen[tuple(to)] = where
        last[where] = True
    return last


def scatter_reduce(a, x, index, source):
    return x.scatter_reduce(a["axis"], index.long(), source, REDUCTIONS[a["how"]], include_self=bool(a["include_self"]))


def index_copy(a, x, index, source):
    y = x.clone()
    for k in range(len(index)):
        y.select(a["axis"], int(index[k])).copy_(source.select(a["axis"], k))
    return y


def index_fill(a, x, index):
    return x.index_fill(a["axis"], index.long(), a["value"] if x.dtype.is_floating_point else int(a["value"]))


OPS = {
    "one_hot": one_hot, "gather": lambda a, x, i: torch.gather(x, a["axis"], i.long()),
    "scatter_add": lambda a, x, i, s: x.scatter_add(a["axis"], i.long(), s),
    "scatter": scatter, "scatter_last": scatter_last, "scatter_reduce": scatter_reduce,
    "index_select": lambda a, x, i: x.index_select(a["axis"], i),
    "index_add": lambda a, x, i, s: x.index_add(a["axis"], i, s), "index_copy": index_copy, "index_fill": index_fill,
}


def extremes():
    cases = []
    for dtype in range(6):
        x = (np.arange(24) % 2 if dtype == BOOL else np.arange(24)).astype(NUMPY[dtype]).reshape(2, 3, 4)
        cases.append(Case("gather", NUMPY[dtype].__name__, axis(2), [x, np.array([[[3, 0]], [[1, 1]]], np.int64)], True))
    cases += both("scatter_add", "one place many times", axis(0), [np.zeros(3), np.array([1] * 9, np.int64), np.ones(9)])
    cases += both("scatter_add", "extremes", axis(0), [np.zeros(3), np.array([0, 1, 2], np.int64), np.array([INF, NAN, -0.0])])
    cases += both("gather", "extremes", axis(0), [np.array([INF, NAN, -INF]), np.array([2, 1, 0, 0], np.int64)])
    cases += both("gather", "fewer rows", axis(1), [np.arange(12.0).reshape(3, 4), np.array([[3, 3, 0, 1, 2]], np.int64)])
    for dtype in (F32, U8, I64, BOOL):
        cases.append(Case("one_hot", NUMPY[dtype].__name__, [("classes", INT, 4), ("dtype", DTYPE, dtype)],
                          [np.array([[3, 0], [1, 1]], np.int32)], True))
    for dtype in range(6):
        x = (np.arange(24) % 2 if dtype == BOOL else np.arange(24)).astype(NUMPY[dtype]).reshape(2, 3, 4)
        name, rows = NUMPY[dtype].__name__, np.array([2, 0, 2], np.int64)
        at = np.array([[[3, 0]], [[1, 1]]], np.int64)
        cases.append(Case("index_select", name, axis(1), [x, rows], True))
        cases.append(Case("index_copy", name, axis(1), [x, rows, x[:, ::-1].copy()], True))
        cases.append(Case("index_fill", name, [("axis", INT, 2), ("value", FLOAT, 1.0)], [x, np.array([3, 1], np.int32)], True))
        cases.append(Case("scatter", name, axis(2), [x, at, x[:, :1, :2].copy()], True))
        if dtype != BOOL:
            cases.append(Case("index_add", name, axis(1), [x, rows, x], True))
    odd, to = np.array([INF, NAN, -INF, 0.0, -0.0, 1]), np.array([0, 1, 2, 0, 1, 1], np.int64)
    for how in range(5):
        for own in (0, 1):
            fields = [("axis", INT, 0), ("how", INT, how), ("include_self", INT, own)]
            cases += both("scatter_reduce", f"extremes {how} {own}", fields, [np.array([1.0, 2, 3, 4]), to, odd])
            cases += both("scatter_reduce", f"of nan {how} {own}", fields, [np.array([NAN, INF, -0.0, NAN]), to, np.arange(6.0)])
            for dtype in (I64, I32, U8) if how != 2 else ():
                x = np.arange(1, 7).astype(NUMPY[dtype])
                cases.append(Case("scatter_reduce", f"{NUMPY[dtype].__name__} {how} {own}", fields, [x, to, x[::-1].copy()], True))
    cases += both("index_select", "extremes", axis(0), [odd, np.array([4, 1, 0, 2, 2, 3], np.int64)])
    cases += both("index_add", "extremes", axis(0), [np.zeros(3), to, odd])
    cases += both("index_add", "long", axis(0), [np.zeros((5, 40)), np.arange(30, dtype=np.int64) % 5, np.sin(np.arange(1200.0)).reshape(30, 40)])
    cases += both("index_fill", "with nan", [("axis", INT, 0), ("value", FLOAT, NAN)], [odd, np.array([0, 3], np.int64)])
    return cases


def masked_select(a, x, mask):
    return torch.masked_select(x, mask)


FUNCTIONS = {
    "take": lambda a, x, i: x.take(i.long()), "take_along_dim": lambda a, x, i: x.take_along_dim(i, a["axis"]),
    "index_select": lambda a, x, i: x.index_select(a["axis"], i),
    "index_add": lambda a, x, i, s: x.index_add(a["axis"], i, s, alpha=a["alpha"]),
    "index_copy": lambda a, x, i, s: x.index_copy(a["axis"], i, s),
    "index_fill": lambda a, x, i: x.index_fill(a["axis"], i, a["value"]),
    "scatter": lambda a, x, i, s: x.scatter(a["axis"], i, s), "scatter_value": lambda a, x, i: x.scatter(a["axis"], i, a["value"]),
    "scatter_reduce": scatter_reduce, "masked_fill": lambda a, x, m: x.masked_fill(m, a["value"]),
    "masked_select": lambda a, x, m: x.masked_select(m), "nonzero": lambda a, x: x.nonzero(),
    "nonzero_axes": lambda a, x: x.nonzero(as_tuple=True),
    "repeat_interleave_each": lambda a, x, n: x.repeat_interleave(n, a["axis"]),
}


def functions():
    def case(op, label, inputs, **fields):
        kinds = {int: INT, list: SHAPE, float: FLOAT}
        return Case(op, label, [(k, kinds[type(v)], v) for k, v in fields.items()], [np.asarray(x) for x in inputs])

    grid = lambda *shape: np.sin(np.arange(float(np.prod(shape)))).reshape(shape)
    x, once, twice = grid(2, 3, 4), np.array([2, 0]), np.array([1, 1, 0])
    mask = np.arange(24).reshape(2, 3, 4) % 3 == 1
    cases = [
        case("take", "matrix", [x, np.array([[0, 23], [5, 5]])]), case("take", "one", [x, np.array(7, np.int32)]),
        case("take_along_dim", "index broadcasts", [x, np.array([[[1, 0, 2, 2, 1]]]).transpose(0, 2, 1)], axis=1),
        case("take_along_dim", "x broadcasts", [grid(1, 5), np.array([[4, 0], [1, 1], [2, 3]])], axis=-1),
        case("index_select", "scalar", [x, np.array(2)], axis=1), case("index_add", "twice", [x, twice, grid(2, 3, 4)], axis=1, alpha=1.0),
        case("index_add", "with alpha", [x, once, grid(2, 2, 4)], axis=-2, alpha=-0.5),
        case("index_copy", "last axis", [x, once, grid(2, 3, 2)], axis=2), case("index_fill", "rows", [x, once], axis=1, value=2.5),
        case("index_fill", "scalar", [x, np.array(1)], axis=0, value=-1.0),
        case("scatter", "plain", [x, np.array([[[2, 0, 1, 1]], [[0, 0, 2, 1]]]), grid(2, 1, 4)], axis=1),
        case("scatter_value", "plain", [x, np.array([[[3, 0], [1, 2]]])], axis=-1, value=0.25),
        case("masked_fill", "plain", [x, mask], value=1.5), case("masked_fill", "rows", [x, mask[0, :, :1]], value=-INF),
        case("masked_fill", "i64", [np.arange(6), np.arange(6) > 3], value=7.0),
        case("masked_select", "plain", [x, mask]), case("masked_select", "mask broadcasts", [x, mask[0, :, :1]]),
        case("masked_select", "x broadcasts", [grid(3, 1), mask]), case("masked_select", "nothing", [x, np.zeros_like(mask)]),
        case("masked_select", "i64", [np.arange(6), np.arange(6) % 2 == 0]), case("masked_select", "scalars", [grid(), np.array(True)]),
        case("nonzero", "bool", [mask]), case("nonzero", "i64", [np.array([[0, 3], [-1, 0]])]), case("nonzero", "nothing", [np.zeros((2, 3))]),
        case("nonzero", "floats", [np.array([0.0, -0.0, NAN, 1e-300 * 0 + 1e-30, INF])]),
        case("nonzero", "one", [np.array(5)]), case("nonzero", "zero", [np.array(0)]), case("nonzero", "empty", [np.zeros((0, 3))]),
        case("nonzero_axes", "bool", [mask]), case("nonzero_axes", "vector", [np.array([0, 1, 1, 0, 1], np.uint8)]),
        case("repeat_interleave_each", "first", [x, np.array([2, 0])], axis=0),
        case("repeat_interleave_each", "last", [x, np.array([0, 3, 1, 2], np.int32)], axis=-1),
        case("repeat_interleave_each", "nothing", [x, np.array([0, 0, 0])], axis=1),
    ]
    positive, at = grid(3, 4) + 2, np.array([[1, 1, 3, 0, 1], [2, 2, 2, 2, 2], [0, 1, 2, 3, 0]])
    tied = np.array([[1.0, 2, 3, 4], [1, 1, 3, 1], [4, 3, 2, 1]])
    source = np.array([[2.0, 2, 1, 1, 0.5], [3, 1, 3, 3, 2], [4, 4, 1, 2, 4]])
    zeros = np.array([[0.0, 2, 0, 4], [1, 0, 3, 0], [0, 0, 2, 1]])
    zero_source = np.array([[0.0, 3, 1, 0, 2], [1, 0, 2, 2, 5], [2, 2, 0, 1, 3]])
    for how in range(5):
        for own in (0, 1):
            for label, a, b in (("plain", positive, grid(3, 5) + 3), ("ties", tied, source), ("zeros", zeros, zero_source)):
                if how >= 3 and not own:
                    a = a + 10  # where x gives way, PyTorch lets it take its share of the gradient of equals all the same
                cases.append(case("scatter_reduce", f"{label} {how} {own}", [a, at, b], axis=1, how=how, include_self=own))
    return cases
