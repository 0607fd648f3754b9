"""norm.py: normalisation."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import Case, FLOAT, NAN, both


def batch_norm(a, x, weight, bias):
    axes = [d for d in range(x.dim()) if d != 1]
    y = F.batch_norm(x, None, None, weight, bias, True, 0.1, a["eps"])
    return y, x.mean(axes), (x.var(axes, correction=0) + a["eps"]).rsqrt()


def batch_norm_backward(a, x, weight, mean, rstd, g):
    """mean and rstd are taken as given, as the record says."""
    shape = [1, -1] + [1] * (x.dim() - 2)
    axes = [d for d in range(x.dim()) if d != 1]
    xhat = (x - mean.reshape(shape)) * rstd.reshape(shape)
    m = x.numel() / x.shape[1]
    db, dw = g.sum(axes), (g * xhat).sum(axes)
    dx = (weight * rstd).reshape(shape) * (g - (db.reshape(shape) + xhat * dw.reshape(shape)) / m)
    return dx, dw, db


def batch_norm_relu_backward(a, x, weight, bias, mean, rstd, g):
    shape = [1, -1] + [1] * (x.dim() - 2)
    z = (x - mean.reshape(shape)) * (rstd * weight).reshape(shape) + bias.reshape(shape)
    return batch_norm_backward(a, x, weight, mean, rstd, torch.where(z <= 0, 0, g))


OPS = {
    "batch_norm": batch_norm, "batch_norm_backward": batch_norm_backward,
    "batch_norm_relu_backward": batch_norm_relu_backward,
}


def extremes():
    cases = []
    eps = [("eps", FLOAT, 1e-5)]
    x = np.sin(np.arange(4 * 3 * 5 * 6.0)).reshape(4, 3, 5, 6)
    flat = np.ones((4, 2)) * 3
    cases += both("batch_norm", "pictures", eps, [x, np.arange(3.0), np.arange(3.0) - 1])
    cases += both("batch_norm", "rows", eps, [x.reshape(-1, 6), np.ones(6), np.zeros(6)])
    cases.append(Case("batch_norm", "no variance", eps, [flat, np.ones(2), np.zeros(2)]))  # PyTorch's f32 is not exact
    cases += both("batch_norm", "NaN in one channel", eps, [np.array([[NAN, 1], [2, 3], [4, 9.0]]), np.ones(2), np.zeros(2)])
    return cases
