#!/usr/bin/env python3
"""Makes values/FAMILY.bin: what PyTorch gives for every operation, on the samples of its record and on extremes.

    build/tests/test_op_values --dump samples.bin
    python3 tests/reference/make_values.py samples.bin [FAMILY ...]

families/FAMILY.py says what PyTorch computes for each of its operations (OPS: name -> f(attributes, *inputs)) and may give
further cases (extremes()). functions() gives cases of public functions without a record (FUNCTIONS says what PyTorch
computes for them), stored with their gradients in functions/FAMILY.bin. Needs torch and numpy. Nothing here is used by the
tests themselves, which read values/ and functions/ only.
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


def weights(t, i):
    """Of result number i, for its gradient: tests/support/functions.c has the same."""
    return ((torch.arange(t.numel()) * 7 + i) % 11 - 4.5).reshape(t.shape).to(t.dtype)


def evaluate_function(case, functions):
    """The results, then the gradients of the sum of results times weights by the floating inputs."""
    inputs = [torch.from_numpy(x.copy()) for x in case.inputs]
    floating = [x.requires_grad_() for x in inputs if x.dtype.is_floating_point]
    results = functions[case.op](case.a, *inputs)
    results = list(results) if isinstance(results, (tuple, list)) else [results]
    parts = [(r * weights(r, i)).sum() for i, r in enumerate(results) if r.requires_grad]
    if parts:
        results += torch.autograd.grad(sum(parts), floating, allow_unused=True, materialize_grads=True)
    case.results = [r.detach().contiguous().numpy() for r in results]
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
        if hasattr(family, "functions"):
            made = [evaluate_function(c, family.FUNCTIONS) for c in family.functions()]
            cases.write(HERE / "functions" / f"{name}.bin", made)
        print(f"{name}: {len(mine)} cases")


main()
