"""recurrent.py: recurrent layers. Outputs and states come from PyTorch's modules, fed with x_gates through a w_ih that is the
identity; what is kept for backward, and the backward operations, from the formulas, a step at a time."""
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

BITS = ("bias", "h0", "c0", "w_hr", "lengths", "y", "kept", "gy", "gh", "gc")


def optional(a, inputs):
    """The optional inputs by name; None: not given."""
    named = [name for i, name in enumerate(BITS) if a["given"] >> i & 1]
    return {**dict.fromkeys(BITS), **dict(zip(named, inputs))}


def turned(x, lengths):
    """Each sequence's valid steps back to front."""
    out = torch.zeros_like(x)
    for b, n in enumerate(lengths):
        out[:n, b] = x[:n, b].flip(0)
    return out


def module(kind, a, x, w_hh, o):
    """y, h[, c] by PyTorch."""
    gates, state = x.shape[2], w_hh.shape[1]
    hidden = gates // {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    args = {"proj_size": state} if o["w_hr"] is not None else {}
    make = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
    if kind == "rnn" and a["relu"]:
        args["nonlinearity"] = "relu"
    net = make(gates, hidden, **args).to(x.dtype)
    bias = torch.zeros((4 if kind == "gru" else gates // hidden) * hidden, dtype=x.dtype) if o["bias"] is None else o["bias"]
    b_hh = torch.zeros(gates, dtype=x.dtype)
    if kind == "gru":
        b_hh[2 * hidden:] = bias[3 * hidden:]
        bias = bias[:3 * hidden]
    values = [torch.eye(gates, dtype=x.dtype), w_hh, bias, b_hh] + ([o["w_hr"]] if o["w_hr"] is not None else [])
    with torch.no_grad():
        for p, v in zip(net.parameters(), values):
            p.copy_(v)
    batch = x.shape[1]
    lengths = [x.shape[0]] * batch if o["lengths"] is None else o["lengths"].tolist()
    h0 = torch.zeros(batch, state, dtype=x.dtype) if o["h0"] is None else o["h0"]
    c0 = torch.zeros(batch, hidden, dtype=x.dtype) if o["c0"] is None else o["c0"]
    given = turned(x, lengths) if a["reverse"] else x
    packed = pack_padded_sequence(given, lengths, enforce_sorted=False)
    y, last = net(packed, (h0[None], c0[None]) if kind == "lstm" else h0[None])
    y = pad_packed_sequence(y, total_length=x.shape[0])[0]
    y = turned(y, lengths) if a["reverse"] else y
    return (y, last[0][0], last[1][0]) if kind == "lstm" else (y, last[0])


def steps_of(a, n):
    return range(n - 1, -1, -1) if a["reverse"] else range(n)


def kept_of(kind, a, x, w_hh, o, y):
    """The gates and the state of each step, from the y of the step before."""
    parts = {"lstm": 5, "gru": 4}[kind]
    hidden = x.shape[2] // {"lstm": 4, "gru": 3}[kind]
    kept = torch.zeros(x.shape[0], x.shape[1], parts * hidden, dtype=x.dtype)
    bias = torch.zeros(4 * hidden, dtype=x.dtype) if o["bias"] is None else o["bias"]
    for b in range(x.shape[1]):
        h = torch.zeros(w_hh.shape[1], dtype=x.dtype) if o["h0"] is None else o["h0"][b]
        c = torch.zeros(hidden, dtype=x.dtype) if o["c0"] is None else o["c0"][b]
        for t in steps_of(a, x.shape[0] if o["lengths"] is None else int(o["lengths"][b])):
            r = w_hh @ h
            if kind == "lstm":
                i, f, g, out = (x[t, b] + r + bias).chunk(4)
                i, f, g, out = i.sigmoid(), f.sigmoid(), g.tanh(), out.sigmoid()
                c = f * c + i * g
                kept[t, b] = torch.cat([i, f, g, out, c])
            else:
                xs, rs, bs = x[t, b].chunk(3), r.chunk(3), bias.chunk(4)
                recurrent = rs[2] + bs[3]
                reset, z = (xs[0] + rs[0] + bs[0]).sigmoid(), (xs[1] + rs[1] + bs[1]).sigmoid()
                kept[t, b] = torch.cat([reset, z, (xs[2] + bs[2] + reset * recurrent).tanh(), recurrent])
            h = y[t, b]
    return kept


def forward(kind):
    def run(a, x, w_hh, *inputs):
        o = optional(a, inputs)
        out = [t.detach() for t in module(kind, a, x, w_hh, o)]
        if kind != "rnn":
            out.append(kept_of(kind, a, x, w_hh, o, out[0]) if a["keep"] else torch.zeros(0, dtype=x.dtype))
        return tuple(out)

    return run


def rnn_back(a, w_hh, o, at, before, b, dh, dc):
    y = o["y"][at, b]
    ds = dh * ((y > 0) if a["relu"] else 1 - y * y)
    return ds, ds, w_hh.T @ ds, dc, None


def lstm_back(a, w_hh, o, at, before, b, dh, dc):
    i, f, g, out, c = o["kept"][at, b].chunk(5)
    c0 = torch.zeros_like(c) if o["c0"] is None else o["c0"][b]
    c_before = c0 if before is None else o["kept"][before, b].chunk(5)[4]
    wide = dh if o["w_hr"] is None else o["w_hr"].T @ dh
    dc = dc + wide * out * (1 - c.tanh() ** 2)
    ds = torch.cat([dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), wide * c.tanh() * out * (1 - out)])
    return ds, ds, w_hh.T @ ds, dc * f, dh


def gru_back(a, w_hh, o, at, before, b, dh, dc):
    r, z, n, recurrent = o["kept"][at, b].chunk(4)
    h0 = torch.zeros_like(r) if o["h0"] is None else o["h0"][b]
    h = h0 if before is None else o["y"][before, b]
    dn = dh * (1 - z) * (1 - n * n)
    dr, dz, dr_n = dn * recurrent * r * (1 - r), dh * (h - n) * z * (1 - z), dn * r
    return torch.cat([dr, dz, dn]), torch.cat([dr, dz, dn, dr_n]), dh * z + w_hh.T @ torch.cat([dr, dz, dr_n]), dc, dr_n


def backward(kind):
    gates, step = {"rnn": 1, "lstm": 4, "gru": 3}[kind], {"rnn": rnn_back, "lstm": lstm_back, "gru": gru_back}[kind]

    def run(a, w_hh, *inputs):
        o = optional(a, inputs)
        whole = o["y"] if kind == "rnn" else o["kept"]
        steps, batch, hidden, state = *whole.shape[:2], w_hh.shape[0] // gates, w_hh.shape[1]
        dx, dbias = whole.new_zeros(steps, batch, gates * hidden), whole.new_zeros((1 if kind == "rnn" else 4) * hidden)
        extra = whole.new_zeros(steps, batch, hidden if kind == "gru" else state)
        first_h, first_c = whole.new_zeros(batch, state), whole.new_zeros(batch, hidden)
        for b in range(batch):
            dh = whole.new_zeros(state) if o["gh"] is None else o["gh"][b]
            dc = whole.new_zeros(hidden) if o["gc"] is None else o["gc"][b]
            order = list(steps_of(a, steps if o["lengths"] is None else int(o["lengths"][b])))
            for k in reversed(range(len(order))):
                t = order[k]
                dh = dh if o["gy"] is None else dh + o["gy"][t, b]
                dx[t, b], bias, dh, dc, more = step(a, w_hh, o, t, order[k - 1] if k else None, b, dh, dc)
                dbias += bias
                if more is not None:
                    extra[t, b] = more
            first_h[b], first_c[b] = dh, dc
        none = whole.new_zeros(0)
        if kind == "rnn":
            return dx, dbias
        if kind == "lstm":
            return dx, dbias, none if o["c0"] is None else first_c, none if o["w_hr"] is None else extra
        return dx, dbias, extra, none if o["h0"] is None else first_h

    return run


OPS = {kind: forward(kind) for kind in ("rnn", "lstm", "gru")}
OPS |= {f"{kind}_backward": backward(kind) for kind in ("rnn", "lstm", "gru")}
