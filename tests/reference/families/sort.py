"""sort.py: order along an axis, places in sorted sequences, counts."""
import numpy as np
import torch

from cases import BOOL, Case, FLOAT, I32, I64, INF, INT, NAN, NUMPY, U8, both


def sort(a, x):
    return tuple(torch.sort(x, dim=a["axis"], descending=bool(a["descending"]), stable=True))


def topk(a, x):
    """By a stable sort: of equal elements PyTorch's topk takes any."""
    values, places = sort({"axis": a["axis"], "descending": a["largest"]}, x)
    places = places.narrow(a["axis"], 0, a["k"])
    if not a["sorted"]:
        places = places.sort(a["axis"])[0]
    return x.gather(a["axis"], places), places


def searchsorted(a, sequences, values):
    return torch.searchsorted(sequences, values, right=bool(a["right"]))


def bincount(a, x, weights=None):
    """PyTorch gives f64 for f64 weights only; counts of nothing keep the weights' type here."""
    y = torch.bincount(x, weights, a["bins"])
    return y if weights is None else y.to(weights.dtype)


def histogram(a, x, edges, weights=None):
    return torch.histogram(x, edges, weight=weights)[0]


OPS = {"sort": sort, "topk": topk, "searchsorted": searchsorted, "bincount": bincount, "histogram": histogram}


def extremes():
    cases = []
    order = lambda axis, down: [("axis", INT, axis), ("descending", INT, down)]
    best = lambda axis, k, largest=1, ordered=1: [("axis", INT, axis), ("k", INT, k), ("largest", INT, largest), ("sorted", INT, ordered)]
    odd = np.array([[1, NAN, -INF, 0.0, -0.0, NAN, INF, 0.0], [2, 2, 2, -1, -1, -0.0, 0.0, 2]])
    long = np.sin(np.arange(900.0) * 7)
    ties = np.floor(np.sin(np.arange(600.0) * 3) * 4)
    for down in (0, 1):
        cases += both("sort", f"extremes {down}", order(1, down), [odd])
        cases += both("sort", f"columns {down}", order(0, down), [odd])
        cases += both("sort", f"long {down}", order(0, down), [long])
        cases += both("sort", f"ties {down}", order(0, down), [ties])
        cases += both("sort", f"inside {down}", order(1, down), [ties.reshape(4, 30, 5)])
        for k in (1, 3, 8):
            for ordered in (0, 1):
                cases += both("topk", f"extremes {down} {k} {ordered}", best(1, k, down, ordered), [odd])
        for k in (1, 20, 150, 599):
            cases += both("topk", f"ties {down} {k}", best(0, k, down), [ties])
            cases += both("topk", f"unordered {down} {k}", best(0, k, down, 0), [ties])
        cases += both("topk", f"rising {down}", best(0, 5, down), [np.arange(600.0)])
        cases += both("topk", f"falling {down}", best(0, 5, down), [-np.arange(600.0)])
        cases += both("topk", f"nan {down}", best(0, 5, down), [np.where(np.arange(600) % 3 == 0, NAN, long[:600])])
        cases += both("topk", f"all nan {down}", best(0, 5, down), [np.full(600, NAN)])
        for dtype in (I64, I32, U8, BOOL):
            x = (np.arange(500) * 7919 % 301 - (0 if dtype in (U8, BOOL) else 150)).astype(NUMPY[dtype]).reshape(2, 250)
            cases.append(Case("sort", f"{NUMPY[dtype].__name__} {down}", order(1, down), [x], True))
            cases.append(Case("topk", f"{NUMPY[dtype].__name__} {down}", best(1, 40, down), [x], True))
        wide = np.array([2**63 - 1, -2**63, 0, -1, 1, 2**40, -2**40, 2**63 - 1], np.int64)
        cases.append(Case("sort", f"wide {down}", order(0, down), [wide], True))
        narrow = np.array([2**31 - 1, -2**31, 0, -1, 1, 2**20, -2**20, 2**31 - 1], np.int32)
        cases.append(Case("sort", f"narrow {down}", order(0, down), [narrow], True))
    edges = np.array([-INF, -1, 0, 0, 2, 2, 2, 5, INF])
    values = np.array([[-INF, -2, -1, -0.0], [0.0, 1, 2, 3], [5, 6, INF, NAN]])
    for right in (0, 1):
        side = [("right", INT, right)]
        cases += both("searchsorted", f"extremes {right}", side, [edges, values])
        cases += both("searchsorted", f"nan {right}", side, [np.array([1.0, NAN, NAN]), np.array([0.0, 1, 2, NAN])])
        cases += both("searchsorted", f"rows {right}", side, [np.arange(8.0).reshape(2, 4), np.array([[0.0, 2], [5, 9]])])
        cases += both("searchsorted", f"nothing {right}", side, [np.zeros(0), np.ones(3)])
        for dtype in (I64, I32, U8):
            x = np.array([1, 3, 3, 7, 200], NUMPY[dtype])
            cases.append(Case("searchsorted", f"{NUMPY[dtype].__name__} {right}", side, [x, np.arange(10).astype(NUMPY[dtype])], True))
    numbers = np.arange(700) * 7919 % 37
    for dtype in (I64, I32, U8):
        cases.append(Case("bincount", NUMPY[dtype].__name__, [("bins", INT, 40)], [numbers.astype(NUMPY[dtype])], True))
    cases += both("bincount", "weights", [("bins", INT, 37)], [numbers.astype(np.int64), np.cos(np.arange(700.0))])
    cases += both("bincount", "one place", [("bins", INT, 1)], [np.zeros(5, np.int64), np.array([1, INF, 2, 3, 4])])
    # multiples of 1/4, so that f32 and f64 agree on which bin they are in
    x = np.floor(np.sin(np.arange(700.0)) * 16) / 4
    for label, at in (("equal", np.arange(-4, 4.25, 0.25)), ("few", np.array([-1.0, 1])), ("uneven", np.array([-3, -2.5, -1, 0, 0.25, 3.5])),
                      ("steps", np.array([-1.0, 0, 0, 1]))):
        cases += both("histogram", label, [], [x, at])
        cases += both("histogram", f"{label}, weights", [], [x, at, np.floor(np.cos(np.arange(700.0)) * 8)])
    cases += both("histogram", "extremes", [], [np.array([INF, -INF, 0.0, 1, 1, 0.5]), np.array([0.0, 0.5, 1])])
    return cases


def kthvalue(a, x):
    return torch.kthvalue(x, a["k"], a["axis"])


def unique(a, x):
    return torch.unique(x.detach(), return_inverse=True, return_counts=True)


def histogram_of(a, x, weights=None):
    range_ = (a["low"], a["high"]) if a["low"] < a["high"] else None
    counts, edges = torch.histogram(x.detach(), a["bins"], range=range_, weight=None if weights is None else weights.detach(), density=bool(a["density"]))
    return counts, edges


FUNCTIONS = {
    "sort": lambda a, x: torch.sort(x, dim=a["axis"], descending=bool(a["descending"]), stable=True),
    "argsort": lambda a, x: torch.argsort(x, dim=a["axis"], descending=bool(a["descending"]), stable=True),
    "topk": lambda a, x: torch.topk(x, a["k"], a["axis"], bool(a["largest"])), "kthvalue": kthvalue, "unique": unique,
    "searchsorted": lambda a, x, v: torch.searchsorted(x, v, right=bool(a["right"])),
    "bucketize": lambda a, v, x: torch.bucketize(v, x, right=bool(a["right"])),
    "bincount": lambda a, x: torch.bincount(x, minlength=a["minlength"]),
    "weighted bincount": lambda a, x, w: torch.zeros(max(int(x.max()) + 1, a["minlength"]), dtype=w.dtype).index_add(0, x, w),
    "histogram": histogram_of, "histogram_edges": lambda a, x, e: torch.histogram(x.detach(), e.detach(), density=bool(a["density"]))[0],
}


def functions():
    def case(op, label, inputs, **fields):
        kinds = {int: INT, float: FLOAT}
        return Case(op, label, [(k, kinds[type(v)], v) for k, v in fields.items()], [np.asarray(x) for x in inputs])

    grid = lambda *shape: np.sin(np.arange(float(np.prod(shape)))).reshape(shape)
    x, whole = grid(2, 3, 7), np.arange(40) * 7 % 11 - 4
    cases = [case("sort", "last", [x], axis=-1, descending=0), case("sort", "first", [x], axis=0, descending=1),
             case("sort", "scalar", [grid()], axis=0, descending=0), case("argsort", "rows", [x], axis=1, descending=1),
             case("topk", "last", [x], k=3, axis=-1, largest=1), case("topk", "first", [x], k=1, axis=0, largest=0),
             case("topk", "all", [x], k=7, axis=2, largest=1),
             case("searchsorted", "one", [np.array([0.0, 0.5, 1]), grid(3, 4)], right=1),
             case("bucketize", "matrix", [grid(3, 4), np.array([0.0, 0.5, 1])], right=0),
             case("unique", "i64", [whole.reshape(4, 10)]), case("unique", "floats", [np.array([2.0, 1, 2, 0.0, -0.0, 1])]),
             case("unique", "nan", [np.array([NAN, 1, NAN, 1])]), case("unique", "bool", [np.array([True, False, True])]),
             case("unique", "u8", [np.array([3, 250, 3], np.uint8)]), case("unique", "nothing", [np.zeros((0, 2))]),
             case("unique", "one", [np.array(3)]),
             case("bincount", "plain", [whole + 4], minlength=0), case("bincount", "longer", [(whole + 4).astype(np.int32)], minlength=20),
             case("bincount", "nothing", [np.zeros(0, np.int64)], minlength=0), case("bincount", "u8", [np.array([255, 0], np.uint8)], minlength=3),
             case("weighted bincount", "plain", [np.array([1, 4, 1, 0]), grid(4)], minlength=7)]
    for k in (1, 2, 4, 6, 7):
        cases.append(case("kthvalue", f"{k}", [x], k=k, axis=-1))
    cases += [case("kthvalue", "first axis", [x], k=2, axis=0), case("kthvalue", "scalar", [grid()], k=1, axis=0)]
    steps = np.floor(np.sin(np.arange(60.0)) * 16) / 4
    for density in (0, 1):
        cases += [case("histogram", f"range {density}", [steps], bins=8, low=-2.0, high=2.0, density=density),
                  case("histogram", f"of the data {density}", [np.append(steps, [-4.0, 4.0])], bins=16, low=0.0, high=0.0, density=density),
                  case("histogram", f"all equal {density}", [np.full(5, 3.0)], bins=4, low=0.0, high=0.0, density=density),
                  case("histogram", f"nothing {density}", [np.zeros(0)], bins=2, low=0.0, high=0.0, density=0),
                  case("histogram_edges", f"uneven {density}", [steps, np.array([-3, -2.5, 1, 3.5])], density=density)]
    cases.append(case("histogram", "weights", [steps.reshape(6, 10), np.floor(grid(6, 10) * 8)], bins=8, low=-2.0, high=2.0, density=0))
    return cases
