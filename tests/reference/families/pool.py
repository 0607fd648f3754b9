"""pool.py: pooling."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from cases import INF, INT, NAN, SHAPE, both

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def avg_pool(a, x):
    n = x.dim() - 2
    more = {"divisor_override": a["divisor"] or None} if n > 1 else {}
    return AVG[n](x, a["kernel"], a["stride"], a["padding"], bool(a["ceil_mode"]), not a["exclude_pad"], **more)


def places(a, shape):
    """Where each tap of each result's window lies, for all results (axis 0) and taps (axis 1): one array a dimension."""
    n = len(a["kernel"])
    taps = np.meshgrid(*[np.arange(k) for k in a["kernel"]], indexing="ij")
    results = np.meshgrid(*[np.arange(s) for s in shape], indexing="ij")
    return [torch.from_numpy((results[d].reshape(-1, 1) * a["stride"][d] - a["padding"][d])
                             + taps[d].reshape(1, -1) * a["dilation"][d]) for d in range(n)]


def indices(a, place):
    """Flat indices of the places among those of the channel; -1 outside."""
    n = len(a["kernel"])
    size = a["input_shape"][2:]
    at = places(a, place.shape[2:])
    lines = place.long().flatten(2)
    known = (lines >= 0) & (lines < math.prod(a["kernel"]))
    flat, inside = torch.zeros_like(lines), known
    for d in range(n):
        here = at[d].expand(*lines.shape, -1).gather(3, torch.where(known, lines, 0).unsqueeze(3)).squeeze(3)
        inside = inside & (here >= 0) & (here < size[d])
        flat = flat * size[d] + here
    return torch.where(inside, flat, -1).reshape(place.shape)


def max_pool(a, x):
    """PyTorch gives flat indices; the place is the tap of the window that has it."""
    n = x.dim() - 2
    y, index = MAX[n](x, a["kernel"], a["stride"], a["padding"], a["dilation"], bool(a["ceil_mode"]),
                      return_indices=True)
    size = a["input_shape"][2:]
    flat = 0
    inside = True
    for d, here in enumerate(places(a, y.shape[2:])):
        inside = inside & (here >= 0) & (here < size[d])
        flat = flat * size[d] + here
    taps = torch.where(inside, flat, -1).expand(*y.shape[:2], -1, -1)
    place = (taps == index.flatten(2).unsqueeze(3)).long().argmax(3).reshape(y.shape) if y.numel() else index
    return y, place.to(torch.uint8 if math.prod(a["kernel"]) <= 256 else torch.int64)


def max_pool_backward(a, g, place):
    index = indices(a, place).flatten(2)
    flat = torch.zeros(*a["input_shape"][:2], math.prod(a["input_shape"][2:]), dtype=g.dtype)
    return flat.scatter_add(2, index.clamp(min=0), g.flatten(2) * (index >= 0)).reshape(a["input_shape"])


def max_pool_take(a, x, place):
    index = indices(a, place).flatten(2)
    return (x.flatten(2).gather(2, index.clamp(min=0)) * (index >= 0)).reshape(place.shape)


def avg_pool_backward(a, g):
    x = torch.zeros(*a["input_shape"], dtype=g.dtype, requires_grad=True)
    return torch.autograd.grad(avg_pool(a, x), x, g)[0]


OPS = {}
for n in (1, 2, 3):
    OPS.update({
        f"max_pool{n}d": max_pool, f"max_pool{n}d_backward": max_pool_backward, f"max_pool{n}d_take": max_pool_take,
        f"max_pool{n}d_indices": indices, f"avg_pool{n}d": avg_pool, f"avg_pool{n}d_backward": avg_pool_backward,
    })


def fields(x, kernel, stride, padding, dilation=None, ceil=0, exclude=0, divisor=0):
    return [("kernel", SHAPE, kernel), ("stride", SHAPE, stride), ("padding", SHAPE, padding),
            ("dilation", SHAPE, dilation or [1] * len(kernel)), ("ceil_mode", INT, ceil), ("exclude_pad", INT, exclude),
            ("divisor", INT, divisor), ("input_shape", SHAPE, list(x.shape))]


def extremes():
    cases = []
    plane = np.sin(np.arange(1 * 2 * 7 * 9.0)).reshape(1, 2, 7, 9)
    line = np.sin(np.arange(1 * 2 * 300.0)).reshape(1, 2, 300)
    cube = np.sin(np.arange(1 * 2 * 5 * 7 * 9.0)).reshape(1, 2, 5, 7, 9)
    odd = np.array([[NAN, 1, -INF, -INF], [2, INF, -INF, -INF], [0, 0, -1, -2], [0, 0, -3, NAN]]).reshape(1, 1, 4, 4)
    for x, kernel, stride, padding, dilation, ceil in (
            (plane, [2, 2], [2, 2], [0, 0], None, 0), (plane, [3, 2], [1, 2], [1, 0], None, 0),
            (plane, [3, 3], [2, 2], [1, 1], None, 0), (plane, [1, 1], [1, 1], [0, 0], None, 0),
            (plane, [7, 9], [1, 1], [0, 0], None, 0), (plane, [2, 2], [2, 2], [0, 0], None, 1),
            (plane, [3, 4], [3, 3], [1, 2], None, 1), (plane, [2, 3], [1, 1], [0, 1], [3, 2], 0),
            (plane, [3, 2], [2, 3], [1, 0], [2, 4], 1), (plane, [9, 9], [9, 9], [4, 4], None, 1),
            (line, [4], [4], [0], None, 0), (line, [5], [3], [2], None, 1), (line, [3], [1], [1], [4], 0),
            (line, [290], [7], [3], None, 0), (cube, [2, 2, 2], [2, 2, 2], [0, 0, 0], None, 0),
            (cube, [3, 3, 3], [2, 2, 2], [1, 1, 1], None, 1), (cube, [2, 3, 2], [1, 2, 1], [0, 1, 1], [2, 1, 3], 0)):
        n = x.ndim - 2
        name = f"{kernel} {stride} {padding} {dilation} {ceil}"
        f = fields(x, kernel, stride, padding, dilation, ceil)
        a = {key: value for key, _, value in f}
        cases += both(f"max_pool{n}d", name, f, [x])
        y, place = max_pool(a, torch.from_numpy(x))
        cases += both(f"max_pool{n}d_backward", name, f, [y.numpy(), place.numpy()])
        cases += both(f"max_pool{n}d_take", name, f, [x, place.numpy()])
        cases += both(f"max_pool{n}d_indices", name, f, [place.numpy()])[:1]
        for exclude, divisor in ((0, 0), (1, 0), (0, 7))[:2 if n == 1 else 3] if dilation is None else ():
            f = fields(x, kernel, stride, padding, None, ceil, exclude, divisor)
            name = f"{kernel} {stride} {padding} {ceil} {exclude} {divisor}"
            cases += both(f"avg_pool{n}d", name, f, [x])
            g = avg_pool({key: value for key, _, value in f}, torch.from_numpy(x)).numpy()
            cases += both(f"avg_pool{n}d_backward", name, f, [g + 1])
    cases += both("max_pool2d", "extremes", fields(odd, [2, 2], [2, 2], [0, 0]), [odd])
    cases += both("avg_pool2d", "extremes", fields(odd, [2, 2], [2, 2], [0, 0]), [odd])
    cases += both("max_pool2d", "extremes, dilated", fields(odd, [2, 2], [1, 1], [0, 0], [2, 2]), [odd])
    deep = odd.reshape(1, 1, 2, 2, 4)
    cases += both("max_pool3d", "extremes", fields(deep, [2, 2, 2], [1, 1, 1], [0, 0, 0]), [deep])
    return cases
