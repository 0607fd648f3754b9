"""elementwise.py: arithmetic, functions, rounding, comparisons, logic and bits, casts."""
import numpy as np
import torch

from cases import BOOL, Case, DTYPE, F32, F64, FLOAT, I32, I64, INF, NAN, NUMPY, U8, both, dtype_of


def of_names(names):
    """PyTorch's functions of the same name."""
    return {name: (lambda f: lambda a, *x: f(*x))(getattr(torch, name)) for name in names.split()}


FLOATS = ("exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal erf erfc sin cos tan asin acos atan sinh cosh tanh "
          "asinh acosh atanh")
WHOLE = "floor ceil round trunc sign"
DIVISIONS = "fmod remainder floor_divide"
ORDER = "less less_equal greater greater_equal"
LOGICAL = "logical_and logical_or logical_xor"
BITWISE = "bitwise_and bitwise_or bitwise_xor"
KINDS = "isnan isinf isfinite"

OPS = {
    **of_names(FLOATS), **of_names(WHOLE), **of_names(DIVISIONS), **of_names(ORDER), **of_names(LOGICAL),
    **of_names(BITWISE), **of_names(KINDS), **of_names("add sub mul div pow maximum minimum neg abs atan2 not_equal where"),
    **of_names("logical_not bitwise_not lerp clamp"),
    "equal": lambda a, x, y: torch.eq(x, y),
    "left_shift": lambda a, x, y: torch.bitwise_left_shift(x, y),
    "right_shift": lambda a, x, y: torch.bitwise_right_shift(x, y),
    "nan_to_num": lambda a, x: torch.nan_to_num(x, a["nan"], a["above"], a["below"]),
    "cast": lambda a, x: x.to(dtype_of(a["dtype"])),
}
ARITHMETIC = "add sub mul div pow maximum minimum atan2 " + DIVISIONS
COMPARISONS = "equal not_equal " + ORDER

EDGE = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-30, -1e-30, 1e30, -1e30, 88.0, -87.0, 0.5, -0.5, 1.5, 2.5, 20.0, -20.0,
        3.0, 6.0]


def wide(op):
    """Where a function of floats is told from its neighbours by a part of its value, not by a step of its argument."""
    if op in ("exp", "expm1", "sinh", "cosh"):
        return np.concatenate([np.linspace(-85, 88, 501), np.logspace(-30, -1, 30), -np.logspace(-30, -1, 30)])
    if op == "exp2":
        return np.linspace(-120, 127, 501)
    if op in ("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "log1p", "acosh", "asinh"):
        return np.logspace(0 if op == "acosh" else -30, 30, 301)
    if op in ("asin", "acos", "atanh"):
        return np.concatenate([np.linspace(-1, 1, 301), np.logspace(-30, -1, 30)])
    if op == "erfc":
        return np.linspace(-4, 9, 301)
    return np.linspace(-300, 300, 601)


def extremes():
    cases = []
    near = [0.0, -0.0, 1.0, -1.0, 2.0, INF, -INF, NAN, 0.5, 3.0]
    for op in f"neg abs {FLOATS} {WHOLE} {KINDS} logical_not".split():
        cases += both(op, "extremes", [], [np.array(EDGE)])
        cases += both(op, "long", [], [np.linspace(-9, 9, 1031 if op in ("exp", "neg") else 131)])
    for op in FLOATS.split():
        cases += both(op, "wide", [], [wide(op)])
    pairs = np.meshgrid(near, near)
    for op in f"{ARITHMETIC} {COMPARISONS} {LOGICAL}".split():
        cases += both(op, "extremes", [], [pairs[0].copy(), pairs[1].copy()])
        cases += both(op, "broadcast", [], [np.array(near).reshape(-1, 1), np.array(near)])
    for op in f"atan2 {DIVISIONS}".split():
        y, x = np.linspace(-9, 9, 61), np.linspace(-2.7, 3.1, 13)
        cases += both(op, "grid", [], [y.reshape(-1, 1), x])
    wrap = {I32: [2**31 - 1, -2**31, 7, -7], U8: [255, 1, 200, 100], I64: [2**63 - 1, -2**63, 7, -7]}
    for dtype, numbers in wrap.items():
        x, name = np.array(numbers, NUMPY[dtype]), NUMPY[dtype].__name__
        for op in f"add sub mul maximum minimum less equal {BITWISE} {LOGICAL}".split():
            cases.append(Case(op, f"wrap {name}", [], [x.reshape(-1, 1), x], True))
        for op in f"neg {WHOLE} bitwise_not logical_not".split():
            cases.append(Case(op, f"wrap {name}", [], [x], True))
        divisors = np.array([1, 2, 3, 7, 100] if dtype == U8 else [1, 2, -3, 7, -100], NUMPY[dtype])
        for op in DIVISIONS.split():
            cases.append(Case(op, f"wrap {name}", [], [x.reshape(-1, 1), divisors], True))
        counts = np.array([0, 1, 5, 7, 31, 8 * x.itemsize - 1, 8 * x.itemsize, 8 * x.itemsize + 3], NUMPY[dtype])
        for op in ("left_shift", "right_shift"):
            cases.append(Case(op, f"wrap {name}", [], [x.reshape(-1, 1), counts], True))
            if dtype != U8:
                cases.append(Case(op, f"backwards {name}", [], [x, np.full(4, -1, NUMPY[dtype])], True))
    truth = np.array([True, False])
    for op in f"{BITWISE} {LOGICAL}".split():
        cases.append(Case(op, "bool", [], [truth.reshape(-1, 1), truth], True))
        if op.startswith("logical"):
            cases.append(Case(op, "two types", [], [truth.reshape(-1, 1), np.array([0, 2, -1], np.int64)], True))
    cast = lambda to: [("dtype", DTYPE, to)]
    for to in (F32, F64, BOOL):
        cases.append(Case("cast", f"extremes to {to}", cast(to), [np.array(EDGE)], True))
    for to in (I64, I32):
        cases.append(Case("cast", f"truncates to {to}", cast(to), [np.array([0.9, -0.9, 1.5, -1.5, 1e9, -1e9, -0.0])], True))
    cases.append(Case("cast", "wraps to u8", cast(U8), [np.array([255, 256, 257, -1, 1000], np.int64)], True))
    cases.append(Case("cast", "wraps to i32", cast(I32), [np.array([2**31, 2**40 + 5, -2**31 - 1], np.int64)], True))
    cases += both("where", "extremes", [], [np.array([True, False, True, False]), np.array([NAN, NAN, 1, 2]), np.array([1, 2, NAN, NAN])])
    fields = lambda nan, above, below: [("nan", FLOAT, nan), ("above", FLOAT, above), ("below", FLOAT, below)]
    cases += both("nan_to_num", "extremes", fields(0.25, 7, -8), [np.array(EDGE)])
    cases += both("clamp", "extremes", [], [np.array(EDGE), np.array(-1.0), np.array(2.0)])
    cases += both("clamp", "no bounds", [], [np.array(EDGE), np.array(-INF), np.array(INF)])
    cases += both("clamp", "crossed", [], [np.array(EDGE), np.array(2.0), np.array(-1.0)])
    cases += both("clamp", "NaN", [], [np.array([1.0, 2.0, 3.0]), np.array([NAN, 0, 0]), np.array([5.0, NAN, 5])])
    cases.append(Case("clamp", "u8", [], [np.arange(20, dtype=np.uint8), np.array(3, np.uint8), np.array(9, np.uint8)], True))
    weights = np.array([0.0, 0.25, 0.5, 0.75, 1.0, -1.0, 2.0]).reshape(-1, 1)
    cases += both("lerp", "ends", [], [np.array([0.1, -3.0, 1e20]), np.array([0.7, 5.0, 3.0]), weights])
    return cases
