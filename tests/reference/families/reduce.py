"""reduce.py: reductions over axes, order along an axis, and what runs along it."""
import numpy as np
import torch

from cases import BOOL, Case, FLOAT, I32, I64, INF, INT, NAN, NUMPY, SHAPE, U8, both


def axes_of(a, x):
    return a["axes"] if a["axes"] else list(range(x.dim()))


def joined(a, x):
    """x with its reduced axes flattened into the last one."""
    axes = axes_of(a, x)
    kept = [d for d in range(x.dim()) if d not in axes]
    return x.permute(kept + list(axes)).reshape([x.shape[d] for d in kept] + [-1]) if x.numel() else None


def shaped(a, x, r):
    return r.reshape([1 if d in axes_of(a, x) else n for d, n in enumerate(x.shape)]) if a["keepdim"] else r


def extreme(f):
    return lambda a, x: f(x, axes_of(a, x), bool(a["keepdim"])) if x.dim() else x


def place(f):
    def run(a, x):
        axes = axes_of(a, x)
        x = x.to(torch.uint8) if x.dtype == torch.bool else x
        if len(axes) == 1:
            return f(x, axes[0], bool(a["keepdim"]))
        return shaped(a, x, f(x.flatten(), 0))
    return run


def prod(a, x):
    if x.numel():
        return shaped(a, x, torch.prod(joined(a, x), -1))
    shape = [n for d, n in enumerate(x.shape) if d not in axes_of(a, x)]
    return shaped(a, x, torch.ones(shape, dtype=x.dtype))


def truth(f):
    return lambda a, x: f(x, axes_of(a, x), bool(a["keepdim"])) if x.dim() else x


def spread(f):
    def run(a, x):
        y, mean = f(x, axes_of(a, x), correction=a["correction"], keepdim=bool(a["keepdim"]))
        return y, mean
    return run


def norm(a, x):
    return torch.linalg.vector_norm(x, a["p"], axes_of(a, x), bool(a["keepdim"]))


def logsumexp(a, x):
    return torch.logsumexp(x, axes_of(a, x), bool(a["keepdim"])) if x.dim() else x


def kth_index(a, x):
    """By a stable sort, which PyTorch's kthvalue is not."""
    index = torch.sort(x, dim=a["axis"], stable=True)[1].narrow(a["axis"], a["k"], 1)
    if a["nan_wins"] and x.is_floating_point():
        index = torch.where(x.isnan().any(a["axis"], True), x.isnan().to(torch.uint8).argmax(a["axis"], True), index)
    return index


def running(f):
    def run(a, x):
        x = x.flip(a["axis"]) if a["reverse"] else x
        y = f(x, a["axis"])
        return y.flip(a["axis"]) if a["reverse"] else y
    return run


def running_place(f):
    def run(a, x):
        y = running(lambda x, axis: f(x, axis)[1])(a, x)
        return x.shape[a["axis"]] - 1 - y if a["reverse"] else y
    return run


def linear_scan(a, m, x):
    axis, n = a["axis"], x.shape[a["axis"]]
    y, state = torch.empty_like(x), torch.zeros_like(x.select(axis, 0)) if n else None
    for i in (range(n - 1, -1, -1) if a["reverse"] else range(n)):
        first = i == (n - 1 if a["reverse"] else 0)
        state = x.select(axis, i) + (0 if first else m.select(axis, i) * state)
        y.select(axis, i).copy_(state)
    return y


OPS = {
    "sum": lambda a, x: torch.sum(x, axes_of(a, x), bool(a["keepdim"])), "prod": prod,
    "mean": lambda a, x: torch.mean(x, axes_of(a, x), bool(a["keepdim"])),
    "max": extreme(torch.amax), "min": extreme(torch.amin), "argmax": place(torch.argmax), "argmin": place(torch.argmin),
    "any": truth(torch.any), "all": truth(torch.all), "var": spread(torch.var_mean), "std": spread(torch.std_mean),
    "norm": norm, "logsumexp": logsumexp, "kth_index": kth_index,
    "cumsum": running(torch.cumsum), "cumprod": running(torch.cumprod), "logcumsumexp": running(torch.logcumsumexp),
    "cummax_index": running_place(torch.cummax), "cummin_index": running_place(torch.cummin),
    "linear_scan": linear_scan,
}

SPECIAL = np.array([[1, NAN, 3], [-INF, -INF, -INF], [INF, 2, INF], [0.0, -0.0, 0.0], [INF, -INF, 1], [2, 2, -2]])


def over_axes():
    cases = []
    axes = lambda v, keep=0, **more: ([("axes", SHAPE, v), ("keepdim", INT, keep)]
                                      + [(name, FLOAT, value) for name, value in more.items()])
    kinds = [(op, {}) for op in ("sum", "prod", "mean", "max", "min", "argmax", "argmin", "logsumexp")]
    kinds += [(op, {"correction": c}) for op in ("var", "std") for c in (0, 1, 3)]
    kinds += [("norm", {"p": p}) for p in (0, 0.5, 1, 2, 3, -1, INF, -INF)]
    for op, more in kinds:
        note = "".join(f", {name} {value}" for name, value in more.items())
        columns = 1003.0 if op in ("sum", "max", "logsumexp") else 203.0
        finite = op not in ("var", "std")
        for name, v in (("rows", [1]), ("columns", [0]), ("all", [0, 1])):
            x = SPECIAL if finite else np.where(np.isinf(SPECIAL), 5, SPECIAL)
            cases += both(op, f"extremes, {name}{note}", axes(v, **more), [x])
            cases += both(op, f"extremes, {name}, kept{note}", axes(v, 1, **more), [x])
        if op != "prod":
            cases += both(op, f"long{note}", axes([0, 1], **more), [np.sin(np.arange(3 * columns)).reshape(3, -1)])
        cases += both(op, f"one axis of three{note}", axes([1], **more), [np.cos(np.arange(3 * 33 * 5.0)).reshape(3, 33, 5)])
        cases += both(op, f"size-1 axes{note}", axes([0], **more), [np.array([[1.0], [2.0]]).reshape(1, 2, 1)])
        if not op.startswith("arg"):
            cases += both(op, f"scattered axes{note}", axes([0, 2], **more), [np.sin(np.arange(2 * 3 * 4 * 5.0)).reshape(2, 3, 4, 5)])
            cases += both(op, f"scattered axes, kept{note}", axes([1, 3], 1, **more), [np.sin(np.arange(2 * 3 * 4 * 5.0)).reshape(2, 3, 4, 5)])
        if op in ("sum", "mean", "prod", "logsumexp", "var", "std") or op == "norm" and 0 <= more["p"] < INF:
            cases += both(op, f"empty{note}", axes([0], **more), [np.zeros((0, 3))])
            cases += both(op, f"all of nothing{note}", axes([0, 1], **more), [np.zeros((0, 3))])
    for op in ("var", "std"):
        cases += both(op, "far from 0", axes([1], correction=1), [1e4 + np.sin(np.arange(300.0)).reshape(3, 100)])
        cases += both(op, "far from 0, columns", axes([0], correction=1), [1e4 + np.sin(np.arange(300.0)).reshape(100, 3)])
    for op in ("max", "min", "argmax", "argmin", "sum", "prod"):
        for dtype in (I64, I32, U8):
            x = np.arange(24).reshape(2, 3, 4).astype(NUMPY[dtype])
            cases.append(Case(op, f"{NUMPY[dtype].__name__}", axes([1]), [x], True))
    for op in ("sum", "prod"):
        for dtype in (I64, I32, U8):
            x = np.array([[np.iinfo(NUMPY[dtype]).max, 2, 3], [np.iinfo(NUMPY[dtype]).min, 5, 1]], NUMPY[dtype])
            cases.append(Case(op, f"wide {NUMPY[dtype].__name__}", axes([0]), [x], True))
    long = np.arange(7 * 501).reshape(7, 501)
    for dtype in (I64, I32, U8, BOOL):
        x = (long % 3 == 0 if dtype == BOOL else long).astype(NUMPY[dtype])
        for v in ([0], [1], [0, 1]):
            cases.append(Case("sum", f"long {NUMPY[dtype].__name__} {v}", axes(v), [x], True))
    for op in ("any", "all"):
        for v in ([0], [1], [0, 1]):
            for fill in (long % 2 == 0, long >= 0, long < 0, long == 3000):
                cases.append(Case(op, f"long {v} {fill.sum()}", axes(v), [fill], True))
        cases.append(Case(op, "nothing", axes([1]), [np.zeros((3, 0), bool)], True))
    return cases


def along_an_axis():
    cases = []
    fields = lambda axis, reverse=0: [("axis", INT, axis), ("reverse", INT, reverse)]
    wave = np.sin(np.arange(5 * 67.0)).reshape(5, 67)
    ties = np.array([[1, 3, 3, 2, NAN, 5, NAN], [2, 1, 1, 3, 1, -INF, -INF], [INF, -INF, 0, INF, 1, 2, 3]])
    for op in ("cumsum", "cumprod", "logcumsumexp", "cummax_index", "cummin_index"):
        x = ties if op != "logcumsumexp" else np.where(np.isnan(ties), 7, ties)
        for reverse in (0, 1):
            note = ", reversed" if reverse else ""
            cases += both(op, f"extremes, rows{note}", fields(1, reverse), [x])
            cases += both(op, f"extremes, columns{note}", fields(0, reverse), [x])
            cases += both(op, f"long rows{note}", fields(1, reverse), [wave])
            cases += both(op, f"long columns{note}", fields(0, reverse), [wave.T.copy()])
            cases += both(op, f"middle axis{note}", fields(1, reverse), [np.cos(np.arange(3 * 33 * 5.0)).reshape(3, 33, 5)])
        cases += both(op, "nothing", fields(1), [np.zeros((3, 0))])
    for op in ("cumsum", "cumprod"):
        for dtype in (I64, I32, U8, BOOL):
            x = (np.arange(24) % 5).reshape(2, 3, 4).astype(NUMPY[dtype])
            cases.append(Case(op, NUMPY[dtype].__name__, fields(1), [x], True))
    for op in ("cummax_index", "cummin_index"):
        for dtype in (I64, I32, U8):
            cases.append(Case(op, NUMPY[dtype].__name__, fields(0), [(np.arange(24) * 7 % 5).astype(NUMPY[dtype])], True))
    for reverse in (0, 1):
        cases += both("linear_scan", f"long {reverse}", fields(1, reverse), [np.cos(np.arange(5 * 67.0)).reshape(5, 67), wave])
        cases += both("linear_scan", f"first factor unused {reverse}", fields(0, reverse), [np.array([NAN, 2, NAN]), np.array([1.0, 2, 3])])
    order = lambda axis, k, nan_wins: [("axis", INT, axis), ("k", INT, k), ("nan_wins", INT, nan_wins)]
    for k in (0, 2, 6):
        for nan_wins in (0, 1):
            cases += both("kth_index", f"extremes {k} {nan_wins}", order(1, k, nan_wins), [ties])
    cases += both("kth_index", "long", order(1, 40, 0), [np.round(20 * wave) / 20])
    cases += both("kth_index", "columns", order(0, 40, 1), [np.round(20 * wave.T) / 20])
    for dtype in (I64, I32, U8):
        cases.append(Case("kth_index", NUMPY[dtype].__name__, order(1, 1, 0), [(np.arange(24) * 7 % 5).reshape(2, 3, 4).astype(NUMPY[dtype])], True))
    return cases


def extremes():
    return over_axes() + along_an_axis()
