"""reduce.py: reductions over axes."""
import numpy as np
import torch

from cases import Case, I32, I64, INF, INT, NAN, NUMPY, SHAPE, U8, axis, both


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


OPS = {
    "sum": lambda a, x: torch.sum(x, reduce_axes(a, x), bool(a["keepdim"])).to(x.dtype),
    "mean": lambda a, x: torch.mean(x, reduce_axes(a, x), bool(a["keepdim"])),
    "max": reduce_max, "argmax": argmax,
}


def extremes():
    cases = []
    axes = lambda v, keep=0: [("axes", SHAPE, v), ("keepdim", INT, keep)]
    special = np.array([[1, NAN, 3], [-INF, -INF, -INF], [INF, 2, INF], [0.0, -0.0, 0.0], [INF, -INF, 1]])
    for op in ("sum", "mean", "max", "argmax"):
        for name, v in (("rows", [1]), ("columns", [0]), ("all", [0, 1])):
            cases += both(op, f"extremes, {name}", axes(v), [special])
            cases += both(op, f"extremes, {name}, kept", axes(v, 1), [special])
        cases += both(op, "long", axes([0, 1]), [np.sin(np.arange(7 * 1003.0)).reshape(7, 1003)])
        cases += both(op, "one axis of three", axes([1]), [np.cos(np.arange(5 * 33 * 7.0)).reshape(5, 33, 7)])
        cases += both(op, "size-1 axes", axes([0]), [np.array([[1.0], [2.0]]).reshape(1, 2, 1)])
    for op in ("sum", "mean"):
        cases += both(op, "empty", axes([0]), [np.zeros((0, 3))])
        cases += both(op, "all of nothing", axes([0, 1]), [np.zeros((0, 3))])
    cases += both("sum", "scattered axes", axes([0, 2]), [np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)])
    cases += both("mean", "scattered axes", axes([1, 3], 1), [np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)])
    for dtype in (I64, I32, U8):
        x = np.arange(24).reshape(2, 3, 4).astype(NUMPY[dtype])
        for op in ("max", "argmax") + (("sum",) if dtype == I64 else ()):
            cases.append(Case(op, f"{NUMPY[dtype].__name__}", axes([1]), [x], True))
    return cases
