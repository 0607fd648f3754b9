"""The networks of bench/networks/ in PyTorch, written from its layers, with the same names and the same weights by formula."""
import math

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F


# ---- the networks ----
def mnist_cnn(p1, p2):
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Dropout(p1)] if p1 else []
    layers += [nn.Flatten(), nn.Linear(9216, 128), nn.ReLU()]
    layers += [nn.Dropout(p2)] if p2 else []
    return nn.Sequential(*layers, nn.Linear(128, 10))


def mnist_mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def tiny_mlp():
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))


def conv(cin, cout, kernel, stride=1):
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)


class ResidualStage(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, channels, 3), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3), nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Block(nn.Module):
    def __init__(self, cin, width, stride, bottleneck):
        super().__init__()
        self.bottleneck = bottleneck
        cout = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1, self.bn1 = conv(cin, width, 1), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = conv(width, cout, 1), nn.BatchNorm2d(cout)
        else:
            self.conv1, self.bn1 = conv(cin, width, 3, stride), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(conv(cin, cout, 1, stride), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, depth, bottleneck, small_images, classes):
        super().__init__()
        self.conv1 = conv(3, 64, 3) if small_images else conv(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
        cin, stages = 64, []
        for stage in range(4):
            width, blocks = 64 << stage, []
            for i in range(depth[stage]):
                blocks.append(Block(cin, width, 2 if i == 0 and stage > 0 else 1, bottleneck))
                cin = 4 * width if bottleneck else width
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(cin, classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def conv_bn(cin, cout, kernel, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(cout), nn.ReLU6())


class InvertedResidual(nn.Module):
    def __init__(self, cin, cout, stride, expand):
        super().__init__()
        wide = cin * expand
        layers = [conv_bn(cin, wide, 1)] if expand != 1 else []
        self.conv = nn.Sequential(*layers, conv_bn(wide, wide, 3, stride, wide), nn.Conv2d(wide, cout, 1, bias=False),
                                  nn.BatchNorm2d(cout))
        self.shortcut = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        layers, cin = [conv_bn(3, 32, 3, 2)], 32
        for expand, cout, repeats, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                              (6, 160, 3, 2), (6, 320, 1, 1)):
            for i in range(repeats):
                layers.append(InvertedResidual(cin, cout, stride if i == 0 else 1, expand))
                cin = cout
        self.features = nn.Sequential(*layers, conv_bn(cin, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


def double_conv(cin, cout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True),
                         nn.Conv2d(cout, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """With padded convolutions; parts in the library's order and names, so that weights by formula agree."""

    def __init__(self, levels=4, width=64):
        super().__init__()
        self.inc = nn.Sequential()
        self.inc.double_conv = double_conv(3, width)
        for i in range(levels):
            m = nn.Sequential()
            inner = nn.Sequential()
            inner.double_conv = double_conv(width << i, width << i + 1)
            m.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), inner)
            setattr(self, f"down{i + 1}", m)
        for i in range(levels):
            cin = width << levels - i
            m = nn.Module()
            m.up = nn.ConvTranspose2d(cin, cin // 2, 2, stride=2)
            m.conv = nn.Sequential()
            m.conv.double_conv = double_conv(cin, cin // 2)
            setattr(self, f"up{i + 1}", m)
        self.outc = nn.Sequential()
        self.outc.conv = nn.Conv2d(width, 2, 1)
        self.levels = levels

    def forward(self, x):
        beside = [self.inc(x)]
        for i in range(self.levels):
            beside.append(getattr(self, f"down{i + 1}")(beside[-1]))
        x = beside.pop()
        for i in range(self.levels):
            m = getattr(self, f"up{i + 1}")
            x = m.conv(torch.cat([beside.pop(), m.up(x)], 1))
        return self.outc(x)


class Lstm(nn.LSTM):
    """Time first: a "batch" is so many steps of 32 sequences."""

    def forward(self, x):
        return super().forward(x)[0]


class SelfAttention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]


def transformer_block(dropout):
    return nn.TransformerEncoderLayer(256, 4, 1024, dropout, batch_first=True)


# name: (input of one sample, classes (0: regression), usual batch, gradient of the input, maker)
NETWORKS = {
    "mnist-cnn": ((1, 28, 28), 10, 64, False, lambda: mnist_cnn(0.25, 0.5)),
    "mnist-cnn-plain": ((1, 28, 28), 10, 64, False, lambda: mnist_cnn(0, 0)),
    "mnist-mlp": ((1, 28, 28), 10, 128, False, mnist_mlp),
    "tiny-mlp": ((2,), 0, 32, False, tiny_mlp),
    "residual-64": ((64, 32, 32), 0, 128, True, lambda: ResidualStage(64)),
    "residual-128": ((128, 16, 16), 0, 128, True, lambda: ResidualStage(128)),
    "residual-256": ((256, 8, 8), 0, 128, True, lambda: ResidualStage(256)),
    "resnet18-cifar": ((3, 32, 32), 10, 128, False, lambda: ResNet((2, 2, 2, 2), False, True, 10)),
    "lstm": ((32, 128), 0, 32, False, lambda: Lstm(128, 256)),
    "transformer-block": ((128, 256), 0, 16, False, lambda: transformer_block(0.1)),
    "transformer-block-plain": ((128, 256), 0, 16, False, lambda: transformer_block(0.0)),
    "attention-4096": ((4096, 256), 0, 1, False, lambda: SelfAttention(256, 4, batch_first=True)),
    "resnet50": ((3, 224, 224), 1000, 8, False, lambda: ResNet((3, 4, 6, 3), True, False, 1000)),
    "mobilenet-v2": ((3, 224, 224), 1000, 8, False, MobileNetV2),
    "unet": ((3, 128, 128), 0, 2, False, UNet),
}


# ---- numbers by formula: those of bench/networks/networks.h ----
def series(name, count):
    h = 0xcbf29ce484222325
    for c in name.encode():
        h = (h ^ c) * 0x100000001b3 & 0xffffffffffffffff
    z = np.uint64(h) + np.arange(count, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xbf58476d1ce4e5b9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94d049bb133111eb)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 8388608 - 1


def fill(net):
    for name, t in net.state_dict().items():
        if not t.dtype.is_floating_point:
            continue
        scale, shift = 0.1, 0.0
        if t.dim() > 1:
            scale = math.sqrt(3.0 / (t.numel() / t.shape[0]))
        elif name.endswith("running_var"):
            scale, shift = 0.5, 1.0
        elif name.endswith("weight"):
            scale, shift = 0.25, 1.0
        values = (shift + scale * series(name, t.numel())).astype(np.float32)
        t.copy_(torch.from_numpy(values).reshape(t.shape))


def tensor(name, shape):
    values = (math.sqrt(3.0) * series(name, math.prod(shape))).astype(np.float32)
    return torch.from_numpy(values).reshape(shape)


def batch_of(name, net, size):
    """Input and target of a batch."""
    shape, classes = NETWORKS[name][:2]
    x = tensor("input", (size, *shape))
    if classes:
        return x, torch.arange(size) % classes
    with torch.no_grad():
        training = net.training
        output = net.eval()(x.to(next(net.parameters()).dtype)).shape
        net.train(training)
    return x, tensor("target", output)


def usual_batch(kind, name):
    return NETWORKS[name][2] if kind == "train" else 1
