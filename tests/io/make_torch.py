"""Makes tests/io/data/*.pt: small files of weights as torch.save writes them, in both forms. Run: python make_torch.py, with
PyTorch installed. Element i of a tensor is i - 3 (booleans: whether that is odd), unless test_torch.c says otherwise."""
import collections
import os
import zipfile

import torch
from torch import nn

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
os.makedirs(HERE, exist_ok=True)


def numbers(*shape, dtype=torch.float32):
    n = torch.Size(shape).numel()
    x = torch.arange(n) - 3
    return (x % 2 == 1 if dtype == torch.bool else x.abs() if dtype == torch.uint8 else x).to(dtype).reshape(shape)


def module():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for i, t in enumerate(net.state_dict().values()):
        t.copy_(numbers(*t.shape).to(t.dtype) + 10 * i)
    return net


wide = numbers(4, 6)
TYPES = {str(t).split(".")[1]: numbers(2, 4, dtype=t)
         for t in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
                   torch.int8, torch.uint8, torch.bool)}
FILES = {
    "state": module().state_dict(),
    "types": TYPES,
    "views": {"transposed": wide.t(), "rows": wide[1:3], "columns": wide[:, ::2], "same": wide, "scalar": torch.tensor(7.5),
              "nothing": torch.zeros(0, 3), "cube": numbers(2, 3, 4).permute(2, 0, 1)},
    "checkpoint": {"epoch": 12, "loss": 0.25, "best": True, "state_dict": module().state_dict(), "note": "text",
                   "optimizer": {"state": {0: {"momentum": numbers(3)}, 17: {"momentum": numbers(2)}}, "groups": [{"lr": 0.1}]},
                   "parameter": nn.Parameter(numbers(2))},
    "ordered": collections.OrderedDict([("b", numbers(2)), ("a", numbers(3))]),
}
for name, value in FILES.items():
    torch.save(value, os.path.join(HERE, name + ".pt"))
    torch.save(value, os.path.join(HERE, name + "-old.pt"), _use_new_zipfile_serialization=False)
torch.save(module(), os.path.join(HERE, "module.pt"))  # a whole module: refused


def renamed(source, target, name=lambda n: n, pickled=lambda b: b):
    """A copy of an archive with its members renamed and its pickle changed; the bytes of tensors stay where they are."""
    with zipfile.ZipFile(os.path.join(HERE, source)) as old, zipfile.ZipFile(os.path.join(HERE, target), "w") as new:
        for member in old.infolist():
            data = old.read(member)
            new.writestr(zipfile.ZipInfo(name(member.filename)), pickled(data) if member.filename.endswith("data.pkl") else data)


# Members with names that point out of the folder: only names, for nothing is unpacked. And a tensor in a storage that is such a
# path and is not in the archive: refused, whatever lies there on the disk.
renamed("ordered.pt", "members-outside.pt", lambda n: "../../../" + n)
PATH = b"../../../../../../../../etc/hostname"
renamed("ordered.pt", "storage-outside.pt",
        pickled=lambda b: b.replace(b"X\x01\0\0\x000", b"X" + len(PATH).to_bytes(4, "little") + PATH, 1))
