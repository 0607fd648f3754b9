"""Training steps per second of the same networks in PyTorch: torch_train.py WORK MODE THREADS SECONDS
MODE: eager or compile. Prints one line of JSON, like bench/train.c."""
import json, sys, time, resource
import torch
from torch import nn

work, mode, threads, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
torch.set_num_threads(threads)
torch.manual_seed(0)

def cnn(p1, p2):
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Dropout(p1)] if p1 else []
    layers += [nn.Flatten(), nn.Linear(9216, 128), nn.ReLU()]
    layers += [nn.Dropout(p2)] if p2 else []
    return nn.Sequential(*layers, nn.Linear(128, 10))

works = {
    "mnist-cnn": (64, (64, 1, 28, 28), 10, lambda: cnn(0.25, 0.5)),
    "mnist-cnn-plain": (64, (64, 1, 28, 28), 10, lambda: cnn(0, 0)),
    "mnist-mlp": (128, (128, 1, 28, 28), 10, lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))),
    "tiny-mlp": (32, (32, 2), 0, lambda: nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))),
}
batch, shape, classes, make = works[work]
net = make()
opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
x = torch.randn(shape)
y = torch.arange(batch) % classes if classes else torch.randn(batch, 1)
criterion = nn.CrossEntropyLoss() if classes else nn.MSELoss()

def forward(x, y):
    return criterion(net(x), y)

if mode == "compile":
    forward = torch.compile(forward)

def step():
    opt.zero_grad(set_to_none=True)
    loss = forward(x, y)
    loss.backward()
    opt.step()
    return loss

for _ in range(20):
    step()
steps, burst = 0, 5 if classes else 500
start = time.perf_counter()
while time.perf_counter() - start < seconds:
    for _ in range(burst):
        step()
    steps += burst
elapsed = time.perf_counter() - start
print(json.dumps({"work": work, "mode": mode, "threads": threads, "steps": steps, "step_us": elapsed / steps * 1e6,
                  "samples_per_s": steps * batch / elapsed,
                  "peak_rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
