"""attention.py: scaled dot-product attention, with the scores stored; without dropout it is checked against PyTorch's own."""
import math

import torch
import torch.nn.functional as F

from cases import Case, FLOAT, INT, NAN, UINT, both
from families.random import uniforms


def scores(a, q, k, mask):
    share = q.shape[-3] // k.shape[-3] if q.dim() > 2 and k.shape[-3] else 1
    s = q @ (k.repeat_interleave(share, -3) if share > 1 else k).transpose(-2, -1) * a["scale"]
    if mask is not None:
        s = s.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else s + mask
    if a["causal"]:
        s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    return s, share


def kept(a, p):
    if not a["dropped"]:
        return torch.ones_like(p)
    return torch.from_numpy(((uniforms(a, p.numel()) >= a["p"]) * a["keep_scale"]).reshape(tuple(p.shape))).to(p.dtype)


def wide(t, share):
    return t.repeat_interleave(share, -3) if share > 1 else t


def attention(a, q, k, v, mask=None):
    s, share = scores(a, q, k, mask)
    lse = s.logsumexp(-1)
    p = torch.where(lse[..., None] == -math.inf, 0, (s - lse[..., None]).exp()) * kept(a, s)
    y = p @ wide(v, share)
    if not a["dropped"] and k.shape[-2] and q.numel() and not (mask is not None and a["causal"]):
        own = F.scaled_dot_product_attention(q, k, v, mask, is_causal=bool(a["causal"]), scale=a["scale"], enable_gqa=share > 1)
        assert torch.allclose(own, y, 1e-4, 1e-5, equal_nan=True), (own, y)
    return y, lse


def attention_backward(a, q, k, v, *rest):
    """y, log-sum-exp and g are taken as given, as the record says."""
    mask, (y, lse, g) = (rest[0] if a["masked"] else None), rest[-3:]
    s, share = scores(a, q, k, mask)
    p, keep = (s - lse[..., None]).exp(), kept(a, s)
    ds = p * (keep * (g @ wide(v, share).transpose(-2, -1)) - (g * y).sum(-1, keepdim=True)) * a["scale"]

    def joined(t):
        return t.unflatten(-3, (-1, share)).sum(-3) if share > 1 else t

    return ds @ wide(k, share), joined(ds.transpose(-2, -1) @ q), joined((p * keep).transpose(-2, -1) @ g)


OPS = {"attention": attention, "attention_dropout": attention,
       "attention_backward": attention_backward, "attention_dropout_backward": attention_backward}


def fields(masked=0, causal=0, scale=0.5):
    return [("masked", INT, masked), ("causal", INT, causal), ("dropped", INT, 0), ("scale", FLOAT, scale), ("p", FLOAT, 0.0),
            ("keep_scale", FLOAT, 1.0), ("seed", UINT, 0), ("position", UINT, 0)]


def extremes():
    cases = []
    q, k, v = (torch.sin(torch.arange(n * 3.0) * c).reshape(1, n, 3).double().numpy() for n, c in ((4, 1), (6, 2), (6, 3)))
    some = torch.tensor([[1, 0, 1, 1, 0, 1], [0] * 6, [1] * 6, [0, 0, 0, 0, 0, 1]], dtype=torch.bool).numpy()
    cases += both("attention", "a row that sees nothing", fields(1), [q, k, v, some])
    cases += both("attention", "more rows than places", fields(causal=1), [k, q, q])
    cases += both("attention", "large scores", fields(scale=300.0), [q, k, v])
    cases += both("attention", "-inf added", fields(1), [q, k, v, torch.tensor([[0.5, -math.inf, 0, 0, -math.inf, 1]]).double().numpy()])
    cases += both("attention", "no places", fields(), [q, k[:, :0], v[:, :0]])
    bad = q.copy()
    bad[0, 1, 1] = NAN
    cases.append(Case("attention", "NaN in one row", fields(), [bad, k, v], True))
    return cases
