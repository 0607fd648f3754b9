"""fill.py: filled tensors, numbers in a row, assignments."""
import numpy as np
import torch

from cases import NUMPY


def filled(a, value):
    return torch.from_numpy(np.full(a["shape"], value).astype(NUMPY[a["dtype"]]))


def row(a, numbers):
    return torch.from_numpy(np.asarray(numbers).astype(NUMPY[a["dtype"]]))


OPS = {
    "arange": lambda a: row(a, a["start"] + np.arange(a["count"]) * a["step"]),
    "linspace": lambda a: row(a, torch.linspace(a["start"], a["stop"], a["count"], dtype=torch.float64).numpy()),
    "scalar": lambda a: filled(a, a["value"]), "full": lambda a: filled(a, a["value"]),
    "assign": lambda a, old, new: new,
}
