"""fill.py: filled tensors and assignments."""
import numpy as np
import torch

from cases import NUMPY


def filled(a, value):
    return torch.from_numpy(np.full(a["shape"], value).astype(NUMPY[a["dtype"]]))


OPS = {
    "scalar": lambda a: filled(a, a["value"]), "full": lambda a: filled(a, a["value"]),
    "assign": lambda a, old, new: new,
}
