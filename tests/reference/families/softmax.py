"""softmax.py: softmax and log-softmax."""
import numpy as np
import torch

from cases import INF, NAN, axis, both


OPS = {
    "softmax": lambda a, x: torch.softmax(x, a["axis"]), "log_softmax": lambda a, x: torch.log_softmax(x, a["axis"]),
}


def extremes():
    cases = []
    rows = np.array([[0, 0, 0], [1e4, 0, -1e4], [NAN, 0, 1], [-INF, 0, 1], [INF, 0, 1], [-1e30, 1e30, 0], [5, 5, 5.0]])
    for op in ("softmax", "log_softmax"):
        cases += both(op, "extremes", axis(1), [rows])
        cases += both(op, "other axis", axis(0), [rows[:2]])
        cases += both(op, "nothing but -inf", axis(0), [np.array([-INF, -INF])])
        cases += both(op, "one element", axis(1), [np.array([[3.0], [-2.0]])])
        cases += both(op, "empty", axis(1), [np.zeros((0, 4))])
        cases += both(op, "long", axis(1), [np.sin(np.arange(3 * 517.0)).reshape(3, 517) * 10])
    return cases
