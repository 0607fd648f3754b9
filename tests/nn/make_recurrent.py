"""Makes tests/nn/data/recurrent.safetensors: what PyTorch's recurrent modules give in float64, with their gradients.

A case holds CASE.x, CASE.h0, CASE.c0, CASE.lengths where given; CASE.init.NAME, the parameters; CASE.output, CASE.h, CASE.c;
and the gradients of sum(w output) + sum(w h) + sum(w c), w[i] = cos(i + 1) in row-major order: CASE.grad.NAME, CASE.grad_x,
CASE.grad_h0, CASE.grad_c0. Run: python make_recurrent.py, with PyTorch installed. The numbers are test_recurrent.c's."""
import os
import sys

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "trajectory"))
from make_trajectories import write  # noqa: E402

T, N, IN, HIDDEN = 5, 3, 4, 6
# case: (module, its arguments, states given, lengths)
CASES = {
    "rnn": (nn.RNN, {}, False, None),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu", "num_layers": 2, "batch_first": True}, True, None),
    "rnn_ragged": (nn.RNN, {"bidirectional": True}, True, [2, 5, 1]),
    "lstm": (nn.LSTM, {}, False, None),
    "lstm_deep": (nn.LSTM, {"num_layers": 2, "bidirectional": True, "batch_first": True}, True, [3, 1, 5]),
    "lstm_projected": (nn.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 2}, True, [5, 4, 2]),
    "lstm_unbatched": (nn.LSTM, {"bias": False}, True, None),
    "gru": (nn.GRU, {"bias": False}, False, None),
    "gru_deep": (nn.GRU, {"num_layers": 2, "bidirectional": True}, True, None),
    "gru_ragged": (nn.GRU, {"num_layers": 2, "bidirectional": True, "batch_first": True}, True, [1, 5, 3]),
    "rnn_cell": (nn.RNNCell, {}, True, None),
    "lstm_cell": (nn.LSTMCell, {}, True, None),
    "lstm_cell_start": (nn.LSTMCell, {"bias": False}, False, None),
    "gru_cell": (nn.GRUCell, {}, True, None),
}


def weights(t):
    return torch.cos(torch.arange(t.numel(), dtype=t.dtype) + 1).reshape(t.shape)


def run(name, make, args, states, lengths):
    net = make(IN, HIDDEN, **args)
    cell, unbatched, first = "cell" in name, "unbatched" in name, args.get("batch_first", False)
    count = args.get("num_layers", 1) * (2 if args.get("bidirectional") else 1)
    width = args.get("proj_size", HIDDEN)
    batch = () if unbatched else (N,)
    x = torch.randn(*(() if cell else (T,)), *batch, IN)
    x = (x.transpose(0, 1).contiguous() if first else x).requires_grad_()
    head = () if cell else (count,)
    h0 = torch.randn(*head, *batch, width).requires_grad_() if states else None
    c0 = torch.randn(*head, *batch, HIDDEN).requires_grad_() if states and "lstm" in name else None
    given = x if lengths is None else pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
    result = net(given, (h0, c0) if c0 is not None else h0)
    if cell:
        output, last = (result[0] if "lstm" in name else result), result
    else:
        output, last = result
    if lengths is not None:
        output = pad_packed_sequence(output, batch_first=first, total_length=T)[0]
    h, c = last if "lstm" in name else (last, None)
    sum((t * weights(t)).sum() for t in (output, h, c) if t is not None).backward()
    out = {"x": x, "h0": h0, "c0": c0, "output": output, "h": h, "c": c, "grad_x": x.grad}
    out["lengths"] = None if lengths is None else torch.tensor(lengths)
    out["grad_h0"], out["grad_c0"] = (None if t is None else t.grad for t in (h0, c0))
    for key, p in net.named_parameters():
        out["init." + key], out["grad." + key] = p, p.grad
    return {f"{name}.{key}": t for key, t in out.items() if t is not None}


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.manual_seed(7)
    tensors = {}
    for name, case in CASES.items():
        tensors.update(run(name, *case))
    write(os.path.join(HERE, "data", "recurrent.safetensors"), tensors)


if __name__ == "__main__":
    main()
