"""elementwise.py: arithmetic, functions, comparisons, casts."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import BOOL, Case, DTYPE, F32, F64, I32, I64, INF, NAN, NUMPY, U8, both, dtype_of


OPS = {
    "add": lambda a, x, y: x + y, "sub": lambda a, x, y: x - y, "mul": lambda a, x, y: x * y,
    "div": lambda a, x, y: x / y, "pow": lambda a, x, y: torch.pow(x, y),
    "maximum": lambda a, x, y: torch.maximum(x, y), "minimum": lambda a, x, y: torch.minimum(x, y),
    "neg": lambda a, x: -x, "exp": lambda a, x: torch.exp(x), "log": lambda a, x: torch.log(x),
    "sqrt": lambda a, x: torch.sqrt(x), "abs": lambda a, x: torch.abs(x), "relu": lambda a, x: torch.relu(x),
    "relu6": lambda a, x: F.relu6(x),
    "sigmoid": lambda a, x: torch.sigmoid(x), "tanh": lambda a, x: torch.tanh(x), "erf": lambda a, x: torch.erf(x),
    "gelu": lambda a, x: F.gelu(x),
    "equal": lambda a, x, y: x == y, "not_equal": lambda a, x, y: x != y, "less": lambda a, x, y: x < y,
    "less_equal": lambda a, x, y: x <= y, "greater": lambda a, x, y: x > y, "greater_equal": lambda a, x, y: x >= y,
    "where": lambda a, c, x, y: torch.where(c, x, y),
    "cast": lambda a, x: x.to(dtype_of(a["dtype"])),
}


def extremes():
    cases = []
    edge = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-30, -1e-30, 1e30, -1e30, 88.0, -87.0, 0.5, 20.0, -20.0, 3.0, 6.0]
    near = [0.0, -0.0, 1.0, -1.0, 2.0, INF, -INF, NAN, 0.5, 3.0]
    for op in ("neg", "exp", "log", "sqrt", "abs", "relu", "relu6", "sigmoid", "tanh", "erf", "gelu"):
        finite = np.isfinite(edge) | (op != "gelu")  # PyTorch's gelu of infinity is NaN in f32, right in f64
        cases += both(op, "extremes", [], [np.array(edge)[finite]])
        cases += both(op, "long", [], [np.linspace(-9, 9, 1031)])
    cases.append(Case("gelu", "infinities", [], [np.array([INF, -INF, NAN])]))
    for op in ("log", "sqrt"):
        cases += both(op, "wide", [], [np.logspace(-30, 30, 301)])
    cases += both("exp", "wide", [], [np.linspace(-85, 88, 501)])
    pairs = np.meshgrid(near, near)
    for op in ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "equal", "not_equal", "less", "less_equal",
               "greater", "greater_equal"):
        cases += both(op, "extremes", [], [pairs[0].copy(), pairs[1].copy()])
        cases += both(op, "broadcast", [], [np.array(near).reshape(-1, 1), np.array(near)])
    wrap = {I32: [2**31 - 1, -2**31, 7, -7], U8: [255, 0, 200, 100], I64: [2**63 - 1, -2**63, 7, -7]}
    for dtype, numbers in wrap.items():
        x = np.array(numbers, NUMPY[dtype])
        for op in ("add", "sub", "mul", "maximum", "minimum", "less", "equal"):
            cases.append(Case(op, f"wrap {NUMPY[dtype].__name__}", [], [x.reshape(-1, 1), x], True))
        cases.append(Case("neg", f"wrap {NUMPY[dtype].__name__}", [], [x], True))
    cast = lambda to: [("dtype", DTYPE, to)]
    for to in (F32, F64, BOOL):
        cases.append(Case("cast", f"extremes to {to}", cast(to), [np.array(edge)], True))
    for to in (I64, I32):
        cases.append(Case("cast", f"truncates to {to}", cast(to), [np.array([0.9, -0.9, 1.5, -1.5, 1e9, -1e9, -0.0])], True))
    cases.append(Case("cast", "wraps to u8", cast(U8), [np.array([255, 256, 257, -1, 1000], np.int64)], True))
    cases.append(Case("cast", "wraps to i32", cast(I32), [np.array([2**31, 2**40 + 5, -2**31 - 1], np.int64)], True))
    cases += both("where", "extremes", [], [np.array([True, False, True, False]), np.array([NAN, NAN, 1, 2]), np.array([1, 2, NAN, NAN])])
    return cases
