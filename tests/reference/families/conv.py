"""conv.py: convolution."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import INT, SHAPE, both


def conv(a, x, w, b=None):
    return F.conv2d(x, w, b, a["stride"], a["padding"], a["dilation"], a["groups"])


def conv_grad(a, which, x, w, g):
    x, w = x.requires_grad_(), w.requires_grad_()
    return torch.autograd.grad(conv(a, x, w), (x, w)[which], g)[0]


OPS = {
    "conv2d": conv,
    "conv2d_input_grad": lambda a, g, w: conv_grad(a, 0, torch.zeros(*a["input_shape"], dtype=g.dtype), w, g),
    "conv2d_weight_grad": lambda a, x, g: conv_grad(a, 1, x, torch.zeros(*a["weight_shape"], dtype=g.dtype), g),
}


def extremes():
    cases = []
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
        cases += both("conv2d", f"shape {n}", fields, [x, w])
        cases += both("conv2d", f"shape {n} with bias", fields, [x, w, np.arange(cout * 1.0)])
        cases += both("conv2d_input_grad", f"shape {n}", fields, [g, w])
        cases += both("conv2d_weight_grad", f"shape {n}", fields, [x, g])
    return cases
