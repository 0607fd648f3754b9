"""window.py: sliding windows, and the patches of pictures as columns."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import Case, I64, INF, INT, NAN, NUMPY, SHAPE, both


def windows(a, x):
    return x.unfold(a["axis"], a["size"], a["step"])


def windows_add(a, g):
    shape = list(g.shape[:-1])
    shape[a["axis"]] = a["extent"]
    x = torch.zeros(*shape, dtype=g.dtype, requires_grad=True)
    return torch.autograd.grad(windows(a, x), x, g)[0]


def options(a):
    return dict(dilation=a["dilation"], padding=a["padding"], stride=a["stride"])


def unfold(a, x):
    if x.shape[0] == 0:
        return torch.zeros(0, *unfold(a, torch.zeros(1, *x.shape[1:], dtype=x.dtype)).shape[1:], dtype=x.dtype)
    return F.unfold(x, a["kernel"], **options(a))


def fold(a, x):
    if x.shape[0] == 0:
        return torch.zeros(0, *fold(a, torch.zeros(1, *x.shape[1:], dtype=x.dtype)).shape[1:], dtype=x.dtype)
    return F.fold(x, a["image"], a["kernel"], **options(a))


OPS = {"windows": windows, "windows_add": windows_add, "unfold": unfold, "fold": fold}


def extremes():
    cases = []
    x = np.sin(np.arange(2 * 3 * 7 * 9.0)).reshape(2, 3, 7, 9)
    for kernel, stride, padding, dilation in (([1, 1], [1, 1], [0, 0], [1, 1]), ([3, 3], [1, 1], [1, 1], [1, 1]),
                                              ([2, 4], [3, 2], [0, 3], [2, 1]), ([7, 9], [1, 1], [0, 0], [1, 1]),
                                              ([2, 2], [1, 1], [4, 5], [3, 2])):
        fields = [("kernel", SHAPE, kernel), ("stride", SHAPE, stride), ("padding", SHAPE, padding),
                  ("dilation", SHAPE, dilation), ("image", SHAPE, [7, 9])]
        name = f"{kernel} {stride} {padding} {dilation}"
        cases += both("unfold", name, fields, [x])
        columns = unfold({k: v for k, _, v in fields}, torch.from_numpy(x)).numpy()
        cases += both("fold", name, fields, [columns + 1])
    odd = np.array([INF, NAN, -INF, 0.0, -0.0])
    fields = lambda size, step, extent: [("axis", INT, 0), ("size", INT, size), ("step", INT, step), ("extent", INT, extent)]
    cases += both("windows", "extremes", fields(2, 1, 5), [odd])
    cases += both("windows_add", "extremes", fields(2, 1, 4), [np.array([[INF, 1], [-INF, NAN], [2, 3]])])
    cases += both("windows_add", "gaps", fields(2, 3, 9), [np.arange(6.0).reshape(3, 2)])
    cases.append(Case("windows", "i64", fields(3, 2, 8), [np.arange(16).astype(NUMPY[I64]).reshape(8, 2)], True))
    return cases
