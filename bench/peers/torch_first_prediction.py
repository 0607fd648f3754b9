"""From the start of the process to the first prediction, in PyTorch: torch_first_prediction.py WEIGHTS.pt [--make]"""
import sys
import torch
from torch import nn

net = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
                    nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
if len(sys.argv) > 2:
    torch.save(net.state_dict(), sys.argv[1])
else:
    net.load_state_dict(torch.load(sys.argv[1], weights_only=True))
    net.eval()
    with torch.no_grad():
        print(int(net(torch.full((1, 1, 28, 28), 0.5)).argmax(1)))
