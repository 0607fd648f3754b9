"""Makes tests/nn/data/attention.safetensors: what PyTorch's attention and transformers give in float64, with their gradients.

A case holds CASE.x, CASE.key, CASE.value, CASE.memory and masks where given (bool ones as integers); CASE.init.NAME, the
parameters; CASE.output and CASE.weights; and the gradients of sum(w output) + sum(w weights), w[i] = cos(i + 1) in row-major
order: CASE.grad.NAME, CASE.grad_x and so on. Run: python make_attention.py, with PyTorch installed. The numbers are
test_attention.c's."""
import math
import os
import sys

import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "trajectory"))
sys.path.insert(0, HERE)
from make_recurrent import weights  # noqa: E402
from make_trajectories import write  # noqa: E402

N, L, S, E, H, KDIM, VDIM, FF = 2, 5, 4, 6, 3, 4, 7, 8


def causal(n, m=None):
    return torch.ones(n, m or n, dtype=torch.bool).triu(1)


def padding(n, *ends):
    return torch.tensor([[i >= e for i in range(n)] for e in ends])


def some(*shape):
    """A mask that leaves every row a place."""
    mask = torch.rand(*shape) < 0.4
    mask[..., 1] = False
    return mask


def attention(args, shapes, masks, **call):
    return lambda: (nn.MultiheadAttention(E, H, **args), shapes, masks, {"need_weights": False, **call})


FIRST, PLAIN = [(N, L, E)], [(L, N, E)]
MHA = {
    "self": attention({"batch_first": True}, FIRST, {}),
    "time_first": attention({}, PLAIN, {"key_padding_mask": padding(L, 5, 3)}),
    "no_bias": attention({"bias": False, "batch_first": True}, FIRST, {"attn_mask": causal(L)}, is_causal=True),
    "unbatched": attention({}, [(L, E)], {"attn_mask": some(L, L), "key_padding_mask": padding(L, 4)[0]}),
    "cross": attention({"batch_first": True}, [(N, L, E), (N, S, E)], {"key_padding_mask": padding(S, 2, 4)}),
    "three_widths": attention({"kdim": KDIM, "vdim": VDIM}, [(L, N, E), (S, N, KDIM), (S, N, VDIM)], {"attn_mask": torch.randn(L, S).double()}),
    "head_masks": attention({"batch_first": True}, FIRST, {"attn_mask": some(N * H, L, L), "key_padding_mask": padding(L, 5, 4)}),
    "added_masks": attention({"batch_first": True}, FIRST, {"attn_mask": torch.randn(N * H, L, L).double(),
                                                            "key_padding_mask": torch.randn(N, L).double()}),
    "weights": attention({"batch_first": True}, [(N, L, E), (N, S, E)], {"key_padding_mask": padding(S, 2, 4)}, need_weights=True),
    "head_weights": attention({}, PLAIN, {"attn_mask": some(L, L)}, need_weights=True, average_attn_weights=False),
    "unbatched_weights": attention({}, [(L, E)], {}, need_weights=True),
}


def layer(kind, **args):
    return kind(E, H, FF, 0.0, **args)


def stack(kind, one, count, norm):
    net = kind(one, count, nn.LayerNorm(E) if norm else None)
    for p in net.parameters():  # not copies of each other
        with torch.no_grad():
            p.add_(0.1 * torch.randn_like(p))
    return net


def transformer(make, shapes, masks, **call):
    return lambda: (make(), shapes, masks, call)


ENCODER, DECODER = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
TRANSFORMERS = {
    "encoder_layer": transformer(lambda: layer(ENCODER, batch_first=True), FIRST, {}),
    "encoder_norm_first": transformer(lambda: layer(ENCODER, activation="gelu", norm_first=True), PLAIN,
                                      {"src_mask": causal(L), "src_key_padding_mask": padding(L, 5, 3)}),
    "encoder_no_bias": transformer(lambda: layer(ENCODER, bias=False, batch_first=True, layer_norm_eps=0.1), FIRST,
                                   {"src_mask": torch.randn(L, L).double()}),
    "encoder": transformer(lambda: stack(nn.TransformerEncoder, layer(ENCODER, batch_first=True, norm_first=True), 2, True), FIRST,
                           {"src_key_padding_mask": padding(L, 5, 3)}),
    "decoder_layer": transformer(lambda: layer(DECODER), [(L, N, E), (S, N, E)], {}),
    "decoder_norm_first": transformer(lambda: layer(DECODER, batch_first=True, norm_first=True, activation="gelu"),
                                      [(N, L, E), (N, S, E)],
                                      {"tgt_mask": causal(L), "memory_mask": some(L, S), "tgt_key_padding_mask": padding(L, 4, 5),
                                       "memory_key_padding_mask": padding(S, 4, 2)}),
    "decoder": transformer(lambda: stack(nn.TransformerDecoder, layer(DECODER, batch_first=True), 2, False),
                           [(N, L, E), (N, S, E)], {"tgt_mask": causal(L)}, tgt_is_causal=True),
}


def whole(**args):
    net = nn.Transformer(E, H, 2, 1, FF, 0.0, **args)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return net


PAIRS = {
    "transformer": transformer(lambda: whole(batch_first=True), [(N, S, E), (N, L, E)], {"tgt_mask": causal(L)}),
    "transformer_masks": transformer(lambda: whole(norm_first=True, activation="gelu"), [(S, N, E), (L, N, E)],
                                     {"src_mask": some(S, S), "tgt_mask": torch.randn(L, L).double(), "memory_mask": some(L, S),
                                      "src_key_padding_mask": padding(S, 4, 2), "tgt_key_padding_mask": padding(L, 4, 5),
                                      "memory_key_padding_mask": padding(S, 2, 4)}),
}
NAMES = {"src_mask": "mask", "tgt_mask": "mask", "src_key_padding_mask": "key_padding_mask",
         "tgt_key_padding_mask": "key_padding_mask"}


def run(name, make, inputs_named):
    net, shapes, masks, call = make()
    multihead = isinstance(net, nn.MultiheadAttention)
    inputs = [torch.randn(*s).requires_grad_() for s in shapes]
    out = dict(zip(inputs_named, inputs))
    if multihead:
        key = out.get("key", out["x"])
        result = net(out["x"], key, out.get("value", key), **masks, **call)
    else:
        result = net(*inputs, **masks, **call)
    output, probabilities = result if multihead else (result, None)
    sum((t * weights(t)).sum() for t in (output, probabilities) if t is not None).backward()
    out.update({"grad_" + key: t.grad for key, t in list(out.items())})
    names = {} if isinstance(net, nn.Transformer) else NAMES
    out.update({names.get(key, key): m.long() if m.dtype == torch.bool else m for key, m in masks.items()})
    out.update({"output": output, "weights": probabilities})
    for key, p in net.named_parameters():
        out["init." + key], out["grad." + key] = p, p.grad
    return {f"{name}.{key}": t for key, t in out.items() if t is not None}


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.manual_seed(11)
    tensors = {"positions.output": positions(7, 5)}
    for name, make in MHA.items():
        tensors.update(run(name, make, ("x", "key", "value")))
    for name, make in TRANSFORMERS.items():
        tensors.update(run(name, make, ("x", "memory")))
    for name, make in PAIRS.items():
        tensors.update(run(name, make, ("x", "target")))
    write(os.path.join(HERE, "data", "attention.safetensors"), tensors)


def positions(length, width):
    """As PyTorch's tutorials make them."""
    pe, t = torch.zeros(length, width + 1), torch.arange(length).double()[:, None]
    by = torch.exp(torch.arange(0, width + 1, 2).double() * (-math.log(10000.0) / width))
    pe[:, 0::2], pe[:, 1::2] = torch.sin(t * by), torch.cos(t * by)
    return pe[:, :width]


if __name__ == "__main__":
    main()
