"""move.py: other shapes and orders of the same elements."""
import numpy as np
import torch

from cases import BOOL, Case, INT, NUMPY, SHAPE, axis, both


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


OPS = {
    "reshape": lambda a, x: x.reshape(a["shape"]), "permute": lambda a, x: x.permute(a["shape"]),
    "expand": lambda a, x: x.expand(a["shape"]), "slice": slice_of, "slice_scatter": slice_scatter,
    "concat": lambda a, *x: torch.cat(x, a["axis"]), "copy": lambda a, x: x,
}


def extremes():
    cases = []
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
    cases += both("concat", "with nothing", axis(0), [np.zeros((0, 2)), np.ones((1, 2)), np.zeros((0, 2))])
    cases += both("concat", "alone", axis(0), [np.ones((1, 2))])
    return cases
