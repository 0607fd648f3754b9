"""norm.py: normalisation."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import Case, FLOAT, INT, NAN, both


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


def statistics_of(x, axes, eps):
    mean = x.mean(axes)
    return mean, (x.var(axes, correction=0) + eps).rsqrt()


def layer_norm(a, x, weight, bias):
    if x.numel() == 0:
        rows = x.shape[:x.dim() - a["axes"]]
        return x, torch.zeros(rows, dtype=x.dtype), torch.zeros(rows, dtype=x.dtype)
    last = list(range(x.dim() - a["axes"], x.dim()))
    return (F.layer_norm(x, weight.shape, weight, bias, a["eps"]), *statistics_of(x, last, a["eps"]))


def rows_backward(axes, x, weight, mean, rstd, g):
    """The statistics are taken as given, as the record says; mean None: there is none."""
    last = list(range(x.dim() - axes, x.dim()))
    first = list(range(x.dim() - axes))
    wide = [1] * axes
    scale = rstd.reshape(*rstd.shape, *wide)
    z = (x - mean.reshape(*mean.shape, *wide) if mean is not None else x) * scale
    h = g * weight
    dx = h - z * (h * z).mean(last, keepdim=True)
    if mean is not None:
        dx = dx - h.mean(last, keepdim=True)
    return dx * scale, (g * z).sum(first) if first else g * z, g.sum(first) if first else g


def layer_norm_backward(a, x, weight, mean, rstd, g):
    return rows_backward(a["axes"], x, weight, mean, rstd, g)


def rms_norm(a, x, weight):
    last = list(range(x.dim() - a["axes"], x.dim()))
    return F.rms_norm(x, weight.shape, weight, a["eps"]), (x.square().mean(last) + a["eps"]).rsqrt()


def rms_norm_backward(a, x, weight, rstd, g):
    return rows_backward(a["axes"], x, weight, None, rstd, g)[:2]


def group_norm(a, x, weight, bias):
    lines = x.reshape(x.shape[0], a["groups"], -1) if x.numel() else x.new_zeros(0, a["groups"], 1)
    y = F.group_norm(x, a["groups"], weight, bias, a["eps"]) if x.numel() else x
    return (y, *statistics_of(lines, [2], a["eps"]))


def group_norm_backward(a, x, weight, mean, rstd, g):
    over = [1, -1] + [1] * (x.dim() - 2)
    axes = [d for d in range(x.dim()) if d != 1]
    if x.numel() == 0:
        return x, torch.zeros_like(weight), torch.zeros_like(weight)
    lines = x.reshape(x.shape[0], a["groups"], -1)
    z = (lines - mean.unsqueeze(2)) * rstd.unsqueeze(2)
    h = (g * weight.reshape(over)).reshape(lines.shape)
    dx = (h - h.mean(2, keepdim=True) - z * (h * z).mean(2, keepdim=True)) * rstd.unsqueeze(2)
    return dx.reshape(x.shape), (g * z.reshape(x.shape)).sum(axes), g.sum(axes)


OPS = {
    "layer_norm": layer_norm, "layer_norm_backward": layer_norm_backward, "rms_norm": rms_norm,
    "rms_norm_backward": rms_norm_backward, "group_norm": group_norm, "group_norm_backward": group_norm_backward,
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
    layer = [("axes", INT, 1), ("eps", FLOAT, 1e-5)]
    wide = np.sin(np.arange(4203.0)).reshape(1, 4203)
    far = 1000 + (np.arange(4 * 300) * 37 % 64 / 64.0).reshape(4, 300)  # f32 holds them
    for label, rows in (("long rows", wide), ("short rows", x.reshape(-1, 3)), ("one element", x.reshape(-1, 1)[:5])):
        n = rows.shape[1]
        w, b = np.linspace(0.5, 1.5, n), np.linspace(-1, 1, n)
        cases += both("layer_norm", label, layer, [rows, w, b])
        cases += both("rms_norm", label, layer, [rows, w])
        mean, rstd = rows.mean(1), 1 / np.sqrt(rows.var(1) + 1e-5)
        g = np.cos(np.arange(rows.size * 1.0)).reshape(rows.shape)
        cases += both("layer_norm_backward", label, layer, [rows, w, mean, rstd, g])
        cases += both("rms_norm_backward", label, layer, [rows, w, rstd, g])
    cases.append(Case("layer_norm", "far from zero", layer, [far, np.ones(300), np.zeros(300)]))
    cases += both("layer_norm", "NaN in one row", layer, [np.array([[NAN, 1], [2, 3], [4, 9.0]]), np.ones(2), np.zeros(2)])
    for groups, picture in ((2, np.sin(np.arange(3 * 32 * 5 * 3.0)).reshape(3, 32, 5, 3)),
                            (32, np.sin(np.arange(2 * 32 * 40.0)).reshape(2, 32, 40)),
                            (1, np.sin(np.arange(2 * 17 * 3 * 4 * 2.0)).reshape(2, 17, 3, 4, 2)),
                            (4, np.sin(np.arange(6 * 12.0)).reshape(6, 12))):
        n, c = picture.shape[:2]
        fields = [("groups", INT, groups), ("eps", FLOAT, 1e-5)]
        w, b = np.linspace(0.5, 1.5, c), np.linspace(-1, 1, c)
        cases += both("group_norm", f"{groups} of {c}", fields, [picture, w, b])
        lines = picture.reshape(n, groups, -1)
        g = np.cos(np.arange(picture.size * 1.0)).reshape(picture.shape)
        cases += both("group_norm_backward", f"{groups} of {c}", fields,
                      [picture, w, lines.mean(2), 1 / np.sqrt(lines.var(2) + 1e-5), g])
    return cases
