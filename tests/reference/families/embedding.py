"""embedding.py: rows of a table by number, alone and in bags."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import Case, I64, INF, INT, NAN, NUMPY, both

MODES = ["sum", "mean", "max"]


def embedding(a, indices, weight):
    return F.embedding(indices, weight, a["padding"] if a["padding"] >= 0 else None)


def embedding_backward(a, indices, g):
    """By hand, in order: PyTorch has no public one."""
    dw = torch.zeros(a["rows"], g.shape[-1], dtype=g.dtype)
    for i, row in zip(indices.flatten(), g.reshape(-1, g.shape[-1])):
        if int(i) != a["padding"]:
            dw[int(i)] += row
    return dw


def bag_of(a, offsets):
    return torch.searchsorted(offsets, torch.arange(a["count"]).to(offsets.dtype), right=True) - 1


def bag_arguments(a, rest):
    rest = list(rest)
    offsets = None if a["fixed"] else rest.pop(0).long()
    return dict(offsets=offsets, mode=MODES[a["mode"]], per_sample_weights=rest.pop(0) if a["weighted"] else None,
                include_last_offset=bool(a["last"]), padding_idx=a["padding"] if a["padding"] >= 0 else None)


def embedding_bag(a, weight, indices, *rest):
    y = F.embedding_bag(indices.long(), weight, **bag_arguments(a, rest))
    return y, (None if a["mode"] == 2 else torch.zeros(0, dtype=torch.int64))


OPS = {"embedding": embedding, "embedding_backward": embedding_backward, "bag_of": bag_of, "embedding_bag": embedding_bag}


def extremes():
    cases = []
    table = np.array([[INF, 1, -0.0], [NAN, 2, -INF], [0.5, -3, 4], [1, 1, 1]])
    for dtype in (np.int64, np.int32):
        name, at = dtype.__name__, np.array([[0, 3], [1, 1], [2, 0]], dtype)
        cases += both("embedding", f"extremes {name}", [("padding", INT, -1)], [at, table])
        cases += both("embedding", f"one {name}", [("padding", INT, 0)], [np.array(2, dtype), table])
        cases += both("embedding_backward", f"extremes {name}", [("rows", INT, 5), ("padding", INT, 1)],
                      [at, np.array([INF, 1, NAN, 2, -INF, 3, 4, 5, 6, 7, 8, 9.0]).reshape(3, 2, 2)])
        cases.append(Case("bag_of", f"empty bags {name}", [("count", INT, 5)], [np.array([0, 0, 2, 2, 3, 5], dtype)], True))
    wide = np.sin(np.arange(60 * 40.0)).reshape(60, 40)
    rows = np.arange(60, dtype=np.int64) * 7 % 11
    cases += both("embedding_backward", "wide", [("rows", INT, 11), ("padding", INT, -1)], [rows, wide])
    cases += both("embedding_backward", "narrow", [("rows", INT, 11), ("padding", INT, 4)], [np.arange(900, dtype=np.int64) % 11, wide.flatten()[:900].reshape(900, 1)])
    numbers, offsets = np.array([4, 2, 2, 0, 3, 1, 4, 2], np.int64), np.array([0, 3, 3, 4], np.int64)
    table = np.cos(np.arange(5 * 17.0)).reshape(5, 17)
    for mode in range(3):
        for padding in (-1, 2):
            fields = lambda fixed, weighted, last: [("mode", INT, mode), ("fixed", INT, fixed), ("weighted", INT, weighted),
                                                    ("last", INT, last), ("padding", INT, padding)]
            cases += both("embedding_bag", f"pieces {mode} {padding}", fields(0, 0, 0), [table, numbers, offsets])
            cases += both("embedding_bag", f"ends {mode} {padding}", fields(0, 0, 1), [table, numbers, np.array([0, 2, 2, 8], np.int64)])
            cases += both("embedding_bag", f"rows {mode} {padding}", fields(1, 0, 0), [table, numbers.astype(np.int32).reshape(4, 2)])
            if mode == 0:
                cases += both("embedding_bag", f"weighted {padding}", fields(0, 1, 0), [table, numbers, offsets, np.sin(np.arange(8.0))])
    return cases


def bag(a, indices, weight, *rest):
    return F.embedding_bag(indices, weight, **bag_arguments(a, rest))


FUNCTIONS = {"embedding": embedding, "embedding_bag": bag}


def functions():
    def case(op, label, inputs, **fields):
        return Case(op, label, [(k, INT, v) for k, v in fields.items()], [np.asarray(x) for x in inputs])

    table, numbers = np.cos(np.arange(5 * 3.0)).reshape(5, 3), np.array([4, 2, 2, 0, 3, 1, 4, 2])
    cases = [case("embedding", "plain", [numbers.reshape(2, 4), table], padding=-1), case("embedding", "padded", [numbers, table], padding=2)]
    for mode in range(3):
        for padding in (-1, 2):
            fields = dict(mode=mode, padding=padding)
            cases.append(case("embedding_bag", f"rows {mode} {padding}", [numbers.reshape(2, 4), table], fixed=1, weighted=0, last=0, **fields))
            cases.append(case("embedding_bag", f"pieces {mode} {padding}", [numbers, table, np.array([0, 3, 3, 4])], fixed=0, weighted=0, last=0, **fields))
            cases.append(case("embedding_bag", f"ends {mode} {padding}", [numbers, table, np.array([0, 2, 8])], fixed=0, weighted=0, last=1, **fields))
            if mode == 0:
                factors = np.sin(np.arange(8.0))
                cases.append(case("embedding_bag", f"weighted rows {padding}", [numbers.reshape(2, 4), table, factors.reshape(2, 4)], fixed=1, weighted=1, last=0, **fields))
                cases.append(case("embedding_bag", f"weighted pieces {padding}", [numbers, table, np.array([0, 3, 3, 4]), factors], fixed=0, weighted=1, last=0, **fields))
    return cases
