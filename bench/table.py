#!/usr/bin/env python3
"""Tables from what bench/compare.py has stored: medians of pairs, and medians of the pairs' ratios.

    python3 bench/table.py RESULTS.jsonl [--write bench/README.md] [--marks results]

Prints them, or puts them between the marks <!-- results --> and <!-- /results --> of a page."""
import argparse
import re
import statistics

from compare import SWEEP, TRAININGS, WORKS, Store

NAMES = {"mnist-cnn": "mnist-cnn training, batch 64", "mnist-cnn-plain": "the same without dropout",
         "mnist-mlp": "mnist-mlp training, batch 128", "tiny-mlp": "MLP 2-16-1 training, batch 32",
         "residual-64": "residual stage, 64 channels 32x32, training, batch 128",
         "residual-128": "residual stage, 128 channels 16x16", "residual-256": "residual stage, 256 channels 8x8",
         "resnet18-cifar": "ResNet-18 (32x32) training, batch 128", "lstm": "LSTM 128 to 256, 32 steps, training, batch 32",
         "transformer-block": "transformer block, width 256, 4 heads, 128 steps, training, batch 16",
         "transformer-block-plain": "the same without dropout",
         "attention-4096": "attention of width 256 in 4 heads over 4096 steps, training, batch 1",
         "resnet50-b1": "ResNet-50 (224x224) inference, batch 1",
         "resnet50-b8": "the same, batch 8", "mobilenet-v2-b1": "MobileNetV2 (224x224) inference, batch 1",
         "vision-resnet18-cifar-train": "ResNet-18 (32x32) training", "vision-resnet18-cifar-infer": "ResNet-18 (32x32) inference",
         "vision-resnet50-train": "ResNet-50 (224x224) training",
         "vision-mobilenet-v2-train": "MobileNetV2 (224x224) training",
         "vision-mobilenet-v2-infer": "MobileNetV2 (224x224) inference",
         "vision-unet-train": "U-Net (128x128) training", "vision-unet-infer": "U-Net (128x128) inference"}


def duration(us):
    return f"{us:.1f} us" if us < 1000 else f"{us / 1e3:.2f} ms" if us < 1e5 else f"{us / 1e3:.0f} ms"


def size(count):
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def rows(lines):
    head, *rest = lines
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(r) + " |" for r in rest]


class Results:
    def __init__(self, path):
        self.store = Store(path)

    def pairs(self, work, threads):
        found = [r for (what, w, t, _), r in self.store.known.items() if (what, w, t) == ("pair", work, threads)]
        return sorted(found, key=lambda r: r["number"])

    def median(self, work, threads, name):
        found = [r[name]["us"] for r in self.pairs(work, threads) if name in r]
        return statistics.median(found) if found else None

    def ratio(self, work, threads, name):
        """The median of the pairs' ratios: the other's time through Cambium's."""
        found = [r[name]["us"] / r["cambium"]["us"] for r in self.pairs(work, threads) if name in r]
        return statistics.median(found) if found else None

    def times(self, threads):
        lines = [("work", "Cambium", "PyTorch", "ratio", "ONNX Runtime", "ratio", "bare oneDNN", "of its speed")]
        for work in WORKS:
            pairs = self.pairs(work, threads)
            if not pairs or work.startswith("vision-"):
                continue
            row = [NAMES[work], duration(self.median(work, threads, "cambium"))]
            for name in ("torch", "onnx", "bare"):
                us, ratio = self.median(work, threads, name), self.ratio(work, threads, name)
                if us is None:
                    row += ["", ""]
                elif name == "bare":
                    row += [duration(us), f"{100 * ratio:.0f} %"]
                else:
                    torch = next((r["torch"] for r in pairs if "torch" in r), {}) if name == "torch" else {}
                    how = f" ({torch['mode']}, {torch['threads']} thr.)" if torch else ""
                    row += [duration(us) + how, f"{ratio:.2f}"]
            lines.append(row)
        return rows(lines) if len(lines) > 1 else []

    def throughput(self, threads):
        lines = [("work", "batch", "Cambium", "PyTorch", "ratio", "ONNX Runtime", "ratio")]
        for work, (_, _, batch) in WORKS.items():
            pairs = self.pairs(work, threads)
            if not pairs or not work.startswith("vision-"):
                continue
            row = [NAMES[work], str(batch)]
            for name in ("cambium", "torch", "onnx"):
                us = self.median(work, threads, name)
                row.append(f"{batch * 1e6 / us:.1f}" if us else "")
                if us and name == "torch":
                    row[-1] += f" ({next(r['torch'] for r in pairs if 'torch' in r)['mode']})"
                if name != "cambium":
                    row.append(f"{self.ratio(work, threads, name):.2f}" if us else "")
            lines.append(row)
        return rows(lines) if len(lines) > 1 else []

    def sweep(self):
        found = [(work, self.ratio(work, 2, "torch")) for work in SWEEP if self.pairs(work, 2)]
        if not found:
            return []
        lines = [["batch"] + [work[6:] for work, _ in found],
                 ["Cambium"] + [duration(self.median(work, 2, "cambium")) for work, _ in found]]
        if found[0][1]:
            lines += [["PyTorch"] + [duration(self.median(work, 2, "torch")) if r else "" for work, r in found],
                      ["ratio"] + [f"{r:.2f}" if r else "" for _, r in found]]
        return rows(lines)

    def memory(self):
        lines = [("training", "Cambium", "PyTorch", "of PyTorch's")]
        for work in TRAININGS:
            r = self.store.get("memory", work)
            if r:
                peer = [size(r["torch"]) + f" ({r['mode']})", f"{r['cambium'] / r['torch']:.2f}"] if "torch" in r else ["", ""]
                lines.append([NAMES[work], size(r["cambium"])] + peer)
        return rows(lines) if len(lines) > 1 else []

    def first(self):
        found = [r for (what, *_), r in self.store.known.items() if what == "first"]
        if not found:
            return []
        text = f"Process start to first prediction of mnist-cnn: {statistics.median(r['cambium'] for r in found):.1f} ms"
        both = [r for r in found if "torch" in r]
        if both:
            text += (f"; PyTorch {statistics.median(r['torch'] for r in both):.0f} ms, "
                     f"{statistics.median(r['torch'] / r['cambium'] for r in both):.0f} times as long")
        return [text + "."]

    def page(self):
        machine = self.store.get("machine") or {}
        pairs = max((len(self.pairs(work, t)) for work in WORKS for t in (1, 2)), default=0)
        text = [f"Measured {machine.get('date', '')} on {machine.get('cores', '?')} cores of {machine.get('cpu', '?')}"
                + (f", PyTorch {machine['torch']}, ONNX Runtime {machine['onnxruntime']}" if "torch" in machine else "")
                + f"; medians of {pairs} alternating pairs. Compare only within a table."]
        for title, part in (("Two threads", self.times(2)), ("One thread", self.times(1)),
                            ("Pictures a second, two threads", self.throughput(2)),
                            ("Pictures a second, one thread", self.throughput(1)),
                            ("mnist-cnn by batch size, two threads", self.sweep()),
                            ("Bytes of tensors at the peak of a training run", self.memory())):
            if part:
                text += ["", f"### {title}", "", *part]
        return "\n".join(text + [""] + self.first()).strip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results")
    parser.add_argument("--write")
    parser.add_argument("--marks", default="results")
    args = parser.parse_args()
    page = Results(args.results).page()
    if not args.write:
        print(page, end="")
        return
    with open(args.write) as f:
        text = f.read()
    marks = re.compile(f"(<!-- {args.marks} -->\n).*(<!-- /{args.marks} -->)", re.S)
    if not marks.search(text):
        raise SystemExit(f"{args.write}: the marks <!-- {args.marks} --> and <!-- /{args.marks} --> are missing")
    with open(args.write, "w") as f:
        f.write(marks.sub(lambda m: m[1] + page + m[2], text))


if __name__ == "__main__":
    main()
