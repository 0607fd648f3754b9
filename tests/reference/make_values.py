#!/usr/bin/env python3
"""Makes values/FAMILY.bin: what PyTorch gives for every operation, on the samples of its record and on extremes.

    build/tests/test_op_values --dump samples.bin
    python3 tests/reference/make_values.py samples.bin [FAMILY ...]

families/FAMILY.py says what PyTorch computes for each of its operations (OPS: name -> f(attributes, *inputs)) and may give
further cases (extremes()). Needs torch and numpy. Nothing here is used by the tests themselves, which read values/ only.
"""
import importlib
import pathlib
import sys

import torch

import cases

HERE = pathlib.Path(__file__).resolve().parent


def evaluate(case, ops):
    results = ops[case.op](case.a, *[torch.from_numpy(x.copy()) for x in case.inputs])
    results = results if isinstance(results, tuple) else (results,)
    case.results = [None if r is None else r.detach().contiguous().numpy() for r in results]
    if case.outputs:
        case.results += [None] * (case.outputs - len(case.results))
    return case


def main():
    torch.set_num_threads(1)
    names = sorted(p.stem for p in (HERE / "families").glob("*.py"))
    families = {name: importlib.import_module(f"families.{name}") for name in names}
    samples = cases.read(sys.argv[1])
    unknown = {c.op for c in samples} - {op for f in families.values() for op in f.OPS}
    if unknown:
        raise SystemExit(f"no family says what PyTorch computes for: {', '.join(sorted(unknown))}")
    for name in sys.argv[2:] or names:
        family = families[name]
        mine = [c for c in samples if c.op in family.OPS] + (family.extremes() if hasattr(family, "extremes") else [])
        cases.write(HERE / "values" / f"{name}.bin", [evaluate(c, family.OPS) for c in mine])
        print(f"{name}: {len(mine)} cases")


main()
