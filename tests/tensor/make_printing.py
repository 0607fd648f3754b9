#!/usr/bin/env python3
"""Makes data/printing.txt: tensors and the text that NumPy's str() gives for them.

    python3 tests/tensor/make_printing.py

Each case is a line "DTYPE (SHAPE) VALUES" or "DTYPE (SHAPE) ramp A B" (element i is A + B i), then the text's lines, each
behind a "|". Needs numpy; the test reads the file only.
"""
import itertools
import pathlib

import numpy as np

DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32, "u8": np.uint8, "bool": np.bool_, "bf16": np.float32}
OUT = pathlib.Path(__file__).resolve().parent / "data" / "printing.txt"
cases = []


def rounded(dtype, values):
    """As this dtype; bf16: f32 with what bf16 leaves of it."""
    a = values.astype(DTYPES[dtype])
    if dtype == "bf16":
        bits = a.view(np.uint32)
        a = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return a


def case(dtype, shape, values):
    a = np.array(values, dtype=np.float64 if "f" in dtype else np.int64)
    text = " ".join(repr(float(v)) if "f" in dtype else str(int(v)) for v in a.reshape(-1))
    add(dtype, shape, text, rounded(dtype, a).reshape(shape))


def ramp(dtype, shape, start, step):
    count = int(np.prod(shape))
    values = start + step * np.arange(count, dtype=np.float64)
    add(dtype, shape, f"ramp {float(start)!r} {float(step)!r}", rounded(dtype, values).reshape(shape))


def add(dtype, shape, text, a):
    lines = "".join(f"|{line}\n" for line in str(a).split("\n"))
    cases.append(f"{dtype} ({','.join(map(str, shape))}) {text}\n{lines}")


inf, nan = float("inf"), float("nan")
for dtype in ("f32", "f64", "bf16"):
    for x in (0.0, -0.0, 1.0, -2.5, 0.1, 1e-4, 9.9e-5, 1e-7, 123456.789, 9999999.0, 1e7, 1e15, 1e16, 1e20, 3.0e38, inf, -inf, nan, 1 / 3, 1e-40):
        case(dtype, (), [x])
    case(dtype, (0,), [])
    case(dtype, (3, 0, 2), [])
    case(dtype, (3,), [1, 2, 3])
    case(dtype, (4,), [1, -2.5, 0, 1000])
    case(dtype, (5,), [1.5, -0.0, 0.0, 1 / 3, 2 / 3])
    case(dtype, (3,), [1e-4, 0.09, 0.1])
    case(dtype, (3,), [9e-5, 1, 2])
    case(dtype, (3,), [1, 999, 1000.0])
    case(dtype, (3,), [1, 999, 1001.0])
    case(dtype, (3,), [1e8, 1e8, 1e8])
    case(dtype, (3,), [1e8, 2e8, 123456789.0])
    case(dtype, (3,), [99999999.0, 50000000.0, 33554432.0])
    case(dtype, (4,), [nan, 1, 2, inf])
    case(dtype, (4,), [nan, -inf, 0.25, 100])
    case(dtype, (4,), [-inf, 1e-9, 0.25, 1e10])
    case(dtype, (3,), [nan, nan, inf])
    case(dtype, (2,), [-inf, nan])
    case(dtype, (2,), [0, 0])
    case(dtype, (2, 2), [1e-10, 1, -1e10, 3])
    case(dtype, (3,), [1e-40, 2e-40, 0])
    case(dtype, (2, 3, 2), [i / 7 for i in range(12)])
    case(dtype, (1,) * 8, [0.5])
    ramp(dtype, (30,), 0.125, 0.25)
    ramp(dtype, (1000,), 0, 1)
    ramp(dtype, (1001,), 0, 1)
    ramp(dtype, (7, 200), -3, 0.5)
    ramp(dtype, (40, 40), 0.001, 0.001)
    ramp(dtype, (2, 2, 2, 2, 2, 2, 2, 2), 0, 1)
    ramp(dtype, (2, 3, 7, 9, 8), 0, 0.5)
case("f64", (3,), [1e-300, 1, 2])
case("f64", (3,), [1e100, 1e-100, -1.5])
case("f64", (2,), [123456.123456789, 1.0000000001])
case("f64", (3,), [0.1234567890123, 0.3, 99.00000001])
for dtype in ("i64", "i32", "u8"):
    case(dtype, (), [7])
    case(dtype, (0,), [])
    case(dtype, (4,), [1, 20, 3, 255])
    case(dtype, (2, 2), [1, 2, 3, 100])
    ramp(dtype, (60,), 0, 4)
    ramp(dtype, (11, 100), 0, 0)
    ramp(dtype, (3, 3, 3, 2), 0, 1)
case("i64", (3,), [-5, 0, 10**15])
case("i32", (3,), [-5, 0, 2147483647])
ramp("i64", (1200,), -600, 1)
for shape in ((), (1,), (2, 3), (20,)):
    case("bool", shape, [i % 3 == 0 for i in range(int(np.prod(shape)))])
ramp("bool", (1500,), 0, 0)

rng = np.random.default_rng(5)
for k, (dtype, spread) in enumerate(itertools.product(("f32", "f64"), (0, 1, 3, 6, 12, 30))):
    for n in (1, 4, 17):
        values = rng.normal(size=n) * 10.0 ** rng.uniform(-spread, spread, size=n)
        case(dtype, (n,), values.astype(DTYPES[dtype]).astype(np.float64))
        case(dtype, (n,), np.round(values, 2))
for dtype in ("f32", "f64", "bf16"):  # both sides of where exponents begin
    for x in (999999.0, 1e6, 1000448.0, 33049440.0, 99999999.0, 1e8):
        case(dtype, (1,), [x])
        case(dtype, (2, 2), [x, -0.0, 0.0, x / 8])
    case(dtype, (2,), [1e-4, 0.05])
    case(dtype, (2,), [0.00009999, 0.05])
    case(dtype, (3,), [0.1, 100.0, 0.0])
    case(dtype, (3,), [0.3, 300.0, 0.0])
    for spread in (0, 1, 3, 6, 12, 30, 37):
        for shape in ((), (3,), (2, 1, 3), (2, 1, 2, 1, 1, 2, 1, 2)):
            values = rng.normal(size=int(np.prod(shape))) * 10.0 ** rng.uniform(-spread, spread, size=int(np.prod(shape)))
            case(dtype, shape, rounded(dtype, values).astype(np.float64))
            case(dtype, shape, rounded(dtype, np.round(values, 1)).astype(np.float64))

OUT.parent.mkdir(exist_ok=True)
OUT.write_text("".join(cases))
print(f"{len(cases)} cases")
