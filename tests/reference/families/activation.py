"""activation.py: activation functions."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import Case, FLOAT, INF, NAN, both


def elu(a, x):
    return torch.ops.aten.elu(x, a["alpha"], a["scale"], a["rate"])


OPS = {
    "relu": lambda a, x: torch.relu(x), "relu6": lambda a, x: F.relu6(x), "sigmoid": lambda a, x: torch.sigmoid(x),
    "log_sigmoid": lambda a, x: F.logsigmoid(x), "softsign": lambda a, x: F.softsign(x), "gelu": lambda a, x: F.gelu(x),
    "gelu_tanh": lambda a, x: F.gelu(x, approximate="tanh"), "silu": lambda a, x: F.silu(x),
    "mish": lambda a, x: F.mish(x), "hardsigmoid": lambda a, x: F.hardsigmoid(x),
    "hardswish": lambda a, x: F.hardswish(x), "leaky_relu": lambda a, x: F.leaky_relu(x, a["slope"]), "elu": elu,
    "softplus": lambda a, x: F.softplus(x, a["beta"], a["threshold"]),
    "hardtanh": lambda a, x: F.hardtanh(x, a["low"], a["high"]),
    "hardshrink": lambda a, x: F.hardshrink(x, a["lambda"]), "softshrink": lambda a, x: F.softshrink(x, a["lambda"]),
    "threshold": lambda a, x: F.threshold(x, a["threshold"], a["value"]),
    "prelu": lambda a, x, w: torch.where(x > 0, x, x * w),
}
PLAIN = "relu relu6 sigmoid log_sigmoid softsign gelu gelu_tanh silu mish hardsigmoid hardswish".split()
NUMBERS = {
    "leaky_relu": [{"slope": 0.01}, {"slope": -2}],
    "elu": [{"alpha": 1, "rate": 1, "scale": 1}, {"alpha": 2, "rate": 0.5, "scale": 1},
            {"alpha": 1.6732632423543773, "rate": 1, "scale": 1.0507009873554805}],
    "softplus": [{"beta": 1, "threshold": 20}, {"beta": 3, "threshold": 2}, {"beta": -1, "threshold": 20}],
    "hardtanh": [{"low": -1, "high": 1}], "hardshrink": [{"lambda": 0.5}, {"lambda": -1}],
    "softshrink": [{"lambda": 0.5}, {"lambda": 0}], "threshold": [{"threshold": 1, "value": 7}],
}


def extremes():
    cases = []
    edge = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-30, -1e-30, 1e30, -1e30, 88.0, -87.0, 0.5, -0.5, 20.0, -20.0,
                     3.0, -3.0, 6.0])
    long = np.linspace(-9, 9, 131)
    for op in PLAIN:
        finite = np.isfinite(edge) | (op != "gelu")  # PyTorch's gelu of infinity is NaN in f32, right in f64
        cases += both(op, "extremes", [], [edge[finite]]) + both(op, "long", [], [long])
    cases.append(Case("gelu", "infinities", [], [np.array([INF, -INF, NAN])]))
    for op, choices in NUMBERS.items():
        for i, numbers in enumerate(choices):
            fields = [(name, FLOAT, v) for name, v in numbers.items()]
            cases += both(op, f"extremes {i}", fields, [edge]) + both(op, f"long {i}", fields, [long])
    return cases
