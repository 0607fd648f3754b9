#!/usr/bin/env python3
"""PyTorch's side of a comparison.

    torch_bench.py train|infer NETWORK THREADS MODE SECONDS|serve [BATCH]     one line of JSON, like bench/train and bench/infer
    torch_bench.py trial train|infer NETWORK THREADS SECONDS [BATCH]          microseconds of every mode
    torch_bench.py memory NETWORK MODE [BATCH]                                bytes of tensors at the peak of training steps

MODE: eager, channels_last, compile, or compile-channels_last; in inference compile freezes the weights first."""
import json
import sys

import torch

import measure
import networks

MODES = ("eager", "channels_last", "compile", "compile-channels_last")


def modes_of(name):
    return MODES if len(networks.NETWORKS[name][0]) == 3 and not name.endswith("mlp") else ("eager", "compile")


def prepare(name, mode, batch):
    """Network and batch; in channels_last both converted."""
    net = networks.NETWORKS[name][4]()
    networks.fill(net)
    x, y = networks.batch_of(name, net, batch)
    if "channels_last" in mode:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
        if y.dim() == 4:
            y = y.to(memory_format=torch.channels_last)
    return net, x, y


def training_step(name, mode, batch):
    net, x, y = prepare(name, mode, batch)
    opt = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, fused=True)
    criterion = torch.nn.CrossEntropyLoss() if networks.NETWORKS[name][1] else torch.nn.MSELoss()
    x.requires_grad_(networks.NETWORKS[name][3])

    def forward(x, y):
        return criterion(net(x), y)

    forward = torch.compile(forward) if mode.startswith("compile") else forward

    def step():
        opt.zero_grad(set_to_none=True)
        x.grad = None
        forward(x, y).backward()
        opt.step()

    return step


def prediction(name, mode, batch):
    net, x, _ = prepare(name, mode, batch)
    net.eval()
    if mode.startswith("compile"):
        from torch._inductor import config
        config.freezing = True
        net = torch.compile(net)

    def predict():
        with torch.no_grad():
            net(x)

    return predict


def subject(kind, name, mode, batch):
    return training_step(name, mode, batch) if kind == "train" else prediction(name, mode, batch)


def trial(kind, name, threads, seconds, batch):
    torch.set_num_threads(threads)
    found = {}
    for mode in modes_of(name):
        torch._dynamo.reset()
        try:
            once = subject(kind, name, mode, batch)
            found[mode] = measure.measure(once, measure.warm(once), seconds)["us"]
        except Exception as error:  # a mode that does not work here is no candidate
            print(f"{name} {mode}: {error}", file=sys.stderr)
    print(json.dumps(found))


def memory(name, mode, batch):
    """The allocator's events, from before the network is made, added up. Scratch that oneDNN takes from the C library itself is
    not among them."""
    from torch.profiler import ProfilerActivity, profile
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        step = training_step(name, mode, batch)
        for _ in range(3):
            step()
    now = peak = 0
    for event in sorted((e for e in prof.profiler.kineto_results.events() if e.name() == "[memory]"),
                        key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    print(json.dumps({"work": name, "mode": mode, "tensor_bytes": peak}))


def main():
    what, *rest = sys.argv[1:]
    if what == "trial":
        kind, name, threads, seconds, *batch = rest
        trial(kind, name, int(threads), float(seconds), int(batch[0]) if batch else networks.usual_batch(kind, name))
    elif what == "memory":
        name, mode, *batch = rest
        memory(name, mode, int(batch[0]) if batch else networks.usual_batch("train", name))
    else:
        name, threads, mode, how, *batch = rest
        torch.set_num_threads(int(threads))
        once = subject(what, name, mode, int(batch[0]) if batch else networks.usual_batch(what, name))
        measure.report(once, how, {"work": name, "mode": mode, "threads": int(threads)})


main()
