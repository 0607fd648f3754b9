"""Taking times and talking, as bench/measure.h does it: bursts of equally many runs, the median of a run's time."""
import json
import statistics
import sys
import time

LEAST_BURSTS, BURST_SECONDS, WARM_SECONDS = 3, 0.004, 0.3
SLOW_SECONDS = 1.5  # after so long fewer runs must do


def burst(once, runs):
    start = time.perf_counter()
    for _ in range(runs):
        once()
    return time.perf_counter() - start


def warm(once):
    """Runs until it is warm; how many runs make a burst."""
    start, runs, bursts = time.perf_counter(), 1, 0
    while True:
        last, bursts = burst(once, runs), bursts + 1
        elapsed = time.perf_counter() - start
        if last < BURST_SECONDS:
            runs *= 2
        elif elapsed > WARM_SECONDS and (bursts >= 3 or bursts >= 2 and elapsed > SLOW_SECONDS):
            return runs


def measure(once, runs, seconds):
    """Median and least microseconds of a run, and the number of runs."""
    times, start, elapsed = [], time.perf_counter(), 0
    while elapsed <= seconds or len(times) < LEAST_BURSTS and elapsed <= SLOW_SECONDS:
        times.append(burst(once, runs) / runs)
        elapsed = time.perf_counter() - start
    return {"us": statistics.median(times) * 1e6, "least_us": min(times) * 1e6, "runs": runs * len(times)}


def report(once, how, about):
    """how: seconds, or "serve": a line when warm, then one for every line of seconds read."""
    runs = warm(once)
    if how != "serve":
        print(json.dumps({**about, **measure(once, runs, float(how))}))
        return
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps({**about, **measure(once, runs, float(line))}), flush=True)
