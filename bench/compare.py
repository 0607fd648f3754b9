#!/usr/bin/env python3
"""Cambium beside PyTorch, ONNX Runtime and bare oneDNN programs, in alternating pairs over several processes.

    python3 bench/compare.py --build build [--python PYTHON_WITH_TORCH] [--pairs 6] [--processes 3] [--seconds 0.5]
                             [--only WORK[,WORK...]] [--threads 1,2] [--out FILE] [--mix] [--list]

Without --python only Cambium and the bare programs run. For each work and thread count all contestants are started, warm up,
and then measure in turn (Cambium, PyTorch, ...; every second round in the reverse order) for so many seconds each; a round is
a pair. After --pairs / --processes rounds fresh processes are started. PyTorch runs in the best of its modes (eager,
channels_last, torch.compile), found by a trial; on two threads also the best of its thread counts.

Every result is stored in FILE (one JSON object a line) as soon as it is there; a rerun does only what is missing. bench/table.py
prints the medians.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TRAININGS = ("mnist-cnn", "mnist-cnn-plain", "mnist-mlp", "tiny-mlp", "residual-64", "residual-128", "residual-256",
             "resnet18-cifar", "lstm", "transformer-block", "transformer-block-plain", "attention-4096")
# work: (kind, network, batch); batch None: the usual one
WORKS = {name: ("train", name, None) for name in TRAININGS}
WORKS |= {"resnet50-b1": ("infer", "resnet50", 1), "resnet50-b8": ("infer", "resnet50", 8),
          "mobilenet-v2-b1": ("infer", "mobilenet-v2", 1)}
# Throughput of the vision networks, training and inference.
WORKS |= {"vision-resnet18-cifar-train": ("train", "resnet18-cifar", 128), "vision-resnet18-cifar-infer": ("infer", "resnet18-cifar", 128), "vision-resnet50-train": ("train", "resnet50", 8),
          "vision-mobilenet-v2-train": ("train", "mobilenet-v2", 8), "vision-mobilenet-v2-infer": ("infer", "mobilenet-v2", 8),
          "vision-unet-train": ("train", "unet", 2), "vision-unet-infer": ("infer", "unet", 2)}
SWEEP = {f"sweep-{1 << i}": ("train", "mnist-cnn", 1 << i) for i in range(9)}
EXTRA = ("memory", "first-prediction")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--python")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--only", default="", help="works, or the beginnings of their names")
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("--out")
    parser.add_argument("--mix", action="store_true", help="go on with results of another commit")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    args.out = args.out or os.path.join(args.build, "bench", "results.jsonl")
    return args


class Store:
    """What has been measured, by (what, work, threads, number)."""

    def __init__(self, path):
        self.path, self.known = path, {}
        if os.path.exists(path):
            with open(path) as f:
                for line in f:
                    if line.endswith("\n"):  # a run that was cut off may leave half a line
                        self.remember(json.loads(line))
            with open(path) as f:
                text = f.read()
            if text and not text.endswith("\n"):
                with open(path, "w") as f:
                    f.write(text[:text.rfind("\n") + 1])

    def remember(self, r):
        self.known[r["what"], r.get("work"), r.get("threads"), r.get("number")] = r

    def get(self, what, work=None, threads=None, number=None):
        return self.known.get((what, work, threads, number))

    def put(self, what, work=None, threads=None, number=None, **values):
        r = {"what": what, "work": work, "threads": threads, "number": number, **values}
        with open(self.path, "a") as f:
            f.write(json.dumps(r) + "\n")
        self.remember(r)
        return r


class Contestant:
    """A program that measures for every line of seconds."""

    def __init__(self, name, command):
        self.name, self.ready, self.errors = name, False, tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def line(self):
        text = self.process.stdout.readline()
        if text:
            return json.loads(text)
        self.errors.seek(0)
        raise RuntimeError(f"{self.name} ended early: {self.errors.read()[-600:]}")

    def wait(self):
        """Until it is warm."""
        if not self.ready:
            self.ready = bool(self.line())

    def measure(self, seconds):
        time.sleep(0.02)  # the threads of the one before stop spinning
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self.line()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()


class Comparison:
    def __init__(self, args):
        self.args, self.store = args, Store(args.out)
        self.torch = os.path.join(HERE, "peers", "torch_bench.py")
        self.bench = os.path.join(args.build, "bench")

    def line_of(self, command):
        out = subprocess.run(command, capture_output=True, text=True)
        if out.returncode or not out.stdout.strip():
            raise RuntimeError(f"{' '.join(command)}: {out.stderr[-600:]}")
        return json.loads(out.stdout.strip().splitlines()[-1])

    def trial(self, work, threads):
        r = self.store.get("trial", work, threads)
        if not r:
            kind, network, batch = {**WORKS, **SWEEP}[work]
            command = [self.args.python, self.torch, "trial", kind, network, str(threads), "0.3"]
            r = self.store.put("trial", work, threads, modes=self.line_of(command + ([str(batch)] if batch else [])))
        return r["modes"]

    def best_mode(self, work, threads):
        """PyTorch's best (mode, threads); on two threads it may use one."""
        found = {(mode, t): us for t in range(1, threads + 1) for mode, us in self.trial(work, t).items()}
        return min(found, key=found.get)

    def bare(self, work, threads):
        """The command of the bare program for this work, or None."""
        if work in SWEEP:
            return None
        for name, program, argument in (("mnist-cnn-plain", "bare_mnist_cnn", None), ("mnist-mlp", "bare_mnist_mlp", None),
                                        ("tiny-mlp", "bare_tiny_mlp", None), ("lstm", "bare_lstm", None),
                                        ("residual-", "bare_residual", work[9:])):
            path = os.path.join(self.bench, program)
            if work.startswith(name) and os.path.exists(path):
                return [path, str(threads), "serve"] + ([argument] if argument else [])
        return None

    def commands(self, work, threads):
        """Contestants, peers first, Cambium last: peers may warm up together, Cambium times its algorithms alone."""
        kind, network, batch = {**WORKS, **SWEEP}[work]
        tail = [str(batch)] if batch else []
        found = []
        if self.args.python:
            mode, torch_threads = self.best_mode(work, threads)
            found.append(("torch", [self.args.python, self.torch, kind, network, str(torch_threads), mode, "serve"] + tail))
            if kind == "infer":
                onnx = os.path.join(HERE, "peers", "onnx_bench.py")
                found.append(("onnx", [self.args.python, onnx, kind, network, str(threads), "serve"] + tail))
        bare = self.bare(work, threads)
        if bare:
            found.append(("bare", bare))
        found.append(("cambium", [os.path.join(self.bench, kind), network, str(threads), "serve"] + tail))
        return found

    def compare(self, work, threads):
        rounds = -(-self.args.pairs // self.args.processes)
        for first in range(0, self.args.pairs, rounds):
            numbers = [n for n in range(first, min(first + rounds, self.args.pairs))
                       if not self.store.get("pair", work, threads, n)]
            if not numbers:
                continue
            contestants = []
            try:
                for name, command in self.commands(work, threads):
                    if name in ("bare", "cambium"):
                        for c in contestants:
                            c.wait()
                    contestants.append(Contestant(name, command))
                contestants[-1].wait()
                contestants.reverse()
                for n in numbers:
                    order = contestants if n % 2 == 0 else contestants[::-1]
                    found = {c.name: c.measure(self.args.seconds) for c in order}
                    self.store.put("pair", work, threads, n, **found)
                    print(f"{work}, {threads} threads: "
                          + ", ".join(f"{name} {r['us']:.1f} us" for name, r in sorted(found.items())), flush=True)
            finally:
                for c in contestants:
                    c.close()

    def memory(self):
        """Bytes of tensors at the peak: PyTorch's allocator events, in the mode that was its best on two threads."""
        for work in TRAININGS:
            if self.store.get("memory", work):
                continue
            batch = WORKS[work][2]
            tail = [str(batch)] if batch else []
            own = self.line_of([os.path.join(self.bench, "train"), work, "2", "0.1"] + tail)["tensor_bytes"]
            found = {"cambium": own}
            if self.args.python:
                mode = self.best_mode(work, 2)[0]
                found["torch"] = self.line_of([self.args.python, self.torch, "memory", work, mode] + tail)["tensor_bytes"]
                found["mode"] = mode
            self.store.put("memory", work, **found)
            print(f"{work}, peak bytes of tensors: {found}", flush=True)

    def first_prediction(self):
        """Milliseconds from starting the process to its end, one prediction of mnist-cnn with weights from a file."""
        with tempfile.TemporaryDirectory() as folder:
            commands = {"cambium": [os.path.join(self.bench, "first_prediction"), os.path.join(folder, "net.safetensors")]}
            if self.args.python:
                commands["torch"] = [self.args.python, os.path.join(HERE, "peers", "torch_first_prediction.py"),
                                     os.path.join(folder, "net.pt")]
            made = False
            for n in range(self.args.pairs):
                if self.store.get("first", "first-prediction", None, n):
                    continue
                if not made:
                    subprocess.run([commands["cambium"][0], "--make", commands["cambium"][1]], check=True)
                    if "torch" in commands:
                        subprocess.run(commands["torch"] + ["--make"], check=True)
                    for command in commands.values():  # warms the disk cache
                        subprocess.run(command, check=True, capture_output=True)
                    made = True
                found = {}
                for name in sorted(commands, reverse=n % 2 == 1):
                    start = time.perf_counter()
                    subprocess.run(commands[name], check=True, capture_output=True)
                    found[name] = 1e3 * (time.perf_counter() - start)
                self.store.put("first", "first-prediction", None, n, **found)
                print(f"first prediction: {found}", flush=True)

    def machine(self):
        commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True)
        commit = commit.stdout.strip()
        known = self.store.get("machine")
        if known:
            if known["commit"] != commit and not self.args.mix:
                raise SystemExit(f"{self.args.out} holds results of {known['commit']}, this is {commit}: remove it, choose "
                                 "another --out, or say --mix")
            return
        model = platform.processor()
        with open("/proc/cpuinfo") as f:
            model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), model)
        found = {"cpu": model, "cores": len(os.sched_getaffinity(0)), "seconds": self.args.seconds}
        if self.args.python:
            program = "import json, torch, onnxruntime; print(json.dumps([torch.__version__, onnxruntime.__version__]))"
            found["torch"], found["onnxruntime"] = self.line_of([self.args.python, "-c", program])
        self.store.put("machine", commit=commit, date=time.strftime("%Y-%m-%d"), **found)

    def wanted(self, name):
        return not self.args.only or any(name == o or name.startswith(o) and o.endswith("-")
                                         for o in self.args.only.split(","))

    def run(self):
        self.machine()
        failed = 0
        threads = [int(t) for t in self.args.threads.split(",")]
        todo = [(lambda w=work: self.compare(w, threads[0]), work) for work in WORKS]
        todo += [(self.memory, "memory"), (self.first_prediction, "first-prediction")]
        todo += [(lambda w=work: self.compare(w, 2), work) for work in SWEEP]
        todo += [(lambda w=work, t=t: self.compare(w, t), work) for t in threads[1:] for work in WORKS]
        for do, name in todo:
            if self.wanted(name):
                try:
                    do()
                except RuntimeError as error:
                    print(f"{name}: {error}", file=sys.stderr, flush=True)
                    failed = 1
        return failed


def main():
    args = arguments()
    if args.list:
        print("\n".join((*WORKS, *SWEEP, *EXTRA)))
        return 0
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    return Comparison(args).run()


if __name__ == "__main__":
    sys.exit(main())
