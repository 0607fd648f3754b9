"""pad.py: padding, flips and rolls, triangles and diagonals."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import BOOL, Case, FLOAT, INF, INT, NAN, NUMPY, SHAPE, both

MODES = [None, "reflect", "replicate", "circular"]


def pairs(a):
    """The paddings as PyTorch has them: the last axis first."""
    return [n for pair in zip(reversed(a["before"]), reversed(a["after"])) for n in pair]


def pad(a, x):
    """What is put in front and behind first, then what is taken away: PyTorch takes away first, at most all of x."""
    if not x.dim():
        return x
    y = F.pad(x, [max(n, 0) for n in pairs(a)], value=a["value"])
    return F.pad(y, [min(n, 0) for n in pairs(a)])


def edge_index(a, axis, n):
    """Where in x each place of the padded axis comes from; NumPy's modes, cut off where a padding is negative."""
    before, after = a["before"][axis], a["after"][axis]
    mode = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[MODES[a["mode"]]]
    i = np.pad(np.arange(n), (max(before, 0), max(after, 0)), mode=mode)
    return torch.from_numpy(i[max(-before, 0):len(i) - max(-after, 0)])


def pad_edge(a, x):
    """PyTorch's own where it takes the shape, and the same by indices."""
    y = x
    for axis in range(x.dim()):
        y = y.index_select(axis, edge_index(a, axis, x.shape[axis]))
    padded = [i for i in range(x.dim()) if a["before"][i] or a["after"][i]]
    trailing = x.dim() - padded[0] if padded else 0
    if 2 <= x.dim() - trailing + 1 and trailing <= 3 and x.dim() - trailing in (1, 2) and x.dtype.is_floating_point:
        part = {k: v[-trailing:] for k, v in a.items() if isinstance(v, list)}
        assert torch.equal(F.pad(x, pairs(part), mode=MODES[a["mode"]]), y)
    return y


def pad_edge_backward(a, g):
    x = torch.zeros(*a["input_shape"], dtype=g.dtype, requires_grad=True)
    return torch.autograd.grad(pad_edge(a, x), x, g)[0]


def diag_embed(a, x):
    y = torch.zeros(*x.shape[:-1], a["rows"], a["columns"], dtype=x.dtype)
    if x.shape[-1]:
        y.diagonal(a["offset"], -2, -1).copy_(x)
    return y


OPS = {
    "pad": pad, "pad_edge": pad_edge, "pad_edge_backward": pad_edge_backward,
    "flip": lambda a, x: x.flip(a["axes"]),
    "roll": lambda a, x: x.roll(a["shifts"], list(range(x.dim()))) if x.dim() else x,
    "tril": lambda a, x: torch.tril(x, a["diagonal"]), "triu": lambda a, x: torch.triu(x, a["diagonal"]),
    "diagonal": lambda a, x: x.diagonal(a["offset"], a["axis_a"], a["axis_b"]), "diag_embed": diag_embed,
}


def extremes():
    cases = []
    for dtype in range(6):
        x = (np.arange(24) % 2 if dtype == BOOL else np.arange(24)).astype(NUMPY[dtype]).reshape(2, 3, 4)
        name = NUMPY[dtype].__name__
        value = [("value", FLOAT, 1.0)]
        cases.append(Case("pad", name, [("before", SHAPE, [0, 1, 2]), ("after", SHAPE, [1, 0, -1])] + value, [x], True))
        edge = [("before", SHAPE, [0, 1, 2]), ("after", SHAPE, [0, 2, 3]), ("input_shape", SHAPE, [2, 3, 4])]
        for mode in (1, 2, 3):
            cases.append(Case("pad_edge", f"{name} {MODES[mode]}", edge + [("mode", INT, mode)], [x], True))
        cases.append(Case("flip", name, [("axes", SHAPE, [0, 2])], [x], True))
        cases.append(Case("roll", name, [("shifts", SHAPE, [1, 0, 3])], [x], True))
        cases.append(Case("tril", name, [("diagonal", INT, 0)], [x], True))
        cases.append(Case("triu", name, [("diagonal", INT, 1)], [x], True))
        at = [("offset", INT, 1), ("axis_a", INT, 2), ("axis_b", INT, 0)]
        cases.append(Case("diagonal", name, at, [x], True))
        square = [("offset", INT, -1), ("rows", INT, 5), ("columns", INT, 4)]
        cases.append(Case("diag_embed", name, square, [x], True))
    odd = np.array([[INF, NAN, -0.0], [0.0, -INF, NAN]])
    cases += both("tril", "extremes", [("diagonal", INT, 0)], [odd])
    cases += both("triu", "extremes", [("diagonal", INT, 0)], [odd])
    for value in (INF, NAN, -0.0):
        fields = [("before", SHAPE, [1, 0]), ("after", SHAPE, [0, 2]), ("value", FLOAT, value)]
        cases += both("pad", f"with {value}", fields, [odd])
    for far in (-100, 100):
        cases += both("tril", f"far {far}", [("diagonal", INT, far)], [odd])
        cases += both("triu", f"far {far}", [("diagonal", INT, far)], [odd])
    return cases
