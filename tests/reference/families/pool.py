"""pool.py: pooling."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import INF, INT, NAN, SHAPE, both


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


OPS = {
    "max_pool2d": max_pool, "max_pool2d_backward": max_pool_backward, "max_pool2d_take": max_pool_take,
    "avg_pool2d": avg_pool, "avg_pool2d_backward": avg_pool_backward,
}


def extremes():
    cases = []
    def fields(kernel, stride, padding, x, exclude=0):
        return [("kernel", SHAPE, kernel), ("stride", SHAPE, stride), ("padding", SHAPE, padding),
                ("exclude_pad", INT, exclude), ("input_shape", SHAPE, list(x.shape))]

    x = np.sin(np.arange(2 * 3 * 7 * 9.0)).reshape(2, 3, 7, 9)
    odd = np.array([[NAN, 1, -INF, -INF], [2, INF, -INF, -INF], [0, 0, -1, -2], [0, 0, -3, NAN]]).reshape(1, 1, 4, 4)
    for kernel, stride, padding in (([2, 2], [2, 2], [0, 0]), ([3, 2], [1, 2], [1, 0]), ([3, 3], [2, 2], [1, 1]),
                                    ([1, 1], [1, 1], [0, 0]), ([7, 9], [1, 1], [0, 0])):
        name = f"{kernel} {stride} {padding}"
        cases += both("max_pool2d", name, fields(kernel, stride, padding, x), [x])
        for exclude in (0, 1):
            cases += both("avg_pool2d", f"{name} {exclude}", fields(kernel, stride, padding, x, exclude), [x])
            g = avg_pool(dict(kernel=kernel, stride=stride, padding=padding, exclude_pad=exclude), torch.from_numpy(x)).numpy()
            cases += both("avg_pool2d_backward", f"{name} {exclude}", fields(kernel, stride, padding, x, exclude), [g + 1])
        y, place = max_pool(dict(kernel=kernel, stride=stride, padding=padding, input_shape=x.shape), torch.from_numpy(x))
        cases += both("max_pool2d_backward", name, fields(kernel, stride, padding, x), [y.numpy(), place.numpy()])
        cases += both("max_pool2d_take", name, fields(kernel, stride, padding, x), [x, place.numpy()])
    cases += both("max_pool2d", "extremes", fields([2, 2], [2, 2], [0, 0], odd), [odd])
    cases += both("avg_pool2d", "extremes", fields([2, 2], [2, 2], [0, 0], odd), [odd])
    return cases
