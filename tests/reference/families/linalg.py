"""linalg.py: products of matrices."""
import numpy as np
import torch

from cases import INF, NAN, both


OPS = {
    "matmul": lambda a, x, y: torch.matmul(x, y),
}


def extremes():
    cases = []
    m = np.array([[1, INF], [NAN, 2]])
    cases += both("matmul", "extremes", [], [m, np.array([[1.0, 0], [3, 4]])])
    cases += both("matmul", "no inner extent", [], [np.zeros((2, 0)), np.zeros((0, 3))])
    cases += both("matmul", "no rows", [], [np.zeros((0, 4)), np.ones((4, 3))])
    cases += both("matmul", "batches broadcast", [], [np.arange(2 * 1 * 2 * 3.0).reshape(2, 1, 2, 3) / 7,
                                             np.arange(5 * 3 * 4.0).reshape(5, 3, 4) / 9])
    return cases
