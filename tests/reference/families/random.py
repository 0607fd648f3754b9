"""random.py: random numbers, checked against a Philox written here from the paper."""
import math

import numpy as np
import torch

from cases import NUMPY


# ---- Philox4x32-10 (Salmon et al. 2011) ----
def philox(seed, position, block):
    c = [block & 0xFFFFFFFF, block >> 32, position & 0xFFFFFFFF, position >> 32]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


assert philox(0, 0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # from the authors' known answers


def words(a, count):
    return [philox(a["seed"], a["position"], i // 4)[i % 4] for i in range(count + 1)]


def uniforms(a, count):
    return np.array([(w >> 8) * 2.0**-24 for w in words(a, count)[:count]])


def normals(a, count):
    w, out = words(a, count), []
    for i in range(count):
        u1, u2 = (w[i - i % 2] + 1) * 2.0**-32, w[i - i % 2 + 1] * 2.0**-32
        out.append(math.sqrt(-2 * math.log(u1)) * (math.sin if i % 2 else math.cos)(2 * math.pi * u2))
    return np.array(out)


def random(a, numbers):
    count = math.prod(a["shape"])
    return torch.from_numpy(numbers(a, count).reshape(a["shape"]).astype(NUMPY[a["dtype"]]))


OPS = {
    "uniform": lambda a: random(a, lambda a, n: a["low"] + (a["high"] - a["low"]) * uniforms(a, n)),
    "normal": lambda a: random(a, lambda a, n: a["mean"] + a["deviation"] * normals(a, n)),
    "probabilities": lambda a, p: torch.where((p >= 0) & (p <= 1), p, torch.nan),
    "dropout": lambda a, x: x * torch.from_numpy(((uniforms(a, x.numel()) >= a["p"]) * a["scale"]).reshape(tuple(x.shape))),
}
