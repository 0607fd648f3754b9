"""adaptive.py: pooling to a size, maxima put back, interpolation along an axis."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import FLOAT, INF, INT, NAN, SHAPE, Case, both

MODES = ["nearest", "nearest-exact", "linear", "bicubic", "area"]


def adaptive_max_pool(a, x):
    f = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}[x.dim() - 2]
    if x.numel() == 0:
        y = torch.zeros(*x.shape[:2], *a["output"], dtype=x.dtype)
        return y, y.long()
    return f(x, a["output"] if x.dim() > 3 else a["output"][0], return_indices=True)


def max_unpool(a, x, index):
    """By hand, for any number of dimensions: of equal indices the last stays."""
    y = torch.zeros(*x.shape[:2], int(np.prod(a["output"])), dtype=x.dtype)
    flat, at = x.flatten(2), index.flatten(2)
    for k in range(flat.shape[2]):
        y.scatter_(2, at[:, :, k:k + 1], flat[:, :, k:k + 1])
    return y.reshape(*x.shape[:2], *a["output"])


def resample(a, x):
    """One axis of interpolate: the others are its batch."""
    mode, axis, size = MODES[a["mode"]], a["axis"], a["output"]
    lines = x.movedim(axis, -1)
    rows = lines.reshape(1, -1, lines.shape[-1])
    more = {"align_corners": bool(a["align_corners"])} if mode in ("linear", "bicubic") else {}
    if mode == "bicubic":  # along the width; a row of its own is as it was
        rows, size = rows.unsqueeze(2), (1, size)
    if a["scale"] and mode != "area":
        factor = (1.0, a["scale"]) if mode == "bicubic" else a["scale"]
        y = F.interpolate(rows, scale_factor=factor, mode=mode, **more)
    else:
        y = F.interpolate(rows, size=size, mode=mode, **more)
    assert y.shape[-1] == a["output"]
    return y.reshape(*lines.shape[:-1], a["output"]).movedim(-1, axis)


def resample_backward(a, g):
    shape = list(g.shape)
    shape[a["axis"]] = a["input"]
    x = torch.zeros(*shape, dtype=g.dtype, requires_grad=True)
    return torch.autograd.grad(resample(a, x), x, g)[0]


OPS = {"adaptive_max_pool": adaptive_max_pool, "max_unpool": max_unpool, "resample": resample,
       "resample_backward": resample_backward}


def extremes():
    cases = []
    x = np.sin(np.arange(2 * 3 * 7 * 9.0)).reshape(2, 3, 7, 9)
    odd = np.array([[NAN, 1, -INF, -INF], [2, INF, -INF, -INF], [0, 0, -1, -2], [0, 0, -3, NAN]]).reshape(1, 1, 4, 4)
    for output in ([7, 9], [1, 1], [3, 4], [10, 20], [7, 1]):
        cases += both("adaptive_max_pool", f"{output}", [("output", SHAPE, output)], [x])
    cases += both("adaptive_max_pool", "extremes", [("output", SHAPE, [3, 2])], [odd])
    index = np.array([[[0, 3, 3, 11], [5, 5, 5, 1]]])
    cases += both("max_unpool", "twice the same", [("output", SHAPE, [3, 4])],
                  [np.arange(1.0, 9).reshape(1, 2, 2, 2), index.reshape(1, 2, 2, 2)])
    cases += both("max_unpool", "32-bit", [("output", SHAPE, [12])],
                  [np.arange(1.0, 9).reshape(1, 2, 4), index.astype(np.int32)])
    rows = np.sin(np.arange(2 * 17 * 5.0)).reshape(2, 17, 5)
    for mode in range(5):
        for axis, sizes in ((1, (17, 34, 6, 20, 1, 50)), (2, (5, 10, 3, 7, 1, 23))):
            for size in sizes:
                for corners in ((0, 1) if MODES[mode] in ("linear", "bicubic") else (0,)):
                    fields = [("axis", INT, axis), ("input", INT, rows.shape[axis]), ("output", INT, size),
                              ("mode", INT, mode), ("align_corners", INT, corners), ("scale", FLOAT, 0.0)]
                    label = f"{MODES[mode]} {axis} {size} {corners}"
                    cases += both("resample", label, fields, [rows])
                    g = np.cos(np.arange(rows.size // rows.shape[axis] * size * 1.0))
                    shape = list(rows.shape)
                    shape[axis] = size
                    cases += both("resample_backward", label, fields, [g.reshape(shape)])
    for mode in range(4):
        for scale, size in ((1.5, 25), (0.7, 11), (2.0, 34), (1.01, 17)):
            fields = [("axis", INT, 1), ("input", INT, 17), ("output", INT, size), ("mode", INT, mode),
                      ("align_corners", INT, 0), ("scale", FLOAT, scale)]
            cases += both("resample", f"{MODES[mode]} by {scale}", fields, [rows])
    ends = np.array([[INF, 1, 2, -INF]])
    for mode in (0, 1, 2):
        fields = [("axis", INT, 1), ("input", INT, 4), ("output", INT, 8), ("mode", INT, mode), ("align_corners", INT, 0),
                  ("scale", FLOAT, 0.0)]
        cases += both("resample", f"{MODES[mode]} infinities", fields, [ends])
    return cases
