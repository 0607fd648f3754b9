#!/usr/bin/env python3
"""Makes bf16.bin: what PyTorch gives in bfloat16 for casts and for a choice of operations.

    python3 tests/reference/make_bf16.py tests/reference/bf16.bin

Needs torch and numpy. Nothing here is used by the tests themselves, which read bf16.bin only. The file's form is that of
tests/support/cases.c, where bf16 is element type 6.
"""
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

F32, F64, I64, I32, U8, BOOL, BF16 = range(7)
CODES = {torch.float32: F32, torch.float64: F64, torch.int64: I64, torch.int32: I32, torch.uint8: U8,
         torch.bool: BOOL, torch.bfloat16: BF16}
INT, FLOAT, UINT, SHAPE, DTYPE = range(5)  # kinds of attributes


def text(s):
    return struct.pack("<I", len(s.encode())) + s.encode()


def tensor(t):
    t = t.detach().contiguous()
    bits = t.view(torch.int16) if t.dtype == torch.bfloat16 else t
    head = struct.pack("<III", 1, CODES[t.dtype], t.dim()) + struct.pack(f"<{t.dim()}q", *t.shape)
    return head + bits.numpy().tobytes()


def field(name, kind, v):
    if kind == SHAPE:
        raw = struct.pack("<9q", len(v), *v, *[0] * (8 - len(v)))
    else:
        raw = struct.pack({INT: "<q", FLOAT: "<d", UINT: "<Q", DTYPE: "<q"}[kind], v)
    return text(name) + struct.pack("<I", kind) + raw


cases = []


def case(op, label, inputs, results, *fields):
    parts = [text(op), text(label), struct.pack("<II", 1, len(fields)), *[field(*f) for f in fields],
             struct.pack("<II", len(inputs), len(results))]
    cases.append(b"".join(parts + [tensor(t) for t in list(inputs) + list(results)]))


def main():
    torch.manual_seed(1)
    half = torch.bfloat16

    # Bits of f32: every exponent, ties both ways, what rounds up to infinity, subnormals.
    upper = np.arange(0, 65536, 97, dtype=np.uint32)
    bits = np.concatenate([upper << 16 | low for low in (0, 1, 0x7fff, 0x8000, 0x8001, 0xffff)]).astype(np.uint32)
    x = torch.from_numpy(bits.view(np.float32).copy())
    every = torch.from_numpy(np.arange(0, 65536, 7, dtype=np.uint32).astype(np.uint16).view(np.int16)).view(half)
    to = lambda dtype: ("dtype", DTYPE, dtype)
    case("cast", "f32 to bf16", [x], [x.to(half)], to(BF16))
    case("cast", "bf16 to f32", [every], [every.float()], to(F32))
    near = every[every.float().abs() < 1e9][::8].clone()
    case("cast", "bf16 to i64", [near], [near.long()], to(I64))
    case("cast", "bf16 to bool", [near], [near.bool()], to(BOOL))
    wide = torch.randn(1000, dtype=torch.float64) * torch.logspace(-40, 38, 1000, dtype=torch.float64)
    case("cast", "f64 to bf16", [wide], [wide.to(half)], to(BF16))
    whole = torch.arange(-70000, 70000, 131)
    case("cast", "i64 to bf16", [whole], [whole.to(half)], to(BF16))

    a, b = torch.randn(31, 17).to(half), torch.randn(31, 17).to(half)
    for op, f in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div),
                  ("maximum", torch.maximum), ("less", torch.lt), ("equal", torch.eq)):
        case(op, "bf16", [a, b], [f(a, b)])
        case(op, "bf16 broadcast", [a, b[0]], [f(a, b[0])])
    for op, f in (("relu", torch.relu), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("exp", torch.exp),
                  ("gelu", F.gelu), ("neg", torch.neg), ("abs", torch.abs), ("erf", torch.erf)):
        case(op, "bf16", [a], [f(a)])
    p = a.abs() + 0.01
    for op, f in (("log", torch.log), ("sqrt", torch.sqrt)):
        case(op, "bf16", [p.to(half)], [f(p.to(half))])
    axes = lambda v: (("axes", SHAPE, v), ("keepdim", INT, 0))
    for name, v in (("rows", [1]), ("columns", [0]), ("all", [0, 1])):
        case("sum", f"bf16 {name}", [a], [a.sum(v)], *axes(v))
        case("mean", f"bf16 {name}", [a], [a.mean(v)], *axes(v))
        case("max", f"bf16 {name}", [a], [a.amax(v)], *axes(v))
    case("softmax", "bf16", [a], [torch.softmax(a, 1)], ("axis", INT, 1))
    case("log_softmax", "bf16", [a], [torch.log_softmax(a, 1)], ("axis", INT, 1))
    for m, k, n in ((5, 7, 3), (33, 64, 48), (64, 130, 96), (1, 200, 70)):
        u, v = torch.randn(m, k).to(half), torch.randn(k, n).to(half)
        case("matmul", f"bf16 {m} {k} {n}", [u, v], [u @ v])
    for n, c, o, size, stride in ((2, 3, 8, 9, 1), (2, 32, 16, 10, 1), (1, 16, 32, 8, 2)):
        x = torch.randn(n, c, size, size).to(half)
        w = (torch.randn(o, c, 3, 3) / (3 * c**0.5)).to(half)
        y = F.conv2d(x, w, None, stride, 1)
        case("conv2d", f"bf16 {c} {o}", [x, w], [y], ("stride", SHAPE, [stride] * 2), ("padding", SHAPE, [1, 1]),
             ("dilation", SHAPE, [1, 1]), ("groups", INT, 1), ("input_shape", SHAPE, list(x.shape)),
             ("weight_shape", SHAPE, list(w.shape)))

    with open(sys.argv[1], "wb") as f:
        f.write(b"CBMCASE\0" + struct.pack("<I", len(cases)) + b"".join(cases))


main()
