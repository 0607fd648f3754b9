"""index.py: elements chosen by indices."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import BOOL, Case, DTYPE, F32, I64, INF, INT, NAN, NUMPY, U8, axis, both, dtype_of


def one_hot(a, i):
    return F.one_hot(i.long(), a["classes"]).to(dtype_of(a["dtype"]))


OPS = {
    "one_hot": one_hot, "gather": lambda a, x, i: torch.gather(x, a["axis"], i.long()),
    "scatter_add": lambda a, x, i, s: x.scatter_add(a["axis"], i.long(), s),
}


def extremes():
    cases = []
    for dtype in range(6):
        x = (np.arange(24) % 2 if dtype == BOOL else np.arange(24)).astype(NUMPY[dtype]).reshape(2, 3, 4)
        cases.append(Case("gather", NUMPY[dtype].__name__, axis(2), [x, np.array([[[3, 0]], [[1, 1]]], np.int64)], True))
    cases += both("scatter_add", "one place many times", axis(0), [np.zeros(3), np.array([1] * 9, np.int64), np.ones(9)])
    cases += both("scatter_add", "extremes", axis(0), [np.zeros(3), np.array([0, 1, 2], np.int64), np.array([INF, NAN, -0.0])])
    cases += both("gather", "extremes", axis(0), [np.array([INF, NAN, -INF]), np.array([2, 1, 0, 0], np.int64)])
    cases += both("gather", "fewer rows", axis(1), [np.arange(12.0).reshape(3, 4), np.array([[3, 3, 0, 1, 2]], np.int64)])
    for dtype in (F32, U8, I64, BOOL):
        cases.append(Case("one_hot", NUMPY[dtype].__name__, [("classes", INT, 4), ("dtype", DTYPE, dtype)],
                          [np.array([[3, 0], [1, 1]], np.int32)], True))
    return cases
