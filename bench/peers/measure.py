"""Taking times and talking, as bench/measure.h does it: bursts of equally many runs, the median of a run's time."""
import json
import statistics
import sys
import time

LEAST_BURSTS, BURST_SECONDS, WARM_RUNS, WARM_SECONDS = 3, 0.004, 3, 0.3
runs_a_burst = 0  # found once


def burst(once, runs):
    start = time.perf_counter()
    for _ in range(runs):
        once()
    return time.perf_counter() - start


def warm(once):
    start, runs = time.perf_counter(), 0
    while runs < WARM_RUNS or time.perf_counter() - start < WARM_SECONDS:
        once()
        runs += 1


def measure(once, seconds):
    """Median and least microseconds of a run, and the number of runs."""
    global runs_a_burst
    times = []
    if not runs_a_burst:
        runs_a_burst = 1
        while burst(once, runs_a_burst) < BURST_SECONDS:
            runs_a_burst *= 2
    start = time.perf_counter()
    while len(times) < LEAST_BURSTS or time.perf_counter() - start < seconds:
        times.append(burst(once, runs_a_burst) / runs_a_burst)
    return {"us": statistics.median(times) * 1e6, "least_us": min(times) * 1e6, "runs": runs_a_burst * len(times)}


def report(once, how, about):
    """how: seconds, or "serve": a line when warm, then one for every line of seconds read."""
    warm(once)
    if how != "serve":
        print(json.dumps({**about, **measure(once, float(how))}))
        return
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps({**about, **measure(once, float(line))}), flush=True)
