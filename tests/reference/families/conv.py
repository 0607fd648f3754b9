"""conv.py: convolution."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from cases import INT, SHAPE, both


def conv(a, x, w, b=None):
    f = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[x.dim() - 2]
    return f(x, w, b, a["stride"], a["padding"], a["dilation"], a["groups"])


def conv_grad(a, which, x, w, g):
    x, w = x.requires_grad_(), w.requires_grad_()
    return torch.autograd.grad(conv(a, x, w), (x, w)[which], g)[0]


OPS = {}
for n in (1, 2, 3):
    OPS[f"conv{n}d"] = conv
    OPS[f"conv{n}d_input_grad"] = \
        lambda a, g, w: conv_grad(a, 0, torch.zeros(*a["input_shape"], dtype=g.dtype), w, g)
    OPS[f"conv{n}d_weight_grad"] = \
        lambda a, x, g: conv_grad(a, 1, x, torch.zeros(*a["weight_shape"], dtype=g.dtype), g)


def extremes():
    cases = []
    for n, (cin, cout, groups, size, kernel, stride, padding, dilation) in enumerate((
            (3, 4, 1, [7, 8], [3, 3], [1, 1], [0, 0], [1, 1]), (4, 6, 2, [7, 8], [3, 2], [2, 1], [1, 1], [1, 1]),
            (4, 4, 4, [7, 8], [3, 3], [1, 1], [1, 1], [1, 1]), (2, 3, 1, [7, 8], [3, 3], [1, 2], [2, 2], [2, 2]),
            (3, 2, 1, [7, 8], [1, 1], [1, 1], [0, 0], [1, 1]), (2, 2, 1, [7, 8], [7, 8], [1, 1], [0, 0], [1, 1]),
            (2, 2, 1, [7, 8], [2, 2], [3, 4], [0, 1], [1, 3]), (16, 16, 16, [7, 8], [3, 3], [1, 1], [1, 1], [1, 1]),
            (17, 17, 17, [7, 8], [3, 3], [2, 2], [1, 1], [1, 1]),
            (3, 5, 1, [11], [4], [1], [2], [1]), (16, 32, 1, [9], [3], [2], [1], [2]), (6, 6, 6, [12], [3], [1], [1], [1]),
            (3, 4, 1, [5, 4, 6], [3, 2, 3], [1, 1, 1], [1, 0, 1], [1, 1, 1]),
            (16, 16, 1, [4, 4, 4], [2, 2, 2], [2, 2, 2], [0, 0, 0], [1, 1, 1]),
            (4, 6, 2, [5, 6, 4], [2, 3, 1], [1, 2, 1], [0, 2, 0], [2, 1, 1]))):
        d = len(size)
        x = np.sin(np.arange(2.0 * cin * math.prod(size))).reshape(2, cin, *size)
        w = np.cos(np.arange(1.0 * cout * cin // groups * math.prod(kernel))).reshape(cout, cin // groups, *kernel)
        fields = [("stride", SHAPE, stride), ("padding", SHAPE, padding), ("dilation", SHAPE, dilation),
                  ("groups", INT, groups), ("input_shape", SHAPE, list(x.shape)), ("weight_shape", SHAPE, list(w.shape))]
        a = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
        g = np.cos(conv(a, torch.from_numpy(x), torch.from_numpy(w)).numpy())
        cases += both(f"conv{d}d", f"shape {n}", fields, [x, w])
        cases += both(f"conv{d}d", f"shape {n} with bias", fields, [x, w, np.arange(cout * 1.0)])
        cases += both(f"conv{d}d_input_grad", f"shape {n}", fields, [g, w])
        cases += both(f"conv{d}d_weight_grad", f"shape {n}", fields, [x, g])
    return cases
