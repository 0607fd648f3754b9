"""linalg.py: products of matrices, factorisations, systems. None stands for what is not unique (signs of vectors)."""
import numpy as np
import torch

from cases import FLOAT, INF, INT, NAN, SHAPE, Case, both


def symmetric(x):
    return (x + x.mT) / 2


def solve(a, x, b):
    return torch.linalg.solve(x.mT if a["transpose"] else x, b)


def solve_triangular(a, x, b):
    upper = bool(a["upper"])
    if a["transpose"]:
        x, upper = x.mT, not upper
    return torch.linalg.solve_triangular(x, b, upper=upper, unitriangular=bool(a["unit"]))


def pinv(a, x):
    return torch.linalg.pinv(x, rtol=a["rcond"])


OPS = {
    "matmul": lambda a, x, y: torch.matmul(x, y),
    "cholesky": lambda a, x: torch.linalg.cholesky(symmetric(x)),
    "lu_factor": lambda a, x: (None, None),
    "qr": lambda a, x: (None, None),
    "svd": lambda a, x: (None, torch.linalg.svdvals(x), None),
    "svdvals": lambda a, x: torch.linalg.svdvals(x),
    "eigh": lambda a, x: (torch.linalg.eigvalsh(symmetric(x)), None),
    "eigvalsh": lambda a, x: torch.linalg.eigvalsh(symmetric(x)),
    "solve": solve,
    "solve_triangular": solve_triangular,
    "det": lambda a, x: torch.linalg.det(x),
    "slogdet": lambda a, x: tuple(torch.linalg.slogdet(x)),
    "pinv": pinv,
}


def extremes():
    cases = []
    m = np.array([[1, INF], [NAN, 2]])
    cases += both("matmul", "extremes", [], [m, np.array([[1.0, 0], [3, 4]])])
    cases += both("matmul", "no inner extent", [], [np.zeros((2, 0)), np.zeros((0, 3))])
    cases += both("matmul", "no rows", [], [np.zeros((0, 4)), np.ones((4, 3))])
    cases += both("matmul", "batches broadcast", [], [np.arange(2 * 1 * 2 * 3.0).reshape(2, 1, 2, 3) / 7,
                                             np.arange(5 * 3 * 4.0).reshape(5, 3, 4) / 9])
    turned = np.array([[0, 2.0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 4], [5, 0, 0, 0]])  # every pivot is elsewhere
    singular = np.array([[1.0, 2], [2, 4]])
    columns = np.arange(8.0).reshape(4, 2) - 3
    for transpose in (0, 1):
        cases += both("solve", f"pivots, transpose {transpose}", [("transpose", INT, transpose)], [turned, columns])
        cases += both("solve", f"many, transpose {transpose}", [("transpose", INT, transpose)],
                      [np.sin(np.arange(40 * 9.0)).reshape(40, 3, 3) + 2 * np.eye(3),
                       np.cos(np.arange(40 * 6.0)).reshape(40, 3, 2)])
    for op in ("det", "slogdet"):
        cases += both(op, "pivots", [], [turned])
        cases += both(op, "singular", [], [singular])
        cases += both(op, "zeros", [], [np.zeros((2, 3, 3))])
    cases += both("det", "NaN", [], [np.full((2, 2), NAN)])
    for op in ("svdvals", "svd"):
        cases += both(op, "zeros", [], [np.zeros((3, 2))])
        cases += both(op, "equal values", [], [turned * 0 + 2 * np.eye(4)])
        cases += both(op, "one column", [], [np.array([[3.0], [4.0]])])
    for op in ("eigh", "eigvalsh"):
        cases += both(op, "zeros", [], [np.zeros((3, 3))])
        cases += both(op, "one triangle", [], [np.array([[1.0, 0, 0], [4, 2, 0], [2, 6, 3]])])
    cases += both("pinv", "singular", [("rcond", FLOAT, 1e-5)], [singular])
    cases += both("pinv", "zeros", [("rcond", FLOAT, 1e-5)], [np.zeros((2, 3))])
    cases += both("pinv", "cut off", [("rcond", FLOAT, 0.5)], [np.diag([4.0, 3.0, 1.0])])
    big = np.array([[4.0, 0], [0, 9]]) * np.array([1e-20, 1, 1e20]).reshape(3, 1, 1)
    cases += both("cholesky", "scales", [], [big])
    return cases


# ---- public functions, with their gradients. The label of einsum's cases is the equation ----
def norm(a, x):
    return torch.linalg.matrix_norm(x, ord=["fro", "nuc", 2, 1, float("inf")][a["ord"]], keepdim=bool(a["keepdim"]))


def triangular(a, x, b):
    return torch.linalg.solve_triangular(x, b, upper=bool(a["upper"]), left=bool(a["left"]),
                                         unitriangular=bool(a["unit"]))


FUNCTIONS = {
    "dot": lambda a, x, y: torch.dot(x, y), "mv": lambda a, x, y: torch.mv(x, y),
    "outer": lambda a, x, y: torch.outer(x, y), "bmm": lambda a, x, y: torch.bmm(x, y),
    "addmm": lambda a, c, x, y: torch.addmm(c, x, y, beta=a["beta"], alpha=a["alpha"]),
    "kron": lambda a, x, y: torch.kron(x, y),
    "trace": lambda a, x: x.diagonal(dim1=-2, dim2=-1).sum(-1),
    "tensordot": lambda a, x, y: torch.tensordot(x, y, dims=(a["axes_a"], a["axes_b"])),
    "einsum": lambda a, *x: torch.einsum(a["equation"], *x),
    "matrix_norm": norm,
    "solve": lambda a, x, b: torch.linalg.solve(x, b),
    "solve_triangular": triangular,
    "cholesky_solve": lambda a, b, x: torch.cholesky_solve(b, x.tril()),
    "inverse": lambda a, x: torch.linalg.inv(x),
    "det": lambda a, x: torch.linalg.det(x),
    "slogdet": lambda a, x: tuple(torch.linalg.slogdet(x)),
    "pinv": lambda a, x: torch.linalg.pinv(x),
    "lstsq": lambda a, x, b: torch.linalg.lstsq(x, b).solution if b.dim() > 1 else
             torch.linalg.lstsq(x, b[:, None]).solution[:, 0],
}


def functions():
    cases = []

    def add(op, label, inputs, **fields):
        kinds = {int: INT, float: FLOAT, list: SHAPE}
        cases.append(Case(op, label, [(k, kinds[type(v)], v) for k, v in fields.items()],
                          [np.asarray(x) for x in inputs]))
        cases[-1].a["equation"] = label

    def wave(*shape, step=1.0):
        return np.sin(step * np.arange(1, 1 + float(np.prod(shape)))).reshape(shape)

    def rough(*shape):
        """Of full rank, which waves are not."""
        return np.sin(0.7 * np.arange(1, 1 + float(np.prod(shape))) ** 2).reshape(shape)

    add("dot", "", [wave(5), wave(5, step=2)])
    add("dot", "empty", [wave(0), wave(0)])
    add("mv", "", [wave(3, 4), wave(4, step=2)])
    add("outer", "", [wave(3), wave(4, step=2)])
    add("bmm", "", [wave(2, 3, 4), wave(2, 4, 2, step=2)])
    add("addmm", "", [wave(3, 2), wave(3, 4), wave(4, 2, step=2)], beta=0.5, alpha=-2.0)
    add("addmm", "a row", [wave(2), wave(3, 4), wave(4, 2, step=2)], beta=1.0, alpha=1.0)
    add("kron", "", [wave(2, 3), wave(3, 2, step=2)])
    add("kron", "of a vector", [wave(4), wave(2, 1, 3, step=2)])
    add("trace", "", [wave(3, 3)])
    add("trace", "batch of wide ones", [wave(2, 2, 3, 4)])
    add("tensordot", "one axis", [wave(3, 4), wave(4, 5, step=2)], axes_a=[1], axes_b=[0])
    add("tensordot", "two, turned", [wave(3, 4, 2), wave(2, 5, 3, step=2)], axes_a=[0, -1], axes_b=[2, 0])
    add("tensordot", "none", [wave(3), wave(2, 2, step=2)], axes_a=[], axes_b=[])
    add("tensordot", "all", [wave(3, 2), wave(3, 2, step=2)], axes_a=[0, 1], axes_b=[0, 1])
    for ord in range(5):
        add("matrix_norm", f"norm {ord}", [rough(2, 3, 4)], ord=ord, keepdim=ord % 2)
    add("matrix_norm", "of zeros", [np.zeros((2, 3))], ord=0, keepdim=0)
    regular, columns = wave(2, 3, 3) + 2 * np.eye(3), wave(2, 3, 2, step=2)
    add("solve", "", [regular, columns])
    add("solve", "a vector", [regular[0], columns[0, :, 0]])
    add("solve", "one matrix, many right sides", [regular[0], columns])
    for k in range(8):
        b = columns if k >> 1 & 1 else columns.swapaxes(1, 2).copy()
        add("solve_triangular", f"form {k}", [regular, b], upper=k & 1, left=k >> 1 & 1, unit=k >> 2 & 1)
    add("cholesky_solve", "", [columns, np.tril(regular)])
    add("inverse", "", [regular])
    add("det", "", [regular])
    add("slogdet", "", [regular])
    add("pinv", "tall", [rough(4, 2)])
    add("pinv", "wide", [rough(2, 2, 3)])
    add("lstsq", "tall", [rough(5, 2), wave(5, 3, step=2)])
    add("lstsq", "a vector", [rough(5, 2), wave(5, step=2)])
    for equation, shapes in EINSUM:
        add("einsum", equation, [wave(*shape, step=0.9 + 0.3 * i) for i, shape in enumerate(shapes)])
    add("einsum", "ij,jk", [np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)])
    add("einsum", "ii->i", [np.arange(9).reshape(3, 3)])
    return cases


EINSUM = [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ij,kj->ki", [(2, 3), (4, 3)]),
    ("bik,bkj->bij", [(2, 3, 4), (2, 4, 2)]), ("bik,kj->bij", [(2, 3, 4), (4, 2)]), ("i,i->", [(5,), (5,)]),
    ("i,j->ij", [(3,), (4,)]), ("ij->ji", [(2, 3)]), ("ij->", [(2, 3)]), ("ij->j", [(2, 3)]), ("ba", [(2, 3)]),
    ("ii", [(3, 3)]), ("ii->i", [(3, 3)]), ("iij->ij", [(3, 3, 2)]), ("iii->i", [(3, 3, 3)]), ("iji->j", [(3, 2, 3)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]), ("ij,ij->i", [(2, 3), (2, 3)]), ("ij,i->ij", [(2, 3), (2,)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]), ("...ij,jk->...ik", [(2, 3, 4), (4, 2)]),
    ("...ii->...", [(2, 3, 3)]), ("i...,i...->...", [(3, 2, 4), (3, 4)]), ("...", [(2, 3)]), ("...,...", [(3, 1), (2,)]),
    ("i...->...i", [(2, 3, 4)]), ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]), ("ij,jk->ik", [(2, 1), (3, 4)]),
    (" i j , j k -> i k ", [(2, 3), (3, 2)]), ("Ab,bC->CA", [(2, 3), (3, 4)]), ("bA", [(2, 3)]),
    ("i,ij,j->", [(3,), (3, 4), (4,)]), ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]), ("ij,jk,kl,lm->im", [(5, 2), (2, 5), (5, 2), (2, 3)]),
    ("abc,cd,de,ef->abf", [(2, 3, 2), (2, 3), (3, 2), (2, 2)]), ("i,i,i->i", [(3,), (3,), (3,)]),
    ("bn,anm,bm->ba", [(2, 3), (4, 3, 5), (2, 5)]), ("ab,bc,cd,de,ef,fg,ga->", [(2, 3)] + [(3, 2), (2, 3)] * 2 + [(3, 2), (2, 2)]),
    ("a,b,c,d->dcba", [(2,), (3,), (2,), (2,)]), ("ij,kl->ikjl", [(2, 3), (2, 2)]), ("ik,k->", [(3, 2), (2,)]),
    ("ii,ij->j", [(3, 3), (3, 2)]), ("ij,j->i", [(0, 3), (3,)]), ("ij,jk->ik", [(2, 0), (0, 3)]), (",i->i", [(), (3,)]),
    ("->", [()]),
]
