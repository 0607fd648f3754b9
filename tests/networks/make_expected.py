#!/usr/bin/env python3
"""Makes tests/networks/expected.txt: the networks of networks.h as torchvision has them (LeNet-5, U-Net and CIFAR's residual
networks written here), their weights by the formula of bench/networks/networks.h.

    python3 tests/networks/make_expected.py > tests/networks/expected.txt

A line a network: its name, the input's extent, the elements of its parameters, the number of tensors in its state, and of two
images eight outputs in f64, spread over the whole (without resnet1202's, whose numbers by formula leave f32's range)."""
import os
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench", "peers"))
torch.library.register_fake = lambda *a, **k: (lambda f: f)  # torchvision's own kernels are not needed
import torchvision.models  # noqa: E402
import networks  # noqa: E402


def lenet5(classes):
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
                         nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
                         nn.Linear(84, classes))


class CifarBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        self.stride, self.more = stride, (cout - cin) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    def __init__(self, n, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        stages = [nn.Sequential(*(CifarBlock(c if i or c == 16 else c // 2, c, 1 if i or c == 16 else 2) for i in range(n)))
                  for c in (16, 32, 64)]
        self.layer1, self.layer2, self.layer3 = stages
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class DoubleConv(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.double_conv = nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(),
                                         nn.Conv2d(cout, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU())

    def forward(self, x):
        return self.double_conv(x)


class Named(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class UNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.inc = DoubleConv(3, 64)
        for i in range(4):
            c = 64 << i
            setattr(self, f"down{i + 1}", Named(maxpool_conv=nn.Sequential(nn.MaxPool2d(2), DoubleConv(c, 2 * c))))
            setattr(self, f"up{4 - i}", Named(up=nn.ConvTranspose2d(2 * c, c, 2, 2), conv=DoubleConv(2 * c, c)))
        self.outc = Named(conv=nn.Conv2d(64, classes, 1))

    def forward(self, x):
        beside = [self.inc(x)]
        for i in range(4):
            beside.append(getattr(self, f"down{i + 1}").maxpool_conv(beside[-1]))
        x = beside.pop()
        for i in range(4):
            up = getattr(self, f"up{i + 1}")
            x = up.conv(torch.cat([beside.pop(), up.up(x)], 1))
        return self.outc.conv(x)


def by_torchvision(name):
    return lambda classes: getattr(torchvision.models, name)(num_classes=classes)


NETWORKS = {"lenet5": ((1, 28), 10, lenet5)}
for name in ("alexnet", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "resnet18", "resnet34", "resnet50",
             "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d",
             "densenet121", "squeezenet1_0", "squeezenet1_1", "mobilenet_v2", "efficientnet_b0"):
    NETWORKS[name] = ((3, 64 if name in ("alexnet", "densenet121", "efficientnet_b0") else 48), 1000, by_torchvision(name))
for n in (3, 5, 7, 9, 18, 200):
    NETWORKS[f"resnet{6 * n + 2}"] = ((3, 16), 10, lambda classes, n=n: CifarResNet(n, classes))
NETWORKS["unet"] = ((3, 32), 2, UNet)

for name, ((channels, extent), classes, make) in NETWORKS.items():
    net = make(classes)
    parameters, state = sum(p.numel() for p in net.parameters()), len(net.state_dict())
    if name == "resnet1202":
        print(name, extent, parameters, state)
        continue
    networks.fill(net)
    net.double().eval()
    with torch.no_grad():
        out = net(networks.tensor("input", (2, channels, extent, extent)).double()).flatten()
    places = [i * (out.numel() - 1) // 7 for i in range(8)]
    print(name, extent, parameters, state, *(f"{float(out[i]):.9g}" for i in places))
