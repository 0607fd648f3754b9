#!/usr/bin/env python3
"""Makes tests/bench/expected.txt: what PyTorch computes in f64 with the networks of bench/networks/, their weights by formula.

    python3 bench/peers/make_expected.py > tests/bench/expected.txt

A line a fact: `forward NETWORK BATCH` and eight outputs in evaluation mode, spread over the whole; `train NETWORK BATCH` and
the losses of three steps of SGD (rate 0.01, momentum 0.9; without networks that have dropout or are slow)."""
import torch
import networks

torch.manual_seed(0)
for name, (shape, classes, batch, input_grad, make) in networks.NETWORKS.items():
    size = 1 if shape[0] == 4096 else 2 if shape[-1] == 224 else 4
    net = make()
    networks.fill(net)
    net.double().eval()
    x, y = networks.batch_of(name, net, size)
    x = x.double()
    with torch.no_grad():
        out = net(x).flatten()
    places = [i * (out.numel() - 1) // 7 for i in range(8)]
    print("forward", name, size, *(f"{float(out[i]):.9g}" for i in places))
    if name in ("mnist-cnn", "transformer-block", "attention-4096", "resnet50", "mobilenet-v2"):
        continue
    net.train()
    opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    criterion = torch.nn.CrossEntropyLoss() if classes else torch.nn.MSELoss()
    losses = []
    for _ in range(3):
        opt.zero_grad()
        loss = criterion(net(x), y if classes else y.double())
        loss.backward()
        opt.step()
        losses.append(float(loss))
    print("train", name, size, *(f"{v:.9g}" for v in losses))
