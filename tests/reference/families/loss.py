"""loss.py: losses."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from cases import INF, NAN, both


def cross_entropy(a, x, t):
    t = t.long()
    loss = F.cross_entropy(x, t) if t.numel() else torch.tensor(math.nan, dtype=x.dtype)
    return loss, torch.logsumexp(x, 1)


def cross_entropy_backward(a, x, t, lse, g):
    hot = F.one_hot(t.long(), x.shape[1]).movedim(-1, 1)
    return (torch.exp(x - lse.unsqueeze(1)) - hot) * g / t.numel()


OPS = {
    "cross_entropy": cross_entropy, "cross_entropy_backward": cross_entropy_backward,
}


def extremes():
    cases = []
    rows = np.array([[0, 0, 0], [1e4, 0, -1e4], [NAN, 0, 1], [-INF, 0, 1], [INF, 0, 1], [-1e30, 1e30, 0], [5, 5, 5.0]])
    labels = np.array([0, 2, 1, 1, 0, 2, 1], np.int64)
    cases += both("cross_entropy", "large", [], [rows[[0, 1, 5, 6]], labels[:4]])
    cases += both("cross_entropy", "NaN", [], [rows[:3], labels[:3]])
    cases += both("cross_entropy", "u8 labels", [], [rows[[0, 6]], labels[:2].astype(np.uint8)])
    cases += both("cross_entropy", "i32 labels", [], [rows[[0, 6]], labels[:2].astype(np.int32)])
    cases += both("cross_entropy", "pictures", [], [np.sin(np.arange(2 * 3 * 4 * 5.0)).reshape(2, 3, 4, 5), (np.arange(40) % 3).reshape(2, 4, 5)])
    return cases
