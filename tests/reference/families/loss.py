"""loss.py: losses."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from cases import FLOAT, INF, INT, NAN, Case, both


def cross_entropy(a, x, t):
    t = t.long()
    loss = F.cross_entropy(x, t) if t.numel() else torch.tensor(math.nan, dtype=x.dtype)
    return loss, torch.logsumexp(x, 1)


def cross_entropy_backward(a, x, t, lse, g):
    hot = F.one_hot(t.long(), x.shape[1]).movedim(-1, 1)
    return (torch.exp(x - lse.unsqueeze(1)) - hot) * g / t.numel()


# ---- CTC: the loss is PyTorch's; the occupancy is the derivative of the same sum, written here for autograd ----
def ctc_by_recursion(a, x, targets, frames, lengths):
    """-log p of each sample, by the forward recursion on logarithms."""
    out = []
    for n in range(x.shape[1]):
        labels = [a["blank"]]
        for label in targets[n, :int(lengths[n])].tolist():
            labels += [label, a["blank"]]
        never = torch.full((), -INF, dtype=x.dtype)
        row = None
        for t in range(int(frames[n])):
            emit = x[t, n, labels]
            if row is None:
                row = [emit[i] if i < 2 else never for i in range(len(labels))]
                continue
            ways = []
            for i in range(len(labels)):
                skip = i >= 2 and labels[i] != a["blank"] and labels[i] != labels[i - 2]
                before = [r for r in row[max(0, i - (2 if skip else 1)):i + 1] if r > -INF]
                ways.append(emit[i] + torch.logsumexp(torch.stack(before), 0) if before else never)
            row = ways
        ends = [r for r in (row or [])[-2:] if r > -INF]
        impossible = torch.full((), 0.0 if a["zero_infinity"] else INF, dtype=x.dtype)
        nothing = torch.zeros((), dtype=x.dtype) if len(labels) == 1 and not frames[n] else impossible
        out.append(-torch.logsumexp(torch.stack(ends), 0) if ends else nothing)
    return torch.stack(out)


def ctc_occupancy(a, x, targets, frames, lengths, again):
    x = x.detach().requires_grad_()
    loss = ctc_by_recursion(a, x, targets, frames, lengths).sum()
    if not loss.requires_grad:
        return x, torch.zeros_like(x)
    return x, -torch.autograd.grad(loss, x, create_graph=again)[0]


def ctc_loss(a, x, targets, frames, lengths):
    ours = ctc_by_recursion(a, x, targets, frames, lengths)
    if x.shape[0] and (frames > 0).all():  # PyTorch's own has no answer for sequences without frames
        theirs = F.ctc_loss(x, targets, frames, lengths, blank=a["blank"], reduction="none",
                            zero_infinity=bool(a["zero_infinity"]))
        assert torch.allclose(ours, theirs, rtol=1e-5, equal_nan=True), (ours, theirs)
    return ours, ctc_occupancy(a, x, targets, frames, lengths, False)[1]


def ctc_occupancy_along(a, x, targets, frames, lengths, direction):
    x, occupancy = ctc_occupancy(a, x, targets, frames, lengths, True)
    return torch.autograd.grad((occupancy * direction).sum(), x)[0]


def cross_entropy_rows(a, x, t):
    losses = F.cross_entropy(x, t.long(), reduction="none", label_smoothing=a["smoothing"]) if t.numel() else x.sum(1)
    return losses, torch.logsumexp(x, 1)


def cross_entropy_rows_backward(a, x, t, lse, g):
    hot = F.one_hot(t.long(), x.shape[1]).movedim(-1, 1).to(x.dtype) * (1 - a["smoothing"]) + a["smoothing"] / x.shape[1]
    return (torch.exp(x - lse.unsqueeze(1)) - hot) * g.unsqueeze(1)


def binary_cross_entropy(a, x, t):
    return F.binary_cross_entropy(x, t, reduction="none")


OPS = {
    "cross_entropy_rows": cross_entropy_rows, "cross_entropy_rows_backward": cross_entropy_rows_backward,
    "huber": lambda a, x, t: F.huber_loss(x, t, delta=a["delta"], reduction="none"),
    "binary_cross_entropy": binary_cross_entropy,
    "ctc_loss": ctc_loss, "ctc_occupancy_along": ctc_occupancy_along,
    "cross_entropy": cross_entropy, "cross_entropy_backward": cross_entropy_backward,
}


def extremes():
    cases = []
    rows = np.array([[0, 0, 0], [1e4, 0, -1e4], [NAN, 0, 1], [-INF, 0, 1], [INF, 0, 1], [-1e30, 1e30, 0], [5, 5, 5.0]])
    labels = np.array([0, 2, 1, 1, 0, 2, 1], np.int64)
    cases += both("cross_entropy", "large", [], [rows[[0, 1, 5, 6]], labels[:4]])
    cases += both("cross_entropy", "NaN", [], [rows[:3], labels[:3]])
    cases += both("cross_entropy", "u8 labels", [], [rows[[0, 6]], labels[:2].astype(np.uint8)])
    cases += both("cross_entropy", "i32 labels", [], [rows[[0, 6]], labels[:2].astype(np.int32)])
    cases += both("binary_cross_entropy", "ends", [], [np.array([0, 0, 1, 1, 1e-30, 0.5]), np.array([0, 1, 0, 1, 1, 0.25])])
    blank = [("blank", INT, 0), ("zero_infinity", INT, 0)]
    zeroed = [("blank", INT, 0), ("zero_infinity", INT, 1)]
    x = np.log(np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.3, 0.3, 0.4], [0.2, 0.7, 0.1]]))
    x = np.stack([x, x[::-1], x - 70], 1)
    whole = lambda *v: np.array(v, np.int64)
    twice = np.array([[1, 1], [2, 2], [2, 1]])
    for name, fields in (("", blank), (", zeroed", zeroed)):
        cases += both("ctc_loss", f"repeated{name}", fields, [x, twice, whole(4, 4, 4), whole(2, 2, 2)])
        cases += both("ctc_loss", f"too short{name}", fields, [x, twice, whole(2, 3, 1), whole(2, 2, 2)])
        cases += both("ctc_loss", f"nothing{name}", fields, [x, twice, whole(4, 0, 0), whole(0, 0, 1)])
        cases += both("ctc_loss", f"i32{name}", fields, [x, twice.astype(np.int32), whole(4, 4, 4).astype(np.int32),
                                                         whole(2, 1, 0).astype(np.int32)])
    never = x.copy()
    never[:, 0, 1] = -INF
    never[1, 1, 0] = -INF
    cases += both("ctc_loss", "impossible labels", blank, [never, twice, whole(4, 4, 4), whole(2, 2, 2)])
    cases += both("ctc_loss", "impossible labels, zeroed", zeroed, [never, twice, whole(4, 4, 4), whole(2, 2, 2)])
    cases += both("cross_entropy", "pictures", [], [np.sin(np.arange(2 * 3 * 4 * 5.0)).reshape(2, 3, 4, 5), (np.arange(40) % 3).reshape(2, 4, 5)])
    return cases


# ---- public functions, with their gradients: class weights have none ----
REDUCTIONS = ["mean", "sum", "none", "batchmean"]


def options(a, *names):
    """The named fields, and the reduction, as PyTorch's arguments."""
    return {**{n: a[n] for n in names if n in a}, "reduction": REDUCTIONS[a.get("reduction", 0)]}


def labelled(f):
    """Of scores, class numbers and perhaps class weights."""
    def call(a, x, t, w=None):
        given = options(a, "label_smoothing", "ignore_index", "p", "margin")
        t = t if t.dtype.is_floating_point else t.long()
        return f(x, t, weight=None if w is None else w.detach(), **given)
    return call


def reduced(a, losses):
    return (losses.mean(), losses.sum(), losses)[a.get("reduction", 0)]


def binary(a, x, t, w=None):
    """PyTorch's own function has no gradient for its weight; nor has the next."""
    losses = F.binary_cross_entropy(x, t, reduction="none")
    return reduced(a, losses if w is None else losses * w)


def logits(a, x, t, w=None, p=None):
    log_yes = F.logsigmoid(x) if p is None else F.logsigmoid(x) * (1 + (p - 1) * t)
    losses = ((1 - t) * x - log_yes) * (1 if w is None else w)
    theirs = F.binary_cross_entropy_with_logits(x.detach(), t.detach(), reduction="none",
                                                weight=None if w is None else w.detach(),
                                                pos_weight=None if p is None else p.detach())
    assert torch.allclose(losses, theirs)
    return reduced(a, losses)


def only_pos_weight(a, x, t, p):
    return logits(a, x, t, None, p)


FUNCTIONS = {
    "cross_entropy": labelled(F.cross_entropy), "nll_loss": labelled(F.nll_loss),
    "multi_margin": labelled(F.multi_margin_loss),
    "multilabel_margin": lambda a, x, t: F.multilabel_margin_loss(x, t.long(), **options(a)),
    "multilabel_soft_margin": lambda a, x, t, w=None: F.multilabel_soft_margin_loss(x, t, weight=w, **options(a)),
    "mse": lambda a, x, t: F.mse_loss(x, t, **options(a)), "l1": lambda a, x, t: F.l1_loss(x, t, **options(a)),
    "smooth_l1": lambda a, x, t: F.smooth_l1_loss(x, t, **options(a, "beta")),
    "huber": lambda a, x, t: F.huber_loss(x, t, **options(a, "delta")),
    "gaussian_nll": lambda a, x, t, v: F.gaussian_nll_loss(x, t, v, **options(a, "eps"), full=bool(a.get("full", 0))),
    "poisson_nll": lambda a, x, t: F.poisson_nll_loss(x, t, **options(a), log_input=bool(a.get("log_input", 1)),
                                                      full=bool(a.get("full", 0))),
    "kl_div": lambda a, x, t: F.kl_div(x, t, **options(a), log_target=bool(a.get("log_target", 0))),
    "bce": binary, "bce_of_x": lambda a, x, t: binary(a, x, t.detach()),  # its slope by t is infinite at the ends
    "bce_logits": logits, "bce_logits_pos": only_pos_weight,
    "soft_margin": lambda a, x, t: F.soft_margin_loss(x, t.detach(), **options(a)),
    "hinge_embedding": lambda a, x, t: F.hinge_embedding_loss(x, t.detach(), **options(a, "margin")),
    "margin_ranking": lambda a, x, y, t: F.margin_ranking_loss(x, y, t, **options(a, "margin")),
    "cosine_embedding": lambda a, x, y, t: F.cosine_embedding_loss(x, y, t.detach(), **options(a, "margin")),
    "triplet_margin": lambda a, x, y, z: F.triplet_margin_loss(x, y, z, **options(a, "margin", "p"),
                                                               swap=bool(a.get("swap", 0))),
    "pairwise_distance": lambda a, x, y: F.pairwise_distance(x, y, p=a.get("p", 2.0), keepdim=bool(a.get("keepdim", 0))),
    "cosine_similarity": lambda a, x, y: F.cosine_similarity(x, y, dim=a.get("axis", 1)),
    "ctc": lambda a, x, t, i, l: F.ctc_loss(x.log_softmax(-1), t, i, l, blank=a.get("blank", 0), **options(a),
                                            zero_infinity=bool(a.get("zero_infinity", 0))),
}


def functions():
    cases = []

    def add(op, label, inputs, **fields):
        kinds = {int: INT, float: FLOAT}
        cases.append(Case(op, label, [(k, kinds[type(v)], v) for k, v in fields.items()],
                          [np.asarray(x) for x in inputs]))

    def each(op, label, inputs, reductions=3, **fields):
        for r in range(reductions):
            add(op, f"{label}, {REDUCTIONS[r]}", inputs, reduction=r, **fields)

    def wave(*shape, step=1.0, shift=0.0):
        return np.sin(step * np.arange(float(np.prod(shape))) + shift).reshape(shape)

    def classes(*shape, of):
        return (np.arange(np.prod(shape)) * 7 % of).reshape(shape)

    x, t, w = 3 * wave(5, 4), classes(5, of=4), np.array([0.5, 1, 2, 0.25])
    maps, map_labels = 2 * wave(2, 3, 2, 5), classes(2, 2, 5, of=3)
    ignoring = np.where(np.arange(5) % 2 == 0, -100, t)
    chances = np.abs(wave(5, 4, step=0.7)) + 0.1
    chances /= chances.sum(1, keepdims=True)
    for op, scores, pictures in (("cross_entropy", x, maps), ("nll_loss", -np.abs(x), -np.abs(maps))):
        each(op, "plain", [scores, t])
        each(op, "weighted", [scores, t, w])
        each(op, "ignoring", [scores, ignoring], ignore_index=-100)
        each(op, "ignoring, weighted", [scores, ignoring, w], ignore_index=-100)
        each(op, "ignoring a class", [scores, t.astype(np.int32), w], ignore_index=2)
        each(op, "pictures", [pictures, map_labels, w[:3]], ignore_index=1)
        add(op, "ignoring all", [scores, t * 0 + 9], ignore_index=9)
        add(op, "u8 labels", [scores, t.astype(np.uint8), w])
    each("cross_entropy", "smoothed", [x, t], label_smoothing=0.1)
    each("cross_entropy", "smoothed, weighted, ignoring", [x, ignoring, w], label_smoothing=0.3, ignore_index=-100)
    each("cross_entropy", "smoothed pictures", [maps, map_labels, w[:3]], label_smoothing=1.0)
    each("cross_entropy", "probabilities", [x, chances])
    each("cross_entropy", "probabilities, weighted, smoothed", [x, chances, w], label_smoothing=0.2)
    each("cross_entropy", "probabilities of pictures", [maps, np.abs(wave(2, 3, 2, 5, shift=1)), w[:3]])
    add("cross_entropy", "large", [np.array([[1e4, 0, -1e4], [1e30, -1e30, 0], [700, 700, 700]]), np.array([1, 0, 2]),
                                   np.array([1.0, 2, 3])])
    each("multi_margin", "plain", [x, t])
    each("multi_margin", "squares, weighted", [x, t, w], p=2, margin=0.5)
    several = np.array([[3, 0, -1, 1], [0, 1, 2, 3], [-1, 2, 2, 2], [2, -1, -1, -1], [1, 1, -1, 0]])
    each("multilabel_margin", "plain", [x, several])
    add("multilabel_margin", "i32", [x, several.astype(np.int32)])
    yes = (wave(5, 4, step=2.3) > 0).astype(np.float64)
    each("multilabel_soft_margin", "plain", [x, yes])
    each("multilabel_soft_margin", "weighted", [20 * x, chances, w])

    y = wave(5, 4, step=1.7, shift=0.4)
    far = np.array([0.0, 1e3, -1e3, 1e30, 0.25, -0.25])
    for op in ("mse", "l1", "smooth_l1", "huber"):
        each(op, "plain", [x, y])
        add(op, "scalar", [np.float64(0.3), np.float64(2.0)])
        add(op, "far", [far[:3], far[:3] * 0], reduction=2)
    each("smooth_l1", "beta", [x, y], beta=0.3)
    add("smooth_l1", "beta 0", [x, y], beta=0.0)
    each("huber", "delta", [x, y], delta=0.3)
    add("smooth_l1", "infinite", [np.array([INF, -INF, 1.0]), np.zeros(3)], reduction=2)
    v = np.abs(wave(5, 4, step=0.9)) + 0.05
    for full in (0, 1):
        each("gaussian_nll", f"full {full}", [x, y, v], full=full)
        each("poisson_nll", f"full {full}", [x, np.abs(4 * y)], full=full)
        each("poisson_nll", f"no logarithm, full {full}", [np.abs(x) + 0.1, np.abs(4 * y)], full=full, log_input=0)
    add("gaussian_nll", "one variance a row", [x, y, v[:, :1]])
    add("gaussian_nll", "a variance without the last axis", [x, y, v[:, 0]])
    add("gaussian_nll", "small variances", [x, y, v * 1e-9], eps=0.01)
    each("kl_div", "plain", [np.log(chances[::-1].copy()), chances], 4)
    each("kl_div", "logarithms", [np.log(chances[::-1].copy()), np.log(chances)], 4, log_target=1)

    p = np.abs(wave(5, 4, step=0.8)) * 0.9 + 0.05
    each("bce", "plain", [p, yes])
    each("bce", "weighted", [p, chances, w])
    add("bce_of_x", "ends", [np.array([0.0, 1, 0, 1, 1e-11]), np.array([0.0, 1, 1, 0, 1])], reduction=2)
    each("bce_logits", "plain", [x, yes])
    each("bce_logits", "both weights", [x, chances, v, w])
    each("bce_logits_pos", "weighted positives", [x, yes, w])
    add("bce_logits", "far", [far, np.array([0.0, 1, 1, 0, 0.5, 1])], reduction=2)
    signs = 2 * yes - 1
    each("soft_margin", "plain", [x, signs])
    each("hinge_embedding", "plain", [x, signs], margin=0.5)
    each("hinge_embedding", "ends", [np.array([1.0, 0, -1, 2]), np.array([-1.0, -1, 1, 1])], margin=1.0)
    each("margin_ranking", "plain", [x[0], y[0], signs[0]])
    each("margin_ranking", "margin", [x, y, signs[:, :1]], margin=0.4)
    each("cosine_embedding", "plain", [x, y, signs[:, 0]])
    each("cosine_embedding", "margin", [x, y, signs[:, 1]], margin=-0.3)
    add("cosine_embedding", "single", [x[0], y[0], np.float64(1)])
    z = wave(5, 4, step=2.9, shift=1.1)
    each("triplet_margin", "plain", [x, y, z])
    each("triplet_margin", "swapped", [x, y, z], swap=1, margin=0.2)
    each("triplet_margin", "norm 1", [x, y, z], p=1.0)
    each("triplet_margin", "norm 3", [x, y, z], p=3.0, margin=4.0)
    for norm in (1.0, 2.0, 3.5, INF):
        add("pairwise_distance", f"norm {norm}", [x, y], p=norm)
    add("pairwise_distance", "kept, broadcast", [x, y[:1]], keepdim=1)
    add("pairwise_distance", "vectors", [x[0], y[0]])
    add("cosine_similarity", "plain", [x, y])
    add("cosine_similarity", "first axis, broadcast", [x, y[:, :1]], axis=0)
    add("cosine_similarity", "maps", [maps, wave(2, 3, 2, 5, shift=2)])

    frames, numbers = 2 * wave(9, 3, 5), np.array([[1, 2, 2, 3], [4, 1, 1, 1], [2, 3, 4, 1]])
    for r in range(3):
        for inputs, lengths in (([9, 9, 9], [4, 4, 4]), ([9, 7, 5], [4, 2, 0])):
            add("ctc", f"{inputs} {lengths}, {REDUCTIONS[r]}", [frames, numbers, np.array(inputs), np.array(lengths)],
                reduction=r)
    add("ctc", "another blank", [frames, numbers.astype(np.int32) - 1, np.array([9, 9, 9]), np.array([4, 2, 3])], blank=4)
    add("ctc", "too short", [frames, numbers, np.array([9, 3, 9]), np.array([4, 4, 4])], zero_infinity=1)
    add("ctc", "single", [frames[:, 0], numbers[0, :3], np.array(8), np.array(3)])
    return cases
