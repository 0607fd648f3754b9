"""Makes tests/trajectory/data/*.safetensors: 100 training steps in float64 by PyTorch, for each network and optimizer.

A file holds x (10, batch, ...) and y (10, batch), the batches used in turn; init.NAME, the weights before; grad.NAME, the
first gradient; and for each optimizer OPT.losses (100) and OPT.final.NAME, the state after. schedules.safetensors holds
for each schedule NAME.lr (60, 2), the rates of two parameter groups from t = 0 on, NAME.momentum (60) where it has one,
and "measures" (60), what the plateaus observe. averages.safetensors holds for each network weights averaged over the course
"momentum": NET.ema.NAME with buffers, NET.swa.NAME, and NET.fresh.NAME, the second with batch norms updated.
lbfgs.safetensors holds for each network and way of L-BFGS NET.WAY.losses, those before each step on all batches together,
NET.WAY.evaluations, how many there were so far, and NET.WAY.final.NAME. Run: python make_trajectories.py, with PyTorch installed. The
numbers are the reference of test_pytorch.c, test_averages.c, test_lbfgs.c and test_schedules.c."""
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


def by_groups(net):
    """No decay for biases, another rate for the first layer's weight, which is named first."""
    named = dict(net.named_parameters())
    first = [p for n, p in named.items() if n == "0.weight"]
    biases = [p for n, p in named.items() if n.endswith("bias")]
    rest = [p for n, p in named.items() if n != "0.weight" and not n.endswith("bias")]
    return [{"params": rest}, {"params": biases, "weight_decay": 0.0}, {"params": first, "lr": 0.001}]


class OverTime(nn.Module):
    """A layer over sequences, the mean of its steps, a linear layer."""

    def __init__(self, body, width):
        super().__init__()
        self.body, self.fc = body, nn.Linear(width, CLASSES)

    def forward(self, x):
        y = self.body(x)
        return self.fc((y[0] if isinstance(y, tuple) else y).mean(1))


def lstm():
    return OverTime(nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True), 10)


def transformer():
    """Without biases: that of the keys changes nothing, and Adam would make large steps of its rounding errors."""
    return OverTime(nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True, bias=False), 8)


NETS = {"mlp": (mlp, (8,)), "cnn": (cnn, (1, 8, 8)), "norm": (norm, (2, 8, 8))}
SEQUENCES = {"lstm": (lstm, (6, 3)), "transformer": (transformer, (6, 8))}  # these take the first courses only
FIRST = 5

O = torch.optim
# What a course needs of the network: an optimizer of it.
OPTIMIZERS = {
    "sgd": lambda n: O.SGD(n.parameters(), lr=0.05),
    "momentum": lambda n: O.SGD(n.parameters(), lr=0.02, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "nesterov": lambda n: O.SGD(n.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda n: O.Adam(n.parameters(), lr=0.003, weight_decay=0.01),
    "adamw": lambda n: O.AdamW(n.parameters(), lr=0.003, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.05),
    "amsgrad": lambda n: O.Adam(n.parameters(), lr=0.01, betas=(0.9, 0.9), amsgrad=True),
    "adamax": lambda n: O.Adamax(n.parameters(), lr=0.005, weight_decay=0.01),
    "nadam": lambda n: O.NAdam(n.parameters(), lr=0.003, weight_decay=0.01),
    "nadamw": lambda n: O.NAdam(n.parameters(), lr=0.003, momentum_decay=0.01, weight_decay=0.05,
                                decoupled_weight_decay=True),
    "radam": lambda n: O.RAdam(n.parameters(), lr=0.003, weight_decay=0.01),
    "radamw": lambda n: O.RAdam(n.parameters(), lr=0.005, betas=(0.8, 0.9), weight_decay=0.05,
                                decoupled_weight_decay=True),
    "rmsprop": lambda n: O.RMSprop(n.parameters(), lr=0.002, alpha=0.9, weight_decay=0.01),
    "centered": lambda n: O.RMSprop(n.parameters(), lr=0.001, momentum=0.5, centered=True),
    "adagrad": lambda n: O.Adagrad(n.parameters(), lr=0.02, lr_decay=0.01, initial_accumulator_value=0.1,
                                   weight_decay=0.01),
    "adadelta": lambda n: O.Adadelta(n.parameters(), lr=0.5, rho=0.8, weight_decay=0.01),
    "rprop": lambda n: O.Rprop(n.parameters(), lr=0.005, step_sizes=(1e-5, 0.02)),
    "l1": lambda n: O.SGD(n.parameters(), lr=0.02, momentum=0.9),
    "maximize": lambda n: O.Adam(n.parameters(), lr=0.003, maximize=True),
    "groups": lambda n: O.AdamW(by_groups(n), lr=0.003, weight_decay=0.1),
    # the others change the rate and the momentum, or clip the gradients
    "step": lambda n: O.SGD(n.parameters(), lr=0.1, momentum=0.9),
    "cosine": lambda n: O.Adam(n.parameters(), lr=0.01),
    "one_cycle": lambda n: O.Adam(n.parameters(), lr=0.001),
    "cyclic": lambda n: O.SGD(n.parameters(), lr=0.001, momentum=0.5),
    "grouped": lambda n: O.SGD(by_groups(n), lr=0.05, momentum=0.9),
}
R = torch.optim.lr_scheduler
SCHEDULES = {
    "step": lambda o: R.StepLR(o, 30, 0.5),
    "cosine": lambda o: R.CosineAnnealingLR(o, STEPS, 1e-4),
    "one_cycle": lambda o: R.OneCycleLR(o, 0.01, STEPS),
    "cyclic": lambda o: R.CyclicLR(o, 0.005, 0.05, step_size_up=15, step_size_down=25, mode="triangular2"),
    "grouped": lambda o: R.ExponentialLR(o, 0.98),
}
CLIP = {"step": lambda p: nn.utils.clip_grad_norm_(p, 0.5), "cyclic": lambda p: nn.utils.clip_grad_value_(p, 0.05),
        "grouped": lambda p: nn.utils.clip_grad_norm_(p, 0.1, norm_type=float("inf"))}
# What is added to the loss, for the optimizers that do it by themselves here.
EXTRA = {"l1": lambda net: 0.002 * sum(p.abs().sum() for p in net.parameters())}
SIGN = {"maximize": -1.0}

# ---- schedules: of an optimizer with two groups whose rates are 0.1 and 0.02 ----
RATES, LENGTH = (0.1, 0.02), 60


def chain(o):
    return R.ChainedScheduler([R.ConstantLR(o, 0.1, 8), R.ExponentialLR(o, 0.95), R.StepLR(o, 20, 0.5)])


def sequence(o):
    return R.SequentialLR(o, [R.LinearLR(o, 0.1, 1.0, 10), R.CosineAnnealingLR(o, 25, 0.001), R.ExponentialLR(o, 0.9)],
                          [10, 35])


RULES = {
    "step": lambda o: R.StepLR(o, 7, 0.5),
    "multi_step": lambda o: R.MultiStepLR(o, [5, 20, 20, 41], 0.3),
    "exponential": lambda o: R.ExponentialLR(o, 0.93),
    "constant": lambda o: R.ConstantLR(o, 0.25, 12),
    "linear": lambda o: R.LinearLR(o, 0.2, 0.9, 17),
    "polynomial": lambda o: R.PolynomialLR(o, 40, 1.7),
    "cosine": lambda o: R.CosineAnnealingLR(o, 59, 0.003),
    "cosine_restarts": lambda o: R.CosineAnnealingWarmRestarts(o, 5, 2, 0.001),
    "cosine_restarts_equal": lambda o: R.CosineAnnealingWarmRestarts(o, 7),
    "cyclic": lambda o: R.CyclicLR(o, 0.01, 0.2, 7, 4),
    "cyclic_triangular2": lambda o: R.CyclicLR(o, 0.01, 0.2, 6, mode="triangular2", base_momentum=0.7, max_momentum=0.95),
    "cyclic_exp_range": lambda o: R.CyclicLR(o, 0.01, 0.2, 5, 8, mode="exp_range", gamma=0.97, cycle_momentum=False),
    "one_cycle": lambda o: R.OneCycleLR(o, 0.3, LENGTH),
    "one_cycle_three": lambda o: R.OneCycleLR(o, 0.3, LENGTH, pct_start=0.4, anneal_strategy="linear", three_phase=True,
                                              div_factor=10.0, final_div_factor=100.0, base_momentum=0.6),
    "lambda": lambda o: R.LambdaLR(o, [lambda t: 1 / (1 + t), lambda t: 0.9 ** t]),
    "chained": chain,
    "sequential": sequence,
    "plateau": lambda o: R.ReduceLROnPlateau(o, factor=0.5, patience=3, cooldown=2, min_lr=0.003),
    "plateau_most": lambda o: R.ReduceLROnPlateau(o, mode="max", factor=0.2, patience=1, threshold=0.05,
                                                  threshold_mode="abs", eps=1e-4),
}


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


def course(net, x, y, kind, out, after=lambda step: None):
    opt = OPTIMIZERS[kind](net)
    schedule = SCHEDULES[kind](opt) if kind in SCHEDULES else None
    losses = []
    for i in range(STEPS):
        opt.zero_grad()
        loss = F.cross_entropy(net(x[i % BATCHES]), y[i % BATCHES])
        losses.append(loss.item())
        if kind in EXTRA:
            loss = loss + EXTRA[kind](net)
        (SIGN.get(kind, 1.0) * loss).backward()
        if i == 0 and kind == "sgd":
            out.update({"grad." + k: p.grad.clone() for k, p in net.named_parameters()})
        if kind in CLIP:
            CLIP[kind](net.parameters())
        opt.step()
        if schedule:
            schedule.step()
        after(i)
    out[kind + ".losses"] = torch.tensor(losses)
    out.update({kind + ".final." + k: v.clone() for k, v in net.state_dict().items()})


LBFGS = {
    "plain": lambda n: O.LBFGS(n.parameters(), lr=0.3, max_iter=4, history_size=5),
    "wolfe": lambda n: O.LBFGS(n.parameters(), max_iter=6, history_size=5, line_search_fn="strong_wolfe"),
    "evals": lambda n: O.LBFGS(n.parameters(), lr=0.8, max_iter=20, max_eval=7, line_search_fn="strong_wolfe"),
}
LBFGS_STEPS = 6


def lbfgs(name, net, x, y, way, out):
    x, y = x.flatten(0, 1), y.flatten()
    opt = LBFGS[way](net)
    losses, evaluations = [], []

    def closure():
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss

    for _ in range(LBFGS_STEPS):
        losses.append(opt.step(closure).item())
        evaluations.append(opt.state[opt._params[0]]["func_evals"])
    out[f"{name}.{way}.losses"] = torch.tensor(losses)
    out[f"{name}.{way}.evaluations"] = torch.tensor(evaluations)
    out.update({f"{name}.{way}.final.{k}": v.clone() for k, v in net.state_dict().items()})


def averages(name, net, x, y, out):
    """EMA of every step with its buffers, SWA of every tenth step from the forty-first on."""
    swa_utils = torch.optim.swa_utils
    ema = swa_utils.AveragedModel(net, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.95), use_buffers=True)
    swa = swa_utils.AveragedModel(net)

    def take(step):
        ema.update_parameters(net)
        if step >= 40 and (step - 40) % 10 == 0:
            swa.update_parameters(net)

    course(net, x, y, "momentum", {}, take)
    for kind, average in (("ema", ema), ("swa", swa)):
        out.update({f"{name}.{kind}.{k}": v.clone() for k, v in average.module.state_dict().items()})
    swa_utils.update_bn(list(x), swa)
    out.update({f"{name}.fresh.{k}": v.clone() for k, v in swa.module.state_dict().items()})


def rates(rule, measures, out, name):
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in RATES]
    opt = O.SGD([{"params": [p], "lr": r} for p, r in zip(parameters, RATES)], lr=1.0, momentum=0.5)
    schedule = rule(opt)
    lr, momentum = [], []
    for t in range(LENGTH):
        lr.append([g["lr"] for g in opt.param_groups])
        momentum.append(opt.param_groups[0]["momentum"])
        opt.step()
        if t + 1 < LENGTH:
            schedule.step(measures[t]) if "plateau" in name else schedule.step()
    out[name + ".lr"] = torch.tensor(lr)
    if any(m != 0.5 for m in momentum):
        out[name + ".momentum"] = torch.tensor(momentum)


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    os.makedirs(HERE, exist_ok=True)
    averaged, second_order = {}, {}
    for number, (name, (make, shape)) in enumerate({**NETS, **SEQUENCES}.items()):
        torch.manual_seed(number)
        net = make()
        x = torch.randn(BATCHES, BATCH, *shape)
        y = torch.randint(0, CLASSES, (BATCHES, BATCH))
        init = {k: v.clone() for k, v in net.state_dict().items()}
        out = {"x": x, "y": y}
        out.update({"init." + k: v for k, v in init.items()})
        for kind in list(OPTIMIZERS)[:FIRST if name in SEQUENCES else None]:
            net.load_state_dict(init)
            course(net, x, y, kind, out)
        write(os.path.join(HERE, name + ".safetensors"), out)
        if name in SEQUENCES:
            continue
        net.load_state_dict(init)
        averages(name, net, x, y, averaged)
        for way in LBFGS:
            net.load_state_dict(init)
            lbfgs(name, net, x, y, way, second_order)
    write(os.path.join(HERE, "averages.safetensors"), averaged)
    write(os.path.join(HERE, "lbfgs.safetensors"), second_order)
    torch.manual_seed(7)
    measures = 1 / (1 + torch.arange(LENGTH).double()) + 0.05 * torch.rand(LENGTH)
    out = {"measures": measures}
    for name, rule in RULES.items():
        rates(rule, measures.tolist(), out, name)
    write(os.path.join(HERE, "schedules.safetensors"), out)


if __name__ == "__main__":
    main()
