#!/usr/bin/env python3
"""Cambium beside PyTorch, in alternating runs of whole processes.

    python3 bench/compare.py --build build [--python PYTHON_WITH_TORCH] [--pairs 5] [--seconds 4] [--only WORK] [--out FILE]

For each work the peer's better of eager and torch.compile, at its better thread count (1 or 2), is found by a short trial;
then Cambium and the peer run alternately. The ratio of a pair is peer time / Cambium time of a step; medians are reported.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time

here = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", default="build")
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--pairs", type=int, default=5)
parser.add_argument("--seconds", type=int, default=4)
parser.add_argument("--only")
parser.add_argument("--out")
args = parser.parse_args()


def line(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(out.stdout.strip().splitlines()[-1])


def cambium(work, threads, seconds):
    command = ["/usr/bin/time", "-f", "%M", os.path.join(args.build, "bench/train"), work, str(threads), str(seconds)]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(out.stdout.strip())
    result["peak_rss_kib"] = int(out.stderr.strip().splitlines()[-1])
    return result


def torch(work, mode, threads, seconds):
    return line([args.python, os.path.join(here, "peers/torch_train.py"), work, mode, str(threads), str(seconds)])


def compare_training(work):
    trials = {}
    for mode in ("eager", "compile"):
        for threads in (1, 2):
            try:
                trials[mode, threads] = torch(work, mode, threads, 2)["step_us"]
            except subprocess.CalledProcessError as e:
                print(f"  {mode} with {threads} threads failed: {e.stderr[-300:]}", file=sys.stderr)
    mode, threads = min(trials, key=trials.get)
    own = {t: cambium(work, t, 1)["step_us"] for t in (1, 2)}
    own_threads = min(own, key=own.get)
    pairs = []
    for i in range(args.pairs):
        order = [lambda: cambium(work, own_threads, args.seconds), lambda: torch(work, mode, threads, args.seconds)]
        if i % 2:
            second, first = order[1](), order[0]()
        else:
            first, second = order[0](), order[1]()
        pairs.append((first, second))
    ratio = statistics.median(b["step_us"] / a["step_us"] for a, b in pairs)
    return {
        "work": work,
        "cambium_step_us": statistics.median(a["step_us"] for a, _ in pairs), "cambium_threads": own_threads,
        "torch_step_us": statistics.median(b["step_us"] for _, b in pairs), "torch_best": f"{mode}, {threads} threads",
        "torch_trials_us": {f"{m}, {t} threads": v for (m, t), v in trials.items()},
        "ratio": ratio, "ratios": [b["step_us"] / a["step_us"] for a, b in pairs],
        "cambium_tensor_bytes": pairs[0][0]["tensor_bytes"],
        "cambium_peak_rss_kib": statistics.median(a["peak_rss_kib"] for a, _ in pairs),
        "torch_peak_rss_kib": statistics.median(b["peak_rss_kib"] for _, b in pairs),
    }


def compare_start():
    with tempfile.TemporaryDirectory() as folder:
        own = [os.path.join(args.build, "bench/first_prediction"), os.path.join(folder, "net.safetensors")]
        peer = [args.python, os.path.join(here, "peers/torch_first_prediction.py"), os.path.join(folder, "net.pt")]
        subprocess.run([own[0], "--make", own[1]], check=True)
        subprocess.run(peer + ["--make"], check=True)
        pairs = []
        for _ in range(args.pairs + 1):
            times = []
            for command in (own, peer):
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                times.append(1e3 * (time.perf_counter() - start))
            pairs.append(times)
    pairs = pairs[1:]  # the first warms the disk cache
    return {"work": "first-prediction", "cambium_ms": statistics.median(a for a, _ in pairs),
            "torch_ms": statistics.median(b for _, b in pairs), "ratio": statistics.median(b / a for a, b in pairs)}


results = []
for work in ("mnist-cnn", "mnist-cnn-plain", "mnist-mlp", "tiny-mlp", "first-prediction"):
    if args.only and args.only != work:
        continue
    r = compare_start() if work == "first-prediction" else compare_training(work)
    results.append(r)
    print(json.dumps(r), flush=True)
if args.out:
    with open(args.out, "w") as f:
        json.dump({"command": "python3 bench/compare.py " + " ".join(sys.argv[1:]), "pairs": args.pairs,
                   "seconds": args.seconds, "results": results}, f, indent=1)
        f.write("\n")
