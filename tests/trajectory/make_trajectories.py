"""Makes tests/trajectory/data/*.safetensors: 100 training steps in float64 by PyTorch, for each network and optimizer.

A file holds x (10, batch, ...) and y (10, batch), the batches used in turn; init.NAME, the weights before; grad.NAME, the
first gradient; and for each optimizer OPT.losses (100) and OPT.final.NAME, the state after. Run:
python make_trajectories.py, with PyTorch installed. The numbers are the reference of test_pytorch.c."""
import json
import os
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
STEPS, BATCHES, BATCH, CLASSES = 100, 10, 8, 5


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, CLASSES))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(54, CLASSES))


def norm():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 10, bias=False), nn.BatchNorm1d(10), nn.Tanh(), nn.Linear(10, CLASSES))


NETS = {"mlp": (mlp, (8,)), "cnn": (cnn, (1, 8, 8)), "norm": (norm, (2, 8, 8))}

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.003, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.003, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.05),
    # the next two change the rate, clip the gradients
    "step": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "cosine": lambda p: torch.optim.Adam(p, lr=0.01),
}
SCHEDULES = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 30, 0.5),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, 1e-4),
}
CLIP = {"step": 0.5}


def write(path, tensors):
    header, blobs, at = {}, [], 0
    for name in sorted(tensors):
        t = tensors[name].detach().contiguous()
        kind = {torch.float64: "F64", torch.int64: "I64"}[t.dtype]
        blob = t.numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(t.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    os.makedirs(HERE, exist_ok=True)
    for number, (name, (make, shape)) in enumerate(NETS.items()):
        torch.manual_seed(number)
        net = make()
        x = torch.randn(BATCHES, BATCH, *shape)
        y = torch.randint(0, CLASSES, (BATCHES, BATCH))
        init = {k: v.clone() for k, v in net.state_dict().items()}
        out = {"x": x, "y": y}
        out.update({"init." + k: v for k, v in init.items()})
        for kind, make_optimizer in OPTIMIZERS.items():
            net.load_state_dict(init)
            opt = make_optimizer(net.parameters())
            schedule = SCHEDULES[kind](opt) if kind in SCHEDULES else None
            losses = []
            for i in range(STEPS):
                opt.zero_grad()
                loss = F.cross_entropy(net(x[i % BATCHES]), y[i % BATCHES])
                loss.backward()
                if i == 0:
                    out.update({"grad." + k: p.grad.clone() for k, p in net.named_parameters()})
                if kind in CLIP:
                    nn.utils.clip_grad_norm_(net.parameters(), CLIP[kind])
                opt.step()
                if schedule:
                    schedule.step()
                losses.append(loss.item())
            out[kind + ".losses"] = torch.tensor(losses)
            out.update({kind + ".final." + k: v.clone() for k, v in net.state_dict().items()})
        write(os.path.join(HERE, name + ".safetensors"), out)


if __name__ == "__main__":
    main()
