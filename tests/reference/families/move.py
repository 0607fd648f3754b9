"""move.py: other shapes and orders of the same elements."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import BOOL, Case, FLOAT, INT, NUMPY, SHAPE, axis, both


def slice_of(a, x):
    i = [slice(None)] * x.dim()
    i[a["axis"]] = slice(a["start"], a["start"] + a["length"] * a["step"], a["step"])
    y = x[tuple(i)]
    return y.narrow(a["axis"], 0, a["length"])


def slice_scatter(a, base, source):
    i = [slice(None)] * base.dim()
    i[a["axis"]] = torch.arange(a["length"]) * a["step"] + a["start"]
    y = base.clone()
    y[tuple(i)] = source
    return y


OPS = {
    "reshape": lambda a, x: x.reshape(a["shape"]), "permute": lambda a, x: x.permute(a["shape"]),
    "expand": lambda a, x: x.expand(a["shape"]), "slice": slice_of, "slice_scatter": slice_scatter,
    "concat": lambda a, *x: torch.cat(x, a["axis"]), "copy": lambda a, x: x,
    "split": lambda a, x: torch.split(x, a["sizes"], a["axis"]),
}


def extremes():
    cases = []
    reshape = lambda v: [("shape", SHAPE, v)]
    for dtype in range(6):
        x = (np.arange(24) % 2 if dtype == BOOL else np.arange(24)).astype(NUMPY[dtype]).reshape(2, 3, 4)
        name = NUMPY[dtype].__name__
        cases.append(Case("reshape", name, reshape([4, 6]), [x], True))
        cases.append(Case("permute", name, reshape([2, 0, 1]), [x], True))
        cases.append(Case("expand", name, reshape([2, 2, 3, 4]), [x[:1].copy()], True))
        part = [("axis", INT, 2), ("start", INT, 1), ("step", INT, 2), ("length", INT, 2)]
        cases.append(Case("slice", name, part, [x], True))
        cases.append(Case("concat", name, axis(1), [x, x[:, :1].copy(), x], True))
        cases.append(Case("copy", name, [], [x], True))
        cases.append(Case("split", name, axis(2) + [("sizes", SHAPE, [1, 0, 1, 2])], [x], True))
    cases += both("concat", "with nothing", axis(0), [np.zeros((0, 2)), np.ones((1, 2)), np.zeros((0, 2))])
    cases += both("concat", "alone", axis(0), [np.ones((1, 2))])
    return cases


MODES = [None, "reflect", "replicate", "circular"]


def pad(a, x):
    pads = [n for pair in zip(reversed(a["before"]), reversed(a["after"])) for n in pair]
    return F.pad(x, pads, value=a["value"]) if a["mode"] == 0 else F.pad(x, pads, mode=MODES[a["mode"]])


def joined(parts):
    """Parts as the C test joins them: each flattened, in reverse order."""
    return torch.cat([p.flatten() for p in reversed(parts)])


def meshgrid(a, *x):
    return torch.meshgrid(*x, indexing="xy" if a["xy"] else "ij")


def split_sizes(a, x):
    return joined(torch.split(x, a["sizes"], a["axis"]))


FUNCTIONS = {
    "flatten_axes": lambda a, x: x.flatten(a["first"], a["last"]),
    "unflatten": lambda a, x: x.unflatten(a["axis"], a["extents"]),
    "swapaxes": lambda a, x: x.swapaxes(a["a"], a["b"]), "t": lambda a, x: x.t(),
    "movedim": lambda a, x: x.movedim(a["source"], a["destination"]),
    "unsqueeze": lambda a, x: x.unsqueeze(a["axis"]),
    "squeeze": lambda a, x: x.squeeze(a["axes"]) if a["axes"] else x.squeeze(),
    "broadcast_to": lambda a, x: x.broadcast_to(a["shape"]), "expand_as": lambda a, x, y: x.expand_as(y),
    "narrow": lambda a, x: x.narrow(a["axis"], a["start"], a["length"]),
    "select": lambda a, x: x.select(a["axis"], a["index"]),
    "split_by": lambda a, x: joined(x.split(a["size"], a["axis"])), "split_sizes": split_sizes,
    "chunk": lambda a, x: joined(x.chunk(a["chunks"], a["axis"])),
    "unbind": lambda a, x: joined(x.unbind(a["axis"])), "one of unbind": lambda a, x: x.unbind(a["axis"])[a["index"]],
    "stack": lambda a, *x: torch.stack(x, a["axis"]), "many": lambda a, x: torch.stack([x] * a["count"], a["axis"]),
    "repeat": lambda a, x: x.repeat(a["repeats"]), "tile": lambda a, x: x.tile(a["repeats"]),
    "repeat_interleave": lambda a, x: x.repeat_interleave(a["repeats"], a["axis"]), "meshgrid": meshgrid,
    "flip": lambda a, x: x.flip(a["axes"]),
    "roll": lambda a, x: x.roll(a["shifts"], a["axes"] or None), "rot90": lambda a, x: x.rot90(a["k"], a["axes"]),
    "pad": pad, "windows": lambda a, x: x.unfold(a["axis"], a["size"], a["step"]),
    "windows times": lambda a, x, w: x.unfold(-1, a["size"], 1) @ w,
    "unfold": lambda a, x: F.unfold(x, a["kernel"], a["dilation"], a["padding"], a["stride"]),
    "fold": lambda a, x: F.fold(x, a["size"], a["kernel"], a["dilation"], a["padding"], a["stride"]),
    "diagonal": lambda a, x: x.diagonal(a["offset"], a["a"], a["b"]),
    "diag_embed": lambda a, x: x.diag_embed(a["offset"], a["a"], a["b"]), "diag": lambda a, x: x.diag(a["offset"]),
}


def functions():
    def case(op, label, inputs, **fields):
        kinds = {int: INT, bool: INT, list: SHAPE, float: FLOAT}
        return Case(op, label, [(k, kinds[type(v)], v) for k, v in fields.items()], [np.asarray(x) for x in inputs])

    grid = lambda *shape: np.sin(np.arange(float(np.prod(shape)))).reshape(shape)
    x = grid(2, 3, 4)
    cases = [
        case("flatten_axes", "first two", [x], first=0, last=1), case("flatten_axes", "last", [x], first=-2, last=-1),
        case("flatten_axes", "one", [x], first=1, last=1), case("flatten_axes", "scalar", [grid()], first=0, last=-1),
        case("unflatten", "last", [grid(2, 12)], axis=-1, extents=[3, -1]),
        case("unflatten", "first", [grid(6, 2)], axis=0, extents=[2, 3]),
        case("unflatten", "empty", [grid(2, 0)], axis=1, extents=[3, 0]),
        case("swapaxes", "ends", [x], a=0, b=-1), case("t", "matrix", [grid(2, 3)]), case("t", "vector", [grid(3)]),
        case("movedim", "one", [x], source=[0], destination=[-1]),
        case("movedim", "two", [grid(2, 3, 4, 5)], source=[3, 0], destination=[0, 2]),
        case("unsqueeze", "front", [x], axis=0), case("unsqueeze", "end", [x], axis=-1), case("unsqueeze", "inside", [x], axis=2),
        case("squeeze", "all", [grid(1, 3, 1, 2)], axes=[]), case("squeeze", "one", [grid(1, 3, 1, 2)], axes=[-2]),
        case("squeeze", "not 1", [grid(1, 3, 1, 2)], axes=[0, 1]),
        case("broadcast_to", "rows", [grid(3, 1)], shape=[2, 3, 4]), case("expand_as", "column", [grid(3, 1), grid(3, 4)]),
        case("narrow", "middle", [x], axis=2, start=1, length=2), case("narrow", "from the end", [x], axis=1, start=-2, length=1),
        case("narrow", "nothing", [x], axis=1, start=3, length=0),
        case("select", "first axis", [x], axis=0, index=1), case("select", "from the end", [x], axis=-1, index=-4),
        case("stack", "front", [grid(2, 3), grid(2, 3) + 1], axis=0), case("stack", "end", [grid(2, 3), grid(2, 3) + 1], axis=-1),
        case("stack", "scalars", [grid(), grid() + 1, grid() + 2], axis=0), case("stack", "one", [grid(2)], axis=1),
        case("many", "130", [grid(2, 3)], count=130, axis=1),
        case("repeat", "matrix", [grid(2, 3)], repeats=[2, 3]), case("repeat", "new axes", [grid(3)], repeats=[2, 1, 2]),
        case("repeat", "nothing", [grid(3)], repeats=[0]), case("repeat", "scalar", [grid()], repeats=[3]),
        case("repeat", "eight", [grid(2, 1, 1, 1, 1, 1, 1, 2)], repeats=[2, 2, 1, 1, 2, 1, 1, 3]),
        case("tile", "short", [x], repeats=[2]), case("tile", "long", [grid(2)], repeats=[3, 2]),
        case("tile", "none", [x], repeats=[]),
        case("repeat_interleave", "last", [x], axis=-1, repeats=3), case("repeat_interleave", "first", [x], axis=0, repeats=2),
        case("repeat_interleave", "nothing", [x], axis=1, repeats=0),
        case("meshgrid", "two", [grid(2), grid(3)], xy=False), case("meshgrid", "two, xy", [grid(2), grid(3)], xy=True),
        case("meshgrid", "one, xy", [grid(2)], xy=True),
        case("flip", "both ends", [x], axes=[-1, 0]), case("flip", "none", [x], axes=[]),
        case("roll", "one", [x], shifts=[1], axes=[2]), case("roll", "two", [x], shifts=[-1, 5], axes=[0, -1]),
        case("roll", "flattened", [x], shifts=[7], axes=[]), case("roll", "back", [x], shifts=[-1], axes=[]),
    ]
    for k in (-1, 0, 1, 2, 3, 4):
        cases.append(case("rot90", f"{k}", [grid(2, 3)], k=k, axes=[0, 1]))
    cases.append(case("rot90", "other axes", [x], k=1, axes=[2, 0]))
    for size in (1, 2, 3, 9, 20):
        cases.append(case("split_by", f"of {size}", [grid(2, 9)], axis=1, size=size))
    cases.append(case("split_by", "of nothing", [grid(2, 0)], axis=1, size=3))
    cases.append(case("split_by", "first axis", [grid(33, 2)], axis=0, size=2))
    cases.append(case("split_sizes", "two", [x], axis=1, sizes=[1, 2]))
    cases.append(case("split_sizes", "eight", [grid(3, 17)], axis=-1, sizes=[1, 0, 3, 4, 2, 5, 1, 1]))
    for chunks in (1, 2, 3, 4, 5, 7):
        cases.append(case("chunk", f"{chunks}", [grid(2, 5)], axis=1, chunks=chunks))
    cases += [case("unbind", "five", [grid(2, 5)], axis=1), case("unbind", "70", [grid(70, 2)], axis=0),
              case("one of unbind", "the others have no gradient", [grid(3, 11, 2)], axis=1, index=9)]
    picture = grid(2, 3, 4, 5)
    for mode in range(4):
        cases.append(case("pad", f"last axis {mode}", [x], before=[2], after=[3], mode=mode, value=0.5))
        cases.append(case("pad", f"last two {mode}", [picture], before=[1, 2], after=[2, 0], mode=mode, value=0.5))
        cases.append(case("pad", f"last three {mode}", [grid(2, 2, 3, 4, 5)], before=[1, 1, 2], after=[0, 2, 1], mode=mode, value=-1.0))
    cases.append(case("pad", "all axes", [x], before=[1, 0, 2], after=[0, 2, -1], mode=0, value=2.0))
    cases += [case("windows", "last", [x], axis=-1, size=2, step=1), case("windows", "first", [grid(7, 2)], axis=0, size=3, step=2),
              case("windows times", "vector", [grid(9), grid(4, 3)], size=4),
              case("windows times", "rows", [grid(3, 50), grid(16, 40)], size=16)]
    for label, shape in (("batch", (2, 3, 5, 6)), ("alone", (3, 5, 6))):
        cases.append(case("unfold", label, [grid(*shape)], kernel=[2, 3], stride=[1, 2], padding=[1, 0], dilation=[2, 1]))
    cases += [case("fold", "batch", [grid(2, 12, 15)], size=[4, 5], kernel=[2, 2], stride=[1, 1], padding=[0, 1], dilation=[1, 2]),
              case("fold", "alone", [grid(12, 30)], size=[4, 5], kernel=[2, 2], stride=[1, 1], padding=[1, 1], dilation=[1, 1])]
    cases += [case("diagonal", "plain", [x], offset=0, a=0, b=1), case("diagonal", "below", [x], offset=-1, a=-1, b=0),
              case("diag_embed", "plain", [grid(2, 3)], offset=0, a=-2, b=-1),
              case("diag_embed", "in front", [grid(2, 3)], offset=1, a=0, b=2),
              case("diag_embed", "turned", [grid(2, 3)], offset=-2, a=2, b=0),
              case("diag", "vector", [grid(3)], offset=1), case("diag", "matrix", [grid(3, 4)], offset=-1)]
    return cases
