#!/usr/bin/env python3
"""Prints what tests/nn/test_containers.c expects of weight and spectral normalisation and of a bilinear layer, from PyTorch:
python3 tests/reference/make_modules.py. Parameters are made of sines, as in the test."""
import torch
from torch.nn.utils import spectral_norm, weight_norm

torch.set_default_dtype(torch.float64)


def sines(shape, step):
    return torch.sin(torch.arange(torch.tensor(shape).prod(), dtype=torch.float64) * step).reshape(shape)


def show(name, x):
    print(name, "{", ", ".join(f"{v:.15g}" for v in x.detach().flatten().tolist()), "}")


x, target = sines((2, 3), 0.7), sines((2, 4), 1.3)
for axis in (0, 1, None):
    layer = torch.nn.Linear(3, 4)
    layer.weight.data, layer.bias.data = sines((4, 3), 0.9), sines((4,), 0.4)
    layer = weight_norm(layer, dim=axis)
    layer.weight_g.data *= 1.5
    ((layer(x) - target) ** 2).sum().backward()
    show(f"weight_norm {axis} y", layer(x))
    show(f"weight_norm {axis} g'", layer.weight_g.grad)
    show(f"weight_norm {axis} v'", layer.weight_v.grad)

layer = torch.nn.Linear(3, 4)
layer.weight.data, layer.bias.data = sines((4, 3), 0.9), sines((4,), 0.4)
layer = spectral_norm(layer, n_power_iterations=2)
unit = lambda v: v / v.norm()
layer.weight_u.data, layer.weight_v.data = unit(sines((4,), 1.1)), unit(sines((3,), 1.7))
((layer(x) - target) ** 2).sum().backward()
show("spectral_norm w'", layer.weight_orig.grad)
show("spectral_norm u", layer.weight_u)
layer.eval()
show("spectral_norm y", layer(x))

layer = torch.nn.Bilinear(3, 2, 4)
layer.weight.data, layer.bias.data = sines((4, 3, 2), 0.9), sines((4,), 0.4)
show("bilinear y", layer(x, sines((2, 2), 0.3)))
