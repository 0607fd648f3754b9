"""Makes tests/nn/data/padding.safetensors: what PyTorch's convolutions with padding modes and its padding layers give in float64,
with their gradients, named as in make_attention.py. Run: python make_padding.py, with PyTorch installed. The numbers are
test_padding.c's."""
import os
import sys

import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "trajectory"))
sys.path.insert(0, HERE)
from make_recurrent import weights  # noqa: E402
from make_trajectories import write  # noqa: E402

CASES = {
    "circular": (nn.Conv1d(2, 4, 5, padding=3, padding_mode="circular"), (2, 2, 7)),
    "reflect": (nn.Conv2d(4, 6, (3, 2), stride=2, padding=(2, 1), groups=2, padding_mode="reflect"), (2, 4, 6, 5)),
    "replicate": (nn.Conv3d(2, 3, 2, padding=(1, 0, 2), dilation=(1, 2, 1), bias=False, padding_mode="replicate"),
                  (1, 2, 3, 4, 5)),
    "same": (nn.Conv2d(3, 2, (4, 3), dilation=(1, 2), padding="same", padding_mode="circular"), (2, 3, 6, 5)),
    "same_zeros": (nn.Conv2d(3, 2, (4, 3), padding="same"), (2, 3, 6, 5)),
    "pad_reflect": (nn.ReflectionPad2d((1, 2, 0, 3)), (2, 3, 4, 5)),
    "pad_replicate": (nn.ReplicationPad3d((2, 0, 1, 1, 0, 2)), (1, 2, 3, 2, 4)),
    "pad_circular": (nn.CircularPad1d((3, 1)), (2, 3, 4)),
    "pad_constant": (nn.ConstantPad2d((-1, 2, 1, -2), 0.75), (2, 3, 5, 4)),
}


def main():
    torch.set_num_threads(1)
    torch.manual_seed(12)
    tensors = {}
    for name, (net, shape) in CASES.items():
        net = net.double()
        x = torch.randn(*shape, dtype=torch.float64).requires_grad_()
        output = net(x)
        (output * weights(output)).sum().backward()
        tensors |= {f"{name}.x": x, f"{name}.grad_x": x.grad, f"{name}.output": output}
        for key, p in net.named_parameters():
            tensors |= {f"{name}.init.{key}": p, f"{name}.grad.{key}": p.grad}
    write(os.path.join(HERE, "data", "padding.safetensors"), tensors)


if __name__ == "__main__":
    main()
